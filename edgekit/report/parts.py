"""Runs and logs as the parts of a page: the figures that matter first, then where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.report import figures
from edgekit.report.clean import throttled, throttling_unknown, unclean, verdict
from edgekit.report.facts import (
    about,
    compared,
    day,
    differences,
    energy_rows,
    headline,
    power_tiles,
    side_by_side,
    stage_table,
)
from edgekit.report.numbers import hottest, percentiles, rail_energy, setting
from edgekit.report.page import Part
from edgekit.report.stages import sources
from edgekit.report.tables import figure

if TYPE_CHECKING:
    from edgekit.report.chart import Chart
    from edgekit.runlog import Run
    from edgekit.telemetry.log import Log

EMULATED = (
    "Power, temperatures and loads come from an emulated board. They are no measurement: they show how a "
    "report reads, not what a board draws."
)

MARK = "Emulated, no measurement. "
#: Columns of `compared` that are drawn.
BARS = ("FPS", "latency p50, ms", "power, W", "mJ per frame")


def log_parts(log: Log) -> list[Part]:
    """Everything about a bare log of samples: power, heat and load."""
    if not len(log):
        return [Part(text="The log holds no sample.")]
    start, end = float(log.t[0]), float(log.t[-1])
    alarms = _alarms(log, unclean(log, start, end))
    top = Part(alarms=alarms, tiles=power_tiles(log, start, end, throttled(log, start, end)))
    return [top, *_power_parts(log, start, end), *_heat_parts(log, start, end)]


def run_parts(run: Run) -> list[Part]:
    """Everything about one run."""
    reasons = verdict(run)
    parts = [Part(alarms=_alarms(run.log, reasons), tiles=headline(run, reasons))]
    if len(run.frames["index"]):
        parts += [
            Part("Speed", figure=partial(figures.latency_histogram, run), note=_latency_note(run)),
            Part(figure=partial(figures.fps_and_drops, run)),
            Part("Stages", figure=partial(figures.stage_shares, run)),
            Part(table=stage_table(run), note=_stage_note(run)),
        ]
    if run.log is None:
        parts.append(Part("Power and heat", text="Nothing was sampled in this run."))
    else:
        spans = [(run.start_s, run.end_s, "the run")] if run.seconds > 0 else []
        parts += _power_parts(run.log, run.start_s, run.end_s, spans, run)
        parts += _heat_parts(run.log, run.start_s, run.end_s, spans)
    parts.append(Part("What was run", table=[["", ""], *about(run)]))
    return parts


def runs_parts(runs: Sequence[Run]) -> list[Part]:
    """Several runs: one table and figures side by side, then power and heat of each."""
    alarms = []
    for run in runs:
        alarms += [f"{run.name}: {reason}." for reason in verdict(run)]
    if any(run.log is not None and run.log.emulated for run in runs):
        alarms.insert(0, EMULATED)
    parts = [
        Part("Side by side", alarms=alarms, table=side_by_side(runs), note=_ratio_note(runs)),
        Part(table=differences(runs)),
        Part(figure=partial(figures.bars, compared(runs), BARS, label="run", source=sources(runs))),
        Part("Speed", figure=partial(figures.latency_percentiles, *runs)),
        Part(figure=partial(figures.latency_histogram, *runs)),
        Part("Stages", figure=partial(figures.stage_shares, *runs)),
    ]
    for run in runs:
        parts.append(Part(run.name, text=subtitle(run)))
        if run.log is not None:
            spans = [(run.start_s, run.end_s, "the run")] if run.seconds > 0 else []
            parts += [_continued(part) for part in _power_parts(run.log, run.start_s, run.end_s, spans, run)]
            parts += [_continued(part) for part in _heat_parts(run.log, run.start_s, run.end_s, spans)]
        parts.append(Part(table=[["", ""], *about(run)]))
    return parts


def _power_parts(
    log: Log, start: float, end: float, spans: Sequence[figures.Span] = (), run: Run | None = None
) -> list[Part]:
    from edgekit.telemetry.energy import energy

    measured = energy(log, start, end)
    if measured.mean_w is None:
        return [Part("Power", text=f"Power is not known: {measured.void}.")]
    many = len(log.rails_w) > 1
    drawn: list[Callable[[], Chart]] = [
        partial(figures.rails if many else figures.power_over_time, log, spans)
    ]
    if run is not None and measured.joules is not None and len(run.frames["index"]):
        drawn += [partial(figures.energy_per_frame, run), partial(figures.energy_per_stage, run)]
    parts = [Part("Power" if i == 0 else "", figure=figure) for i, figure in enumerate(drawn)]
    rows = energy_rows(measured, rail_energy(log, start, end))
    parts.append(Part(table=rows, note=_energy_note(log, measured)))
    return parts


def _heat_parts(log: Log, start: float, end: float, spans: Sequence[figures.Span] = ()) -> list[Part]:
    parts = []
    if hottest(log, start, end) is None:
        parts.append(
            Part("Heat", text=f"Temperatures are not known: {log.missing.get('temps_c', 'no zone is on')}.")
        )
    else:
        inside = (log.t >= start) & (log.t <= end)
        table: list[Sequence[Any]] = [["zone", "at start, °C", "highest, °C"]]
        for zone, degrees in log.temps_c.items():
            seen = degrees[inside & np.isfinite(degrees)]
            if len(seen):
                table.append([zone, round(float(seen[0]), 1), round(float(seen.max()), 1)])
        why = throttling_unknown(log)
        note = MARK if log.emulated else ""
        note += f"Whether clocks were held down is not known: {why}." if why else ""
        parts += [
            Part("Heat", figure=partial(figures.temperatures, log, spans)),
            Part(table=table, note=note),
        ]
    if np.isfinite(log.gpu_load_pct).any() or np.isfinite(log.cpu_load_pct).any():
        parts.append(Part("Load and clocks", figure=partial(figures.loads, log, spans)))
    return parts


def _continued(part: Part) -> Part:
    """Below a run's own heading, its pieces have none."""
    from dataclasses import replace

    return replace(part, heading="")


