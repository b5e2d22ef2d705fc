"""Pictures and charts of the notebooks, with matplotlib. Each function returns what it drew on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.draw import PALETTE
from edgekit.results import Frame, Result

#: The palette of the drawings as matplotlib wants it: RGB from 0 to 1.
COLOURS = tuple((red / 255, green / 255, blue / 255) for blue, green, red in PALETTE)


def show(
    *pictures: NDArray[np.uint8],
    titles: Sequence[str] = (),
    columns: int = 4,
    width: float = 10.0,
    grey: str = "gray",
) -> NDArray[np.object_]:
    """Pictures in a grid.

    Args:
        pictures: uint8 [H, W, 3] BGR, or [H, W] grey.
        titles: one a picture; missing ones are left out.
        columns: pictures in a row at most.
        width: of the figure, in inches.
        grey: the colour map of grey pictures.

    Returns:
        The axes, one a picture.
    """
    import matplotlib.pyplot as plt

    across = min(columns, len(pictures))
    down = -(-len(pictures) // across)
    high, wide = pictures[0].shape[:2]
    size = (width, width / across * high / wide * down + 0.3 * down)
    axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained")[1]
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture if picture.ndim == 2 else picture[..., ::-1], cmap=grey, vmin=0, vmax=255)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=10)
    return np.asarray(axes.flat[: len(pictures)])


def boxes(axis: Any, xyxy: NDArray[np.float32], colour: Any = COLOURS[0], words: Sequence[str] = ()) -> Any:
    """Boxes [N, 4] (left, top, right, bottom in pixels of the picture) on an axis that shows it."""
    from matplotlib.patches import Rectangle

    for row, (left, top, right, bottom) in enumerate(xyxy):
        size = (right - left, bottom - top)
        axis.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=colour, linewidth=1.5))
        if row < len(words):
            axis.text(left, top - 3, words[row], fontsize=7, color="black", backgroundcolor=colour)
    return axis


def bars(panels: Mapping[str, Mapping[str, float]], digits: int = 1, width: float = 9.0) -> Any:
    """Bar charts side by side, each bar with its figure: {title: {label: value}}."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(width, 3.2), squeeze=False, layout="constrained")
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        drawn = axis.bar(list(values), list(values.values()), color=COLOURS[: len(values)])
        axis.bar_label(drawn, fmt=f"%.{digits}f", padding=2)
        axis.set_title(title, fontsize=11)
        axis.margins(y=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def counts(panels: Mapping[str, Mapping[str, int]], width: float = 10.0) -> Any:
    """Horizontal bars side by side, the most frequent on top: {title: {what: how many}}."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(width, 3.8), squeeze=False, layout="constrained")
    longest = max(max(values.values()) for values in panels.values())
    for axis, colour, (title, values) in zip(axes.flat, COLOURS, panels.items(), strict=False):
        ranked = sorted(values.items(), key=lambda item: item[1])
        drawn = axis.barh([what for what, _ in ranked], [many for _, many in ranked], color=colour)
        axis.bar_label(drawn, padding=3)
        axis.set_xlim(0, 1.15 * longest)
        axis.set_title(title, fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def score_maps(score: NDArray[np.float32], size: tuple[int, int]) -> list[NDArray[np.float32]]:
    """The scores of a YOLO's anchors laid out as the picture they look at, finest map first.

    Args:
        score: float32 [A], one an anchor, in the network's order: map by map, row by row.
        size: (height, width) of the network's input.

    Returns:
        float32 [h, w] of each stride; the best of a cell where it has several anchors. Empty for an output
        that is no grid.
    """
    from edgekit.tasks.yolo_heads import strides_of

    for per_cell in (1, 3):
        if strides := strides_of(len(score), size, per_cell):
            maps, start = [], 0
            for stride in strides:
                shape = (per_cell, size[0] // stride, size[1] // stride)
                end = start + int(np.prod(shape))
                maps.append(score[start:end].reshape(shape).max(axis=0))
                start = end
            return maps
    return []


def page(path: Path | str, height: int = 640) -> Any:
    """A self-contained page (of `edgekit report` or `edgekit bench`) as the last line of a cell."""
    from html import escape

    from IPython.display import HTML

    text = escape(Path(path).read_text(encoding="utf-8"))
    style = f"width:100%;height:{height}px;border:1px solid #bbb"
    frame = f'<iframe srcdoc="{text}" title="{escape(Path(path).name)}" style="{style}"></iframe>'
    return HTML(f"<div>{frame}</div>")  # a bare iframe makes IPython advise another class


class CountChart:
    """A sink that draws a chart of how many were found, anew with every frame: nice to look at, and not free.

    Args:
        path: of the picture (PNG or what its ending says).

    Attributes:
        path: as given.
        found: how many each frame had.
    """

    picture_side = None

    def __init__(self, path: Path) -> None:
        from matplotlib.figure import Figure

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.found: list[int] = []
        self._figure = Figure(figsize=(6, 2.6), dpi=150)
        self._axis = self._figure.add_subplot(xlabel="frame", title="found on each frame")
        self._axis.grid(alpha=0.3)
        self._figure.subplots_adjust(bottom=0.18)
        (self._line,) = self._axis.plot([])

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Draw what was found up to this frame."""
        self.found.append(len(result))
        self._line.set_data(range(len(self.found)), self.found)
        self._axis.relim()
        self._axis.autoscale_view()
        self._figure.savefig(self.path)

    def close(self) -> None:
        """The last chart stays."""
