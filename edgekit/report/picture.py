"""A matplotlib figure as a piece of a page: SVG whose colours follow the page, or PNG where it is heavy."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.report.chart import COLOURS, FAINT, GRID, INK, PAPER, Chart

#: A figure of more points than this becomes a PNG: as SVG it would weigh megabytes and scroll slowly.
MOST_POINTS = 20_000
#: Width in inches of the copy for a phone; 96 pixels of a page are an inch.
PHONE = 3.7
#: Colours that the page sets, for light and for dark.
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(COLOURS)},
}


def points(figure: Any) -> int:
    """How many points a figure draws."""
    count = 0
    for axis in figure.axes:
        count += sum(len(line.get_xdata(orig=False)) for line in axis.lines)
        for collection in axis.collections:
            paths = sum(len(path) for path in collection.get_paths())
            count += paths * max(1, len(collection.get_offsets()))
        count += 5 * len(axis.patches)
    return count


def pictures(figure: Any, name: str, alt: str) -> list[tuple[str, str]]:
    """Markup of a figure for a page: ("wide", SVG) and ("narrow", SVG), or ("all", PNG) where it is heavy.

    Args:
        figure: a matplotlib Figure; it comes back as it was.
        name: letters and digits, another one for each figure of the page.
        alt: the text alternative.
    """
    if points(figure) > MOST_POINTS:
        return [("all", _png(figure, alt))]
    with _page_size(figure, None):
        wide = _svg(figure, f"{name}w", alt)
    with _page_size(figure, PHONE):
        narrow = _svg(figure, f"{name}n", alt)
    return [("wide", wide), ("narrow", narrow)]


@contextmanager
def _page_size(figure: Any, width: float | None) -> Iterator[None]:
    """Without the title, which the page sets in its own letters, and of another width."""
    before = figure.get_size_inches().copy()
    title = figure.title if isinstance(figure, Chart) else None
    shown = "" if title is None else title.get_text()
    if title is not None:
        title.set_text("")
    if width is not None:
        _resize(figure, width, before[1])
    try:
        yield
    finally:
        if title is not None:
            title.set_text(shown)
        if width is not None:
            _resize(figure, *before)


def _resize(figure: Any, width: float, height: float) -> None:
    figure.set_size_inches(width, height)
    if isinstance(figure, Chart) and figure.fit is not None:
        figure.fit()


def _svg(figure: Any, name: str, alt: str) -> str:
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    # Ids must be of this figure alone: the page holds many.
    svg = re.sub(r'\bid="', f'id="{name}-', svg).replace("url(#", f"url(#{name}-")
    svg = svg.replace('href="#', f'href="#{name}-')
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size is not None
    width = float(size[1]) / 72 * 96
    head = f'<svg role="img" aria-label="{_escaped(alt)}" style="max-width: {width:.0f}px"'
    svg = svg.replace(size[0], "", 1).replace("<svg", head, 1)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _png(figure: Any, alt: str) -> str:
    data = io.BytesIO()
    with _page_size(figure, None):
        figure.savefig(data, format="png", dpi=150)
    code = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{_escaped(alt)}" src="data:image/png;base64,{code}">'


def _escaped(text: str) -> str:
    import html

    return html.escape(text, quote=True)
