"""Power and heat while a sweep goes on, and what they were during one case."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.limits import usable_cores
from edgekit.telemetry.log import Log
from edgekit.telemetry.sample import Event, Sample, boot_clock
from edgekit.telemetry.sampler import Sampler

#: Other programs that take more than this share of all cores spoil a measurement.
OTHERS_PCT = 20.0
#: Samples this long before and after a case are looked at too: its ends lie between two samples.
AROUND_S = 3.0


class Watch:
    """Keeps every sample of a sampler while it is open; the sampler is closed with it."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self._seen: list[Sample | Event] = []
        sampler.add(self._seen.append)

    def __enter__(self) -> Watch:
        self.sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sampler.stop()

    def log(self, start_s: float, end_s: float) -> Log:
        """The samples around a stretch of time; waits for the one after it."""
        while boot_clock() - end_s < AROUND_S:
            last = self.sampler.latest
            if (last is not None and last.t_boot_s >= end_s) or not self.sampler.wait(1):
                break
        near = [s for s in list(self._seen) if start_s - AROUND_S <= s.t_boot_s <= end_s + AROUND_S]
        samples = [s for s in near if isinstance(s, Sample)]
        return Log.of(samples, self.sampler.interval, [s for s in near if isinstance(s, Event)])

    def idle_w(self, seconds: float) -> float | None:
        """Power of the machine doing nothing, in watts; None at once where power is not measured."""
        from edgekit.telemetry.energy import idle

        self.sampler.wait(1)
        latest = self.sampler.latest
        if latest is None or latest.power_total_mw is None:
            return None
        start = boot_clock()
        self.sampler.wait(max(2, round(seconds / self.sampler.interval)))
        return idle(self.log(start, boot_clock()), start, boot_clock())


def figures(
    log: Log,
    start_s: float,
    end_s: float,
    pictures: int,
    idle_w: float | None = None,
    subtract_idle: bool = False,
    busy_s: float | None = None,
    device: str = "",
) -> dict[str, Any]:
    """Power, energy, clocks, heat and cleanness of a stretch in which so many pictures were done.

    What is not known is None; `power_unknown` says why.

    Args:
        idle_w: power of the machine doing nothing, left out of the figures with `subtract_idle`.
        busy_s: CPU seconds of the worker, by which other programs are told; None: they are not.
        device: what did the work, as of `Engine`: joules of another device's meter are not its.
    """
    from edgekit.report.clean import throttling_unknown, unclean
    from edgekit.telemetry.energy import energy, of_work_on

    used = of_work_on(energy(log, start_s, end_s, baseline_w=idle_w), device)
    joules, watts, unknown = used.joules, used.mean_w, used.void
    if subtract_idle:
        joules = used.above_idle
        watts = None if joules is None else joules / used.seconds
        unknown = unknown or ("" if joules is not None else "the idle power is not known")
    inside = (log.t >= start_s) & (log.t <= end_s)
    first, last, zone = _heat(log, inside)
    modes = [mode for mode, here in zip(log.power_mode, inside, strict=True) if here and mode]
    held = [s.jetson_clocks for s in log.samples() if s.jetson_clocks is not None]
    # Not knowing the watts spoils no milliseconds: that is said where the watts would stand.
    spoilt = [why for why in unclean(log, start_s, end_s) if not why.startswith("energy is not known")]
    spoilt += _others(_mean(log.cpu_load_pct, inside), busy_s, end_s - start_s)
    return {
        "watts": None if joules is None else watts,
        "joules": joules,
        "j_per_frame": None if joules is None or not pictures else joules / pictures,
        "idle_w": idle_w,
        "idle_subtracted": subtract_idle and joules is not None,
        "power_unknown": unknown,
        "power": log.label,
        "power_kind": log.power_total_kind,
        "energy_method": used.method,
        "emulated": log.emulated,
        "sampler": log.source,
        "gpu_pct": _mean(log.gpu_load_pct, inside),
        "gpu_mhz": _scaled(_mean(log.gpu_freq_khz, inside), 1e-3),
        "temp_start_c": first,
        "temp_end_c": last,
        "temp_zone": zone,
        "power_mode": modes[-1] if modes else None,
        "jetson_clocks": held[-1] if held else None,
        "unclean": spoilt,
        "throttling_unknown": throttling_unknown(log),
    }


def _heat(log: Log, inside: NDArray[np.bool_]) -> tuple[float | None, float | None, str | None]:
    """Temperature at the beginning and the end of the zone that ended hottest."""
    known = {name: degrees[inside] for name, degrees in log.temps_c.items()}
    known = {name: d[np.isfinite(d)] for name, d in known.items() if np.isfinite(d).any()}
    if not known:
        return None, None, None
    zone = max(known, key=lambda name: float(known[name][-1]))
    return float(known[zone][0]), float(known[zone][-1]), zone


def _others(load_pct: float | None, busy_s: float | None, seconds: float) -> list[str]:
    """Whether other programs kept the cores busy; not told where this process may not use all of them."""
    cores = os.cpu_count() or 1
    if load_pct is None or busy_s is None or usable_cores() != cores:
        return []
    others = load_pct - 100 * busy_s / seconds / cores
    return [f"other programs took {others:.0f} % of the CPU meanwhile"] if others > OTHERS_PCT else []


def _mean(column: NDArray[np.float64], inside: NDArray[np.bool_]) -> float | None:
    values = column[inside & np.isfinite(column)]
    return float(values.mean()) if len(values) else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