def _alarms(log: Log | None, reasons: Sequence[str]) -> list[str]:
    alarms = [EMULATED] if log is not None and log.emulated else []
    return alarms + [f"Not clean: {reason}." for reason in reasons]


def subtitle(run: Run) -> str:
    """Model, precision, back end, device and start of a run."""
    what = " ".join(word for word in (setting(run, "model") or "a task", setting(run, "precision")) if word)
    device = run.meta.get("device", {}).get("name", "")
    words = [what, setting(run, "backend"), device, day(run.meta.get("started_wall"))]
    return " · ".join(word for word in words if word)


def _latency_note(run: Run) -> str:
    at = percentiles(run)
    figures_of = ", ".join(f"p{percent} {value:.1f} ms" for percent, value in at.items())
    return (
        f"{figures_of}. All {len(run.frames['index'])} frames are drawn. Percentiles leave out the first, "
        "which pays for what is loaded on first use; so does the table of the stages."
    )


def _stage_note(run: Run) -> str:
    return (
        "Stages work at the same time as each other, so their times add up to more than the time of a frame. "
        "Joules are shared out by the time each stage was busy, which is no measurement."
    )


def _ratio_note(runs: Sequence[Run]) -> str:
    emulated = [run.name for run in runs if run.log is not None and run.log.emulated]
    of = f" Power, energy and temperatures of {', '.join(emulated)} are emulated, no measurement."
    return f"In brackets: × {runs[0].name}.{of if emulated else ''}"


def _energy_note(log: Log, measured: Any) -> str:
    if measured.void:
        return f"{MARK if log.emulated else ''}Energy is void: {measured.void}."
    words = [MARK.strip()] if log.emulated else []
    words += [
        f"Energy by {measured.method} over {figure(measured.seconds)} s, coverage {measured.coverage:.0%}, "
        f"longest gap {figure(measured.longest_gap_s)} s at an interval of {log.interval_s:g} s."
    ]
    if measured.kind == "input":
        words.append(f"{measured.name} is the input: it holds the other rails, and is never added to them.")
    words += [f"{note[0].upper()}{note[1:]}." for note in measured.notes]
    return " ".join(words)
