"""Pictures of the pose notebooks, with matplotlib: heat maps, part-affinity fields, pairs, skeletons.

Functions that take an axis draw over the picture it shows (see `edgekit.plots.show`) and return it. A map of
any size lies over the whole picture: its cell (0, 0) is the picture's upper left corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.plots import COLOURS

#: R, G and B of ImageNet's pictures, as shares of 255: TrtPose's input (trt_pose, tasks/human_pose).
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WHITE_EDGE = {"edgecolors": "white", "linewidths": 0.8}


def _size(axis: Any) -> tuple[int, int]:
    """Height and width of the picture that the axis shows."""
    height, width = axis.get_images()[0].get_array().shape[:2]
    return height, width


def as_picture(
    tensor: NDArray[np.floating],
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
) -> NDArray[np.uint8]:
    """A network's input [3, H, W] RGB, (x / 255 − mean) / std, as the picture it was: uint8 [H, W, 3] BGR."""
    shares = np.moveaxis(np.asarray(tensor, np.float64), 0, -1) * std + mean
    return np.ascontiguousarray(np.clip(255 * shares[..., ::-1], 0, 255).round().astype(np.uint8))


def cells(heat: NDArray[np.floating], point: tuple[float, float], axis: Any = None) -> Any:
    """A few cells of a heat map with their values, the highest framed, and the point read from them.

    Args:
        heat: [h, w].
        point: (x, y) in cells; (0, 0) is the middle of the first one.
        axis: to draw on; a new figure without.

    Returns:
        The axis.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    if axis is None:
        axis = plt.subplots(figsize=(0.62 * heat.shape[1], 0.62 * heat.shape[0]), layout="constrained")[1]
    axis.imshow(heat, cmap="inferno", vmin=0)
    middle = float(heat.max()) / 2
    for (row, column), value in np.ndenumerate(heat):
        colour = "black" if value > middle else "white"
        axis.text(column, row + 0.32, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    corner = float(column) - 0.5, float(row) - 0.5
    axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=2))
    axis.scatter(*point, s=60, color=COLOURS[2], zorder=3, **WHITE_EDGE)
    axis.axis("off")
    return axis


def cmap_over(axis: Any, cmap: NDArray[np.floating], top: float = 0.0) -> Any:
    """A heat map over a picture, which it darkens where it is 0; bright where it is high.

    Args:
        axis: shows the picture.
        cmap: [H, W].
        top: the value that is brightest; 0: the map's own maximum, and 0.1 at least (less is no peak).
    """
    height, width = _size(axis)
    top = top or max(0.1, float(cmap.max()))
    share = np.clip(cmap / top, 0.0, 1.0)
    where = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.5 + 0.4 * share, extent=where)
    return axis


def paf_over(axis: Any, paf: NDArray[np.floating], least: float = 0.2, most: int = 56) -> Any:
    """A part-affinity field over a picture, which it darkens: an arrow where it points somewhere.

    Args:
        axis: shows the picture.
        paf: [2, H, W], how far down and how far right each cell points; 1 is the length of a sure limb.
        least: cells with shorter arrows are left out.
        most: cells side by side at most; of a finer field only every second, third … cell has its arrow.
    """
    step = -(-max(paf.shape[1:]) // most)
    paf = paf[:, step // 2 :: step, step // 2 :: step]
    height, width = _size(axis)
    veil = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(np.zeros((1, 1)), cmap="gray", alpha=0.4, extent=veil)
    length = np.hypot(*paf)
    rows, columns = np.nonzero(length >= least)
    cell = height / paf.shape[1], width / paf.shape[2]
    axis.quiver(
        (columns + 0.5) * cell[1] - 0.5,
        (rows + 0.5) * cell[0] - 0.5,
        paf[1, rows, columns] * cell[1],
        paf[0, rows, columns] * cell[0],
        length[rows, columns],
        angles="xy",
        scale_units="xy",
        scale=0.75,
        cmap="plasma",
        clim=(0, 1),
        width=0.008,
        headwidth=3.2,
    )
    return axis


def strongest(paf: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of the fields of all limbs [2·L, H, W], in each cell the longest arrow: [2, H, W]."""
    fields = paf.reshape(-1, 2, *paf.shape[1:])
    best = np.hypot(fields[:, 0], fields[:, 1]).argmax(axis=0)
    longest: NDArray[np.floating] = np.take_along_axis(fields, best[None, None], axis=0)[0]
    return longest


def dots(axis: Any, xy: NDArray[np.floating], colour: Any = COLOURS[0], words: Sequence[str] = ()) -> Any:
    """Points [N, 2] (x, y in pixels of the picture), each with its word if there is one."""
    axis.autoscale(False)  # what lies outside does not make the picture smaller
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    axis.scatter(*xy.T, s=45, color=[colour], zorder=3, **WHITE_EDGE)
    for (x, y), word in zip(xy, words, strict=False):
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}
        axis.annotate(
            word,
            (x, y),
            (7, -3),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            bbox=box,
            zorder=4,
        )
    return axis


