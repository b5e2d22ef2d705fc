"""README's section "Verified where": made of `data/verified.toml` and of self-tests that were received.

Cells are a day on which it ran, "not run", or "-" where it makes no sense. What a received file shows comes
on top; files that are to stay lie in `data/selftests/`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.files import PACKAGE, atomic_write
from edgekit.selftest_report import read_report

VERIFIED = PACKAGE / "data" / "verified.toml"
RECEIVED = PACKAGE / "data" / "selftests"
#: Keys of the columns, and their heads.
COLUMNS = {
    "cpu": "CPU",
    "rtx": "TensorRT-RTX",
    "h200": "H200",
    "arm64": "emulated arm64",
    "board": "emulated board",
    "jetson": "Jetson",
}
DAY = re.compile(r"20\d\d-\d\d-\d\d")
HEAD = "## Verified where"
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Feature:
    """A row.

    Attributes:
        name: in words.
        shown: tests and scripts that show it, as paths of the repository; the first is the name's link.
        cells: of each column.
        steps: steps of the self-test that show it on another machine, as patterns.
        note: what a reader must know beside the ticks.
    """

    name: str
    shown: tuple[str, ...]
    cells: dict[str, str]
    steps: tuple[str, ...] = ()
    note: str = ""


def read_verified(path: Path = VERIFIED) -> tuple[str, list[Feature]]:
    """The words above the table, and its rows.

    Raises:
        InputError: the file cannot be read, or a row lacks something.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return str(found["about"]).strip(), [_feature(row) for row in found["feature"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {type(error).__name__} {error}.") from error


def _feature(row: Mapping[str, Any]) -> Feature:
    name, cells = str(row["name"]), {column: str(row[column]) for column in COLUMNS}
    if wrong := [cell for cell in cells.values() if cell not in ("-", "not run") and not DAY.fullmatch(cell)]:
        raise ValueError(f"{name}: {wrong[0]!r} is neither a day, nor 'not run', nor '-'")
    if unknown := set(row) - {"name", "shown", "steps", "note", *COLUMNS}:
        raise ValueError(f"{name}: unknown key {min(unknown)!r}")
    if not row["shown"]:
        raise ValueError(f"{name}: nothing shows it")
    return Feature(name, tuple(row["shown"]), cells, tuple(row.get("steps", ())), str(row.get("note", "")))


def section(received: Sequence[Report] = (), path: Path = VERIFIED) -> str:
    """The section of README as Markdown.

    Args:
        received: what `read_report` gave, besides the files in `data/selftests/`.

    Raises:
        InputError: a file cannot be used.
    """
    about, features = read_verified(path)
    kept = [read_report(file) for file in sorted(RECEIVED.glob("*.json"))] if RECEIVED.is_dir() else []
    reports = sorted([*kept, *received], key=lambda report: str(report["date"]))
    letters = {id(report): chr(ord("a") + number % 26) for number, report in enumerate(reports)}
    rows: list[str] = []
    notes: list[str] = []
    on_jetson = False
    for feature in features:
        name = f"[{feature.name}]({feature.shown[0]})"
        if words := " ".join([feature.note, *(f"`{path}`" for path in feature.shown[1:])]).strip():
            if words not in notes:
                notes.append(words)
            name += f" <sup>{notes.index(words) + 1}</sup>"
        cells = [_cell(feature, column, reports, letters) for column in COLUMNS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
        on_jetson |= "✓" in cells[-1]
    lines = [HEAD, "", *([] if on_jetson else ["Nothing here has run on a Jetson yet.", ""]), about, ""]
    lines += [f"| | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|", *rows]
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    if reports:
        lines += ["", "Received:", "", *(f"- ({letters[id(one)]}) {_told(one)}" for one in reports)]
    return "\n".join(lines) + "\n"


def _cell(feature: Feature, column: str, reports: Sequence[Report], letters: Mapping[int, str]) -> str:
    written = feature.cells[column]
    marks = [f"✓ {written}"] if DAY.fullmatch(written) else []
    for report in reports:
        states = [
            step["state"]
            for step in report["steps"]
            if any(fnmatch.fnmatchcase(step["step"], pattern) for pattern in feature.steps)
        ]
        if _column(report) == column and {"passed", "failed"} & set(states):
            mark = "✗" if "failed" in states else "✓"
            marks.append(f"{mark} {_day(report)} ({letters[id(report)]})")
    return ", ".join(marks) or {"-": "–"}.get(written, written)


def _column(report: Report) -> str | None:
    """The column that a report fills; None: none, or it was a quick one, which proves little."""
    device = report["device"]
    if report["asked"].get("quick"):
        return None
    if report.get("emulated"):
        return "board"
    if device.get("is_jetson") is True:
        return "jetson"
    return "h200" if "H200" in str(device.get("gpu")) else None


def _day(report: Report) -> str:
    found = DAY.match(str(report["date"]))
    return found[0] if found else "undated"


def _told(report: Report) -> str:
    """A report in a line; everything in it was written by others."""
    device = report["device"]
    names = {"jetpack": "JetPack", "l4t": "L4T", "cuda": "CUDA", "tensorrt": "TensorRT", "power_mode": "mode"}
    parts = [str(device.get("board") or device.get("name"))]
    parts += [f"{word} {device[name]}" for name, word in names.items() if device.get(name)]
    states = [step["state"] for step in report["steps"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("passed", "failed", "not here"))
    failed = [f"{step['step']}: {step['words']}" for step in report["steps"] if step["state"] == "failed"]
    quick = "; --quick, which fills no cell" if report["asked"].get("quick") else ""
    words = f"{_day(report)}, {', '.join(parts)}: {counts}{quick}" + "".join(f"; {one}" for one in failed[:5])
    return _plain(words)


def _plain(text: str) -> str:
    """Text of others as text: no Markdown, no HTML, one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))[:1000]


def put_into(readme: Path, text: str) -> None:
    """Put the section in the place of the one that is there.

    Raises:
        InputError: the file cannot be read, or has no such section.
    """
    try:
        whole = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{readme} cannot be read: {error.strerror or error}.") from error
    begin = whole.find(HEAD + "\n")
    end = whole.find("\n## ", begin + 1)
    if begin < 0 or end < 0:
        raise InputError(f"{readme} has no section {HEAD!r} with another one after it.")
    with atomic_write(readme) as scratch:
        scratch.write_text(whole[:begin] + text + whole[end:], encoding="utf-8")
