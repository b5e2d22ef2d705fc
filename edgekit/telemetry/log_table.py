"""What a stretch of a log was, as a short table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.telemetry.energy import energy
from edgekit.telemetry.log import Log


def text(
    log: Log,
    start_s: float,
    end_s: float,
    *,
    baseline_w: float | None = None,
    path: Path | None = None,
    lost: int = 0,
) -> str:
    """Joules, power, coverage, heat and throttling from `start_s` to `end_s` (boot clock).

    Args:
        log: the samples.
        baseline_w: idle power, to tell what is above it.
        path: where the log is kept; None: nowhere.
        lost: samples that could not be written.
    """
    cost = energy(log, start_s, end_s, baseline_w=baseline_w)
    inside = (log.t >= start_s) & (log.t <= end_s)
    rows = [("power", log.label)]
    if cost.joules is None:
        rows.append(("energy", f"unknown: {cost.void}"))
    else:
        rows.append(("energy", f"{_digits(cost.joules)} J, by {cost.method}"))
        if cost.above_idle is not None and cost.baseline_w is not None:
            idle = f"{_digits(cost.above_idle)} J above the idle {cost.baseline_w:.2f} W"
            rows.append(("above idle", idle))
    if cost.mean_w is not None:
        low_high = "" if cost.min_w is None else f", lowest {cost.min_w:.2f}, highest {cost.max_w:.2f}"
        rows.append(("mean", f"{cost.mean_w:.2f} W{low_high}"))
    known = int((inside & np.isfinite(log.power_w)).sum())
    rows.append(("time", f"{cost.seconds:.2f} s, {int(inside.sum())} samples, {known} with power"))
    if known:
        covered = f"{cost.coverage:.0%} of the time; longest gap {cost.longest_gap_s:.2f} s"
        rows.append(("covered", f"{covered} at an interval of {log.interval_s:g} s"))
    rows.append(("hottest", _hottest(log, inside)))
    rows.append(("throttled", _throttled(log, inside)))
    if modes := sorted({mode for mode, there in zip(log.power_mode, inside, strict=True) if there and mode}):
        rows.append(("mode", ", ".join(modes)))
    rows += [("note", note) for note in cost.notes]
    if lost:
        rows.append(("lost", f"{lost} samples could not be written"))
    if path is not None:
        rows.append(("log", str(path)))
    return "\n".join(f"{name:<11}{words}" for name, words in rows)


def _digits(joules: float) -> str:
    """As many digits as a meter is worth, never as a power of ten."""
    size = abs(joules)
    return f"{round(joules, 3) + 0.0:.{3 if size < 1 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def _hottest(log: Log, inside: np.ndarray) -> str:
    peaks = {
        zone: float(np.nanmax(column[inside]))
        for zone, column in log.temps_c.items()
        if np.isfinite(column[inside]).any()
    }
    if not peaks:
        return f"unknown: {log.missing.get('temps_c', 'no zone was read')}"
    zone = max(peaks, key=peaks.__getitem__)
    return f"{zone}, {peaks[zone]:.1f} °C"


def _throttled(log: Log, inside: np.ndarray) -> str:
    held = [reasons for reasons, there in zip(log.throttle, inside, strict=True) if there]
    words = []
    if any(held):
        named = ", ".join(dict.fromkeys(reason for reasons in held for reason in reasons))
        words.append(f"in {sum(map(bool, held))} of {len(held)} samples: {named}")
    for name, column in log.oc_events.items():
        counts = column[inside & np.isfinite(column)]
        if len(counts) and counts[-1] > counts[0]:
            words.append(f"{name}: {counts[-1] - counts[0]:.0f} over-current events")
    if words:
        return "; ".join(words)
    blind = log.missing.get("throttle")
    if not blind and not log.oc_events and log.power_total_kind != "gpu":  # a GPU's driver tells all itself
        blind = log.missing.get("oc_events")
    return f"nothing seen ({blind})" if blind else "no"
