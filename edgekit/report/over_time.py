"""Figures of a log over time: power, rails, temperatures with throttling, loads and clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.report.chart import (
    ALARM,
    BINS,
    COLOURS,
    FAINT,
    GRID,
    INK,
    PAPER,
    Chart,
    clock,
    end_labels,
    envelope,
    line,
    stretches,
    unit_of_y,
    unknown,
)
from edgekit.report.clean import held_down, over_current

if TYPE_CHECKING:
    from edgekit.telemetry.log import Log

#: A stretch of the log that is shaded: from, to (seconds on the boot clock), and its name.
Span = tuple[float, float, str]
#: Zones or rails drawn in colour and named; the others are thin and grey.
NAMED = 6
#: More runs than this are shaded without their names, which would lie on each other.
LABELLED = 5


def power_over_time(log: Log, runs: Sequence[Span] = ()) -> Chart:
    """Total power, with runs shaded and the mean of each.

    Zero of the time axis is the first run's start, or the first sample.
    """
    from edgekit.telemetry.energy import energy

    heading = "Power over time"
    if not np.isfinite(log.power_w).any():
        return unknown(heading, log.label, _why(log))
    chart = Chart(heading, log.label)
    axis, zero, unit = _sheet(chart, log, runs)
    line(axis, (log.t - zero) / unit, log.power_w, log.interval_s / unit, color=COLOURS[0])
    axis.set_ylim(0, 1.15 * np.nanmax(log.power_w) or 1.0)
    unit_of_y(axis, "W")
    for start, end, _ in runs:
        mean = energy(log, start, end).mean_w
        if mean is not None and len(runs) <= LABELLED:
            axis.plot(
                [(start - zero) / unit, (end - zero) / unit], [mean, mean], "--", color=INK, linewidth=1
            )
    _shade(axis, runs, zero, unit)
    means = [(name, energy(log, start, end).mean_w) for start, end, name in runs] or [("", None)]
    if len(means) == 1:
        shown = means[0][1] if runs else float(np.nanmean(log.power_w))
        if shown is not None:
            end_labels(axis, [(shown, f"mean {shown:.2f} W", INK)])
    chart.alt = (
        f"Power over time: lowest {np.nanmin(log.power_w):.2f} W, highest {np.nanmax(log.power_w):.2f} W. "
        + " ".join(f"Mean of {name or 'the run'}: {mean:.2f} W." for name, mean in means if mean is not None)
    )
    return chart


def rails(log: Log, runs: Sequence[Span] = ()) -> Chart:
    """Power by rail: stacked where the total is their sum, as lines where an input holds them all."""
    heading = "Power by rail"
    names = [name for name, watts in log.rails_w.items() if np.isfinite(watts).any()]
    if not names:
        return unknown(heading, log.label, log.missing.get("rails_mw", f"{log.source} tells no rails"))
    columns = dict(log.rails_w)
    stacked = _parts_of_a_sum(log, names)
    if not stacked and log.power_total_name and log.power_total_name not in columns:
        names.append(log.power_total_name)
        columns[log.power_total_name] = log.power_w
    names.sort(key=lambda name: -float(np.nanmean(columns[name])))
    chart = Chart(heading, log.label, height=3.0)
    axis, zero, unit = _sheet(chart, log, runs)
    t = (log.t - zero) / unit
    if stacked:
        ends = _stack(axis, t, [columns[name] for name in names], log.interval_s / unit)
    else:
        for name, colour in _coloured(names):
            total = name == log.power_total_name
            style = {"color": INK if total else colour, "linewidth": 1.8 if total else 1.3}
            line(axis, t, columns[name], log.interval_s / unit, **style)
        ends = [_last(columns[name]) for name in names]
    axis.set_ylim(bottom=0)
    axis.margins(y=0.1)
    unit_of_y(axis, "W")
    _shade(axis, runs, zero, unit)
    means = {name: _mean(log, columns[name], runs) for name in names}
    labels = []
    for (name, colour), end in list(zip(_coloured(names), ends, strict=True))[:NAMED]:
        total = name == log.power_total_name
        words = f"{name}{', all' if total else ''}\n{means[name]:.2f} W"
        labels.append((end, words, INK if total else colour))
    end_labels(axis, labels)
    how = "stacked" if stacked else "each by itself"
    figures = ", ".join(f"{name} {mean:.2f} W" for name, mean in means.items())
    chart.alt = f"Power by rail over time, {how}. Means: {figures}."
    return chart


def temperatures(log: Log, runs: Sequence[Span] = ()) -> Chart:
    """Temperature of each zone, with marks where clocks were held down and over-current events counted."""
    heading = "Temperatures"
    zones = [name for name, degrees in log.temps_c.items() if np.isfinite(degrees).any()]
    if not zones:
        return unknown(heading, log.label, log.missing.get("temps_c", f"{log.source} tells no temperatures"))
    zones.sort(key=lambda name: -float(np.nanmax(log.temps_c[name])))
    chart = Chart(heading, log.label, height=3.0)
    axis, zero, unit = _sheet(chart, log, runs)
    t = (log.t - zero) / unit
    named = dict(_alike(log.temps_c, zones))
    coloured = _coloured(list(named))
    for name, colour in reversed(coloured):
        line(axis, t, log.temps_c[name], log.interval_s / unit, color=colour)
    axis.margins(y=0.15)
    unit_of_y(axis, "°C")
    _shade(axis, runs, zero, unit)
    marks = _throttling(axis, log, t, unit)
    end_labels(
        axis,
        [
            (_last(log.temps_c[name]), f"{named[name]}\n{_last(log.temps_c[name]):.1f} °C", colour)
            for name, colour in coloured[:NAMED]
        ],
    )
    peaks = ", ".join(f"{name} {np.nanmax(log.temps_c[name]):.1f} °C" for name in zones)
    chart.alt = f"Temperatures over time. Highest: {peaks}. {marks}"
    return chart


def loads(log: Log, runs: Sequence[Span] = ()) -> Chart:
    """Load of GPU and CPU, and below it the GPU's clock, where it is known."""
    heading = "Load and clocks"
    known = {
        name: column
        for name, column in (("GPU", log.gpu_load_pct), ("CPU", log.cpu_load_pct))
        if np.isfinite(column).any()
    }
    clocked = np.isfinite(log.gpu_freq_khz).any()
    if not known and not clocked:
        return unknown(heading, log.label, log.missing.get("gpu_load_pct", f"{log.source} tells no load"))
    panels = int(bool(known)) + int(clocked)
    chart = Chart(heading, log.label, height=1.0 + 1.5 * panels)
    said, first = [], None
    if known:
        first, zero, unit = _sheet(chart, log, runs, (panels, 1, 1))
        for (name, column), colour in zip(known.items(), (COLOURS[2], COLOURS[1]), strict=False):
            line(first, (log.t - zero) / unit, column, log.interval_s / unit, color=colour)
            said.append(f"{name} load {np.nanmean(column):.0f} % on average")
        first.set_ylim(-2, 102)
        unit_of_y(first, "%")
        _shade(first, runs, zero, unit)
        colours = (COLOURS[2], COLOURS[1])
        end_labels(
            first,
            [
                (_last(column), name, colour)
                for (name, column), colour in zip(known.items(), colours, strict=False)
            ],
        )
    if clocked:
        axis, zero, unit = _sheet(chart, log, runs, (panels, 1, panels))
        megahertz = log.gpu_freq_khz / 1e3
        line(axis, (log.t - zero) / unit, megahertz, log.interval_s / unit, color=COLOURS[0])
        axis.set_ylim(0, 1.1 * max(1.0, np.nanmax(megahertz)))
        unit_of_y(axis, "MHz")
        _shade(axis, runs if first is None else (), zero, unit)
        end_labels(axis, [(_last(megahertz), "GPU clock", COLOURS[0])])
        said.append(f"GPU clock from {np.nanmin(megahertz):.0f} to {np.nanmax(megahertz):.0f} MHz")
        if first is not None:
            first.set_xlabel("")
            first.tick_params(labelbottom=False)
    chart.alt = f"Load and clocks over time: {'; '.join(said)}."
    return chart


