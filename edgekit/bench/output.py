"""A sweep on the terminal, as Markdown, CSV and one page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.report.tables import Absent, markdown, reasons, to_csv, to_markdown, write_text
from edgekit.report.tables import to_text as text_table

if TYPE_CHECKING:
    from edgekit.bench.sweep import Found
    from edgekit.bench.tables import Tables

PARETO_HEAD = (
    "front",
    "model",
    "back end",
    "precision",
    "AP",
    "AP50",
    "AP75",
    "latency ms",
    "J/picture",
    "clean",
)
FORMATS = ("markdown", "csv", "html")
Cells = list[list[Any]]
#: What a row is of.
WAY = ("back end", "precision", "batch")
PART_WORDS = {
    "engine": "bare engine",
    "both": "both engines, one person a picture",
    "pipeline": "whole pipeline",
}
#: Columns of the tables that are shown; the CSV file has all there are side by side.
SPEED = ("latency ms", "p95 ms", "pictures/s", "speed-up", "used", "trtexec ms", "clean")
COST = (
    *("W", "J/picture", "pictures/s/W", "MB", "GPU MB"),
    *("GPU MHz", "CPU MHz", "°C start", "°C end"),
)


@dataclass(frozen=True)
class Shown:
    """A table as it is shown: heading, head and cells."""

    heading: str
    head: list[str]
    cells: Cells


def to_text(found: Found) -> str:
    """Tables and notes for the terminal."""
    tables, notes = shown(found)
    blocks = [f"{table.heading}\n{text_table(table.head, table.cells)}" for table in tables]
    return "\n\n".join([*blocks, "\n".join([*facts(found), *notes])])


def shown(found: Found) -> tuple[list[Shown], list[str]]:
    """The tables, and the notes.

    One table of speed and one of what it costs for each model and part. Columns without any figure are left
    out, with the reason among the notes.
    """
    head, cells, notes = found.speed()
    failing = Absent("failed: see below").reason
    emulated = " (emulated)" if found.about["emulated"] else ""
    tables = []
    for model, part in dict.fromkeys((line[0], line[1]) for line in cells):
        mine = [_joined(dict(zip(head, line, strict=True))) for line in cells if line[:2] == [model, part]]
        for what, names in (("speed", SPEED), (f"power, heat and memory{emulated}", COST)):
            columns = [name for name in names if any(_known(line[name]) for line in mine)]
            if columns:
                rows = [[line[name] for name in (*WAY, *columns)] for line in mine]
                tables.append(Shown(f"{model}, {PART_WORDS[part]}: {what}", [*WAY, *columns], rows))
    if best := pareto_cells(found):
        tables.append(Shown(f"Accuracy × latency × joules{emulated}", list(PARETO_HEAD), best))
    there = [reason for table in tables for reason in reasons(table.cells)]  # said under the table
    why = [reason for reason in reasons(cells) if reason not in (failing, *there)]
    return tables, list(dict.fromkeys([*notes, *why, *found.notes]))


def _joined(line: dict[str, Any]) -> dict[str, Any]:
    """A line with fewer columns: at the same batch latency and throughput have the same speed-up."""
    used = f"{line['util %']:.0f} % {line['of']}" if _known(line["util %"]) else line["util %"]
    return {**line, "speed-up": line["latency ×"], "used": used}


def pareto_cells(found: Found) -> Cells:
    """The table of accuracy × latency × joules."""
    return [
        [
            "*" if row["front"] else "",
            *(row[key] for key in ("model", "backend", "precision", "AP", "AP50", "AP75", "latency_ms")),
            Absent(f"power: {row['power_unknown']}") if row["j_per_frame"] is None else row["j_per_frame"],
            row["clean"],
        ]
        for row in found.pareto()
    ]


def facts(found: Found) -> list[str]:
    """Where, when and how it was measured, a line each."""
    about = found.about
    clocks = {True: ", clocks held by jetson_clocks", False: ", clocks not held"}.get(
        about["jetson_clocks"], ""
    )
    lines = [
        f"device: {about['device']}, {about['cpu']}, {about['os']}",
        f"power: {about['power']}" + (" (emulated)" if about["emulated"] else ""),
        f"measured: {about['date']}, by {about['sampler']}",
    ]
    if about["power_mode"]:
        lines.append(f"power mode: {about['power_mode']}{clocks}")
    if about["idle_w"] is not None:
        taken = (
            "subtracted from watts and joules"
            if found.settings.subtract_idle
            else "included in watts and joules"
        )
        lines.append(f"idle: {about['idle_w']:.2f} W before the sweep, {taken}")
    return lines + [f"versions: {words}" for words in _versions(found)]


def write(found: Found, folder: Path, formats: Sequence[str], command: str) -> list[Path]:
    """Write bench.md, bench.csv and bench.html, as wanted; returns the files."""
    tables, notes = shown(found)
    paths = []
    if "markdown" in formats:
        parts = [f"## {table.heading}\n\n{to_markdown(table.head, table.cells)}" for table in tables]
        listed = "\n".join(f"- {markdown(line)}" for line in [*facts(found), *notes])
        text = "\n".join(["# Benchmark\n", *parts, listed, f"\n    {command}\n"])
        paths.append(write_text(folder / "bench.md", text))
    if "csv" in formats:
        whole, every, _ = found.speed()
        extra = ["why not clean", "power", "versions", "date", "sha256"]
        timed = [row for row in found.rows if row["part"] != "accuracy"]
        every = [
            [
                *line,
                row.get("failed") or "; ".join(row.get("unclean", ())),
                row.get("power", ""),
                _listed(row["place"]),
                row["date"],
                row["sha256"],
            ]
            for line, row in zip(every, timed, strict=True)
        ]
        paths.append(to_csv(folder / "bench.csv", [*whole, *extra], every))
        if best := pareto_cells(found):
            paths.append(to_csv(folder / "pareto.csv", PARETO_HEAD, best))
    if "html" in formats:
        from edgekit.bench.html import to_html

        paths.append(write_text(folder / "bench.html", to_html(found, command)))
    return paths


def tables_text(made: Tables) -> str:
    """A system's own tables for the terminal."""
    blocks = [f"{table.heading}\n{text_table(table.head, table.cells)}" for table in made.tables]
    return "\n\n".join([*blocks, "\n".join([*facts(made.found[0]), *made.notes])])


