"""A sweep as one page of HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.bench.output import facts, shown
from edgekit.report.figures import bars, pareto
from edgekit.report.page import Part, page

if TYPE_CHECKING:
    from edgekit.bench.sweep import Found

#: Columns drawn as bars where they have figures.
DRAWN = {"latency ms": "latency_ms", "pictures/s": "throughput", "W": "watts", "J/picture": "j_per_frame"}


def to_html(found: Found, command: str) -> str:
    """The page: tables, accuracy against latency, bars of the smallest and the largest batch, and how."""
    tables, notes = shown(found)
    alarms = []
    if found.unclean:
        spoilt = f"{len(found.unclean)} of {len(found.rows)} rows"
        alarms.append(f"{spoilt} are not clean; why stands under “What must be known”.")
    if found.about["emulated"]:
        alarms.insert(0, "Power and heat are those of an emulated board: no measurement.")
    explained = "Latency is the median of one call with the whole batch; pictures/s = 1000 / latency × batch."
    parts = [Part("", explained, alarms=alarms)]
    parts += [Part(table.heading, table=[table.head, *table.cells]) for table in tables]
    source = found.about["power"]
    if best := found.pareto():
        points = [
            {"way": _way(row), "latency ms": row["latency_ms"], "AP": row["AP"], "J": row["j_per_frame"]}
            for row in best
        ]
        size = "J" if any(point["J"] is not None for point in points) else ""
        figure = pareto(points, "latency ms", "AP", label="way", size=size, source=source)
        starred = "A star marks the front: nothing is at least as good in all three, and better in one."
        parts.append(Part("", figure=figure, note=starred))
    parts += [
        Part(f"{part}, batch {batch}", figure=bars(rows, [*DRAWN], label="way", source=source))
        for (part, batch), rows in _groups(found).items()
        if len(rows) > 1
    ]
    parts.append(Part("What must be known", "\n\n".join([*notes, *facts(found), command])))
    return page("Benchmark", parts, subtitle=f"{found.about['device']}, {found.about['date']}")


def _groups(found: Found) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Rows that can be compared, as `bars` takes them: of the smallest batch and of the largest."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in found.rows:
        ends = min(found.settings.batches), max(found.settings.batches)
        if row["part"] != "accuracy" and "failed" not in row and row["batch"] in ends:
            drawn = {name: row[key] for name, key in DRAWN.items()}
            groups.setdefault((row["part"], row["batch"]), []).append({"way": _way(row), **drawn})
    return dict(sorted(groups.items()))


def _way(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['backend']} {row['precision']}"
