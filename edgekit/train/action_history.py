"""What the epochs of a training of action recognition showed: as a table, and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgekit.files import atomic_write

COLUMNS = ("epoch", "lr", "train_loss", "train_acc_1", "val_loss", "val_acc_1")
Rows = Sequence[Mapping[str, Any]]


def write_metrics(path: Path, history: Rows) -> None:
    """One row an epoch as CSV; what was not measured is empty."""
    with atomic_write(path) as scratch, open(scratch, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows({**row} for row in history)


def write_curves(path: Path, history: Rows) -> None:
    """Loss and accuracy over the epochs, of training and validation, as PNG; a line where lr changes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    changes = [b["epoch"] for a, b in pairwise(history) if a["lr"] != b["lr"]]
    for axis, what in zip(figure.subplots(1, 2), ("loss", "acc_1"), strict=True):
        for part in ("train", "val"):
            name = f"{part}_{what}"
            points = [(row["epoch"], row[name]) for row in history if name in row]
            if points:
                axis.plot(*zip(*points, strict=True), marker="." * (len(points) < 40), label=part)
        for n, epoch in enumerate(changes):
            label = {"label": "lr changes"} if n == 0 else {}
            axis.axvline(epoch - 0.5, color="0.6", linestyle=":", linewidth=1, **label)
        axis.set_xlabel("epoch")
        axis.set_title("loss" if what == "loss" else "accuracy", fontsize=11)
        top = 3 * max(row["train_loss"] for row in history)  # first validations can be far off
        axis.set_ylim(0, min(top, axis.get_ylim()[1]) if what == "loss" else 1.02)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        if axis.lines:
            axis.legend(frameon=False)
    with atomic_write(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)


def described(row: Mapping[str, Any], epochs: int) -> str:
    """One line of an epoch."""
    words = [f"epoch {row['epoch']} of 0 to {epochs - 1}: lr {row['lr']:g}"]
    for part in ("train", "val"):
        if f"{part}_loss" in row:
            words.append(f"{part} loss {row[f'{part}_loss']:.4f}, accuracy {row[f'{part}_acc_1']:.1%}")
    return "; ".join(words)
