"""Which action was taken for which, and how many clips each class has: charts with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.plots import COLOURS

CELL = 0.62  # inches of a cell of few classes
SIDE = 8.0  # inches that the cells of many classes share
FULL = 15  # classes at most whose cells have room for the share below the count


def confusion(matrix: ArrayLike, names: Sequence[str], *, axis: Any = None, title: str = "") -> Any:
    """A confusion matrix: each row a true class, each column a found one, in each cell how many clips.

    The colour is the share of the row, so that rare classes look like frequent ones; the share is written
    below the count while there is room. A class without clips has an empty row.

    Args:
        matrix: counts [C, C], row true, column found.
        names: of the C classes.
        axis: to draw on; by default a new figure of pyplot, as large as the classes need.
        title: by default the accuracy.

    Returns:
        The axis.

    Raises:
        InputError: matrix and names do not fit.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(names), len(names)) or not len(names):
        raise InputError(f"A confusion matrix of {len(names)} classes is square; this one is {counts.shape}.")
    if axis is None:
        import matplotlib.pyplot as plt

        axis = plt.subplots(figsize=figure_size(names), layout="constrained")[1]
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    size = 9 if len(names) <= 8 else 8 if len(names) <= FULL else 6
    for row, column in np.ndindex(*counts.shape):
        if not counts[row, column]:
            continue
        text = str(counts[row, column])
        if len(names) <= FULL:
            text += f"\n{shares[row, column]:.0%}" if shares[row, column] >= 0.005 else "\n< 1%"
        axis.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=size,
            linespacing=1.1,
            color="white" if shares[row, column] > 0.55 else "black",
        )
    ticks = range(len(names))
    axis.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(ticks, [f"{name} ({n})" for name, n in zip(names, total[:, 0], strict=True)])
    axis.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("found")
    axis.set_ylabel("true (clips)")
    right, clips = int(np.trace(counts)), int(counts.sum())
    axis.set_title(title or (f"{right} of {clips} right: {right / clips:.1%}" if clips else "no clips"))
    return axis


def figure_size(names: Sequence[str]) -> tuple[float, float]:
    """Width and height in inches that the cells and the names beside them need."""
    cell = max(CELL, 1.1 - 0.08 * len(names)) if len(names) * CELL < SIDE else SIDE / len(names)
    written = 0.1 * max(len(name) for name in names)
    return len(names) * cell + written + 1.5, len(names) * cell + 0.75 * written + 1.2


def save_confusion(path: Path | str, matrix: ArrayLike, names: Sequence[str], title: str = "") -> Path:
    """Write the picture as PNG, without pyplot: nothing appears in a notebook, no window is opened."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=figure_size(names), layout="constrained")
    confusion(matrix, names, axis=figure.add_subplot(), title=title)
    with atomic_write(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)
    return Path(path)


def classes(counts: Mapping[str, int], *, axis: Any = None, title: str = "clips of each class") -> Any:
    """How many clips each class has: bars with their numbers, and a line where all would be equally many.

    Classes with less than half of the even share are drawn in orange: they need more clips.

    Args:
        counts: {class: clips}.
        axis: to draw on; by default a new figure of pyplot.

    Returns:
        The axis.

    Raises:
        InputError: there is no class.
    """
    if not counts:
        raise InputError("There is no class to draw; the folder of a set has one folder a class.")
    if axis is None:
        import matplotlib.pyplot as plt

        axis = plt.subplots(figsize=(7, 1.2 + 0.32 * len(counts)), layout="constrained")[1]
    many = list(counts.values())
    even = sum(many) / len(many)
    colours = [COLOURS[0] if n < even / 2 else COLOURS[2] for n in many]
    drawn = axis.barh(list(counts), many, color=colours)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # the figures hide the line
    axis.bar_label(drawn, padding=3, fontsize=9, bbox=box)
    axis.axvline(even, color="black", linestyle=":", linewidth=1)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.15 * max(*many, 1))
    axis.set_title(title, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    return axis
