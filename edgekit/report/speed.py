"""Figures of a run's speed: latency, frames a second, frames dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.report.chart import (
    ALARM,
    COLOURS,
    FAINT,
    INK,
    PAPER,
    Chart,
    clock,
    colours,
    end_labels,
    name_rows,
    unknown,
)
from edgekit.report.numbers import PERCENTILES, per_second, percentiles, setting

if TYPE_CHECKING:
    from edgekit.runlog import Run

#: A histogram ends here, over the 99th percentile; its last bar holds all that took longer.
REACH = 1.25
NO_FRAMES = "the run has no frames"


def latency_histogram(*runs: Run, bins: int = 60) -> Chart:
    """How many frames took how long from camera to last sink, with percentiles; all frames are counted.

    Frames that took longer than 1.25 times the 99th percentile are in the last bar. Several runs are drawn
    as outlines of the share of their frames.
    """
    heading, source = "Latency, camera to last sink", places(runs)
    runs = tuple(run for run in runs if len(run.frames["latency"]))
    if not runs:
        return unknown(heading, source, NO_FRAMES)
    chart = Chart(heading, source)
    axis = chart.axis()
    times = [run.frames["latency"] * 1e3 for run in runs]
    top = REACH * max(percentiles(run)[99] for run in runs)
    low = min(float(values.min()) for values in times)
    edges = np.linspace(0.0 if low < 0.5 * top else 0.95 * low, max(top, low * 1.001, 1e-6), bins + 1)
    said = []
    for run, values, colour in zip(runs, times, colours(len(runs)), strict=True):
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        at = percentiles(run)
        if len(runs) == 1:
            axis.bar(
                edges[:-1], counts, np.diff(edges), align="edge", color=colour, edgecolor=PAPER, linewidth=0.4
            )
            _mark_percentiles(axis, at, counts.max())
        else:
            axis.stairs(100 * counts / len(values), edges, color=colour, linewidth=1.6)
        slow = int((values > edges[-1]).sum())
        rest = f", {slow} frames longer than {edges[-1]:.0f} ms in the last bar" if slow else ""
        said.append(f"{run.name}: {len(values)} frames, {_in_words(at)}{rest}.")
    if len(runs) > 1:
        _name_outlines(axis, runs)
    axis.set_xlabel("ms", fontsize=9, color=FAINT, loc="right", labelpad=1)
    axis.set_ylabel("frames" if len(runs) == 1 else "% of frames", fontsize=9, color=FAINT)
    axis.set_xlim(edges[0], edges[-1])
    chart.alt = " ".join(["Histogram of latency.", *said])
    return chart


def latency_percentiles(*runs: Run) -> Chart:
    """50th, 90th, 95th and 99th percentile of each run's latency, without its first frame."""
    heading, source = "Latency percentiles", places(runs)
    runs = tuple(run for run in runs if len(run.frames["latency"]))
    if not runs:
        return unknown(heading, source, NO_FRAMES)
    chart = Chart(heading, source, height=1.0 + 0.45 * len(runs))
    axis = chart.axis()
    said, widest = [], max(percentiles(run)[99] for run in runs)
    for row, (run, colour) in enumerate(zip(runs, colours(len(runs)), strict=True)):
        at = percentiles(run)
        axis.plot(list(at.values()), [row] * len(at), "-", color=colour, linewidth=2)
        for value, size in zip(at.values(), (9, 6, 6, 9), strict=True):
            axis.plot([value], [row], "o", color=colour, markersize=size, markeredgecolor=PAPER)
        style = {"textcoords": "offset points", "fontsize": 9, "color": INK}
        p50, p99 = ("p50 ", "p99 ") if row == 0 else ("", "")
        axis.annotate(f"{p50}{at[50]:.1f}", (at[50], row), (0, 7), ha="center", **style)
        axis.annotate(f"{p99}{at[99]:.1f} ms", (at[99], row), (8, 0), va="center", **style)
        said.append(f"{run.name}: {_in_words(at)}.")
    name_rows(axis, [run.name for run in runs])
    axis.set_xlim(0, 1.35 * widest)
    axis.set_xlabel("ms", fontsize=9, color=FAINT, loc="right", labelpad=1)
    chart.alt = " ".join(["Percentiles of latency.", *said])
    return chart