def _throttling(axis: Any, log: Log, t: NDArray[np.float64], unit: float) -> str:
    """Mark what held the clocks down; returns it in words."""
    held, events = held_down(log), over_current(log)
    zero = log.t[0] - t[0] * unit
    top = axis.get_xaxis_transform()
    for start, end, _ in held:
        # with an edge, or a short one would not be seen in a long log
        axis.axvspan((start - zero) / unit, (end - zero) / unit, color=ALARM, alpha=0.2, linewidth=0.8)
    named = dict.fromkeys(reason for _, _, reason in held)
    for reason in named:
        start = next(s for s, _, r in held if r == reason)
        axis.text((start - zero) / unit, 0.03, f" {reason}", transform=top, fontsize=8.5, color=INK)
    if events:
        at = [(moment - zero) / unit for moment, _, _ in events]
        axis.plot(at, [0.97] * len(at), "v", transform=top, color=ALARM, markersize=6, clip_on=False)
        names = ", ".join(dict.fromkeys(name for _, name, _ in events))
        axis.text(at[0], 0.9, f" over-current ({names})", transform=top, fontsize=8.5, color=INK, va="top")
    seconds = sum(end - start for start, end, _ in held)
    said = [f"Clocks were held down for {seconds:.1f} s: {', '.join(named)}."] if held else []
    said += [f"{sum(n for _, _, n in events)} over-current events."] if events else []
    return " ".join(said)


