"""The words of the live view."""

from __future__ import annotations

import ipywidgets as widgets

from edgekit.clocks import Stats
from edgekit.errors import EdgekitError


def line(widget: widgets.HTML, text: str, look: str = "", role: str = "") -> None:
    """Show `text`, which is HTML, as a line; without text the line goes."""
    attributes = f'class="edgekit-line edgekit-{look or "plain"}"' + (f' role="{role}"' if role else "")
    widget.value = f"<div {attributes}>{text}</div>" if text else ""
    widget.layout.display = None if text else "none"


def figures(stats: Stats) -> str:
    """The figures under the picture."""
    parts = [
        f"<b>{stats.fps:.1f}</b> FPS",
        f"<b>{stats.latency_ms:.0f}</b> ms latency",
        f"<b>{stats.found}</b> found",
        f"<b>{stats.dropped}</b> dropped",
        f"frame <b>{stats.frames}</b>",
    ]
    return " · ".join(parts)


def sentence(error: BaseException) -> str:
    """An error as one sentence; the kit's own errors are sentences already."""
    if isinstance(error, EdgekitError):
        text = str(error)
        return text[:1].upper() + text[1:]
    return f"{type(error).__name__}: {error}"


def clock(seconds: float) -> str:
    """Seconds as minutes:seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
