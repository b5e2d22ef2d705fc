"""Pictures of tracks, with matplotlib: where people went, and when they were seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.plots import COLOURS
from edgekit.results import Actions, Tracks

#: Rows that are named; of more, only every second, third … is.
MOST_NAMED = 20
#: Frame after frame, who is where.
History = Sequence[Tracks | Actions]


def whole_way(history: History, number: int) -> NDArray[np.float32]:
    """The box [4] round all boxes of one track; zeros where it was never seen."""
    boxes = np.array([box for _, box in _by_track(history).get(number, [])], np.float32).reshape(-1, 4)
    if not len(boxes):
        return np.zeros(4, np.float32)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def tracks(
    picture: NDArray[np.uint8], history: History, first: int = 0, width: float = 13.0
) -> NDArray[np.object_]:
    """Where each track went, over the last picture, and when it was seen.

    Args:
        picture: of the last moment, uint8 [H, W, 3] BGR.
        history: who was where, frame after frame.
        first: number of the first of these frames.
        width: of the figure, in inches.

    Returns:
        The two axes.
    """
    import matplotlib.pyplot as plt

    shares = [0.58, 0.42]
    size = (width, width * shares[0] * picture.shape[0] / picture.shape[1] + 0.3)
    axes = plt.subplots(1, 2, figsize=size, width_ratios=shares, layout="constrained")[1]
    axes[0].imshow(picture[..., ::-1])
    axes[0].axis("off")
    axes[0].set_title("where their feet went", fontsize=10)
    axes[1].set_title("when they were seen", fontsize=10)
    trails_over(axes[0], history)
    track_times(axes[1], history, first)
    return np.asarray(axes)


def trails_over(axis: Any, history: History) -> Any:
    """The way of each track's feet over a picture, its number where it was last.

    Args:
        axis: shows the picture of the last of these moments.
        history: who was where, frame after frame, in that picture's pixels.
    """
    axis.autoscale(False)
    for number, places in _by_track(history).items():
        feet = np.array([((box[0] + box[2]) / 2, box[3]) for _, box in places])
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(*feet.T, color=colour, linewidth=2.5, solid_capstyle="round")
        axis.scatter(*feet[-1], s=30, color=[colour], edgecolors="white", linewidths=0.8, zorder=3)
        axis.annotate(
            f"#{number}",
            tuple(feet[-1]),
            (4, 4),
            textcoords="offset points",
            fontsize=8,
            fontweight="bold",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
            annotation_clip=True,
            zorder=4,
        )
    return axis


def track_times(axis: Any, history: History, first: int = 0) -> Any:
    """When each track was seen: one row a track, a gap where it was lost for a while.

    Args:
        axis: an empty one.
        history: who was where, frame after frame.
        first: number of the first of these frames.
    """
    seen = _by_track(history)
    for row, (number, places) in enumerate(sorted(seen.items())):
        moments = [moment for moment, _ in places]
        runs = np.split(moments, np.flatnonzero(np.diff(moments) > 1) + 1)
        spans = [(first + int(run[0]), len(run)) for run in runs]
        axis.broken_barh(spans, (row - 0.35, 0.7), color=[COLOURS[number % len(COLOURS)]])
    every = -(-len(seen) // MOST_NAMED) or 1
    axis.set_yticks(range(0, len(seen), every), [f"#{number}" for number in sorted(seen)[::every]])
    axis.set_xlim(first, first + max(1, len(history)))
    axis.set_xlabel("frame")
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def _by_track(history: History) -> dict[int, list[tuple[int, NDArray[np.float32]]]]:
    """{number: [(which moment, its box)]}."""
    places: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
    for moment, found in enumerate(history):
        numbers = [] if found.track_id is None or found.xyxy is None else found.track_id.tolist()
        for number, box in zip(numbers, found.xyxy if numbers else (), strict=True):  # type: ignore[arg-type]
            places.setdefault(number, []).append((moment, box))
    return places
