"""Power as it comes, in a notebook: a strip of the rails that grows under a cell while it runs.

It is plain SVG, since drawing must cost next to nothing: whoever watches idle power must not disturb it.
"""

from __future__ import annotations

import math
import time
from html import escape
from typing import Any

import numpy as np

from edgekit.report.chart import COLOURS, spread, stretches
from edgekit.telemetry.log import Log
from edgekit.telemetry.sample import boot_clock
from edgekit.telemetry.sampler import Sampler

TICK_S = 0.25
WIDTH, HEIGHT = 760, 250
#: Edges of the plot in pixels; at its right stand the names of the lines.
LEFT, RIGHT, TOP, BOTTOM = 30, 560, 58, 226
#: Pixels between two names at the right.
ROW = 17


class Strip:
    """Rails over time, drawn anew while `watch` waits.

    strip = Strip(sampler)
    strip.watch(4, "idle")
    session.start()
    strip.watch(6, "the detector runs")

    Args:
        sampler: one that runs; it stays the caller's.

    Attributes:
        phases: (begin, end, name) of each `watch`, seconds on the boot clock.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.phases: list[tuple[float, float, str]] = []
        self._sampler = sampler
        self._shown: Any = None

    @property
    def log(self) -> Log:
        """The samples from the first `watch` to the end of the last one."""
        begin, end = (self.phases[0][0], self.phases[-1][1]) if self.phases else (0.0, 0.0)
        inside = [sample for sample in list(self._sampler.samples) if begin <= sample.t_boot_s <= end]
        return Log.of(inside, self._sampler.interval)

    def watch(self, seconds: float, name: str = "") -> None:
        """Draw for so many seconds; `name` says what goes on meanwhile."""
        begin = boot_clock()
        if self.phases:  # what lay between the two belongs to the one before
            first, _, before = self.phases[-1]
            self.phases[-1] = (first, begin, before)
        self.phases.append((begin, begin + seconds, name))
        while (left := begin + seconds - boot_clock()) > 0:
            time.sleep(min(TICK_S, left))
            self._show()

    def _show(self) -> None:
        from IPython.display import HTML, display

        picture = HTML(self.svg())
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)

    def svg(self) -> str:
        """The strip as it is now. Words and the total have the page's own colour."""
        log = self.log
        begin, end = (self.phases[0][0], self.phases[-1][1]) if self.phases else (0.0, 1.0)
        lines = {name: watts for name, watts in log.rails_w.items() if name != log.power_total_name}
        colours = [COLOURS[n % len(COLOURS)] for n in range(len(lines))]
        if log.power_total_name:
            lines[log.power_total_name] = log.power_w
            colours.append("currentColor")
        highest = max((float(np.nanmax(watts)) for watts in lines.values()), default=1.0)
        plot = _Plot(begin, end, max(2, 2 * math.ceil(highest / 2)))
        parts = [_words(4, 14, "power in watts", bold=True), _words(4, 31, log.label)]
        parts += [plot.phase(n, *phase) for n, phase in enumerate(self.phases)]
        parts += plot.grid()
        ends = []
        for colour, (name, watts) in zip(colours, lines.items(), strict=True):
            total = name == log.power_total_name
            for t, known in stretches(log.t, watts, log.interval_s):
                parts.append(plot.line(t, known, colour, 2.6 if total else 1.4))
                last = float(known[-1])
            ends.append((plot.y(last), f"{name}  {last:.2f} W", colour, total))
        parts += _names(ends)
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" style="width:100%;max-width:{WIDTH}px" role="img" '
            f'aria-label="Power over {end - begin:.0f} seconds, {escape(log.label)}" '
            f'font-family="sans-serif" font-size="12.5" fill="currentColor">{"".join(parts)}</svg>'
        )


class _Plot:
    """The strip's area: from moments and watts to pixels."""

    def __init__(self, begin: float, end: float, top: int) -> None:
        self._begin, self._end, self._top = begin, end, top

    def x(self, t: float) -> float:
        return LEFT + (RIGHT - LEFT) * (t - self._begin) / (self._end - self._begin)

    def y(self, watts: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * watts / self._top

    def line(self, t: Any, watts: Any, colour: str, width: float) -> str:
        points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(t, watts, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    def phase(self, number: int, begin: float, end: float, name: str) -> str:
        wide, left = self.x(end) - self.x(begin), self.x(begin)
        shade = 0.03 + 0.07 * (number % 2)
        box = f'<rect x="{left:.1f}" y="{TOP}" width="{wide:.1f}" height="{BOTTOM - TOP}" opacity="{shade}"/>'
        return box + _words(left + 3, TOP - 5, name)

    def grid(self) -> list[str]:
        parts = [_words(RIGHT, HEIGHT - 8, f"{self._end - self._begin:.0f} s", anchor="end")]
        for watts in (0, self._top // 2, self._top):
            at = self.y(watts)
            parts.append(f'<path d="M{LEFT} {at:.1f}H{RIGHT}" stroke="currentColor" opacity="0.15"/>')
            parts.append(_words(4, at + 4, f"{watts}"))
        return parts


def _names(ends: list[tuple[float, str, str, bool]]) -> list[str]:
    """At the right of each line its name and newest value; moved apart where they would overlap."""
    ends = sorted(ends)
    places = spread([at / HEIGHT for at, *_ in ends], ROW / HEIGHT)
    parts = []
    for place, (_, words, colour, bold) in zip(places, ends, strict=True):
        at = place * HEIGHT
        parts.append(f'<circle cx="{RIGHT + 12}" cy="{at:.1f}" r="4" fill="{colour}"/>')
        parts.append(_words(RIGHT + 22, at + 4, words, bold=bold))
    return parts


def _words(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="600"' if bold else ' opacity="0.75"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