def write_tables(made: Sequence[Tables], folder: Path, formats: Sequence[str], command: str) -> list[Path]:
    """Write tables.md, tables.csv and tables.html, as wanted; returns the files."""
    paths = []
    shown = [table for one in made for table in one.tables]
    lines = list(dict.fromkeys(line for one in made for line in [*facts(one.found[0]), *one.notes]))
    if "markdown" in formats:
        parts = [f"## {table.heading}\n\n{to_markdown(table.head, table.cells)}" for table in shown]
        listed = "\n".join(f"- {markdown(line)}" for line in lines)
        text = "\n".join(["# Speed up\n", *parts, listed, f"\n    {command}\n"])
        paths.append(write_text(folder / "tables.md", text))
    if "csv" in formats:
        cells = [[table.heading, *line] for table in shown for line in _filled(table.cells)]
        paths.append(to_csv(folder / "tables.csv", ["table", *shown[0].head], cells))
    if "html" in formats:
        from edgekit.report.page import Part, page

        parts_ = [Part(table.heading, table=[table.head, *table.cells]) for table in shown]
        parts_.append(Part("What must be known", "\n\n".join([*lines, command])))
        paths.append(write_text(folder / "tables.html", page("Speed up", parts_)))
    return paths


def _filled(cells: Cells) -> Cells:
    """Rows whose first cell is that of the row above where it is empty."""
    filled: Cells = []
    for line in cells:
        filled.append([line[0] or filled[-1][0], *line[1:]])
    return filled


def _versions(found: Found) -> list[str]:
    return list(dict.fromkeys(_listed(row["place"]) for row in found.rows))


def _listed(place: dict[str, str]) -> str:
    return ", ".join(f"{k} {v}" for k, v in place.items() if k not in ("device", "power_mode"))


def _known(cell: Any) -> bool:
    return cell is not None and not isinstance(cell, Absent)