def _sheet(
    chart: Chart, log: Log, runs: Sequence[Span], place: tuple[int, ...] = ()
) -> tuple[Any, float, float]:
    """An axis over time, the moment that is its zero, and the seconds of its unit."""
    axis = chart.axis(*place)
    zero = min((start for start, _, _ in runs), default=float(log.t[0]))
    unit = clock(axis, float(log.t[-1]) - min(zero, float(log.t[0])))
    return axis, zero, unit


def _shade(axis: Any, runs: Sequence[Span], zero: float, unit: float) -> None:
    """Shade each run, with its name above."""
    for start, end, name in runs:
        left, right = (start - zero) / unit, (end - zero) / unit
        axis.axvspan(left, right, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        if name and len(runs) <= LABELLED:
            place = {"xycoords": axis.get_xaxis_transform(), "textcoords": "offset points", "va": "bottom"}
            axis.annotate(name, (left, 1.0), (1, 3), fontsize=8.5, color=FAINT, **place)


def _stack(
    axis: Any, t: NDArray[np.float64], columns: list[NDArray[np.float64]], interval: float
) -> list[float]:
    """Rails on each other, the largest below; returns the middle of each at the right end."""
    heights = np.cumsum(np.vstack([np.zeros(len(t)), *columns]), axis=0)
    pieces: list[NDArray[np.intp]] = []
    for times, total in stretches(t, heights[-1], interval):
        share = max(8, round(BINS * len(times) / len(t)))
        pieces.append(np.searchsorted(t, envelope(times, total, share)[0]))
    for i in range(len(columns)):
        colour = COLOURS[i] if i < NAMED else COLOURS[-1]
        for kept in pieces:
            axis.fill_between(
                t[kept], heights[i][kept], heights[i + 1][kept], color=colour, linewidth=0.6, edgecolor=PAPER
            )
    known = np.flatnonzero(np.isfinite(heights[-1]))
    last = heights[:, known[-1]] if len(known) else heights[:, -1]
    return [float(a + b) / 2 for a, b in pairwise(last)]


def _mean(log: Log, watts: NDArray[np.float64], runs: Sequence[Span]) -> float:
    """Mean power of the one run, or of the whole log."""
    from edgekit.telemetry.energy import energy

    start, end = runs[0][:2] if len(runs) == 1 else (float(log.t[0]), float(log.t[-1]))
    mean = energy(replace(log, power_w=watts, energy_j={}), start, end).mean_w
    return float(np.nanmean(watts)) if mean is None else mean


def _parts_of_a_sum(log: Log, names: Sequence[str]) -> bool:
    """The rails add up to the total all the time: none of them is an input that holds others."""
    from edgekit.telemetry.sysfs_find import INPUTS

    if log.power_total_kind != "sum" or set(INPUTS) & set(names):
        return False
    return bool(np.isfinite(np.sum([log.rails_w[name] for name in names], axis=0)).any())


def _alike(columns: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> list[tuple[str, str]]:
    """Names with what to call them: of those that are always the same, the first stands for all."""
    groups: list[list[str]] = []
    for name in names:
        for group in groups:
            if np.array_equal(columns[name], columns[group[0]], equal_nan=True):
                group.append(name)
                break
        else:
            groups.append([name])
    return [(g[0], g[0] if len(g) == 1 else f"{g[0]}, {len(g) - 1} alike") for g in groups]


def _coloured(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, COLOURS[i] if i < NAMED else COLOURS[-1]) for i, name in enumerate(names)]


def _last(column: NDArray[np.float64]) -> float:
    return float(column[np.flatnonzero(np.isfinite(column))[-1]])


def _why(log: Log) -> str:
    return log.missing.get("power_total_mw", f"{log.source} has no power")