def fps_and_drops(run: Run) -> Chart:
    """Frames a second over time, and below it the frames dropped, where any were."""
    heading, source = "Frames a second over time", places([run])
    if not len(run.frames["index"]):
        return unknown(heading, source, NO_FRAMES)
    edges, fps, dropped = per_second(run)
    panels = 2 if dropped.sum() else 1
    chart = Chart(heading, source, height=2.2 + 1.1 * (panels - 1))
    axis = chart.axis(panels, 1, 1)
    unit = clock(axis, float(edges[-1]))
    axis.stairs(fps, edges / unit, color=COLOURS[0], linewidth=1.6, baseline=None)
    axis.set_ylim(0, 1.15 * max(fps.max(), run.fps))
    axis.set_ylabel("FPS", fontsize=9, color=FAINT)
    end_labels(axis, [(run.fps, f"{run.fps:.1f} in all", INK)])
    if panels == 2:
        axis.set_xlabel("")
        axis.tick_params(labelbottom=False)
        below = chart.axis(panels, 1, 2, sharex=axis)
        clock(below, float(edges[-1]))
        style = {"align": "edge", "color": ALARM, "edgecolor": PAPER, "linewidth": 0.4}
        below.bar(edges[:-1] / unit, dropped, np.diff(edges) / unit, **style)
        below.set_ylabel("dropped", fontsize=9, color=FAINT)
        below.set_ylim(bottom=0)
    axis.set_xlim(0, edges[-1] / unit)
    last = int(run.frames["dropped"][-1])
    chart.alt = (
        f"Frames a second over time, counted in steps of {edges[1]:g} s: lowest {fps.min():.1f}, "
        f"highest {fps.max():.1f}, {run.fps:.1f} in all. {last or 'No'} frames dropped."
    )
    return chart


def places(runs: Any) -> str:
    """What worked, for figures of time; where power and heat are emulated, that too."""
    words = []
    for run in runs:
        names = [setting(run, name) for name in ("model", "precision", "backend", "device")]
        words.append(", ".join(name for name in names if name))
    if any(run.log is not None and run.log.emulated for run in runs):
        words.append("power and heat emulated")
    return "; ".join(dict.fromkeys(word for word in words if word))


def _mark_percentiles(axis: Any, at: Mapping[int, float], highest: float) -> None:
    """Lines at the percentiles, their words one below the other so that near ones can be read."""
    for row, (percent, value) in enumerate((p, at[p]) for p in (50, 95, 99)):
        top = 1.0 - 0.11 * row
        axis.axvline(value, ymax=top, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        place = {"xycoords": axis.get_xaxis_transform(), "textcoords": "offset points", "va": "top"}
        axis.annotate(f"p{percent} {value:.1f} ms", (value, top), (4, 1), fontsize=8.5, color=INK, **place)
    axis.set_ylim(0, 1.3 * highest)


def _name_outlines(axis: Any, runs: tuple[Run, ...]) -> None:
    for row, (run, colour) in enumerate(zip(runs, colours(len(runs)), strict=True)):
        y, inside = 0.95 - 0.1 * row, {"transform": axis.transAxes}
        axis.plot([0.965, 0.995], [y, y], color=colour, linewidth=1.6, **inside)
        axis.text(0.95, y, run.name, ha="right", va="center", fontsize=9, color=INK, **inside)


def _in_words(at: Mapping[int, float]) -> str:
    return ", ".join(f"p{percent} {at[percent]:.1f} ms" for percent in PERCENTILES)
