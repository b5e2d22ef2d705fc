"""A sweep as one page of HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.bench.output import PARETO_HEAD, facts, pareto_cells, shown
from edgekit.report.figures import bars, pareto
from edgekit.report.page import Part, page

if TYPE_CHECKING:
    from edgekit.bench.sweep import Found

#: Columns drawn as bars where they have figures.
DRAWN = {"latency ms": "latency_ms", "pictures/s": "throughput", "W": "watts", "J/picture": "j_per_frame"}


def to_html(found: Found, command: str) -> str:
    """The page: tables, bars for each part and batch, accuracy against latency, and what must be known."""
    head, cells, notes = shown(found)
    source = found.about["power"]
    alarms = [
        f"{row['model']}, {row['backend']} {row['precision']}, batch {row['batch']}: {why}"
        for row in found.unclean
        for why in row["unclean"]
    ]
    if found.about["emulated"]:
        alarms.insert(0, "Power and heat are those of an emulated board: no measurement.")
    parts = [
        Part(
            "Speed",
            "Latency is the median of one call with the whole batch; pictures/s = 1000 / latency × batch.",
            alarms=alarms,
            table=[head, *cells],
            note="\n\n".join(notes),
        )
    ]
    if best := pareto_cells(found):
        rows = [{**row, "way": _way(row)} for row in found.pareto()]
        drawn = [
            {
                "way": row["way"],
                "latency ms": row["latency_ms"],
                "AP": row["AP"],
                "J/picture": row["j_per_frame"],
            }
            for row in rows
        ]
        parts.append(
            Part(
                "Accuracy, latency, joules",
                "A star marks the front: nothing else is at least as good in all three, and better in one.",
                table=[list(PARETO_HEAD), *best],
                figure=pareto(drawn, "latency ms", "AP", label="way", size="J/picture", source=source),
            )
        )
    parts += [
        Part(f"{name}, batch {batch}", figure=bars(rows, [*DRAWN], label="way", source=source))
        for (name, batch), rows in _groups(found).items()
        if len(rows) > 1
    ]
    parts.append(Part("How it was measured", "\n\n".join([*facts(found), command])))
    return page("Benchmark", parts, subtitle=f"{found.about['device']}, {found.about['date']}")


def _groups(found: Found) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Rows that can be compared, as `bars` takes them."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in found.rows:
        if row["part"] != "accuracy" and "failed" not in row:
            drawn = {name: row[key] for name, key in DRAWN.items()}
            groups.setdefault((row["part"], row["batch"]), []).append({"way": _way(row), **drawn})
    return groups


def _way(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['backend']} {row['precision']}"
