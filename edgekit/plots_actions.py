"""Pictures of the action notebook, with matplotlib: film strips, windows, RoIAlign, scores.

Functions that take an axis draw on it and return it; the others make a figure. See also `edgekit.plots` and
`edgekit.plots_tracks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.plots import COLOURS

#: Pixels of a frame's height in a film strip, and of the black with its holes above and below.
FRAME_HEIGHT, MARGIN = 160, 20
#: So much larger are the frames of the slow film shown.
SLOW_LARGER = 1.4


def cut_out(
    pictures: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.floating], grow: float = 1.4
) -> list[NDArray[np.uint8]]:
    """The same part of each picture: a box made `grow` times as large, inside of the picture.

    Args:
        pictures: uint8 [H, W, 3], all of one size.
        xyxy: [4] left, top, right, bottom, in their pixels.
        grow: so much wider and higher, about the box's centre.
    """
    height, width = pictures[0].shape[:2]
    box = np.asarray(xyxy, np.float64)
    middle, half = (box[:2] + box[2:]) / 2, grow * (box[2:] - box[:2]) / 2
    x1, y1 = np.clip(np.round(middle - half), 0, (width - 1, height - 1)).astype(int)
    x2, y2 = np.clip(np.round(middle + half), (x1 + 1, y1 + 1), (width, height)).astype(int)
    return [picture[y1:y2, x1:x2] for picture in pictures]


def _strip(pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], int]:
    """One row of a film, BGR, and how many pixels of it a frame is wide, its gap included."""
    high, wide = pictures[0].shape[:2]
    size = max(1, round(FRAME_HEIGHT * wide / high)), FRAME_HEIGHT
    step = size[0] + 4
    film = np.full((FRAME_HEIGHT + 2 * MARGIN, step * len(pictures), 3), 24, np.uint8)
    for number, picture in enumerate(pictures):
        start = number * step + 2
        frame = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        film[MARGIN : MARGIN + FRAME_HEIGHT, start : start + size[0]] = frame
    for x in range(5, film.shape[1] - 8, 20):
        for y in (6, FRAME_HEIGHT + MARGIN + 6):
            film[y : y + 8, x : x + 10] = 235
    return film, step


def film_strips(
    fast: Sequence[NDArray[np.uint8]],
    taken: Sequence[int] | NDArray[np.integer],
    across: int = 16,
    width: float = 13.0,
) -> NDArray[np.object_]:
    """What the two pathways of SlowFast see of one window, as two films: few frames above, many below.

    Args:
        fast: the frames of the fast pathway, uint8 [H, W, 3] BGR, oldest first.
        taken: numbers of those that the slow pathway sees too; framed in the fast film.
        across: frames in a row of the fast film.
        width: of the figure, in inches.

    Returns:
        The axes: the slow film, then each row of the fast one.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    many, slow = min(across, len(fast)), [int(number) for number in taken]
    parts = [slow] + [list(range(k, min(k + many, len(fast)))) for k in range(0, len(fast), many)]
    films = [_strip([fast[number] for number in part]) for part in parts]
    # Each row is a full one, so that a short last one is not blown up.
    full = [step * many / (1 if row else SLOW_LARGER) for row, (_, step) in enumerate(films)]
    full[0] = max(full[0], films[0][0].shape[1])
    heights = [width * film.shape[0] / wide for (film, _), wide in zip(films, full, strict=True)]
    size = (width, sum(heights) + 0.75)
    axes = plt.subplots(len(parts), 1, figsize=size, height_ratios=heights, layout="constrained")[1]
    for row, (axis, part, (film, step), wide) in enumerate(zip(axes, parts, films, full, strict=True)):
        axis.imshow(film[..., ::-1])
        axis.set_xlim(-0.5, wide - 0.5)
        axis.axis("off")
        for place, number in enumerate(part):
            corner = place * step + 1, MARGIN - 1
            if row > 0 and number in slow:
                size = step - 2, FRAME_HEIGHT + 1
                axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=COLOURS[0], linewidth=2.5))
            box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1}
            at = corner[0] + 5, corner[1] + 6
            axis.text(*at, str(number), fontsize=7, color="white", va="top", bbox=box)
    axes[0].set_title(f"slow: {len(slow)} frames", fontsize=11, loc="left")
    axes[1].set_title(f"fast: {len(fast)} frames; slow's are framed", fontsize=11, loc="left")
    return np.asarray(axes)


