"""One reading of power, heat and load: the schema that every sampler fills and every log holds.

Units stand in the names: _mw, _c, _pct, _khz, _kb, _mj, _s. What is not known is None (or not in the
dictionary), and `missing` says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any

#: What a total counts: the board's input, the sum of its rails, the GPU's board, or the CPU's package.
POWER_KINDS = ("input", "sum", "gpu", "cpu")


def boot_clock() -> float:
    """Seconds since boot, suspended time included: the one clock of samples and frames.

    CLOCK_BOOTTIME where there is one (Linux), as jtop's `uptime` counts; the monotonic clock elsewhere.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def wall_iso() -> str:
    """The time of day in UTC to the millisecond, "2026-11-21T13:50:00.123Z"."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Sample:
    """One reading.

    Attributes:
        t_boot_s: when it was measured, on `boot_clock`.
        t_wall_iso: the same moment as a time of day, UTC; for people only, since it may jump.
        source: who measured, with version: "jtop 4.3.2", "sysfs", "nvml 580.159.04", "host", "none".
        seq: number of the sample in its log, from 0.
        emulated: it comes from an emulated board, and is no measurement.
        power_total_mw: power of the moment, in `power_total_kind`'s sense.
        power_total_name: the rail or meter it was read from ("VDD_IN"), or "sum of 4 rails".
        power_total_kind: one of `POWER_KINDS`.
        rails_mw: each rail; never to be added to an input total, which holds them.
        energy_mj: counters of the hardware, cumulative, by meter ("gpu0", "package-0").
        temps_c: each thermal zone that is on, by the board's own name without "-thermal" or "-therm".
        gpu_load_pct, cpu_load_pct: 0 to 100; the CPU's is of all cores together.
        gpu_freq_khz: present clock.
        ram_used_kb: of the machine.
        fan_pct: 0 to 100.
        power_mode: name of the nvpmodel mode.
        jetson_clocks: whether the clocks are held at their highest.
        oc_events: cumulative counters of over-current events, by name ("oc1").
        throttle: reasons for which the clocks are held down at this moment ("thermal", "power cap").
        age_s: how old the reading was when it came here.
        missing: {field: why it is not known}.
    """

    t_boot_s: float
    t_wall_iso: str
    source: str
    seq: int = 0
    emulated: bool = False
    power_total_mw: float | None = None
    power_total_name: str | None = None
    power_total_kind: str | None = None
    rails_mw: dict[str, float] = field(default_factory=dict)
    energy_mj: dict[str, float] = field(default_factory=dict)
    temps_c: dict[str, float] = field(default_factory=dict)
    gpu_load_pct: float | None = None
    gpu_freq_khz: float | None = None
    cpu_load_pct: float | None = None
    ram_used_kb: float | None = None
    fan_pct: float | None = None
    power_mode: str | None = None
    jetson_clocks: bool | None = None
    oc_events: dict[str, int] = field(default_factory=dict)
    throttle: tuple[str, ...] = ()
    age_s: float = 0.0
    missing: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As one line of a log."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Sample:
        """Of one line of a log; fields of a newer version are left out."""
        values = {name: row[name] for name in _NAMES if name in row}
        values["throttle"] = tuple(values.get("throttle", ()))
        return cls(**values)


_NAMES = tuple(f.name for f in fields(Sample))


@dataclass(frozen=True)
class Event:
    """Something a reader of a log must know, at its moment.

    Attributes:
        t_boot_s, t_wall_iso: as of a `Sample`.
        event: "gap" (no sample came; `text` says why), "back" (they come again), "total" (the total is
            another meter's from here on), "throttle" (begun, or counted by the hardware).
        text: in words.
    """

    t_boot_s: float
    t_wall_iso: str
    event: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As one line of a log."""
        return dict(self.__dict__)


def event(kind: str, text: str) -> Event:
    """An event of this moment."""
    return Event(boot_clock(), wall_iso(), kind, text)


def total_of(
    rails_mw: Mapping[str, float], inputs: tuple[str, ...]
) -> tuple[float | None, str | None, str | None]:
    """Total power, its name and its kind: the first rail of `inputs` that is there, else the sum of all.

    Rails that hang behind an input are part of it, and are never added to it.
    """
    for name in inputs:
        if name in rails_mw:
            return rails_mw[name], name, "input"
    if not rails_mw:
        return None, None, None
    return sum(rails_mw.values()), f"sum of {len(rails_mw)} rails", "sum"
