"""A sweep on the terminal, as Markdown, CSV and one page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.report.tables import Absent, markdown, reasons, to_csv, to_markdown, write_text
from edgekit.report.tables import to_text as text_table

if TYPE_CHECKING:
    from edgekit.bench.sweep import Found

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


def to_text(found: Found) -> str:
    """Tables and notes for the terminal; columns without any figure are left out."""
    head, cells, notes = shown(found)
    blocks = [text_table(head, cells)] if cells else []
    if best := pareto_cells(found):
        blocks.append("accuracy × latency × joules\n" + text_table(PARETO_HEAD, best))
    return "\n\n".join([*blocks, "\n".join([*facts(found), *notes])])


def shown(found: Found) -> tuple[list[str], Cells, list[str]]:
    """The table of speed without its empty columns; why they are empty is among the notes."""
    head, cells, notes = found.speed()
    full = [
        i
        for i in range(len(head))
        if any(not isinstance(row[i], Absent) and row[i] is not None for row in cells)
    ]
    left_out = [[row[i] for i in range(len(head)) if i not in full] for row in cells]
    failing = Absent("failed: see below").reason
    why = [reason for reason in reasons(left_out) if reason != failing]
    return [head[i] for i in full], [[row[i] for i in full] for row in cells], [*notes, *why, *found.notes]


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
    head, cells, notes = shown(found)
    best = pareto_cells(found)
    paths = []
    if "markdown" in formats:
        parts = ["# Benchmark", to_markdown(head, cells)]
        if best:
            parts += ["## Accuracy × latency × joules", to_markdown(PARETO_HEAD, best)]
        parts.append("\n".join(f"- {markdown(line)}" for line in [*facts(found), *notes]))
        paths.append(write_text(folder / "bench.md", "\n\n".join([*parts, f"    {command}"]) + "\n"))
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
        if best:
            paths.append(to_csv(folder / "pareto.csv", PARETO_HEAD, best))
    if "html" in formats:
        from edgekit.bench.html import to_html

        paths.append(write_text(folder / "bench.html", to_html(found, command)))
    return paths


def _versions(found: Found) -> list[str]:
    return list(dict.fromkeys(_listed(row["place"]) for row in found.rows))


def _listed(place: dict[str, str]) -> str:
    return ", ".join(f"{k} {v}" for k, v in place.items() if k not in ("device", "power_mode"))
