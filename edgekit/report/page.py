"""One page of HTML that needs nothing else: no network, no script, no font, no file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import MissingError
from edgekit.report.tables import numeric, reasons, texts


@dataclass(frozen=True)
class Part:
    """A piece of a page, shown in the order of its fields.

    Attributes:
        heading: "" for a piece that belongs to the one before.
        text: paragraphs, with an empty line between them.
        alarms: sentences that must not be missed.
        tiles: the figures that matter most: (name, figure, remark) each.
        table: rows of cells (see `edgekit.report.tables`); the first row is the head.
        figure: a `Chart`, any matplotlib Figure, or a callable that makes one.
        alt: the figure in words; a `Chart` brings its own.
        note: what a reader must know about the above, in small letters.
    """

    heading: str = ""
    text: str = ""
    alarms: Sequence[str] = ()
    tiles: Sequence[tuple[str, str, str]] = field(default_factory=tuple)
    table: Sequence[Sequence[Any]] | None = None
    figure: Any = None
    alt: str = ""
    note: str = ""


def page(title: str, parts: Sequence[Part], *, subtitle: str = "") -> str:
    """A page as HTML. Everything given is text, and is shown as text.

    Readable in light and dark, on a phone and on paper. A figure of more than 20 000 points becomes a
    picture (PNG); the others are SVG in two widths.

    Raises:
        MissingError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingError("jinja2 is not installed; cure: pip install jinja2") from error
    folder = Path(__file__).parent
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        subtitle=subtitle,
        style=(folder / "page.css").read_text(encoding="utf-8"),
        parts=[_shown(part, number) for number, part in enumerate(parts)],
    )


def _shown(part: Part, number: int) -> dict[str, Any]:
    """A part as the template takes it."""
    from edgekit.report.chart import Chart
    from edgekit.report.picture import pictures

    shown: dict[str, Any] = {
        **part.__dict__,
        "caption": (),
        "pictures": (),
        "head": (),
        "rows": (),
        "why": (),
    }
    shown["paragraphs"] = [text for text in part.text.split("\n\n") if text.strip()]
    if part.table:
        body = [list(row) for row in part.table[1:]]
        shown["right"] = numeric(body) or [False] * len(part.table[0])
        shown["head"], shown["rows"], shown["why"] = part.table[0], texts(body), reasons(body)
    if part.figure is not None:
        figure, alt = part.figure() if callable(part.figure) else part.figure, part.alt
        if isinstance(figure, Chart):
            shown["caption"] = (figure.heading, figure.source)
            alt = alt or figure.alt or figure.heading
        shown["pictures"] = pictures(figure, f"f{number}", alt or part.heading or "figure")
    return shown
