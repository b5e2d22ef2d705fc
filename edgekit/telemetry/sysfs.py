"""Power, heat and load of a Jetson straight from /sys, which needs neither jtop nor root."""

from __future__ import annotations

from pathlib import Path

from edgekit.device import find_power_mode
from edgekit.errors import MissingError
from edgekit.telemetry.sample import Sample, boot_clock, total_of, wall_iso
from edgekit.telemetry.sampler import ProbeError
from edgekit.telemetry.sysfs_find import (
    INPUTS,
    Throttling,
    find_fan,
    find_gpu,
    find_rails,
    find_zones,
    read_number,
    read_zones,
    reason,
)


def open_sysfs(root: Path | str = "/") -> SysfsProbe:
    """A probe of the power meters below `root`.

    Raises:
        MissingError: there are none.
    """
    return SysfsProbe(Path(root))


class CpuLoad:
    """Load of all cores together, in percent, since the last call."""

    def __init__(self) -> None:
        self._last = self._times()

    def _times(self) -> tuple[float, float]:
        import psutil

        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # a guest's time is counted in `user` too
        return sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0), idle

    def read(self) -> float | None:
        """0 to 100; None where less than a tick has passed since the last call."""
        now = self._times()
        total, idle = now[0] - self._last[0], now[1] - self._last[1]
        if total <= 0:
            return None
        self._last = now
        return min(100.0, max(0.0, 100.0 * (total - idle) / total))


class SysfsProbe:
    """A `Probe`. Its files are found once; a rail whose driver came back under another name is found again.

    A file that does not give its figure leaves that figure out, with the reason. The total's meaning never
    changes: where the input (or a rail of the sum) is not read, there is no total in that sample.
    """

    name, emulated, paced = "sysfs", False, False

    def __init__(self, root: Path, source: str = "sysfs") -> None:
        self._root, self._source = root, source
        self._rails = find_rails(root)
        if not self._rails:
            raise MissingError(
                f"no power rails in {root / 'sys/bus/i2c/devices'}: this is no Jetson, or its power meters "
                "(INA3221, INA238) are hidden from this container. Cure there: run it with -v /sys:/sys."
            )
        values = dict.fromkeys(self._rails, 0.0)
        _, self.total_name, self._total_kind = total_of(values, INPUTS)
        self.why = f"power of {self.total_name} from /sys"
        self._zones, self._throttling = find_zones(root), Throttling(root)
        self._fan, (self._clock, self._load) = find_fan(root), find_gpu(root)
        self._cpu = CpuLoad()
        self._mode_of: tuple[object, str | None, str] = (object(), None, "")
        self._never = self._absent()

    def _absent(self) -> dict[str, str]:
        """What this board never gives."""
        never = {"energy_mj": "these meters count no energy", "jetson_clocks": "jtop alone tells it"}
        for field, there, why in (
            ("temps_c", self._zones, "no thermal zones in /sys/class/thermal"),
            ("oc_events", self._throttling.counters, "no over-current counters (soctherm_oc) in /sys"),
            ("fan_pct", self._fan, "no fan in /sys/class/hwmon"),
            ("gpu_freq_khz", self._clock, "no GPU in /sys/class/devfreq"),
            ("gpu_load_pct", self._load, "the GPU's driver tells no load in /sys"),
        ):  # fmt: skip
            if not there:
                never[field] = why
        return never

    def read(self) -> Sample:
        """One reading of this moment; ProbeError where neither a rail nor a zone can be read."""
        import psutil

        t_boot_s, t_wall_iso = boot_clock(), wall_iso()
        missing = dict(self._never)
        rails, broken = self._read_rails()
        temps, cold = read_zones(self._zones)
        if not rails and not temps:
            raise ProbeError("; ".join(broken.values()))
        total, name, kind = total_of(rails, INPUTS)
        if (name, kind) != (self.total_name, self._total_kind):
            total = None  # not what it meant before: a rail of it is missing now
            missing["power_total_mw"] = "; ".join(broken.values())
        if broken:
            missing["rails_mw"] = "; ".join(broken.values())
        if cold:
            missing["temps_c"] = "; ".join(cold)
        oc_events, throttle, wrong = self._throttling.read()
        if wrong:
            missing["oc_events"] = "; ".join(wrong)
        cpu_load = self._cpu.read()
        if cpu_load is None:
            missing["cpu_load_pct"] = "too little time since the last reading"
        memory = psutil.virtual_memory()
        return Sample(
            t_boot_s=t_boot_s,
            t_wall_iso=t_wall_iso,
            source=self._source,
            emulated=self.emulated,
            power_total_mw=total,
            power_total_name=self.total_name,
            power_total_kind=self._total_kind,
            rails_mw=rails,
            temps_c=temps,
            gpu_load_pct=self._value("gpu_load_pct", self._load, 0.1, missing),
            gpu_freq_khz=self._value("gpu_freq_khz", self._clock, 1e-3, missing),
            cpu_load_pct=cpu_load,
            ram_used_kb=(memory.total - memory.available) / 1024,
            fan_pct=self._value("fan_pct", self._fan, 100 / 255, missing),
            power_mode=self._mode(missing),
            oc_events=oc_events,
            throttle=throttle,
            missing=missing,
        )

    def close(self) -> None:
        """Nothing is held open between readings."""

    def _read_rails(self) -> tuple[dict[str, float], dict[str, str]]:
        """mW of each rail, and why others have none."""
        rails: dict[str, float] = {}
        broken: dict[str, str] = {}
        vanished = False
        for name, files in self._rails.items():
            try:
                rails[name] = files.read_mw()
            except (OSError, ValueError) as error:
                broken[name] = reason(name, error)
                vanished = vanished or isinstance(error, FileNotFoundError)
        if vanished:  # a driver that was loaded anew has another hwmon number; for the next reading
            found = find_rails(self._root)
            self._rails = {name: found.get(name, files) for name, files in self._rails.items()}
        return rails, broken

    def _value(self, field: str, path: str, factor: float, missing: dict[str, str]) -> float | None:
        if not path:
            return None
        try:
            return read_number(path) * factor
        except (OSError, ValueError) as error:
            missing[field] = reason(path.rsplit("/", 1)[-1], error)
            return None

    def _mode(self, missing: dict[str, str]) -> str | None:
        """The power mode; its files are read again when the one that holds its number has changed."""
        try:
            stat = (self._root / "var/lib/nvpmodel/status").stat()
            stamp: object = (stat.st_ino, stat.st_mtime_ns)
        except OSError:
            stamp = None
        if stamp != self._mode_of[0]:
            self._mode_of = (stamp, *find_power_mode(self._root))
        _, mode, why = self._mode_of
        if mode is None:
            missing["power_mode"] = why
        return mode
