"""Pictures of the notebook on one's own actions: clips as films, and what a network said while it watched.

Each function makes a figure with matplotlib and returns what it drew on. See also `edgekit.plots_confusion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.action_windows import center
from edgekit.results import Actions

#: Grey between two frames of a film, in pixels.
GAP = 3


def films(
    clips: Mapping[str, Sequence[NDArray[np.uint8]]], count: int = 8, width: float = 12.0, grey: str = "gray"
) -> NDArray[np.object_]:
    """Clips as films, one under the other: `count` frames of each, evenly over its length.

    Args:
        clips: {title: pictures}, uint8 [H, W, 3] BGR or [H, W] grey; those of one clip are of one size.
        count: frames shown of each.
        width: of the figure, in inches.
        grey: the colour map of grey pictures.

    Returns:
        The axes, one a clip.
    """
    import matplotlib.pyplot as plt

    rows = [_film([pictures[n] for n in _evenly(len(pictures), count)]) for pictures in clips.values()]
    heights = [width * film.shape[0] / film.shape[1] for film in rows]
    size = (width, sum(heights) + 0.06 * len(rows))
    axes = plt.subplots(
        len(rows), 1, figsize=size, squeeze=False, height_ratios=heights, layout="constrained"
    )[1]
    for axis, title, film in zip(axes.flat, clips, rows, strict=True):
        axis.imshow(film if film.ndim == 2 else film[..., ::-1], cmap=grey, vmin=0, vmax=255)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=11)
    return np.asarray(axes.flat)


def _evenly(frames: int, count: int) -> NDArray[np.int64]:
    every = max(1, frames // count)
    return center(frames, min(count, frames), every)


def _film(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((pictures[0].shape[0], GAP, *pictures[0].shape[2:]), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def said(
    found: Sequence[Actions], done: Sequence[str] = (), fps: float = 1.0, width: float = 10.0, title: str = ""
) -> Any:
    """How sure a network was of each action as time went by; darker is surer.

    Args:
        found: of each frame; of several people the surest counts.
        done: what was really done in each frame, framed in orange; () where nobody knows.
        fps: frames a second.
        width: of the figure, in inches.
        title: of the figure; by default how often the surest action was the one done.

    Returns:
        The axis.
    """
    import matplotlib.pyplot as plt

    names, seconds = found[0].names, len(found) / fps
    scores = np.stack([one.scores.max(axis=0, initial=0.0) for one in found], axis=1)
    axis = plt.subplots(figsize=(width, 1.1 + 0.36 * len(names)), layout="constrained")[1]
    edges = (0.0, seconds, len(names) - 0.5, -0.5)
    axis.imshow(scores, cmap="Blues", vmin=0, vmax=1, aspect="auto", extent=edges, interpolation="nearest")
    knows: NDArray[np.bool_] = np.asarray(scores.any(axis=0))
    if done and knows.any():
        best = [names[row] for row in scores[:, knows].argmax(axis=0)]
        true = [word for word, known in zip(done, knows, strict=True) if known]
        hits = sum(a == b for a, b in zip(best, true, strict=True))
        title = title or f"right in {hits / len(true):.0%} of the frames; framed: what was done"
    start = 0
    for end in range(1, len(done) + 1):
        if end == len(done) or done[end] != done[start]:
            if done[start] in names:
                corner = start / fps, names.index(done[start]) - 0.46
                size = (end - start) / fps, 0.92
                axis.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor="#e69f00", linewidth=2))
            start = end
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("seconds" if fps != 1.0 else "frame")
    axis.set_title(title, fontsize=11, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    return axis
