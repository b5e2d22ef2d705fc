"""Figures of tables: bars side by side, and what a setting costs against what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.report.chart import COLOURS, FAINT, GRID, INK, PAPER, Chart, name_rows, row_height, unknown
from edgekit.report.numbers import front, known
from edgekit.report.tables import figure

#: Panels in a row at most.
ACROSS = 2  # more would not be read on a phone
#: More points than this are named on the front only.
NAMED = 12


def bars(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, label: str, source: str = "") -> Chart:
    """One panel for each column, one bar for each row, each with its figure; what is not known is a dash.

    Args:
        rows: as of a table.
        columns: names of numbers, with their unit ("W", "J per frame").
        label: the column that names a row.
        source: who measured.
    """
    heading = "Side by side"
    columns = [name for name in columns if known(rows, name)]
    if not columns:
        return unknown(heading, source, "no row has a figure")
    across = min(ACROSS, len(columns))
    down = -(-len(columns) // across)
    high = row_height([str(row[label]) for row in rows], 0.3) * len(rows)
    chart = Chart(heading, source, height=0.5 + down * (0.55 + high))
    first = None
    for place, column in enumerate(columns):
        axis = chart.axis(down, across, place + 1)
        values = [float(row[column]) if i in known(rows, column) else 0.0 for i, row in enumerate(rows)]
        shades = [COLOURS[i % len(COLOURS)] for i in range(len(rows))]
        drawn = axis.barh(range(len(rows)), values, height=0.66, color=shades)
        texts = [figure(rows[i].get(column)) if i in known(rows, column) else "–" for i in range(len(rows))]
        axis.bar_label(drawn, labels=texts, padding=3, fontsize=8.5, color=INK)
        axis.set_title(column, fontsize=9, loc="left", color=FAINT)
        name_rows(axis, [str(row[label]) if place % across == 0 else "" for row in rows])
        axis.tick_params(labelbottom=False)
        axis.set_xlim(0, 1.45 * max(values) or 1.0)
        axis.grid(visible=False)
        axis.spines["bottom"].set_visible(False)
        first = first or axis
    said = [
        f"{column}: " + ", ".join(f"{row[label]} {figure(row.get(column))}" for row in rows) + "."
        for column in columns
    ]
    chart.alt = " ".join(["Bars side by side.", *said])
    return chart


def pareto(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    *,
    label: str,
    better: tuple[str, str] = ("lower", "higher"),
    size: str = "",
    source: str = "",
) -> Chart:
    """A point for each row, and the front: rows that no other beats in both.

    Rows without a figure are left out.

    Args:
        rows: as of a table.
        x, y: columns of numbers, with their units.
        label: the column that names a row.
        better: "lower" or "higher", for x and for y.
        size: column of a third number, drawn as the area of the point; "" for none.
        source: who measured.
    """
    heading = f"{y} against {x}"
    there = known(rows, x, y)
    if not there:
        return unknown(heading, source, f"no row has both {x} and {y}")
    points = [(float(rows[i][x]), float(rows[i][y])) for i in there]
    best = front(points, better)
    chart = Chart(heading, source, height=3.6)
    axis = chart.axis()
    axis.grid(visible=True, color=GRID, linewidth=0.8)
    steps = sorted(points[i] for i in best)
    axis.plot(*zip(*steps, strict=True), color=COLOURS[0], linewidth=1.2, alpha=0.55, zorder=1)
    areas = _areas([rows[i].get(size) if size else None for i in there])
    colours = [COLOURS[0] if i in best else COLOURS[-1] for i in range(len(points))]
    axis.scatter(*zip(*points, strict=True), s=areas, c=colours, edgecolors=PAPER, linewidths=0.8, zorder=2)
    axis.margins(x=0.18, y=0.16)
    named = [i for i in range(len(points)) if i in best or len(points) <= NAMED]
    _name_points(axis, [(points[i], str(rows[there[i]][label]), i in best) for i in named])
    sides = {"lower": "less is better", "higher": "more is better"}
    axis.set_xlabel(f"{x} ({sides[better[0]]})", fontsize=9, color=FAINT)
    axis.set_ylabel(f"{y} ({sides[better[1]]})", fontsize=9, color=FAINT)
    names = ", ".join(
        f"{rows[there[i]][label]} ({figure(points[i][0])}, {figure(points[i][1])})" for i in best
    )
    absent = ", ".join(str(row[label]) for i, row in enumerate(rows) if i not in there)
    rest = f"Left out, without a figure: {absent}." if absent else ""
    chart.alt = f"{y} against {x}. On the front: {names}. {rest}".strip()
    if rest:
        chart.supxlabel(rest, fontsize=8.5, color=FAINT, x=0.01, ha="left")
    return chart


def _areas(sizes: Sequence[Any]) -> list[float]:
    """Areas of points, of the largest 260; 46 where there is nothing to show."""
    values = np.array([np.nan if size is None else float(size) for size in sizes])
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        return [46.0] * len(sizes)
    return [float(a) for a in np.nan_to_num(260 * values / np.nanmax(values), nan=46.0).clip(min=16)]


def _name_points(axis: Any, named: Sequence[tuple[tuple[float, float], str, bool]]) -> None:
    """Names beside points; one that would lie on another goes below or above its point."""
    axis.figure.draw_without_rendering()
    taken: list[tuple[float, float, float, float]] = []
    for (x, y), text, best in sorted(named, key=lambda item: not item[2]):
        across, up = axis.transData.transform((x, y)) * 72 / axis.figure.dpi
        width = 5.2 * len(text)
        places = [(8, 0, "left"), (-8, 0, "right"), (0, 11, "center"), (0, -11, "center"), (8, -11, "left")]
        for dx, dy, side in places:
            left = across + dx - {"left": 0, "right": width, "center": width / 2}[side]
            box = (left, up + dy - 6, left + width, up + dy + 6)
            if not any(_meet(box, other) for other in taken):
                break
        taken += [box, (across - 5, up - 5, across + 5, up + 5)]
        style = {"fontsize": 9, "color": INK if best else FAINT, "ha": side, "va": "center"}
        axis.annotate(text, (x, y), (dx, dy), textcoords="offset points", **style)


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
