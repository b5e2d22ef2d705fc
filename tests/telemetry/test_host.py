"""CPU power by RAPL over trees of files as the kernel shows them, heat, and a machine that has neither."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from boards import write

from edgekit.telemetry.host import NoProbe, find_temps, open_host
from edgekit.telemetry.log import Log
from edgekit.telemetry.rapl import HIGHEST_W, Rapl
from edgekit.telemetry.sampler import Sampler

RANGE_UJ = 262_143_328_850  # of a desktop's CPU


def rapl_tree(root: Path, *, packages: int = 1) -> Path:
    """Packages with a core domain and memory, and the platform's own counter."""
    base = root / "sys/class/powercap"
    for number in range(packages):
        zone(base / f"intel-rapl:{number}", f"package-{number}")
        zone(base / f"intel-rapl:{number}:0", "core")
        zone(base / f"intel-rapl:{number}:1", "dram", 65_712_999_613)
    zone(base / f"intel-rapl:{packages}", "psys")
    zone(base / "intel-rapl-mmio:0", "package-0")  # the same package again, by another way
    (base / "intel-rapl").mkdir()
    return base


def zone(folder: Path, name: str, limit: int = RANGE_UJ) -> None:
    write(folder, "name", f"{name}\n")
    write(folder, "max_energy_range_uj", f"{limit}\n")
    set_uj(folder, 1_000_000)


def set_uj(folder: Path, value: float) -> None:
    write(folder, "energy_uj", f"{round(value)}\n")


def test_power_is_the_difference_of_the_counter(tmp_path: Path) -> None:
    base = rapl_tree(tmp_path)
    rapl = Rapl(tmp_path)
    rapl.read(100.0)
    assert rapl.total_mw is None
    assert "no step of energy yet" in rapl.why
    set_uj(base / "intel-rapl:0", 1_000_000 + 22_500_000)
    set_uj(base / "intel-rapl:0:1", 1_000_000 + 3_000_000)
    set_uj(base / "intel-rapl:1", 1_000_000 + 40_000_000)
    rapl.read(100.5)
    assert rapl.why == ""
    assert rapl.total_mw == pytest.approx(45_000)
    assert rapl.total_name == "package-0"
    assert [m.energy_mj for m in rapl.packages] == [22_500]
    others = {m.name: m.power_mw for m in rapl.others}  # beside, never in the total
    assert others == {
        "package-0 core": 0,
        "package-0 dram": 6_000,
        "psys": 80_000,
    }  # beside, never in the total


def test_the_counter_goes_round(tmp_path: Path) -> None:
    """45 W for a quarter of an hour, read every half second, over a range that lasts 89 s."""
    base = rapl_tree(tmp_path)
    small = 4_000_000_000
    write(base / "intel-rapl:0", "max_energy_range_uj", f"{small}")
    rapl = Rapl(tmp_path)
    joules = 0.0
    for step in range(1, 2000):
        set_uj(base / "intel-rapl:0", (45e6 * step * 0.5) % small)
        rapl.read(step * 0.5)
        if step > 1:
            joules += 22.5
            assert rapl.total_mw == pytest.approx(45_000, rel=1e-6)
    assert rapl.packages[0].energy_mj == pytest.approx(joules * 1000, rel=1e-9)


def test_a_counter_that_began_anew_gives_no_power(tmp_path: Path) -> None:
    """As after a suspend: what looks like going round would be far more than any CPU takes."""
    base = rapl_tree(tmp_path)
    rapl = Rapl(tmp_path)
    counted = []
    for at, value in ((0.0, 5e6), (1.0, 50e6), (30.0, 1e6), (31.0, 46e6)):
        set_uj(base / "intel-rapl:0", value)
        rapl.read(at)
        counted.append((rapl.total_mw, rapl.packages[0].energy_mj))
    assert counted == [(None, 0), (45_000, 45_000), (None, 0), (45_000, 45_000)]


def test_a_pause_in_which_it_may_have_gone_round_twice_gives_no_power(tmp_path: Path) -> None:
    base = rapl_tree(tmp_path)
    rapl = Rapl(tmp_path)
    rapl.read(0.0)
    set_uj(base / "intel-rapl:0", 60e6)
    rapl.read(RANGE_UJ / 1e6 / HIGHEST_W + 1)
    assert rapl.total_mw is None


