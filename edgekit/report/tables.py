"""Tables of figures as Markdown, CSV and text, with digits a reader can use.

A table is a head (names of the columns) and rows of cells. A cell is text, a number, True or False, None
(not known), `Absent` (not known, and why) or "" (there is none to know). Numbers of one column are given
the same decimals, so that they stand under each other; CSV keeps them as they are.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from edgekit.files import atomic_write

DASH = "–"


@dataclass(frozen=True)
class Absent:
    """A figure that is not known. Shown as a dash, with the reason under the table."""

    reason: str

    def __str__(self) -> str:
        return DASH


class Shown(str):
    """A figure that is written out already; it stands among the numbers."""


def of_mappings(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of dictionaries: columns in the order in which they first appear, None where missing."""
    head = list(dict.fromkeys(name for row in rows for name in row))
    return head, [[row.get(name) for name in head] for row in rows]


def figure(value: Any, digits: int = 3) -> str:
    """One cell as text: a number to so many significant digits (all of them before the point).

    None, `Absent` and NaN are a dash.
    """
    if not _is_number(value):
        return _words(value)
    return str(value) if isinstance(value, Integral) else f"{value:.{_decimals(value, digits)}f}"


def texts(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """All cells as text, the numbers of a column with the same decimals.

    The largest of a column has three significant digits; where that leaves the smallest less than two, it
    has up to two decimals.
    """
    columns = list(zip(*rows, strict=True))
    shown = []
    for column in columns:
        sizes = [abs(float(cell)) for cell in column if _is_number(cell) and not isinstance(cell, Integral)]
        sizes = [size for size in sizes if size] or [1.0]
        fewest = _decimals(max(sizes), 3)
        decimals = max(fewest, min(_decimals(min(sizes), 2), 2))
        shown.append(
            [
                f"{cell:.{decimals}f}"
                if _is_number(cell) and not isinstance(cell, Integral)
                else figure(cell)
                for cell in column
            ]
        )
    return [list(row) for row in zip(*shown, strict=True)]


def numeric(rows: Sequence[Sequence[Any]]) -> list[bool]:
    """For each column, whether it is one of numbers: all its cells are numbers, or not known, or ""."""
    return [
        any(cell != "" for cell in column)
        and all(_is_number(c) or _unknown(c) or isinstance(c, Shown) or c == "" for c in column)
        for column in zip(*rows, strict=True)
    ]


def reasons(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Why cells are not known: each reason once, in the order of the table."""
    return list(dict.fromkeys(cell.reason for row in rows for cell in row if isinstance(cell, Absent)))


def to_text(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for the terminal: words to the left, numbers to the right."""
    table = [[str(name) for name in head], *texts(rows)]
    right = numeric(rows) or [False] * len(head)
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *(f"{DASH} {reason}" for reason in reasons(rows))])


def to_markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown; what Markdown or HTML would take for itself is escaped."""
    right = numeric(rows) or [False] * len(head)
    lines = [_markdown_row([str(name) for name in head])]
    lines.append("|" + "|".join("---:" if is_number else "---" for is_number in right) + "|")
    lines += [_markdown_row(row) for row in texts(rows)]
    if why := reasons(rows):
        lines += ["", *(f"{DASH} {markdown(reason)}  " for reason in why)]
    return "\n".join(lines) + "\n"


def markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    for char, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", r"\|"), ("`", r"\`")):
        text = text.replace(char, escaped)
    for char in "*_[]":
        text = text.replace(char, "\\" + char)
    return " ".join(text.split())


def to_csv(path: Path | str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """Write a table as CSV (UTF-8, comma, all digits, empty where not known), whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if _unknown(cell) else cell for cell in row] for row in rows])
    return write_text(path, text.getvalue())


def write_text(path: Path | str, text: str) -> Path:
    """Write a text file, whole or not at all."""
    with atomic_write(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return Path(path)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Real) and not isinstance(cell, bool) and math.isfinite(cell)


def _unknown(cell: Any) -> bool:
    return cell is None or isinstance(cell, Absent) or (isinstance(cell, Real) and math.isnan(cell))


def _words(cell: Any) -> str:
    if _unknown(cell):
        return DASH
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return " ".join(str(cell).split())


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant ones, at most six."""
    if not value:
        return 0
    return min(6, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown(cell) for cell in cells) + " |"