def windows(ends: Sequence[int] | NDArray[np.integer], span: int, most: int = 8, width: float = 8.0) -> Any:
    """Which frames each look at the actions covers, and the middle one, whose people it asks about.

    Args:
        ends: the frame after which each look was taken, rising.
        span: frames that a window covers.
        most: looks shown.
        width: of the figure, in inches.

    Returns:
        The axis.
    """
    import matplotlib.pyplot as plt

    count = min(most, len(ends))
    axis = plt.subplots(figsize=(width, 1.1 + 0.3 * count), layout="constrained")[1]
    for row, end in enumerate(list(ends)[:most]):
        start = int(end) - span + 1
        axis.broken_barh([(start, span)], (row - 0.3, 0.6), color=[COLOURS[1]])
        label = {"label": "the middle frame: whose boxes"} if row == 0 else {}
        axis.plot(
            [start + span // 2 + 0.5] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2.5, **label
        )
    axis.set_yticks(range(count), [f"after frame {end}" for end in list(ends)[:count]])
    axis.set_ylim(count - 0.4, -1.0)
    axis.set_xlabel("frame")
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if count:
        axis.legend(frameon=False, fontsize=8, loc="upper left", borderaxespad=0.0)
    return axis


def roi_grid(axis: Any, xyxy: NDArray[np.floating], cells: int = 7, colour: Any = "white") -> Any:
    """A box cut into cells × cells, over what the axis shows, in its units."""
    left, top, right, bottom = (float(v) for v in xyxy)
    for share in np.linspace(0, 1, cells + 1):
        wide = 2.0 if share in (0, 1) else 0.6
        x, y = left + share * (right - left), top + share * (bottom - top)
        axis.plot([x, x], [top, bottom], color=colour, linewidth=wide)
        axis.plot([left, right], [y, y], color=colour, linewidth=wide)
    return axis


def roi_align_steps(
    picture: NDArray[np.uint8],
    features: NDArray[np.floating],
    xyxy: NDArray[np.floating],
    pooled: NDArray[np.floating],
    scale: float = 1 / 16,
    width: float = 13.0,
) -> NDArray[np.object_]:
    """One channel on its way to the head: over the picture, its cells round the person, and pooled.

    Args:
        picture: the network's, uint8 [H, W, 3] BGR.
        features: one channel, [h, w], over the whole picture.
        xyxy: [4], the person's box in pixels of `picture`.
        pooled: what RoIAlign made of it, [k, k].
        scale: cells a pixel.
        width: of the figure, in inches.

    Returns:
        The three axes.
    """
    import matplotlib.pyplot as plt

    (high, wide), cells = picture.shape[:2], features.shape
    ratios = [wide / high, 1.0, 1.0]
    size = (width, width / sum(ratios) + 0.5)
    axes = plt.subplots(1, 3, figsize=size, width_ratios=ratios, layout="constrained")[1]
    low, top = float(features.min()), max(float(features.max()), float(features.min()) + 1e-6)
    colours: dict[str, Any] = {"cmap": "inferno", "vmin": low, "vmax": top}
    axes[0].imshow(picture[..., ::-1])
    # Cell k of strided convolutions looks at pixel k / scale; so it does for RoIAlign with aligned=False.
    edges = (-0.5 / scale, (cells[1] - 0.5) / scale, (cells[0] - 0.5) / scale, -0.5 / scale)
    axes[0].imshow(features, alpha=0.55, extent=edges, **colours)
    axes[0].set_xlim(-0.5, wide - 0.5)
    axes[0].set_ylim(high - 0.5, -0.5)
    box = np.asarray(xyxy, np.float64) * scale
    axes[1].imshow(features, **colours)
    near = max(box[2] - box[0], box[3] - box[1], 2.0) / 2 + 1.0
    centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    axes[1].set_xlim(centre[0] - near, centre[0] + near)
    axes[1].set_ylim(centre[1] + near, centre[1] - near)
    axes[1].set_facecolor("0.85")
    roi_grid(axes[0], xyxy, 1)
    roi_grid(axes[1], box, len(pooled))
    axes[2].imshow(pooled, **colours)
    names = (
        f"one channel, {cells[0]}×{cells[1]} cells, over the picture",
        "its cells round the person",
        f"pooled: {pooled.shape[0]}×{pooled.shape[1]}",
    )
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    return np.asarray(axes)


def score_bars(
    people: Sequence[tuple[str, NDArray[np.floating]]],
    names: Sequence[str],
    threshold: float,
    most: int = 8,
    width: float = 11.0,
) -> Any:
    """What the head says of each person: a bar a class, the same classes in the same order for all.

    Args:
        people: (title, scores [C]) of each.
        names: of the C classes.
        threshold: drawn as a line; bars that reach it are in colour.
        most: classes shown, those with the highest score of anybody.
        width: of the figure, in inches.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    table = np.stack([scores for _, scores in people])
    shown = np.argsort(-table.max(axis=0), kind="stable")[:most]
    size = (width, 0.9 + 0.3 * len(shown))
    figure, axes = plt.subplots(
        1, len(people), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    for axis, (title, scores) in zip(axes.flat, people, strict=True):
        values = [float(scores[c]) for c in shown]
        colours = [COLOURS[2] if value >= threshold else "0.7" for value in values]
        drawn = axis.barh([names[c] for c in shown], values, color=colours)
        axis.axvline(threshold, color="black", linestyle=":", linewidth=1)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # the figures hide the line
        axis.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8, bbox=box)
        axis.set_xlim(0, 1.18)
        axis.set_xticks([0, 0.5, 1])
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].invert_yaxis()
    return figure
