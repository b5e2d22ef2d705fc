"""Joules of a stretch of time, by rules that void a figure rather than invent one.

Power of the moment is integrated by the trapezoid over the boot clock, clipped to the stretch; where the
hardware counts joules itself, its counter is taken. A gap of more than three intervals voids the figure of
the trapezoid, and does a counter no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.telemetry.sampler import STALE

if TYPE_CHECKING:
    from edgekit.telemetry.log import Log

TRAPEZOID, COUNTER = "trapezoid", "hardware counter"


@dataclass(frozen=True)
class Energy:
    """Energy of a stretch of time.

    Attributes:
        joules: of the whole stretch, or None where it is void.
        mean_w, min_w, max_w: power over the stretch, in watts; None without samples.
        seconds: length of the stretch.
        coverage: share of it with samples no further apart than the void rule allows, 0 to 1.
        longest_gap_s: longest time without a sample, the ends of the stretch included.
        method: "trapezoid" or "hardware counter"; "" where it is void.
        name, kind: of the total ("VDD_IN", "input"); see `Sample`.
        source: who measured.
        emulated: it is no measurement.
        void: why there is no figure, "" where there is one.
        baseline_w: idle power that `above_idle` leaves out, or None.
        notes: what a reader must know beside the figure.
    """

    joules: float | None
    mean_w: float | None
    min_w: float | None
    max_w: float | None
    seconds: float
    coverage: float
    longest_gap_s: float
    method: str
    name: str | None
    kind: str | None
    source: str
    emulated: bool
    void: str = ""
    baseline_w: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def above_idle(self) -> float | None:
        """Joules above the idle baseline; None where either is unknown."""
        if self.joules is None or self.baseline_w is None:
            return None
        return self.joules - self.baseline_w * self.seconds

    def per(self, count: int) -> float | None:
        """Joules a frame (or whatever was counted); None where void or nothing was counted."""
        return None if self.joules is None or count < 1 else self.joules / count

    def __str__(self) -> str:
        mark = "emulated, " if self.emulated else ""
        if self.joules is None:
            return f"energy unknown: {self.void}"
        return (
            f"{self.joules:.2f} J, {self.mean_w:.2f} W over {self.seconds:.1f} s "
            f"({mark}{self.source}, {self.name}, {self.method}, coverage {self.coverage:.0%})"
        )


def energy(log: Log, start_s: float, end_s: float, *, baseline_w: float | None = None) -> Energy:
    """Energy from `start_s` to `end_s`, both on the boot clock.

    Args:
        log: samples; those around the stretch are used to interpolate at its ends.
        start_s, end_s: seconds.
        baseline_w: idle power, as `idle` gives it, for `Energy.above_idle`.
    """
    seconds = max(0.0, end_s - start_s)
    limit = STALE * log.interval_s
    known = np.isfinite(log.power_w)
    t, power = log.t[known], log.power_w[known]
    longest, coverage = _gaps(t, start_s, end_s, limit)
    joules = mean = low = high = None
    method, void, notes = "", "", []
    if len(t) and seconds > 0:
        at, watts = _clip(t, power, start_s, end_s, limit)
        if len(at):
            low, high = float(watts.min()), float(watts.max())
            mean = _mean(at, watts, limit)
    counted = _counted(log, start_s, end_s, limit) if seconds > 0 else None
    if counted is not None:
        joules, method = counted, COUNTER
        mean = counted / seconds
    elif mean is None:
        void = _no_power(log) if seconds > 0 else "no time went by"
    elif longest > limit:
        void = (
            f"no sample for {longest:.1f} s, which is more than {STALE:g} intervals of {log.interval_s:g} s"
        )
    else:
        joules, method = mean * seconds, TRAPEZOID
        if coverage < 0.99:
            notes.append(f"{1 - coverage:.0%} of the time has no samples; the mean stands for it")
    names = [e.text for e in log.events if e.event == "total" and start_s <= e.t_boot_s <= end_s]
    return Energy(
        joules,
        mean,
        low,
        high,
        seconds,
        coverage,
        longest,
        method,
        log.power_total_name,
        log.power_total_kind,
        log.source,
        log.emulated,
        void,
        baseline_w,
        (*notes, *names),
    )


def of_work_on(spent: Energy, device: str) -> Energy:
    """The energy of a network that ran on `device`; void where the meter does not hold that device.

    Args:
        spent: by whichever meter there is.
        device: as of `Engine`: CPUs have "CPU" in their name there.
    """
    on_cpu = "CPU" in device
    if (
        spent.joules is None
        or not device
        or spent.kind not in ("gpu", "cpu")
        or (spent.kind == "cpu") == on_cpu
    ):
        return spent
    mine, where = ("GPU", "CPU") if on_cpu else ("CPU", "GPU")
    void = f"{spent.name} is the {mine}'s meter, and the network ran on the {where}"
    return replace(spent, joules=None, method="", void=void)


def idle(log: Log, start_s: float, end_s: float) -> float | None:
    """Idle power in watts: the median between two moments, which a short wake-up does not move."""
    inside = log.power_w[(log.t >= start_s) & (log.t <= end_s)]
    inside = inside[np.isfinite(inside)]
    return float(np.median(inside)) if len(inside) else None


def by_stage(joules: float | None, busy_s: Mapping[str, float]) -> dict[str, float]:
    """Joules shared out by the time each stage was busy; empty where there is nothing to share.

    An attribution and no measurement: a meter that is read twice a second sees whole frames only, and a
    second of a CPU stage need not cost what a second of the GPU costs.
    """
    total = sum(busy_s.values())
    if joules is None or total <= 0:
        return {}
    return {name: joules * seconds / total for name, seconds in busy_s.items()}


def _clip(
    t: NDArray[np.float64], power: NDArray[np.float64], start: float, end: float, limit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The samples of a stretch, with interpolated ones at its ends where neighbours are near enough."""
    first, last = np.searchsorted(t, [start, end], side="left")
    last = int(np.searchsorted(t, end, side="right"))
    at, watts = list(t[first:last]), list(power[first:last])

    def edge(moment: float, after: int) -> float | None:
        if 0 < after < len(t) and t[after] - t[after - 1] <= limit:
            return float(np.interp(moment, t[after - 1 : after + 1], power[after - 1 : after + 1]))
        return None

    begins = edge(start, int(first))
    if begins is not None and (not at or at[0] > start):
        at, watts = [start, *at], [begins, *watts]
    ends = edge(end, last)
    if ends is not None and (not at or at[-1] < end):
        at, watts = [*at, end], [*watts, ends]
    return np.array(at), np.array(watts)


