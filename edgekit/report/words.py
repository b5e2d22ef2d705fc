"""The parts of a page without its figures: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.page import Part
from edgekit.report.tables import markdown, to_markdown, to_text


def as_text(parts: Sequence[Part]) -> str:
    """Parts for a terminal."""
    blocks = []
    for part in parts:
        words = [*part.alarms, part.text]
        if part.tiles:
            words.append(to_text(["", "", ""], part.tiles).split("\n", 2)[2])
        if part.table:
            words.append(_table(part, to_text))
        if words := [word for word in words if word]:
            blocks.append("\n".join([*([part.heading.upper()] if part.heading else []), *words]))
    return "\n\n".join(blocks) + "\n"


def as_markdown(title: str, parts: Sequence[Part], *, subtitle: str = "") -> str:
    """A page's words and tables as Markdown."""
    blocks = [f"# {markdown(title)}", markdown(subtitle)]
    for part in parts:
        blocks += [f"## {markdown(part.heading)}" if part.heading else "", markdown(part.text)]
        blocks += ["\n".join(f"- {markdown(alarm)}" for alarm in part.alarms)]
        if part.tiles:
            blocks.append(to_markdown(["", "", ""], part.tiles).strip())
        if part.table:
            blocks.append(_table(part, to_markdown).strip())
        blocks.append(markdown(part.note) if part.table else "")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(part: Part, render: object) -> str:
    assert part.table is not None
    head = [str(cell) for cell in part.table[0]]
    return str(render(head, part.table[1:]))  # type: ignore[operator]
