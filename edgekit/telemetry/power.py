"""What a board is set to: its power mode, its clocks, its fan. Read from files; nothing is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.device import ask, describe
from edgekit.errors import InputError, MissingError
from edgekit.limits import read_text
from edgekit.telemetry.sysfs_find import find_fan, find_gpu, read_number


@dataclass(frozen=True)
class Mode:
    """A power mode of nvpmodel.

    Attributes:
        number, name: as nvpmodel calls it.
        cores: CPU cores online; None where the file does not say.
        cpu_hz, gpu_hz: highest clocks; None: no limit of its own, or not said.
        gpu_parts: mask of the GPU's parts that are switched off ("" where it is not said). Another mask
            wants a restart.
    """

    number: int
    name: str
    cores: int | None = None
    cpu_hz: float | None = None
    gpu_hz: float | None = None
    gpu_parts: str = ""

    @property
    def limits(self) -> str:
        """ "6 cores, CPU 1.51 GHz, GPU 625 MHz"."""
        words = [] if self.cores is None else [f"{self.cores} cores"]
        words += [f"{name} {hertz(hz)}" for name, hz in (("CPU", self.cpu_hz), ("GPU", self.gpu_hz)) if hz]
        return ", ".join(words) or "no limits named"


@dataclass(frozen=True)
class Clock:
    """A clock in Hz: as it is, and the range in which it may move."""

    now: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        return self.low == self.high


@dataclass
class Power:
    """What a board is set to. What cannot be read is None or absent, and `missing` says why."""

    modes: list[Mode] = field(default_factory=list)
    mode: Mode | None = None
    default: int | None = None
    clocks: dict[str, Clock] = field(default_factory=dict)
    fan_pct: float | None = None
    fan_profile: str | None = None
    fan_profiles: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def read_power(root: Path | str = "/") -> Power:
    """Read what the board is set to.

    Args:
        root: folder that holds etc, proc, sys and var of the board.

    Raises:
        MissingError: it is no Jetson.
    """
    root = Path(root)
    device = describe(root)
    if not device.is_jetson:
        raise MissingError(
            f"this is no Jetson ({device}): it has no power modes of nvpmodel, no jetson_clocks and no fan "
            "profiles. `edgekit log` measures here all the same, where there is something to measure."
        )
    power = Power()
    power.modes, power.default = read_modes(read_text(root / "etc/nvpmodel.conf") or "")
    if not power.modes:
        power.missing["modes"] = "/etc/nvpmodel.conf is not here (in a container, mount it)"
    number, why = _mode_number(root)
    if number is None:
        power.missing["mode"] = why
    else:
        known = next((mode for mode in power.modes if mode.number == number), None)
        power.mode = known or Mode(number, f"mode {number}")
    power.clocks = _clocks(root)
    if not power.clocks:
        power.missing["clocks"] = "neither cpufreq nor the GPU's devfreq is in /sys"
    _read_fan(root, power)
    return power


def read_modes(text: str) -> tuple[list[Mode], int | None]:
    """The modes of an nvpmodel.conf, and the number of the one that a fresh system begins with."""
    modes = []
    heads = list(re.finditer(r"^[ \t]*<\s*(POWER_MODEL|PM_CONFIG)\s+([^>]*)>", text, re.MULTILINE))
    default = None
    for i, head in enumerate(heads):
        values = dict(re.findall(r"(\w+)=(\S+)", head[2]))
        if head[1] == "PM_CONFIG":
            default = int(values["DEFAULT"]) if values.get("DEFAULT", "").isdigit() else None
        elif values.get("ID", "").isdigit():
            body = text[head.end() : heads[i + 1].start() if i + 1 < len(heads) else len(text)]
            modes.append(_mode(int(values["ID"]), values.get("NAME", f"mode {values['ID']}"), body))
    return modes, default


def _mode(number: int, name: str, body: str) -> Mode:
    cores = re.findall(r"^\s*CPU_ONLINE\s+CORE_\d+\s+(\d)", body, re.MULTILINE)
    # kHz for the CPU, Hz for the GPU; 0 and -1 stand for "no limit"
    cpu = [float(f) for f in re.findall(r"^\s*CPU_(?!ONLINE)\w+\s+MAX_FREQ\s+(\d+)", body, re.MULTILINE)]
    gpu = [float(f) for f in re.findall(r"^\s*GPU\w*\s+MAX_FREQ\s+(\d+)", body, re.MULTILINE)]
    parts = re.search(r"^\s*\w+\s+TPC_PG_MASK\s+(\S+)", body, re.MULTILINE)
    return Mode(
        number,
        name.removeprefix("MODE_"),
        cores.count("1") if cores else None,
        max(cpu, default=0) * 1e3 or None,
        max(gpu, default=0) or None,
        parts[1] if parts else "",
    )


def _mode_number(root: Path) -> tuple[int | None, str]:
    """Number of the present mode, from the file that nvpmodel keeps, else from nvpmodel itself."""
    found = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    if not found and root == Path("/") and (first := ask(["nvpmodel", "-q"])):
        name = first.partition("NV Power Mode:")[2].strip()
        modes, _ = read_modes(read_text(root / "etc/nvpmodel.conf") or "")
        number = next((m.number for m in modes if m.name == name.removeprefix("MODE_")), None)
        return number, "" if number is not None else f"nvpmodel says {first!r}"
    if not found:
        return None, "neither /var/lib/nvpmodel/status nor nvpmodel -q says; sudo nvpmodel -q does"
    return int(found[1]), ""


def _clocks(root: Path) -> dict[str, Clock]:
    clocks: dict[str, Clock] = {}
    cpu = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"), key=lambda p: int(p.name[6:]))
    folders = cpu or sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq"))
    for folder in folders:
        files = [folder / f"scaling_{name}_freq" for name in ("cur", "min", "max")]
        name = folder.name if cpu else folder.parent.name
        _add(clocks, name.replace("policy", "cpu"), files, 1e3)
    gpu, _ = find_gpu(root)
    if gpu:
        _add(clocks, "GPU", [Path(gpu).with_name(f"{name}_freq") for name in ("cur", "min", "max")], 1.0)
    return clocks


def _add(clocks: dict[str, Clock], name: str, files: list[Path], factor: float) -> None:
    try:
        clocks[name] = Clock(*(read_number(file) * factor for file in files))
    except (OSError, ValueError):
        return  # a core that is off, or a driver that does not tell


def _read_fan(root: Path, power: Power) -> None:
    try:
        power.fan_pct = read_number(find_fan(root) or "nowhere") * 100 / 255
    except (OSError, ValueError):
        power.missing["fan"] = "no fan in /sys/class/hwmon"
    text = read_text(root / "etc/nvfancontrol.conf")
    if text is None:
        power.missing["fan_profile"] = "/etc/nvfancontrol.conf is not here (JetPack 5 and newer have it)"
        return
    power.fan_profiles = list(dict.fromkeys(re.findall(r"^\s*FAN_PROFILE\s+(\w+)", text, re.MULTILINE)))
    default = re.search(r"^\s*FAN_DEFAULT_PROFILE\s+(\w+)", text, re.MULTILINE)
    power.fan_profile = default[1] if default else None


def find_mode(power: Power, wanted: str) -> Mode:
    """The mode of that number or name; InputError names those there are."""
    short = wanted.upper().removeprefix("MODE_")
    for mode in power.modes:
        if wanted == str(mode.number) or short == mode.name.upper():
            return mode
    known = ", ".join(f"{mode.number} ({mode.name})" for mode in power.modes)
    raise InputError(f"this board has no power mode {wanted!r}; it has {known or 'none that can be read'}.")


def hertz(value: float) -> str:
    """ "1.51 GHz", "306 MHz"."""
    return f"{value / 1e9:.2f} GHz" if value >= 1e9 else f"{value / 1e6:.0f} MHz"
