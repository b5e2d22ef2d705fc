"""Any other machine: CPU load, memory and temperatures, and the CPU's power where it can be read."""

from __future__ import annotations

import time
from pathlib import Path

from edgekit.limits import read_text
from edgekit.telemetry.rapl import SHORTEST_S, Rapl
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sysfs import CpuLoad
from edgekit.telemetry.sysfs_find import read_zones

#: Chips of the hwmon class that sit in a CPU. Others are left alone: asking a disk wakes it.
CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")

_NEVER = {
    "gpu_load_pct": "the sampler host reads no GPU",
    "gpu_freq_khz": "the sampler host reads no GPU",
    "fan_pct": "the sampler host reads no fan",
    "power_mode": "not a Jetson",
    "jetson_clocks": "not a Jetson",
    "oc_events": "not a Jetson",
    "throttle": "the sampler host does not tell what holds the clocks down",
}


def open_host(root: Path | str = "/") -> HostProbe:
    """A probe of this machine; it always opens.

    Args:
        root: folder that holds sys.
    """
    return HostProbe(Path(root))


class HostProbe:
    """A `Probe`. Power is the CPU packages' (RAPL), of the time since the reading before."""

    name, emulated, paced = "host", False, False

    def __init__(self, root: Path) -> None:
        self._rapl = Rapl(root)
        self._zones = find_temps(root)
        self._cpu = CpuLoad()
        self._last_s = boot_clock()
        self._rapl.read(self._last_s)
        if self._rapl.packages:
            self.why = f"this machine's CPU: power of {self._rapl.total_name} by its own counters (RAPL)"
        else:
            self.why = "this machine's CPU load, memory and heat"

    def read(self) -> Sample:
        """One reading. The first one waits until there is a stretch of time to speak of."""
        import psutil

        time.sleep(min(SHORTEST_S, max(0.0, self._last_s + SHORTEST_S - boot_clock())))
        missing = dict(_NEVER)
        self._last_s, t_wall_iso = boot_clock(), wall_iso()
        self._rapl.read(self._last_s)
        total = self._rapl.total_mw
        if self._rapl.why:
            missing["power_total_mw" if total is None else "rails_mw"] = self._rapl.why
        meters = [m for m in self._rapl.packages + self._rapl.others if m.power_mw is not None]
        energy = {meter.name: meter.energy_mj for meter in self._rapl.packages if meter.power_mw is not None}
        if not energy:
            missing["energy_mj"] = self._rapl.why
        temps, wrong = read_zones(self._zones)
        if wrong or not temps:
            missing["temps_c"] = "; ".join(wrong) or "this machine shows no temperatures"
        load = self._cpu.read()
        if load is None:
            missing["cpu_load_pct"] = "too little time since the last reading"
        memory = psutil.virtual_memory()
        return Sample(
            t_boot_s=self._last_s,
            t_wall_iso=t_wall_iso,
            source="host",
            power_total_mw=None if total is None else round(total, 3),
            power_total_name=None if total is None else self._rapl.total_name,
            power_total_kind=None if total is None else "cpu",
            rails_mw={meter.name: round(meter.power_mw or 0.0, 3) for meter in meters},
            energy_mj={name: round(value, 3) for name, value in energy.items()},
            temps_c=temps,
            cpu_load_pct=None if load is None else round(load, 2),
            ram_used_kb=(memory.total - memory.available) // 1024,
            missing=missing,
        )

    def close(self) -> None:
        """Nothing is held open between readings."""


def find_temps(root: Path) -> dict[str, str]:
    """{name: file} of the thermal zones and of the CPU's own sensors, single cores left out."""
    found: dict[str, str] = {}

    def add(name: str, file: Path) -> None:
        taken = sum(other == name or other.startswith(f"{name} #") for other in found)
        found[f"{name} #{taken + 1}" if taken else name] = str(file)

    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        add(read_text(folder / "type") or folder.name, folder / "temp")
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        kind = read_text(chip / "name")
        if kind in CPU_CHIPS:
            for file in sorted(chip.glob("temp*_input")):
                label = read_text(file.with_name(file.name.replace("_input", "_label"))) or ""
                if not label.startswith("Core "):
                    add(f"{kind} {label}".strip(), file)
    return found


class NoProbe:
    """A `Probe` of nothing: time goes on, and every figure is unknown."""

    name, emulated, paced = "none", False, False
    why = "nothing is measured"

    def read(self) -> Sample:
        """A sample without a figure."""
        missing = dict.fromkeys(_NEVER, "nothing is measured")
        for field in ("power_total_mw", "temps_c", "cpu_load_pct", "ram_used_kb", "energy_mj"):
            missing[field] = "nothing is measured (sampler none)"
        return Sample(boot_clock(), wall_iso(), "none", missing=missing)

    def close(self) -> None:
        """Nothing to free."""
