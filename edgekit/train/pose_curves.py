"""The losses of a pose training over its steps: read from Lightning's CSV logs, and drawn."""

from __future__ import annotations

import csv
from pathlib import Path

from edgekit.files import atomic_write


def read_curves(out: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value), …]} of all parts of a run, resumed ones after the first."""
    curves: dict[str, list[tuple[int, float]]] = {}
    files = (out / "log").glob("version_*/metrics.csv")
    for file in sorted(files, key=lambda f: int(f.parent.name.split("_")[1])):
        with open(file, encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                for name, value in row.items():
                    if value and name not in ("step", "epoch"):
                        curves.setdefault(name, []).append((int(row["step"]), float(value)))
    return curves


def plot_curves(out: Path) -> Path | None:
    """Draw the losses of a run over its steps into `out/curves.png`; None while there is nothing to draw."""
    from matplotlib.figure import Figure

    curves = read_curves(out)
    if not curves:
        return None
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss", yscale="log")
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker="." * (len(points) < 20))
    axes.legend()
    path = out / "curves.png"
    with atomic_write(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)
    return path
