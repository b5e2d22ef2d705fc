"""What every figure of a report is made of: the sheet, its colours, lines that keep peaks and gaps.

Figures are matplotlib's, made without pyplot, so that nothing is kept behind the caller's back. A `Chart`
shows itself as the last line of a notebook's cell, in `display(chart)`, and has `chart.savefig(path)`.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from edgekit.telemetry.sampler import STALE

#: Colour of text, of what steps back, of the grid and of the sheet. The page swaps them in the dark.
INK, FAINT, GRID, PAPER = "#1b1e24", "#666c76", "#e3e6ea", "#ffffff"
#: Blue, vermilion, green, purple, orange, sky, grey: Okabe and Ito's palette, as in `edgekit.draw.PALETTE`,
#: without its yellow, which is lost on white, and with those first that are told apart best as thin lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a9099")
ALARM = "#d55e00"
#: Columns of the picture that a long line is thinned to; each keeps its lowest and highest value.
BINS = 700
WIDTH = 7.2  # inches
#: Characters of a title's line.
TITLE = 92
#: Characters of a line of a row's name.
ROW = 17
_STROKE = {"arrowstyle": "-", "linewidth": 1.6, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)}


class Chart(Figure):
    """A figure that knows its words.

    Attributes:
        heading: what it shows.
        source: who measured, as `Log.label`; "" where nothing was sampled.
        alt: the same in words, for those who do not see it.
        title: heading and source as they stand on the sheet.
        fit: called after the figure was given another size, to place what depends on it; None: nothing does.
    """

    def __init__(self, heading: str, source: str = "", *, height: float = 2.6, alt: str = "") -> None:
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05)
        super().__init__(figsize=(WIDTH, height), layout=layout, facecolor=PAPER)
        self.heading, self.source, self.alt = heading, source, alt
        self.fit: Callable[[], None] | None = None
        lines = [heading, *textwrap.wrap(source, TITLE)]
        self.title = self.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10, color=INK)

    def axis(self, *place: Any, **options: Any) -> Any:
        """A plain axis, as of `add_subplot`: no frame, a faint grid along the values."""
        axis = self.add_subplot(*place, **options)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color(GRID)
        axis.tick_params(length=0, labelsize=9, labelcolor=FAINT, colors=FAINT)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.patch.set_visible(False)
        return axis

    def _repr_png_(self) -> bytes:
        """What a notebook shows, also where pyplot was never imported."""
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=110)
        return data.getvalue()


def unknown(heading: str, source: str, why: str) -> Chart:
    """A sheet that says why there is nothing to draw."""
    chart = Chart(heading, source, height=1.3, alt=f"{heading}: not known. {why}.")
    text = "\n".join(textwrap.wrap(f"not known: {why}", TITLE))
    chart.text(0.01, 0.35, text, fontsize=9, color=FAINT, va="center")
    return chart


def stretches(
    t: NDArray[np.float64], values: NDArray[np.float64], interval_s: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The parts of a series between its gaps: what is not known, and silences longer than 3 intervals.

    Args:
        t: float64 [N], seconds, rising.
        values: float64 [N], NaN where not known.
        interval_s: of the samples; 0 where it is not known (the median pause counts then).
    """
    known = np.isfinite(values)
    t, values, where = t[known], values[known], np.flatnonzero(known)
    if not len(t):
        return []
    pauses = np.diff(t)
    longest = STALE * (interval_s or (float(np.median(pauses)) if len(pauses) else 0.0))
    cuts = np.flatnonzero((pauses > longest) | (np.diff(where) > 1)) + 1
    return list(zip(np.split(t, cuts), np.split(values, cuts), strict=True))


