"""Figures of tables: bars side by side, and what a setting costs against what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from edgekit.report.chart import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    PAPER,
    Chart,
    colours,
    name_rows,
    row_height,
    unknown,
)
from edgekit.report.numbers import front, known
from edgekit.report.tables import figure

#: Panels in a row at most.
ACROSS = 2  # more would not be read on a phone


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
        shades = colours(len(rows)) if len(rows) < len(COLOURS) else [COLOURS[0]] * len(rows)
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
    sides = {"lower": "less is better", "higher": "more is better"}
    axis.set_xlabel(f"{x} ({sides[better[0]]})", fontsize=9, color=FAINT)
    axis.set_ylabel(f"{y} ({sides[better[1]]})", fontsize=9, color=FAINT)
    on_it = ", ".join(
        f"{rows[there[i]][label]} ({figure(points[i][0])}, {figure(points[i][1])})" for i in best
    )
    absent = ", ".join(str(row[label]) for i, row in enumerate(rows) if i not in there)
    rest = f"Left out, without a figure: {absent}." if absent else ""
    chart.alt = f"{y} against {x}. On the front: {on_it}. {rest}".strip()
    if rest:
        chart.supxlabel(rest, fontsize=8.5, color=FAINT, x=0.01, ha="left")
    names = [(point, str(rows[there[i]][label]), i in best) for i, point in enumerate(points)]
    chart.fit = partial(_name_points, axis, names, [])
    chart.fit()
    return chart


def _areas(sizes: Sequence[Any]) -> list[float]:
    """Areas of points, of the largest 260; 46 where there is nothing to show."""
    values = np.array([np.nan if size is None else float(size) for size in sizes])
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        return [46.0] * len(sizes)
    return [float(a) for a in np.nan_to_num(260 * values / np.nanmax(values), nan=46.0).clip(min=16)]


def _name_points(axis: Any, names: Sequence[tuple[tuple[float, float], str, bool]], drawn: list[Any]) -> None:
    """Names beside points, at the width that the figure has now.

    Those of the front come first. Another one that finds no free place is left out. `drawn` holds the names
    of the last call, which go.
    """
    while drawn:
        drawn.pop().remove()
    axis.figure.draw_without_rendering()
    to_points = 72 / axis.figure.dpi
    sheet = axis.get_window_extent()
    spots = [axis.transData.transform(point) * to_points for point, _, _ in names]
    taken = [(across - 5, up - 5, across + 5, up + 5) for across, up in spots]
    line = sorted((spot for spot, (_, _, best) in zip(spots, names, strict=True) if best), key=lambda s: s[0])
    for (x0, y0), (x1, y1) in pairwise(line):  # nor may a name lie on the line
        steps = max(2, int(max(abs(x1 - x0), abs(y1 - y0)) / 4))
        taken += [
            (x, y, x, y) for x, y in zip(np.linspace(x0, x1, steps), np.linspace(y0, y1, steps), strict=True)
        ]
    order = sorted(range(len(names)), key=lambda i: not names[i][2])
    for i in order:
        (point, text, best), (across, up) = names[i], spots[i]
        width = 5.3 * len(text)
        for dx, dy, side in _BEST_PLACES if best else _PLACES:
            left = across + dx - {"left": 0, "right": width, "center": width / 2}[side]
            box = (left, up + dy - 6, left + width, up + dy + 6)
            inside = sheet.x0 * to_points < left and box[2] < sheet.x1 * to_points
            if inside and not any(_meet(box, other) for other in taken):
                break
        else:
            if not best:
                continue
        taken.append(box)
        style = {"fontsize": 9, "color": INK if best else FAINT, "ha": side, "va": "center"}
        drawn.append(axis.annotate(text, point, (dx, dy), textcoords="offset points", **style))


#: Where a name may stand: points to the right, points up, and which side of it is there.
_PLACES = ((9, 0, "left"), (0, -12, "center"), (-9, 0, "right"), (0, 12, "center"), (9, -11, "left"))
#: Names of the front stand off the line that joins its points where they can.
_BEST_PLACES = ((-7, 9, "right"), (0, 13, "center"), (7, -10, "left"), (7, 10, "left"), *_PLACES)


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
