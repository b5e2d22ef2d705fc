"""Emulated boards: folders that look like a Jetson's /sys, for laptops without a board and for the tests.

The names of rails, zones, modes and files are those of the boards. Every figure is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import InputError


@dataclass(frozen=True)
class Rail:
    """One power rail: `idle_mw` and `full_mw` are what the emulation gives it, round and made up."""

    mv: int
    idle_mw: int
    full_mw: int


@dataclass(frozen=True)
class Board:
    """What tells one board from another.

    Attributes:
        title: as people call it.
        meters: {I2C address: {channel: rail}}; "NC" is a channel that nothing hangs on.
        zones: thermal zones; one that ends in "!" is off, as those of unused vision cores are.
        modes: names of the nvpmodel modes, in the order of their numbers.
        gpu: folder of the GPU below /sys/devices/platform, and its name in the device tree; None where
            the driver (Thor's) gives its clock alone.
        gpu_khz: its lowest and highest clock.
        old: JetPack 4, where the power meters are iio devices.
        vin: the INA238 before everything, by I2C address.
    """

    title: str
    meters: Mapping[str, Mapping[int, str]]
    rails: Mapping[str, Rail]
    zones: tuple[str, ...]
    modes: tuple[str, ...]
    gpu: tuple[str, str] | None
    gpu_khz: tuple[int, int]
    old: bool = False
    vin: str = ""


_ORIN_ZONES = ("cpu-thermal", "gpu-thermal", "cv0-thermal!", "soc0-thermal", "soc1-thermal", "soc2-thermal",
               "tj-thermal")  # fmt: skip
_XAVIER_ZONES = ("A0-therm", "CPU-therm", "GPU-therm", "AUX-therm", "PMIC-Die", "thermal-fan-est")
_MODULE = {"1-0040": {1: "VDD_IN", 2: "VDD_CPU_GPU_CV", 3: "VDD_SOC"}}
_ORIN_GPU = ("17000000.gpu", "gpu")

BOARDS: dict[str, Board] = {
    "orin-nano": Board(
        "Orin Nano", _MODULE,
        {"VDD_IN": Rail(4900, 4900, 15000), "VDD_CPU_GPU_CV": Rail(4900, 700, 8000),
         "VDD_SOC": Rail(4900, 1400, 3200)},
        _ORIN_ZONES, ("15W", "25W", "MAXN_SUPER"), _ORIN_GPU, (306_000, 624_750),
    ),
    "orin-nx": Board(
        "Orin NX", _MODULE,
        {"VDD_IN": Rail(5000, 5200, 25000), "VDD_CPU_GPU_CV": Rail(5000, 800, 15000),
         "VDD_SOC": Rail(5000, 1600, 4500)},
        _ORIN_ZONES, ("MAXN", "10W", "15W", "25W"), _ORIN_GPU, (306_000, 918_000),
    ),
    "agx-orin": Board(
        "AGX Orin",
        {"1-0040": {1: "VDD_GPU_SOC", 2: "VDD_CPU_CV", 3: "VIN_SYS_5V0"},
         "1-0041": {1: "NC", 2: "VDDQ_VDD2_1V8AO", 3: "NC"}},
        {"VDD_GPU_SOC": Rail(19000, 3800, 25000), "VDD_CPU_CV": Rail(19000, 1140, 12000),
         "VIN_SYS_5V0": Rail(5000, 4000, 8000), "VDDQ_VDD2_1V8AO": Rail(19000, 760, 3000)},
        ("cpu-thermal", "gpu-thermal", "cv0-thermal!", "cv1-thermal!", "cv2-thermal!", "soc0-thermal",
         "soc1-thermal", "soc2-thermal", "tj-thermal"),
        ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"), _ORIN_GPU, (306_000, 1_300_500),
    ),
    "xavier-nx": Board(
        "Xavier NX", {"7-0040": _MODULE["1-0040"]},
        {"VDD_IN": Rail(5000, 3500, 15000), "VDD_CPU_GPU_CV": Rail(5000, 600, 9000),
         "VDD_SOC": Rail(5000, 1000, 3000)},
        _XAVIER_ZONES,
        ("MODE_15W_2CORE", "MODE_15W_4CORE", "MODE_15W_6CORE", "MODE_10W_2CORE", "MODE_10W_4CORE"),
        ("17000000.gv11b", "gv11b"), (114_750, 1_109_250),
    ),
    "agx-xavier": Board(
        "AGX Xavier",
        {"1-0040": {1: "GPU", 2: "CPU", 3: "SOC"}, "1-0041": {1: "CV", 2: "VDDRQ", 3: "SYS5V"}},
        {"GPU": Rail(19000, 570, 12000), "CPU": Rail(19000, 760, 8000), "SOC": Rail(19000, 1140, 4000),
         "CV": Rail(19000, 0, 2000), "VDDRQ": Rail(19000, 380, 2000), "SYS5V": Rail(5000, 1500, 3000)},
        ("A0-therm", "CPU-therm", "GPU-therm", "AUX-therm", "Tboard_tegra", "PMIC-Die"),
        ("MAXN", "MODE_10W", "MODE_15W", "MODE_30W_ALL"), ("17000000.gv11b", "gv11b"), (114_750, 1_377_000),
    ),
    "nano": Board(
        "Nano", {"6-0040": {0: "POM_5V_IN", 1: "POM_5V_GPU", 2: "POM_5V_CPU"}},
        {"POM_5V_IN": Rail(5080, 2000, 10000), "POM_5V_GPU": Rail(5080, 150, 4000),
         "POM_5V_CPU": Rail(5080, 600, 4000)},
        ("AO-therm", "CPU-therm", "GPU-therm", "PLL-therm", "PMIC-Die", "thermal-fan-est"),
        ("MAXN", "5W"), ("57000000.gpu", "gpu"), (76_800, 921_600), old=True,
    ),
    "thor": Board(
        "AGX Thor", {"2-0040": {1: "VDD_GPU", 2: "VDD_CPU_SOC_MSS", 3: "VIN_SYS_5V0"}},
        {"VIN": Rail(19800, 31700, 120000), "VDD_GPU": Rail(12000, 3600, 60000),
         "VDD_CPU_SOC_MSS": Rail(12000, 8400, 30000), "VIN_SYS_5V0": Rail(5000, 4500, 9000)},
        ("cpu-thermal", "gpu-thermal", "soc012-thermal", "soc345-thermal", "tj-thermal"),
        ("MAXN", "120W"), None, (315_000, 1_575_000), vin="2-0044",
    ),
}  # fmt: skip

#: What a zone gives that is off (older kernels; newer ones refuse the reading).
OFFLINE_MILLI_C = -256_000
#: Over-current counters: under-voltage, average and instantaneous over-current (Jetson Orin's order).
OC_COUNTERS = (1, 2, 3)


def find_board(name: str) -> Board:
    """The board called `name`, "orin-nano" and so on.

    Raises:
        InputError: there is none of that name; the message lists all.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in BOARDS:
        raise InputError(f"there is no emulated board {name!r}; there are {', '.join(BOARDS)}.")
    return BOARDS[key]


class BoardTree:
    """The files of a board below `root`: sys, etc and var.

    A changed file is written aside and renamed, since a reader that meets an empty one fails: the real
    ones are never empty.

    Args:
        root: an empty folder on one file system.
        board: what to write; it starts idle, at 45 °C, in mode 0.
    """

    def __init__(self, root: Path, board: Board) -> None:
        self.root, self.board = root, board
        self.sys = root / "sys"
        self.current: dict[str, Path] = {}  # of each rail: the file with its mA (µW of VIN)
        self._zones: dict[str, Path] = {}
        root.mkdir(parents=True, exist_ok=True)
        for number, (address, channels) in enumerate(board.meters.items()):
            self._meter(address, number, channels)
        if board.vin:
            self._vin()
        for number, zone in enumerate(board.zones):
            self._zone(number, zone)
        self._gpu()
        modes = [f"< POWER_MODEL ID={i} NAME={name} >" for i, name in enumerate(board.modes)]
        self._write(root / "etc/nvpmodel.conf", "\n".join(modes))
        self._write(self.sys / "class/hwmon/hwmon1/name", "pwm_tach")
        self._write(self.sys / "class/hwmon/hwmon1/rpm", 1500)
        self._write(self.sys / "class/hwmon/hwmon2/name", "pwmfan")
        self._write(self.sys / "class/hwmon/hwmon3/name", "soctherm_oc")
        for number in OC_COUNTERS:
            self._write(self.sys / f"class/hwmon/hwmon3/oc{number}_throt_en", 1)
            self.set_oc(number, 0)
        for number, name in enumerate(("cpu", "gpu")):
            self._write(self._alert(number) / "type", f"{name}-throttle-alert")
        self.set_throttled(False)
        self.set_mode(0)
        self.set_fan(30.0)
        self.set_gpu(0.0, board.gpu_khz[0])
        for name, rail in board.rails.items():
            self.set_rail(name, rail.idle_mw)

    def set_rail(self, name: str, mw: float) -> float:
        """Let a rail draw `mw`; returns what it reads as, since a meter counts whole mA."""
        mv = self.board.rails[name].mv
        ma = round(mw * 1000 / mv)
        if name == "VIN":
            self._write(self.current[name], mv * ma)  # µW
            self._write(self.current[name].with_name("curr1_input"), ma)
            return mv * ma / 1000
        if self.board.old:
            number = self.current[name].name.removeprefix("in_current").removesuffix("_input")
            self._write(self.current[name].with_name(f"in_power{number}_input"), mv * ma // 1000)
        self._write(self.current[name], ma)
        return mv * ma // 1000 if self.board.old else mv * ma / 1000

    def set_temp(self, zone: str, celsius: float) -> None:
        """Let a zone, by its full name, be so warm."""
        self._write(self._zones[zone], round(celsius * 1000))

    def set_temps(self, celsius: float) -> None:
        """Let all zones that are on be so warm."""
        for zone in self.board.zones:
            if not zone.endswith("!"):
                self.set_temp(zone, celsius)

    def set_fan(self, pct: float) -> None:
        self._write(self.sys / "class/hwmon/hwmon2/pwm1", round(pct * 255 / 100))

    def set_gpu(self, load_pct: float, khz: int) -> None:
        if self.board.gpu:
            self._write(self.sys / "devices/platform" / self.board.gpu[0] / "load", round(load_pct * 10))
        self._write(self._devfreq / "cur_freq", khz * 1000)

    def set_oc(self, number: int, count: int) -> None:
        """Let counter 1, 2 or 3 stand at `count`; the real ones only ever grow."""
        self._write(self.sys / f"class/hwmon/hwmon3/oc{number}_event_cnt", count)

    def set_throttled(self, on: bool) -> None:
        """Let CPU and GPU be held down by heat, or not."""
        for number in (0, 1):
            self._write(self._alert(number) / "cur_state", int(on))

    def set_mode(self, number: int) -> None:
        """Let the nvpmodel mode be that number."""
        self._write(self.root / "var/lib/nvpmodel/status", f"pmode:{number:04d}")

    # the parts

    def _write(self, path: Path, value: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.root / ".new"
        text = str(value)
        scratch.write_text(text if text.endswith("\0") else text + "\n")  # the device tree ends names in NUL
        scratch.replace(path)

    def _alert(self, number: int) -> Path:
        return self.sys / f"class/thermal/cooling_device{number}"

    def _meter(self, address: str, number: int, channels: Mapping[int, str]) -> None:
        device = self.sys / "bus/i2c/devices" / address
        self._write(device / "name", "ina3221x" if self.board.old else "ina3221")
        folder = device / (f"iio:device{number}" if self.board.old else f"hwmon/hwmon{number + 10}")
        if not self.board.old:
            self._write(folder / "name", "ina3221")
            self._write(folder / "in7_label", "sum of shunt voltages")
            self._write(folder / "in7_input", 0)
        for n, name in channels.items():
            mv = self.board.rails[name].mv if name in self.board.rails else 0
            volts, amps = ("in_voltage", "in_current") if self.board.old else ("in", "curr")
            self._write(folder / (f"rail_name_{n}" if self.board.old else f"in{n}_label"), name)
            self._write(folder / f"{volts}{n}_input", mv)
            self._write(folder / f"{amps}{n}_input", 0)
            if name in self.board.rails:
                self.current[name] = folder / f"{amps}{n}_input"

    def _vin(self) -> None:
        device = self.sys / "bus/i2c/devices" / self.board.vin
        folder = device / "hwmon/hwmon20"
        self._write(device / "name", "ina238")
        self._write(folder / "name", "ina238")
        self._write(folder / "in1_input", self.board.rails["VIN"].mv)
        self.current["VIN"] = folder / "power1_input"

    def _zone(self, number: int, name: str) -> None:
        folder = self.sys / f"devices/virtual/thermal/thermal_zone{number}"
        off = name.endswith("!")
        self._write(folder / "type", name.rstrip("!"))
        self._write(folder / "temp", OFFLINE_MILLI_C if off else 45_000)
        self._zones[name.rstrip("!")] = folder / "temp"
        link = self.sys / "class/thermal" / folder.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../../devices/virtual/thermal") / folder.name)

    def _gpu(self) -> None:
        clocks = self.sys / "class/devfreq"
        clocks.mkdir(parents=True)
        if self.board.gpu:
            name, of_node = self.board.gpu
            device = self.sys / "devices/platform" / name
            self._devfreq = device / "devfreq" / name
            self._write(device / "of_node/name", of_node + "\0")
            self._write(device / "railgate_enable", 1)
            self._write(device / "enable_3d_scaling", 1)
            self._write(self._devfreq / "governor", "nvhost_podgov")
            (self._devfreq / "device").symlink_to("../..")
            (clocks / name).symlink_to(Path("../../devices/platform") / name / "devfreq" / name)
        else:
            self._devfreq = clocks / "gpu-gpc-0"
            self._write(self._devfreq / "governor", "nvhost_podgov")
        for name, khz in zip(("min_freq", "max_freq"), self.board.gpu_khz, strict=True):
            self._write(self._devfreq / name, khz * 1000)
