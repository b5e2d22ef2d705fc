"""Energy counters of a PC's CPU (RAPL), as the kernel shows them in /sys/class/powercap."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.limits import read_text
from edgekit.telemetry.sysfs_find import read_number, reason

#: No package takes more. A step that would need more is no energy: the counter began anew (a suspended
#: machine), or went round more than once between two readings.
HIGHEST_W = 1000.0
#: The counters move once a millisecond; a shorter stretch than this has no power worth its name.
SHORTEST_S = 0.05

CURE = (
    "the energy counters of the CPU (RAPL) are for root alone. Cure, until the next restart: "
    "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
)


@dataclass
class Meter:
    """One counter: of a package, of the memory behind it, of the whole platform.

    Attributes:
        name: the kernel's, such as "package-0" or "package-0 dram".
        file: µJ since some moment; goes round at `range_uj`.
        energy_mj: mJ since the meter was opened, going round included.
        power_mw: mean over the last step; None where there is none.
    """

    name: str
    file: str
    range_uj: float
    energy_mj: float = 0.0
    power_mw: float | None = None
    _last: tuple[float, float] | None = field(default=None, repr=False)

    def read(self, now_s: float) -> None:
        """Take a reading at `now_s`; OSError or ValueError where the file does not give it."""
        value = read_number(self.file)
        last, self._last = self._last, (now_s, value)
        self.power_mw = None
        if last is None or now_s <= last[0]:
            return
        seconds, step = now_s - last[0], value - last[1]
        if step < 0:
            step += self.range_uj
        most = HIGHEST_W * 1e6 * seconds
        if step < 0 or step > most or most > self.range_uj:
            self.energy_mj = 0.0  # going back tells readers of the log that the counter does not span this
            return
        self.energy_mj += step / 1e3
        self.power_mw = step / 1e3 / seconds


class Rapl:
    """The counters of a machine.

    Attributes:
        packages: the CPUs; their sum is the CPU's power.
        others: parts of the packages, their memory, the platform; never to be added to `packages`.
        why: why there is no power, as of the last `read`; "" where there is.
    """

    def __init__(self, root: Path) -> None:
        self.packages: list[Meter] = []
        self.others: list[Meter] = []
        for folder in sorted(root.glob("sys/class/powercap/intel-rapl:*")):
            name = read_text(folder / "name") or folder.name
            zone = folder.name.removeprefix("intel-rapl:").split(":")
            if len(zone) > 1:
                name = f"{read_text(folder.parent / f'intel-rapl:{zone[0]}' / 'name') or zone[0]} {name}"
            limit = float(read_text(folder / "max_energy_range_uj") or 0)
            meter = Meter(name, str(folder / "energy_uj"), limit)
            (self.packages if name.startswith("package") and len(zone) == 1 else self.others).append(meter)
        self.why = "" if self.packages else "this machine shows no energy counters of its CPU (RAPL)"

    def read(self, now_s: float) -> None:
        """Read all counters."""
        if not self.packages:
            return
        self.why = ""
        for meter in self.packages + self.others:
            try:
                meter.read(now_s)
            except PermissionError:
                meter.power_mw = None
                self.why = CURE
            except (OSError, ValueError) as error:
                meter.power_mw = None
                self.why = self.why or reason(meter.name, error)
        if not self.why and self.total_mw is None:
            self.why = "the counters have given no step of energy yet"

    @property
    def total_mw(self) -> float | None:
        """Power of all packages; None where one has none."""
        powers = [meter.power_mw for meter in self.packages if meter.power_mw is not None]
        return sum(powers) if powers and len(powers) == len(self.packages) else None

    @property
    def total_name(self) -> str | None:
        """ "package-0", or "sum of 2 packages"."""
        if len(self.packages) == 1:
            return self.packages[0].name
        return f"sum of {len(self.packages)} packages" if self.packages else None
