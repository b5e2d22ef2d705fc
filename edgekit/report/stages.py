"""Figures of where the time and the joules of a run went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.report.chart import INK, PAPER, Chart, colours, name_rows, row_height, spread, unknown
from edgekit.report.numbers import busy, rail_energy, stages
from edgekit.report.speed import NO_FRAMES, places
from edgekit.report.tables import texts

if TYPE_CHECKING:
    from edgekit.runlog import Run


def stage_shares(*runs: Run) -> Chart:
    """Of the time in which stages worked, how much each did. Stages work at the same time as each other."""
    heading, source = "Where the time goes", places(runs)
    runs = tuple(run for run in runs if busy(run))
    if not runs:
        return unknown(heading, source, NO_FRAMES)
    chart = Chart(heading, source, height=0.35 + 0.72 * len(runs))
    axis = chart.axis()
    names = list(dict.fromkeys(name for run in runs for name in busy(run)))
    said, middle = [], {"ha": "center", "va": "center"}
    for row, run in enumerate(runs):
        seconds = busy(run)
        total, left = sum(seconds.values()), 0.0
        small: list[tuple[float, str, str]] = []
        for name, colour in zip(names, colours(len(names)), strict=True):
            share = 100 * seconds.get(name, 0.0) / total
            axis.barh(row, share, left=left, height=0.5, color=colour, edgecolor=PAPER, linewidth=1)
            if share >= 1.5 * len(name) + 1.2:  # it holds its name, on a phone too
                words = f"{name}\n{share:.0f} %"
                axis.text(left + share / 2, row, words, color="#111111", fontsize=8.5, **middle)
            elif share >= 0.5:
                small.append((left + share / 2, f"{name} {share:.0f} %", colour))
            left += share
        _below(axis, row, small)
        shares = ", ".join(f"{name} {100 * worked / total:.0f} %" for name, worked in seconds.items())
        said.append(f"{run.name}: {shares}.")
    name_rows(axis, [run.name for run in runs] if len(runs) > 1 else [""])
    axis.set_xlim(0, 100)
    axis.set_ylim(len(runs) - 0.35, -0.3)
    axis.grid(visible=False)
    axis.tick_params(labelbottom=False)
    axis.spines["bottom"].set_visible(False)
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
        energy, source = run.energy(), sources([run])
        joules = {stage.name: stage.joules for stage in stages(run, energy) if stage.joules is not None}
        why = energy.void or NO_FRAMES
    if not joules:
        return unknown(heading, source, why)
    return _horizontal(heading, source, joules)


def energy_per_frame(run: Run) -> Chart:
    """Joules of one frame by rail. Where the total is an input, it holds the rails below it."""
    heading, source = "Energy of one frame by rail", sources([run])
    frames = len(run.frames["index"])
    whole = run.energy()
    if whole.joules is None or not frames or run.log is None:
        return unknown(heading, source, whole.void or NO_FRAMES)
    parts = rail_energy(run.log, run.start_s, run.end_s)
    names = {"input": f"{whole.name} (all)", "sum": "all rails"}
    total = names.get(str(whole.kind), str(whole.name))
    joules = {total: whole.joules / frames}
    for name, part in parts.items():
        each = part.per(frames)
        if name != whole.name and each is not None:
            joules[name] = each
    return _horizontal(heading, source, joules, first=INK)


def _horizontal(heading: str, source: str, joules: Mapping[str, float], first: str = "") -> Chart:
    """Bars of joules with their figures, in the unit that suits the largest."""
    unit, factor = ("mJ", 1e3) if max(joules.values()) < 1 else ("J", 1.0)
    chart = Chart(heading, source, height=0.7 + row_height(list(joules), 0.32) * len(joules))
    axis = chart.axis()
    shades = [*([first] if first else []), *colours(len(joules))][: len(joules)]
    values = [factor * value for value in joules.values()]
    bars = axis.barh(range(len(joules)), values, height=0.62, color=shades)
    written = [row[0] for row in texts([[value] for value in values])]
    # what is too small for the digits of the others is no zero
    least = [
        f"<{text[:-1]}1" if value and not float(text) else text
        for value, text in zip(values, written, strict=True)
    ]
    shown = [f"{text} {unit}" for text in least]
    axis.bar_label(bars, labels=shown, padding=4, fontsize=9, color=INK)
    name_rows(axis, list(joules))
    axis.set_xlim(0, 1.2 * max(values) or 1.0)
    axis.tick_params(labelbottom=False)
    axis.grid(visible=False)
    axis.spines["bottom"].set_visible(False)
    figures = ", ".join(f"{name} {text}" for name, text in zip(joules, shown, strict=True))
    chart.alt = f"{heading}: {figures}."
    return chart


def _below(axis: Any, row: int, small: list[tuple[float, str, str]]) -> None:
    """Names of parts of a bar that are too small to hold them, below the bar."""
    if not small:
        return
    # middles of words, which take less than a quarter of a phone's width, from 9 to 91 % of the bar
    wanted = [(middle - 9) / 82 for middle, _, _ in small]
    for (middle, words, colour), place in zip(small, spread(wanted, 0.27), strict=True):
        stroke = {"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        style = {"ha": "center", "va": "top", "fontsize": 8.5, "color": INK, "arrowprops": stroke}
        axis.annotate(words, (middle, row + 0.26), (9 + 82 * place, row + 0.38), **style)


def sources(runs: Any) -> str:
    """Who measured the power, each once."""
    labels = [run.log.label if run.log is not None else "no power was sampled" for run in runs]
    return "; ".join(dict.fromkeys(labels))