def _mean(t: NDArray[np.float64], power: NDArray[np.float64], limit: float) -> float:
    """Mean by the trapezoid over the pairs of samples that are near enough to each other."""
    step = np.diff(t)
    near = step <= limit
    if not near.any():
        return float(power.mean())
    area = (step * (power[1:] + power[:-1]) / 2)[near].sum()
    return float(area / step[near].sum())


def _gaps(t: NDArray[np.float64], start: float, end: float, limit: float) -> tuple[float, float]:
    """Longest time without a sample within a stretch, and the share of it that is covered."""
    if end <= start:
        return 0.0, 0.0
    # the neighbours outside, so that a stretch between two samples is covered by their line
    first = max(0, int(np.searchsorted(t, start, side="right")) - 1)
    last = int(np.searchsorted(t, end, side="left")) + 1
    near = t[first:last]
    if not len(near):
        return end - start, 0.0
    points = np.concatenate([[min(start, near[0])], near, [max(end, near[-1])]])
    lower, upper = points[:-1], points[1:]
    inside = (np.minimum(upper, end) - np.maximum(lower, start)).clip(0)
    measured = np.ones(len(lower), bool)
    measured[0] = measured[-1] = False  # before the first sample, after the last one
    gap = np.where(measured, upper - lower, inside)
    covered = inside[measured & (gap <= limit)].sum()
    return float(gap[inside > 0].max(initial=0.0)), float(covered / (end - start))


def _counted(log: Log, start: float, end: float, limit: float) -> float | None:
    """Joules by the hardware's own counters, all of them together; None where they do not span it."""
    total = 0.0
    for counter in log.energy_j.values():
        known = np.isfinite(counter)
        t, joules = log.t[known], counter[known]
        if len(t) < 2 or (np.diff(joules) < 0).any():
            return None
        if t[0] > start + limit or t[-1] < end - limit:
            return None
        begun, ended = np.interp([start, end], t, joules)
        # what lies outside the samples is their mean power's
        outside = max(0.0, t[0] - start) + max(0.0, end - t[-1])
        total += float(ended - begun) + outside * float(joules[-1] - joules[0]) / float(t[-1] - t[0])
    return total if log.energy_j else None


def _no_power(log: Log) -> str:
    if not len(log.t):
        return "there are no samples"
    return log.missing.get("power_total_mw", f"{log.source} has no power")
