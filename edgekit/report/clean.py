"""Whether figures of a stretch of time can be trusted: what was seen in it that spoils them.

Only what the log tells is said. A log that cannot tell of throttling says so by `throttling_unknown`; that
alone spoils nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.telemetry.sampler import STALE

if TYPE_CHECKING:
    from edgekit.runlog import Run
    from edgekit.telemetry.log import Log

#: A GPU this busy has no reason of its own to lower its clock.
BUSY_PCT = 80.0
#: Clocks that fall to less than this share of what they were have fallen.
FALLEN = 0.9
#: Samples that a stretch must have before its beginning and its end are compared.
COMPARED = 9


def unclean(log: Log, start_s: float, end_s: float) -> list[str]:
    """Why figures from `start_s` to `end_s` (boot clock) are not clean, a sentence each; [] where they are.

    Throttling, over-current events, clocks that fell under load, power that is not known all the time, a
    gap, a total that became another meter's, or another power mode.
    """
    from edgekit.telemetry.energy import energy

    found = [*throttled(log, start_s, end_s), *_fallen(log, start_s, end_s)]
    measured = energy(log, start_s, end_s)
    if measured.void:
        found.append(f"energy is not known: {measured.void}")
    elif measured.longest_gap_s > STALE * log.interval_s:
        found.append(f"no sample for {measured.longest_gap_s:.1f} s: what happened then is not known")
    found += [
        e.text for e in log.events if e.event == "total" and start_s <= e.t_boot_s <= end_s + log.interval_s
    ]
    modes = [
        mode for mode, inside in zip(log.power_mode, _inside(log, start_s, end_s), strict=True) if inside
    ]
    if len(known := list(dict.fromkeys(mode for mode in modes if mode))) > 1:
        found.append(f"the power mode changed: {' → '.join(known)}")
    return found


def throttled(log: Log, start_s: float, end_s: float) -> list[str]:
    """What held the clocks down, or was counted by the hardware, in a stretch; [] where nothing was seen."""
    inside = np.flatnonzero(_inside(log, start_s, end_s))
    found = []
    held: dict[float, list[str]] = {}
    for reason in dict.fromkeys(reason for i in inside for reason in log.throttle[i]):
        seconds = sum(reason in log.throttle[i] for i in inside) * log.interval_s
        held.setdefault(min(seconds, end_s - start_s), []).append(reason)
    for seconds, reasons in held.items():
        found.append(f"clocks were held down for about {seconds:.1f} s: {', '.join(reasons)}")
    for name, counter in log.oc_events.items():
        # from the last count before the stretch to the first one after it, where there are any
        counted = np.flatnonzero(np.isfinite(counter))
        before = counted[log.t[counted] <= start_s][-1:]
        after = counted[log.t[counted] >= end_s][:1]
        span = np.concatenate([before, np.intersect1d(counted, inside), after])
        rise = int(np.diff(counter[span]).clip(min=0).sum()) if len(span) > 1 else 0
        if rise:
            found.append(f"{rise} over-current event{'s' if rise > 1 else ''} more ({name})")
    return found


def throttling_unknown(log: Log | None) -> str:
    """Why a log cannot tell of throttling, "" where it can."""
    if log is None:
        return "nothing was sampled"
    if not len(log):
        return "there are no samples"
    if log.oc_events or any(log.throttle) or "oc_events" not in log.missing:
        return ""
    return log.missing.get("throttle", "" if log.source.startswith("nvml") else log.missing["oc_events"])


def verdict(run: Run) -> list[str]:
    """Why a run's figures are not clean, a sentence each; [] where they are."""
    found = []
    summary = run.summary
    if summary is None:
        found.append(
            "the run has no end: it was killed, or it goes on; its figures are those of what is there"
        )
    else:
        found += [f"the run failed: {summary['error']}"] if summary.get("error") else []
        found += [str(summary[name]) for name in ("note", "log_note") if summary.get(name)]
    if not len(run.frames["index"]):
        found.append("the run has no frames")
    elif run.log is None:
        found.append("energy is not known: nothing was sampled")
    else:
        found += unclean(run.log, run.start_s, run.end_s)
    return found


def held_down(log: Log) -> list[tuple[float, float, str]]:
    """Stretches in which clocks were held down: from, to (boot clock), why. A sample counts one interval."""
    found: list[tuple[float, float, str]] = []
    before: tuple[str, ...] = ()
    for t, reasons in zip(log.t, log.throttle, strict=True):
        end = float(t) + log.interval_s
        if reasons and reasons == before and t - found[-1][1] <= 2 * log.interval_s:
            found[-1] = (found[-1][0], end, found[-1][2])
        elif reasons:
            found.append((float(t), end, ", ".join(reasons)))
        before = reasons
    return found


def over_current(log: Log) -> list[tuple[float, str, int]]:
    """When counters of over-current events rose: (boot clock, name, by how many)."""
    found = []
    for name, counter in log.oc_events.items():
        known = np.isfinite(counter)
        t, rise = log.t[known][1:], np.diff(counter[known])
        found += [(float(t[i]), name, int(rise[i])) for i in np.flatnonzero(rise > 0)]
    return sorted(found)


def _inside(log: Log, start_s: float, end_s: float) -> NDArray[np.bool_]:
    """The samples of a stretch; those around it where it lies between two samples."""
    inside = (log.t >= start_s) & (log.t <= end_s)
    if not inside.any():
        inside = (log.t >= start_s - log.interval_s) & (log.t <= end_s + log.interval_s)
    return inside


def _fallen(log: Log, start_s: float, end_s: float) -> list[str]:
    """The GPU's clock went down though its load stayed high: medians of the first and the last third."""
    inside = _inside(log, start_s, end_s) & np.isfinite(log.gpu_freq_khz) & np.isfinite(log.gpu_load_pct)
    clock, load = log.gpu_freq_khz[inside] / 1e3, log.gpu_load_pct[inside]
    if len(clock) < COMPARED:
        return []
    third = len(clock) // 3
    before, after = (float(np.median(part)) for part in (clock[:third], clock[-third:]))
    busy = min(float(np.median(load[:third])), float(np.median(load[-third:])))
    if busy < BUSY_PCT or after >= FALLEN * before:
        return []
    return [
        f"the GPU's clock fell from {before:.0f} to {after:.0f} MHz while its load stayed at {busy:.0f} %"
    ]