def test_two_packages_are_added_up(tmp_path: Path) -> None:
    base = rapl_tree(tmp_path, packages=2)
    rapl = Rapl(tmp_path)
    rapl.read(0.0)
    for number, watts in enumerate((30, 50)):
        set_uj(base / f"intel-rapl:{number}", 1e6 + watts * 1e6)
    rapl.read(1.0)
    assert rapl.total_mw == pytest.approx(80_000)
    assert rapl.total_name == "sum of 2 packages"
    (base / "intel-rapl:1/energy_uj").unlink()
    rapl.read(2.0)
    assert rapl.total_mw is None  # half a sum is no total
    assert "package-1: No such file" in rapl.why


def test_a_counter_for_root_alone_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rapl_tree(tmp_path)

    def refuse(path: str) -> float:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("edgekit.telemetry.rapl.read_number", refuse)  # root may read whatever its mode
    probe = open_host(tmp_path)
    sample = probe.read()
    assert sample.power_total_mw is None
    assert sample.power_total_name is None
    assert sample.energy_mj == {}
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in sample.missing["power_total_mw"]


def test_a_sample_of_a_pc(tmp_path: Path) -> None:
    base = rapl_tree(tmp_path)
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "52000\n")
    probe = open_host(tmp_path)
    assert probe.why.startswith("this machine's CPU: power of package-0")
    set_uj(base / "intel-rapl:0", 1_100_000)
    sample = probe.read()  # waits until there is a stretch of time
    assert sample.power_total_mw is not None
    assert 0 < sample.power_total_mw <= 2_000  # 0.1 J in 50 ms or a little more
    assert (sample.power_total_name, sample.power_total_kind, sample.source) == ("package-0", "cpu", "host")
    assert sample.energy_mj == {"package-0": 100}
    assert sample.temps_c == {"x86_pkg_temp": 52}
    total = psutil.virtual_memory().total / 1024
    assert sample.ram_used_kb is not None
    assert 0 < sample.ram_used_kb < total
    for name in ("gpu_load_pct", "gpu_freq_khz", "fan_pct", "power_mode"):
        assert getattr(sample, name) is None
        assert sample.missing[name]
    probe.close()


def test_temperatures_of_zones_and_of_the_cpu(tmp_path: Path) -> None:
    for number, kind in enumerate(("acpitz", "acpitz", "x86_pkg_temp")):
        write(tmp_path, f"sys/class/thermal/thermal_zone{number}/type", kind)
        write(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", f"{30 + number}000")
    for number, (chip, labels) in enumerate(
        {"coretemp": ("Package id 0", "Core 0", "Core 1"), "nvme": ("Composite",), "k10temp": ("",)}.items()
    ):
        write(tmp_path, f"sys/class/hwmon/hwmon{number}/name", chip)
        for i, label in enumerate(labels, 1):
            write(tmp_path, f"sys/class/hwmon/hwmon{number}/temp{i}_input", "41500")
            if label:
                write(tmp_path, f"sys/class/hwmon/hwmon{number}/temp{i}_label", label)
    names = set(find_temps(tmp_path))
    assert names == {"acpitz", "acpitz #2", "x86_pkg_temp", "coretemp Package id 0", "k10temp"}
    write(tmp_path, "sys/class/thermal/thermal_zone2/temp", "nonsense")
    sample = open_host(tmp_path).read()
    assert sample.temps_c["acpitz #2"] == 31
    assert sample.temps_c["k10temp"] == 41.5
    assert "x86_pkg_temp" not in sample.temps_c
    assert "x86_pkg_temp" in sample.missing["temps_c"]


def test_a_machine_that_shows_nothing_says_why(tmp_path: Path) -> None:
    sample = open_host(tmp_path).read()
    assert sample.power_total_mw is None
    assert "no energy counters" in sample.missing["power_total_mw"]
    assert "no temperatures" in sample.missing["temps_c"]
    assert sample.cpu_load_pct is None or 0 <= sample.cpu_load_pct <= 100


def test_this_machines_load_is_psutils() -> None:
    """Against psutil's own figure over the same second."""
    psutil.cpu_percent()
    with Sampler(open_host(), 0.1) as sampler:
        sampler.wait(10)
        theirs = psutil.cpu_percent()
        ours = [s.cpu_load_pct for s in sampler.samples if s.cpu_load_pct is not None]
    assert abs(sum(ours) / len(ours) - theirs) < 25


def test_the_sampler_none_measures_nothing() -> None:
    with Sampler(NoProbe(), 0.1) as sampler:
        assert sampler.wait(2)
        samples = list(sampler.samples)
    log = Log.of(samples, 0.1)
    assert log.label == "power unknown: nothing is measured (sampler none)"
    assert samples[0].temps_c == {}
    assert samples[0].cpu_load_pct is None
