"""Where a Jetson's /sys keeps power, heat, load and throttling, and how such a file is read."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: The rails that hold all others, the first that is there being the total. Boards without one (AGX Xavier,
#: AGX Orin) have the sum of their rails as total.
INPUTS = ("VIN", "POM_5V_IN", "VDD_IN")
#: Channel of the INA3221 that gives the sum of shunt voltages, which is no rail.
SHUNT_SUM = 7


def read_file(path: Path | str) -> str:
    """Text of a file in /sys, stripped.

    Raises:
        OSError: it is gone, or its driver refuses. It is never waited for, whatever lies there.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(handle, 4096).decode(errors="replace").strip("\0 \n")
    finally:
        os.close(handle)


def read_number(path: Path | str) -> float:
    """The whole number in a file of /sys; OSError or ValueError where it cannot be had."""
    return float(int(read_file(path)))


def reason(name: str, error: Exception) -> str:
    """Why a reading failed, in words."""
    if isinstance(error, OSError):
        return f"{name}: {os.strerror(error.errno) if error.errno else error}"
    return f"{name}: what the file holds is no number"


@dataclass(frozen=True)
class RailFiles:
    """The files of one rail: its power with the factor to mW, or its mV and mA."""

    power: str = ""
    factor: float = 1.0
    mv: str = ""
    ma: str = ""

    def read_mw(self) -> float:
        """Power of the moment in mW; OSError or ValueError where a file does not give it."""
        if self.power:
            return read_number(self.power) * self.factor
        return read_number(self.mv) * read_number(self.ma) / 1000.0


def find_rails(root: Path) -> dict[str, RailFiles]:
    """The power rails: INA3221 as hwmon (JetPack 5 and newer) or iio device (JetPack 4), INA238 as VIN."""
    rails: dict[str, RailFiles] = {}
    for device in sorted(_glob(root, "sys/bus/i2c/devices/*")):
        kind = _text(device / "name").lower()
        if "ina3221" in kind:
            for label in sorted(device.glob("hwmon/hwmon*/in*_label")):
                number = label.name[2 : -len("_label")]
                name = _text(label)
                if name and not name.startswith("NC") and number != str(SHUNT_SUM):
                    volts, amps = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
                    rails[name] = RailFiles(mv=str(volts), ma=str(amps))
            for label in sorted(device.glob("iio:device*/rail_name_*")):
                number, name = label.name.removeprefix("rail_name_"), _text(label)
                if name and not name.startswith("NC"):
                    rails[name] = RailFiles(power=str(label.with_name(f"in_power{number}_input")))
        elif "ina238" in kind:
            for power in sorted(device.glob("hwmon/hwmon*/power1_input")):
                rails["VIN"] = RailFiles(power=str(power), factor=1e-3)  # µW
    return rails


def find_zones(root: Path) -> dict[str, str]:
    """{name: file} of the thermal zones, named as jtop shortens them ("cpu" of "cpu-thermal").

    The zone PMIC-Die is left out: it always reads 100 °C, and measures nothing.
    """
    zones: dict[str, str] = {}
    for folder in sorted(_glob(root, "sys/class/thermal/thermal_zone*"), key=_number):
        name = re.split("[-_]", _text(folder / "type"))[0]
        if not name or name == "PMIC":
            continue
        if name in zones:
            name += str(sum(other.startswith(name) for other in zones) - 1)
        zones[name] = str(folder / "temp")
    return zones


def read_zones(zones: dict[str, str]) -> tuple[dict[str, float], list[str]]:
    """°C of each zone that is on, and the reasons of those that failed in another way than being off."""
    temps: dict[str, float] = {}
    wrong = []
    for name, path in zones.items():
        try:
            celsius = read_number(path) / 1000.0
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno == errno.EAGAIN):  # EAGAIN: it is off
                wrong.append(reason(name, error))
            continue
        if celsius > -200:  # -256 stands for off
            temps[name] = celsius
    return temps, wrong


class Throttling:
    """Over-current counters (hwmon `soctherm_oc`) and alerts of heat (cooling devices `…-throttle-alert`).

    jtop says nothing of either.
    """

    def __init__(self, root: Path) -> None:
        counters = sorted(_glob(root, "sys/class/hwmon/hwmon*/oc*_event_cnt"))
        self.counters = {path.name.removesuffix("_event_cnt"): str(path) for path in counters}
        self.alerts = {}
        for folder in sorted(_glob(root, "sys/class/thermal/cooling_device*"), key=_number):
            kind = _text(folder / "type")
            if kind.endswith("-throttle-alert"):
                self.alerts[kind.removesuffix("-throttle-alert")] = str(folder / "cur_state")

    def read(self) -> tuple[dict[str, int], tuple[str, ...], list[str]]:
        """Counters, what holds the clocks down at this moment, and the reasons of what could not be read."""
        counts: dict[str, int] = {}
        held: list[str] = []
        wrong = []
        for name, path in self.counters.items():
            try:
                counts[name] = int(read_number(path))
            except (OSError, ValueError) as error:
                wrong.append(reason(name, error))
        for name, path in self.alerts.items():
            try:
                if read_number(path) > 0:
                    held.append(f"thermal ({name})")
            except (OSError, ValueError) as error:
                wrong.append(reason(f"{name} alert", error))
        return counts, tuple(held), wrong


def find_fan(root: Path) -> str:
    """The file that holds the fan's PWM, 0 to 255; empty where there is none."""
    for name in ("pwm1", "target_pwm"):  # JetPack 5 and newer, JetPack 4
        for path in sorted(_glob(root, f"sys/class/hwmon/hwmon*/{name}")):
            return str(path)
    return ""


def find_gpu(root: Path) -> tuple[str, str]:
    """The files of the GPU's clock in Hz and of its load in permille; empty where there is none."""
    for folder in sorted(_glob(root, "sys/class/devfreq/*")):
        if re.search(r"\.gpu$|\.g[a-z]\d+b$|^gpu-gpc-", folder.name):
            load = folder / "device/load"
            return str(folder / "cur_freq"), str(load) if load.exists() else ""
    return "", ""


def _glob(root: Path, pattern: str) -> Iterable[Path]:
    return root.glob(pattern)


def _number(path: Path) -> int:
    found = re.search(r"\d+$", path.name)
    return int(found[0]) if found else 0


def _text(path: Path) -> str:
    try:
        return read_file(path)
    except OSError:
        return ""
