"""From what jtop's client gives to a `Sample`."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit.telemetry.sample import Sample, boot_clock, total_of
from edgekit.telemetry.sysfs_find import INPUTS, Throttling, find_rails

#: What jtop leaves out, and why.
REASONS = {
    "power_mode": "jtop found no nvpmodel",
    "jetson_clocks": "jtop found no jetson_clocks",
    "fan_pct": "jtop found no fan",
    "cpu_load_pct": "jtop's first figure is the load since boot",
}


class Rows:
    """Makes samples, and remembers what the total is made of.

    Args:
        root: below it, over-current counters are read from /sys, of which jtop says nothing.
    """

    def __init__(self, root: Path) -> None:
        self._throttling = Throttling(root)
        self._meters = tuple(find_rails(root))
        self._seen: tuple[str, ...] = ()
        # jetson-stats 4 does not know VIN, so that one is the input only once jtop has named it
        self._input = next((name for name in INPUTS[1:] if name in self._meters), "")

    def sample(self, row: dict[str, Any], source: str) -> Sample:
        """The sample of one row of `jtop_child`."""
        missing = {"energy_mj": "these meters count no energy"}
        rails, total, name, kind = self._power(row["power"] or {}, missing)
        oc_events, throttle, wrong = self._throttling.read()
        if wrong or not self._throttling.counters:
            missing["oc_events"] = "; ".join(wrong) or "no over-current counters (soctherm_oc) in /sys"
        gpu: dict[str, Any] = next(iter(row["gpu"].values()), {})
        cpus, mode = row["cpus"], row["mode"]
        speeds = [speed for fan in row["fan"].values() for speed in fan.get("speed", ())]
        values: dict[str, Any] = {
            "power_total_mw": total,
            "gpu_load_pct": gpu.get("status", {}).get("load"),
            "gpu_freq_khz": gpu.get("freq", {}).get("cur"),
            "cpu_load_pct": min(100.0, sum(cpus) / len(cpus)) if cpus else None,
            "ram_used_kb": row["ram"],
            "fan_pct": speeds[0] if speeds else None,
            "power_mode": None if mode is None else mode.removeprefix("MODE_"),
            "jetson_clocks": row["clocks"],
        }
        for field, value in values.items():
            if value is None:
                missing.setdefault(field, REASONS.get(field, "jtop does not tell it on this board"))
        temps = {
            zone: float(reading["temp"])
            for zone, reading in row["temperature"].items()
            if reading.get("online", True) and reading.get("temp", -256) > -200  # -256 stands for off
        }
        if not temps:
            missing["temps_c"] = "jtop found no thermal zone that is on"
        age = boot_clock() - row["uptime"]
        wall = datetime.fromtimestamp(time.time() - age, timezone.utc).isoformat(timespec="milliseconds")
        return Sample(
            t_boot_s=row["uptime"],
            t_wall_iso=wall.replace("+00:00", "Z"),
            source=source,
            power_total_name=name,
            power_total_kind=kind,
            rails_mw=rails,
            temps_c=temps,
            oc_events=oc_events,
            throttle=throttle,
            age_s=max(0.0, age),
            missing=missing,
            **values,
        )

    def _power(
        self, power: dict[str, Any], missing: dict[str, str]
    ) -> tuple[dict[str, float], float | None, str | None, str | None]:
        """Rails, and the total with its name and kind.

        Where jtop could not read a rail, its total is silently the sum of the others; here is none then.
        Never its `avg`, which is no mean.
        """
        rails = {name: float(rail["power"]) for name, rail in power.get("rail", {}).items()}
        if self._meters:  # batteries and USB-C contracts are among jtop's rails, and use nothing themselves
            rails = {name: mw for name, mw in rails.items() if name in self._meters}
        total = power.get("tot", {})
        if total.get("name"):
            self._input = total["name"]
            rails[self._input] = float(total["power"])
        self._seen = tuple(dict.fromkeys((*self._seen, *rails)))
        if not self._seen:
            missing["power_total_mw"] = missing["rails_mw"] = "jtop found no power meter"
            return {}, None, None, None
        lost = [name for name in self._seen if name not in rails]
        if lost:
            missing["rails_mw"] = f"jtop could not read {', '.join(lost)}"
        if self._input:
            if self._input not in rails:
                missing["power_total_mw"] = f"jtop could not read {self._input}"
            return rails, rails.get(self._input), self._input, "input"
        value, name, kind = total_of({**dict.fromkeys(self._seen, 0.0), **rails}, ())
        if lost:
            value, missing["power_total_mw"] = None, missing["rails_mw"]
        return rails, value, name, kind
