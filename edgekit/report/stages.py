"""Figures of runs: latency, frames a second, where the time and the joules went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.report.chart import ALARM, COLOURS, FAINT, GRID, INK, PAPER, Chart, clock, end_labels, unknown
from edgekit.report.numbers import PERCENTILES, busy, per_second, percentiles, rail_energy

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
    heading, source = "Latency, camera to last sink", _sources(runs)
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
    for run, values, colour in zip(runs, times, COLOURS, strict=False):
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
    heading, source = "Latency percentiles", _sources(runs)
    runs = tuple(run for run in runs if len(run.frames["latency"]))
    if not runs:
        return unknown(heading, source, NO_FRAMES)
    chart = Chart(heading, source, height=1.0 + 0.45 * len(runs))
    axis = chart.axis()
    said, widest = [], max(percentiles(run)[99] for run in runs)
    for row, (run, colour) in enumerate(zip(runs, _repeated(len(runs)), strict=True)):
        at = percentiles(run)
        axis.plot(list(at.values()), [row] * len(at), "-", color=colour, linewidth=2)
        for (percent, value), size in zip(at.items(), (9, 6, 6, 9), strict=True):
            axis.plot([value], [row], "o", color=colour, markersize=size, markeredgecolor=PAPER)
            if row == 0 and percent in (50, 99):
                axis.annotate(f"p{percent}", (value, row), (0, 9), textcoords="offset points", **_SMALL)
        side = {"textcoords": "offset points", "va": "center", "fontsize": 9, "color": INK}
        axis.annotate(f"{at[50]:.1f}", (at[50], row), (-8, 0), ha="right", **side)
        axis.annotate(f"{at[99]:.1f} ms", (at[99], row), (8, 0), ha="left", **side)
        said.append(f"{run.name}: {_in_words(at)}.")
    _rows(axis, [run.name for run in runs])
    axis.set_xlim(0, 1.18 * widest)
    axis.set_xlabel("ms", fontsize=9, color=FAINT, loc="right", labelpad=1)
    chart.alt = " ".join(["Percentiles of latency.", *said])
    return chart


def fps_and_drops(run: Run) -> Chart:
    """Frames a second over time, and below it the frames dropped, where any were."""
    heading, source = "Frames a second over time", _sources([run])
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


def stage_shares(*runs: Run) -> Chart:
    """Of the time in which stages worked, how much each did. Stages work at the same time as each other."""
    heading, source = "Where the time goes", _sources(runs)
    runs = tuple(run for run in runs if busy(run))
    if not runs:
        return unknown(heading, source, NO_FRAMES)
    chart = Chart(heading, source, height=0.75 + 0.5 * len(runs))
    axis = chart.axis()
    names = list(dict.fromkeys(name for run in runs for name in busy(run)))
    said = []
    for row, run in enumerate(runs):
        seconds = busy(run)
        total, left = sum(seconds.values()), 0.0
        for name, colour in zip(names, _repeated(len(names)), strict=True):
            share = 100 * seconds.get(name, 0.0) / total
            axis.barh(row, share, left=left, height=0.62, color=colour, edgecolor=PAPER, linewidth=1)
            if share >= 9:
                words = f"{name}\n{share:.0f} %"
                axis.text(
                    left + share / 2, row, words, ha="center", va="center", fontsize=8.5, color="#111111"
                )
            left += share
        shares = ", ".join(f"{name} {100 * worked / total:.0f} %" for name, worked in seconds.items())
        said.append(f"{run.name}: {shares}.")
    _rows(axis, [run.name for run in runs] if len(runs) > 1 else [""])
    axis.set_xlim(0, 100)
    axis.grid(visible=False)
    axis.xaxis.set_major_formatter("{x:.0f} %")
    chart.alt = " ".join(["Shares of the stages in the time they worked.", *said])
    return chart


def energy_per_stage(run: Run | Mapping[str, float], source: str = "") -> Chart:
    """Joules of one frame by stage: shared out by the time each worked, which is no measurement.

    Args:
        run: a run, or joules by stage.
        source: who measured, where `run` is no run.
    """
    heading = "Energy of one frame by stage (shared out by busy time)"
    if isinstance(run, Mapping):
        joules = dict(run)
        why = "there are no joules"
    else:
        from edgekit.report.numbers import stages

        energy, source = run.energy(), _sources([run])
        joules = {stage.name: stage.joules for stage in stages(run, energy) if stage.joules is not None}
        why = energy.void or NO_FRAMES
    if not joules:
        return unknown(heading, source, why)
    return _horizontal(heading, source, joules)


def energy_per_frame(run: Run) -> Chart:
    """Joules of one frame by rail. Where the total is an input, it holds the rails below it."""
    heading, source = "Energy of one frame by rail", _sources([run])
    frames = len(run.frames["index"])
    whole = run.energy()
    if whole.joules is None or not frames or run.log is None:
        return unknown(heading, source, whole.void or NO_FRAMES)
    parts = rail_energy(run.log, run.start_s, run.end_s)
    total = (
        f"{whole.name} (all)"
        if whole.kind == "input"
        else "all rails"
        if whole.kind == "sum"
        else str(whole.name)
    )
    joules = {total: whole.joules / frames}
    for name, part in parts.items():
        each = part.per(frames)
        if name != whole.name and each is not None:
            joules[name] = each
    return _horizontal(heading, source, joules, first=INK)


def _horizontal(heading: str, source: str, joules: Mapping[str, float], first: str = "") -> Chart:
    """Bars of joules with their figures, in the unit that suits the largest."""
    unit, factor = ("mJ", 1e3) if max(joules.values()) < 1 else ("J", 1.0)
    chart = Chart(heading, source, height=0.7 + 0.32 * len(joules))
    axis = chart.axis()
    colours = _repeated(len(joules)) if not first else [first, *_repeated(len(joules))][: len(joules)]
    values = [factor * value for value in joules.values()]
    bars = axis.barh(range(len(joules)), values, height=0.62, color=colours)
    digits = max(0, 2 - int(np.floor(np.log10(max(values)))) if max(values) > 0 else 0)
    axis.bar_label(bars, fmt=f"%.{digits}f {unit}", padding=4, fontsize=9, color=INK)
    _rows(axis, list(joules))
    axis.set_xlim(0, 1.2 * max(values) or 1.0)
    axis.tick_params(labelbottom=False)
    axis.grid(visible=False)
    axis.spines["bottom"].set_visible(False)
    figures = ", ".join(
        f"{name} {value:.{digits}f} {unit}" for name, value in zip(joules, values, strict=True)
    )
    chart.alt = f"{heading}: {figures}."
    return chart


def _mark_percentiles(axis: Any, at: Mapping[int, float], highest: float) -> None:
    """Lines at the percentiles, their words one below the other so that near ones can be read."""
    for row, (percent, value) in enumerate(at.items()):
        if percent == 90:
            continue
        axis.axvline(value, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        height = 1.0 - 0.1 * row
        axis.text(
            value,
            height,
            f" p{percent} {value:.1f} ms",
            transform=axis.get_xaxis_transform(),
            va="top",
            **_LEFT,
        )
    axis.set_ylim(0, 1.12 * highest)


def _name_outlines(axis: Any, runs: tuple[Run, ...]) -> None:
    for row, (run, colour) in enumerate(zip(runs, COLOURS, strict=False)):
        words = {"xycoords": "axes fraction", "fontsize": 9, "ha": "right", "va": "top"}
        axis.annotate(f"{run.name}  ", (0.985, 0.98 - 0.1 * row), color=INK, **words)
        axis.annotate("—", (1.0, 0.98 - 0.1 * row), color=colour, fontweight="bold", **words)


def _rows(axis: Any, names: list[str]) -> None:
    """Names of horizontal rows, the first on top."""
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", labelcolor=INK)
    axis.set_ylim(len(names) - 0.5, -0.5 if len(names) > 1 else -0.6)
    axis.grid(visible=False)
    axis.grid(visible=True, axis="x", color=GRID, linewidth=0.8)


def _repeated(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _in_words(at: Mapping[int, float]) -> str:
    return ", ".join(f"p{percent} {at[percent]:.1f} ms" for percent in PERCENTILES)


def _sources(runs: Any) -> str:
    """Who measured, each once."""
    labels = [run.log.label if run.log is not None else "no power was sampled" for run in runs]
    return "; ".join(dict.fromkeys(labels))


_SMALL = {"ha": "center", "fontsize": 8.5, "color": FAINT}
_LEFT = {"ha": "left", "fontsize": 8.5, "color": INK}