def pairs_over(
    axis: Any,
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    scores: NDArray[np.floating],
    chosen: Sequence[tuple[int, int]] = (),
) -> Any:
    """Each way to join the points `a` to the points `b`: clearer the better the score, thick where chosen.

    Args:
        axis: shows the picture.
        a: [A, 2] x, y in pixels of the picture.
        b: [B, 2].
        scores: [A, B]; what is not above 0 is a thin dotted line.
        chosen: pairs (row, column).
    """
    axis.autoscale(False)
    for (row, column), score in np.ndenumerate(scores):
        ends = np.stack([a[row], b[column]]).T
        if (row, column) in {(int(i), int(j)) for i, j in chosen}:
            axis.plot(*ends, color=COLOURS[2], linewidth=4, solid_capstyle="round", zorder=2)
        elif score > 0:
            axis.plot(*ends, color="white", linewidth=1.5, alpha=0.3 + 0.7 * min(1.0, float(score)), zorder=1)
        else:
            axis.plot(*ends, color="white", linewidth=0.8, linestyle=":", alpha=0.6, zorder=1)
    return axis


def pair_scores(
    scores: NDArray[np.floating],
    chosen: Sequence[tuple[int, int]] = (),
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    axis: Any = None,
) -> Any:
    """The scores of all pairs of one limb as a matrix, with a frame round the pairs that were chosen.

    Args:
        scores: [A, B], -1 to 1.
        chosen: pairs (row, column).
        rows: names of the A candidates.
        columns: names of the B candidates.
        axis: to draw on; a new figure without.

    Returns:
        The axis.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    if axis is None:
        size = (1.6 + 0.75 * max(2, scores.shape[1]), 1.2 + 0.55 * max(2, scores.shape[0]))
        axis = plt.subplots(figsize=size, layout="constrained")[1]
    axis.imshow(scores, cmap="RdYlGn", vmin=-1, vmax=1, aspect="auto")
    for (row, column), score in np.ndenumerate(scores):
        colour = "white" if abs(score) > 0.8 else "black"
        axis.text(column, row, f"{score:.2f}", ha="center", va="center", fontsize=10, color=colour)
    for row, column in chosen:
        frame = (column - 0.47, row - 0.47), 0.94, 0.94
        axis.add_patch(Rectangle(*frame, fill=False, edgecolor="black", linewidth=2.5))
    axis.set_xticks(range(scores.shape[1]), list(columns) or None)
    axis.set_yticks(range(scores.shape[0]), list(rows) or None)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return axis


def skeleton_over(
    axis: Any,
    points: NDArray[np.floating],
    links: Sequence[tuple[int, int]] = (),
    colour: Any = COLOURS[0],
    names: Sequence[str] = (),
    least: float = 0.0,
) -> Any:
    """A skeleton, thin enough to see the picture under it.

    Args:
        axis: shows the picture.
        points: [K, 3] x, y in pixels of the picture, score.
        links: pairs of keypoints that a line joins.
        colour: of lines and points.
        names: of the K keypoints, written beside them.
        least: points of this score or less are left out.
    """
    axis.autoscale(False)
    found = points[:, 2] > least
    for i, j in links:
        if found[i] and found[j]:
            axis.plot(*points[[i, j], :2].T, color=colour, linewidth=2.5, solid_capstyle="round", zorder=2)
    axis.scatter(*points[found, :2].T, s=22, color="white", edgecolors=[colour], linewidths=1.2, zorder=3)
    for k, name in enumerate(names):
        if found[k]:
            side = -1 if name.startswith("right") else 1  # their right is at our left
            axis.annotate(
                name,
                (points[k, 0], points[k, 1]),
                (6 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=7,
                color="white",
                bbox={"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 1},
                zorder=4,
            )
    return axis


def people_over(
    axis: Any, people: NDArray[np.floating], links: Sequence[tuple[int, int]], least: float = 0.0
) -> Any:
    """Each of the skeletons [N, K, 3] in a colour of its own; see `skeleton_over`."""
    for row, points in enumerate(people):
        skeleton_over(axis, points, links, COLOURS[row % len(COLOURS)], least=least)
    return axis


def peaks_over(axis: Any, xy: NDArray[np.floating], part: NDArray[np.integer]) -> Any:
    """Points [N, 2], coloured by the keypoint that each is of: int [N]."""
    for kind in np.unique(part):
        dots(axis, xy[part == kind], COLOURS[int(kind) % len(COLOURS)])
    return axis


def crossing(
    people: Sequence[float], ms: Mapping[str, Sequence[float]], at: float | None = None, title: str = ""
) -> Any:
    """Time against the number of people, one line a method, and a mark where the two cross.

    Args:
        people: numbers of people, rising.
        ms: milliseconds a picture for each of them, by method.
        at: the number of people where the lines cross, if they do.
        title: what was measured where.

    Returns:
        The axis.
    """
    import matplotlib.pyplot as plt

    axis = plt.subplots(figsize=(7.5, 4.0), layout="constrained")[1]
    for colour, (name, values) in zip((COLOURS[4], COLOURS[5], *COLOURS), ms.items(), strict=False):
        axis.plot(people, values, "o-", color=colour, linewidth=2, markersize=6, label=name)
    if at is not None:
        height = float(np.interp(at, people, next(iter(ms.values()))))
        axis.axvline(at, color="grey", linestyle=":")
        axis.annotate(
            f"they cross at {at:.1f} people",
            (at, height),
            (16, -42),
            textcoords="offset points",
            arrowprops={"arrowstyle": "->", "color": "black"},
        )
    axis.set(xlabel="people in the picture", ylabel="ms a picture (median)", title=title, ylim=0)
    axis.set_xlim(0, max(people) * 1.03)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    return axis