def envelope(
    t: NDArray[np.float64], values: NDArray[np.float64], bins: int = BINS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A series of finite values thinned to the lowest and highest of each bin, in order of time.

    Series of at most two values a bin come back as they are.
    """
    if len(t) <= 2 * bins:
        return t, values
    starts = np.linspace(0, len(t), bins, endpoint=False).astype(int)
    ends = np.append(starts[1:], len(t))
    lowest = [a + int(np.argmin(values[a:b])) for a, b in zip(starts, ends, strict=True)]
    highest = [a + int(np.argmax(values[a:b])) for a, b in zip(starts, ends, strict=True)]
    kept = np.union1d(np.union1d(lowest, highest), [0, len(t) - 1])
    return t[kept], values[kept]


def line(
    axis: Any, t: NDArray[np.float64], values: NDArray[np.float64], interval_s: float, **style: Any
) -> None:
    """A line that stops at each gap and keeps its peaks when thinned. One artist, NaN between stretches."""
    parts = stretches(t, values, interval_s)
    xs: list[NDArray[np.float64]] = []
    ys: list[NDArray[np.float64]] = []
    for times, known in parts:
        share = max(8, round(BINS * len(times) / max(1, len(t))))
        thin_t, thin = envelope(times, known, share)
        xs += [thin_t, np.array([np.nan])]
        ys += [thin, np.array([np.nan])]
    style = {"linewidth": 1.4, "solid_capstyle": "round", "solid_joinstyle": "round", **style}
    if not parts:
        return
    axis.plot(np.concatenate(xs), np.concatenate(ys), **style)
    alone = [(times[0], known[0]) for times, known in parts if len(times) == 1]
    if alone:  # a line of one point would not be seen
        axis.plot(*zip(*alone, strict=True), ".", markersize=3, color=style.get("color"))


def end_labels(axis: Any, labels: Sequence[tuple[float, str, str]]) -> None:
    """Words at the right of lines instead of a legend: (the line's last value, words, colour) each.

    Words that would lie on each other are moved apart, and joined to their line by a stroke of its colour.
    """
    if not labels:
        return
    low, high = axis.get_ylim()
    ranked = sorted(labels)
    lines = 1 + max(words.count("\n") for _, words, _ in ranked)
    rows = axis.get_subplotspec().get_gridspec().nrows
    step = (1.0 + 10.5 * lines) / (72 * max(0.5, axis.figure.get_size_inches()[1] / rows - 0.7))
    wanted = [(value - low) / (high - low) for value, _, _ in ranked]
    for (_, words, colour), at, put in zip(ranked, wanted, spread(wanted, step), strict=True):
        axis.annotate(
            words,
            xy=(1.0, at),
            xytext=(1.045, put),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            linespacing=1.05,
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 1.6,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
        )


def spread(wanted: Sequence[float], step: float) -> list[float]:
    """Rising places as near as can be to those wanted (rising too), at least `step` apart, within 0 to 1.

    Where they do not all fit, the step is made smaller.
    """
    n = len(wanted)
    step = min(step, 1.0 / max(1, n - 1))
    # Least squares under order: the mean of each block of neighbours that touch (pool adjacent violators).
    blocks: list[list[float]] = []
    for i, place in enumerate(wanted):
        blocks.append([place - i * step])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    flat = [float(np.mean(block)) for block in blocks for _ in block]
    return [min(max(place, 0.0), 1.0 - (n - 1) * step) + i * step for i, place in enumerate(flat)]


def clock(axis: Any, span_s: float) -> float:
    """Name the x axis after a unit that suits so many seconds; returns the seconds of that unit."""
    unit, seconds = (
        ("hours", 3600.0) if span_s >= 7200 else ("minutes", 60.0) if span_s >= 180 else ("seconds", 1.0)
    )
    axis.set_xlabel(unit, fontsize=9, color=FAINT, loc="right", labelpad=1)
    axis.margins(x=0.0)
    return seconds


def unit_of_y(axis: Any, unit: str) -> None:
    """The unit of the values, above their scale."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "va": "bottom"}
    axis.annotate(unit, (0, 1), (-4, 6), fontsize=9, color=FAINT, annotation_clip=False, **place)


def name_rows(axis: Any, names: Sequence[str]) -> None:
    """Names of horizontal rows, the first on top; long ones on several lines, so that a phone has room."""
    axis.set_yticks(range(len(names)), ["\n".join(_wrapped(name)) for name in names])
    axis.tick_params(axis="y", labelcolor=INK)
    axis.set_ylim(len(names) - 0.5, -0.5 if len(names) > 1 else -0.6)
    axis.grid(visible=False)
    axis.grid(visible=True, axis="x", color=GRID, linewidth=0.8)


def row_height(names: Sequence[str], least: float) -> float:
    """Inches of a row, so that names of several lines have room."""
    return max([least, *(0.155 * len(_wrapped(name)) + 0.08 for name in names)])


def _wrapped(name: str) -> list[str]:
    return textwrap.wrap(name, ROW)


def colours(count: int) -> list[str]:
    """So many colours, repeated where there are not enough."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
