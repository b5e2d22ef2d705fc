"""Power, heat and load straight from /sys: trees written by hand, and what is broken in them on purpose."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from edgekit.errors import MissingError
from edgekit.telemetry.boards import BOARDS, BoardTree
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.sample import Event, Sample
from edgekit.telemetry.sampler import ProbeError, Sampler
from edgekit.telemetry.sysfs import CpuLoad, open_sysfs

HWMON = "sys/bus/i2c/devices/1-0040/hwmon/hwmon4"


def write(root: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


@pytest.fixture
def orin_nano(tmp_path: Path) -> Path:
    """An Orin Nano by hand: 5 V × 1.5 A at its input, two rails behind it, and a channel 7 that is none."""
    return write(
        tmp_path,
        {
            "sys/bus/i2c/devices/1-0040/name": "ina3221",
            f"{HWMON}/in1_label": "VDD_IN",
            f"{HWMON}/in1_input": 5000,
            f"{HWMON}/curr1_input": 1500,
            f"{HWMON}/in2_label": "VDD_CPU_GPU_CV",
            f"{HWMON}/in2_input": 4960,
            f"{HWMON}/curr2_input": 250,
            f"{HWMON}/in3_label": "VDD_SOC",
            f"{HWMON}/in3_input": 4984,
            f"{HWMON}/curr3_input": 333,
            f"{HWMON}/in7_label": "sum of shunt voltages",
            f"{HWMON}/in7_input": 99,
            f"{HWMON}/curr7_input": 99,
            "sys/bus/i2c/devices/1-0050/name": "24c02",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": 48_250,
            "sys/class/thermal/thermal_zone1/type": "cv0-thermal",
            "sys/class/thermal/thermal_zone1/temp": -256_000,
            "sys/class/thermal/thermal_zone10/type": "tj-thermal",
            "sys/class/thermal/thermal_zone10/temp": 50_125,
            "sys/class/thermal/cooling_device0/type": "pwm-fan",
            "sys/class/thermal/cooling_device0/cur_state": 2,
            "sys/class/thermal/cooling_device5/type": "gpu-throttle-alert",
            "sys/class/thermal/cooling_device5/cur_state": 0,
            "sys/class/hwmon/hwmon2/name": "pwmfan",
            "sys/class/hwmon/hwmon2/pwm1": 102,
            "sys/class/hwmon/hwmon3/name": "soctherm_oc",
            "sys/class/hwmon/hwmon3/oc1_event_cnt": 0,
            "sys/class/hwmon/hwmon3/oc3_event_cnt": 27_390,
            "sys/class/hwmon/hwmon3/oc3_throt_en": 1,
            "sys/class/devfreq/17000000.gpu/cur_freq": 624_750_000,
            "sys/class/devfreq/17000000.gpu/device/load": 873,
            "sys/class/devfreq/15340000.vic/cur_freq": 729_600_000,
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=MODE_25W >",
            "var/lib/nvpmodel/status": "pmode:0001",
        },
    )


def test_an_orin_nano(orin_nano: Path) -> None:
    probe = open_sysfs(orin_nano)
    sample = probe.read()
    assert probe.why == "power of VDD_IN from /sys"
    assert (sample.source, sample.emulated) == ("sysfs", False)
    assert sample.power_total_mw == 7500.0
    assert (sample.power_total_name, sample.power_total_kind) == ("VDD_IN", "input")
    assert sample.rails_mw == pytest.approx({"VDD_IN": 7500.0, "VDD_CPU_GPU_CV": 1240.0, "VDD_SOC": 1659.672})
    assert sample.temps_c == {"cpu": 48.25, "tj": 50.125}
    assert sample.fan_pct == pytest.approx(40.0)
    assert sample.gpu_load_pct == pytest.approx(87.3)
    assert sample.gpu_freq_khz == 624_750
    assert sample.oc_events == {"oc1": 0, "oc3": 27_390}
    assert sample.throttle == ()
    assert sample.power_mode == "25W"
    assert sample.jetson_clocks is None
    assert set(sample.missing) <= {"energy_mj", "jetson_clocks", "cpu_load_pct"}


@pytest.mark.parametrize(
    ("labels", "name", "kind", "total"),
    [
        (("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), "sum of 3 rails", "sum", 6000.0),
        (("VDD_GPU_SOC", "NC", "VIN_SYS_5V0"), "sum of 2 rails", "sum", 4000.0),
        (("VDD_SOC", "VDD_IN", "NC"), "VDD_IN", "input", 2000.0),
        (("VDD_IN", "POM_5V_IN", "NC"), "POM_5V_IN", "input", 2000.0),
    ],
)
def test_the_total_by_the_boards_rails(
    tmp_path: Path, labels: tuple[str, ...], name: str, kind: str, total: float
) -> None:
    files: dict[str, object] = {"sys/bus/i2c/devices/1-0040/name": "ina3221"}
    for n, label in enumerate(labels, start=1):
        files |= {f"{HWMON}/in{n}_label": label, f"{HWMON}/in{n}_input": 2000, f"{HWMON}/curr{n}_input": 1000}
    sample = open_sysfs(write(tmp_path, files)).read()
    assert (sample.power_total_name, sample.power_total_kind) == (name, kind)
    assert sample.power_total_mw == total
    assert "NC" not in sample.rails_mw


def test_a_nano_of_jetpack_4(tmp_path: Path) -> None:
    """Its power meter is an iio device and gives mW itself; PMIC-Die always reads 100 °C."""
    iio = "sys/bus/i2c/devices/6-0040/iio:device0"
    files: dict[str, object] = {
        "sys/bus/i2c/devices/6-0040/name": "ina3221x",
        "sys/class/thermal/thermal_zone0/type": "AO-therm",
        "sys/class/thermal/thermal_zone0/temp": 41_500,
        "sys/class/thermal/thermal_zone1/type": "PMIC-Die",
        "sys/class/thermal/thermal_zone1/temp": 100_000,
        "sys/class/hwmon/hwmon0/target_pwm": 51,
        "sys/class/devfreq/57000000.gpu/cur_freq": 76_800_000,
        "sys/class/devfreq/57000000.gpu/device/load": 0,
    }
    for n, (name, mw) in enumerate({"POM_5V_IN": 2034, "POM_5V_GPU": 160, "POM_5V_CPU": 640}.items()):
        files |= {
            f"{iio}/rail_name_{n}": name,
            f"{iio}/in_power{n}_input": mw,
            f"{iio}/in_current{n}_input": 1,
        }
    sample = open_sysfs(write(tmp_path, files)).read()
    assert sample.rails_mw == {"POM_5V_IN": 2034.0, "POM_5V_GPU": 160.0, "POM_5V_CPU": 640.0}
    assert (sample.power_total_mw, sample.power_total_name) == (2034.0, "POM_5V_IN")
    assert sample.temps_c == {"AO": 41.5}
    assert sample.fan_pct == pytest.approx(20.0)
    assert sample.gpu_freq_khz == 76_800
    assert sample.oc_events == {}
    assert {"oc_events", "power_mode"} <= set(sample.missing)


def test_a_thor_with_its_ina238(tmp_path: Path) -> None:
    """Its GPU has a clock in /sys and no load; VIN is in µW and comes before all else."""
    files: dict[str, object] = {
        "sys/bus/i2c/devices/2-0044/name": "ina238",
        "sys/bus/i2c/devices/2-0044/hwmon/hwmon8/power1_input": 31_680_000,
        "sys/bus/i2c/devices/2-0040/name": "ina3221",
        "sys/bus/i2c/devices/2-0040/hwmon/hwmon7/in1_label": "VDD_GPU",
        "sys/bus/i2c/devices/2-0040/hwmon/hwmon7/in1_input": 12_000,
        "sys/bus/i2c/devices/2-0040/hwmon/hwmon7/curr1_input": 300,
        "sys/class/devfreq/gpu-gpc-0/cur_freq": 1_575_000_000,
        "sys/class/devfreq/gpu-nvd-0/cur_freq": 1,
    }
    sample = open_sysfs(write(tmp_path, files)).read()
    assert sample.rails_mw == {"VDD_GPU": 3600.0, "VIN": 31_680.0}
    assert (sample.power_total_mw, sample.power_total_kind) == (31_680.0, "input")
    assert sample.gpu_freq_khz == 1_575_000
    assert sample.gpu_load_pct is None
    assert sample.missing["gpu_load_pct"] == "the GPU's driver tells no load in /sys"
    assert sample.missing["temps_c"].startswith("no thermal zones")


@pytest.mark.parametrize("name", list(BOARDS))
def test_the_emulated_boards_are_read_as_they_were_set(tmp_path: Path, name: str) -> None:
    tree = BoardTree(tmp_path, BOARDS[name])
    expected = {rail: tree.set_rail(rail, 2_000 + 300 * n) for n, rail in enumerate(BOARDS[name].rails)}
    tree.set_temps(66.5)
    tree.set_mode(1)
    sample = open_sysfs(tmp_path).read()
    assert sample.rails_mw == pytest.approx(expected)
    assert all(abs(mw - 2_000 - 300 * n) < 21 for n, mw in enumerate(expected.values()))  # whole mA
    assert set(sample.temps_c.values()) == {66.5}
    assert sample.power_mode == BOARDS[name].modes[1].removeprefix("MODE_")


# --- what is broken -----------------------------------------------------------------------------


def test_no_rails(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(MissingError, match=r"no power rails in .*bus/i2c/devices.*Cure"):
        open_sysfs(tmp_path)
    write(tmp_path, {"sys/bus/i2c/devices/1-0050/name": "24c02"})
    with pytest.raises(MissingError, match="no power rails"):
        open_sampler("sysfs", root=tmp_path)
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("damage", ["gone", "empty", "garbage", "refused"])
def test_an_input_that_is_not_read_leaves_no_total(orin_nano: Path, damage: str) -> None:
    """Not the sum of the others; and the reading after it is whole again."""
    file = orin_nano / HWMON / "curr1_input"
    told: list[Sample | Event] = []
    probe = open_sysfs(orin_nano)
    whole = probe.read()
    if damage == "gone":
        file.unlink()
    elif damage == "refused":
        file.unlink()
        file.mkdir()
    else:
        file.write_text("" if damage == "empty" else "1500 mA?\n")
    sample = probe.read()
    assert sample.power_total_mw is None
    assert (sample.power_total_name, sample.power_total_kind) == ("VDD_IN", "input")
    reasons = {
        "gone": "VDD_IN: No such file or directory",
        "empty": "VDD_IN: what the file holds is no number",
        "garbage": "VDD_IN: what the file holds is no number",
        "refused": "VDD_IN: Is a directory",
    }
    assert sample.missing["power_total_mw"] == sample.missing["rails_mw"] == reasons[damage]
    assert set(sample.rails_mw) == {"VDD_CPU_GPU_CV", "VDD_SOC"}
    assert sample.temps_c == whole.temps_c
    if damage == "refused":
        file.rmdir()
    file.write_text("1500\n")
    assert probe.read().power_total_mw == 7500.0
    with Sampler(probe, 0.1) as sampler:
        sampler.add(told.append)
        assert sampler.wait(2)
        file.write_text("x\n")
        assert sampler.wait(2)
        file.write_text("1500\n")
        assert sampler.wait(2)
    assert not [item for item in told if isinstance(item, Event)]


def test_a_rail_of_a_sum_that_is_not_read_leaves_no_total(tmp_path: Path) -> None:
    tree = BoardTree(tmp_path, BOARDS["agx-orin"])
    probe = open_sysfs(tmp_path)
    assert probe.read().power_total_mw == pytest.approx(9700, abs=20)
    tree.current["VDD_CPU_CV"].write_text("\n")
    sample = probe.read()
    assert sample.power_total_mw is None
    assert sample.power_total_name == "sum of 4 rails"
    assert "VDD_CPU_CV" in sample.missing["power_total_mw"]


def test_a_driver_that_comes_back_under_another_name(orin_nano: Path) -> None:
    probe = open_sysfs(orin_nano)
    (orin_nano / HWMON).rename((orin_nano / HWMON).with_name("hwmon9"))
    assert probe.read().power_total_mw is None
    assert probe.read().power_total_mw == 7500.0


def test_nothing_readable_is_a_failed_reading(orin_nano: Path) -> None:
    probe = open_sysfs(orin_nano)
    (orin_nano / "sys").rename(orin_nano / "gone")
    with pytest.raises(ProbeError, match="VDD_IN: No such file"):
        probe.read()
    (orin_nano / "gone").rename(orin_nano / "sys")
    assert probe.read().power_total_mw == 7500.0


def test_other_files_that_fail_say_so(orin_nano: Path) -> None:
    probe = open_sysfs(orin_nano)
    for name in ("hwmon2/pwm1", "hwmon3/oc3_event_cnt"):
        (orin_nano / "sys/class/hwmon" / name).write_text("?\n")
    (orin_nano / "sys/class/devfreq/17000000.gpu/device/load").unlink()
    (orin_nano / "sys/class/thermal/thermal_zone0/temp").write_text("\n")
    (orin_nano / "sys/class/thermal/cooling_device5/cur_state").unlink()
    (orin_nano / "var/lib/nvpmodel/status").unlink()
    sample = probe.read()
    assert sample.power_total_mw == 7500.0
    assert (sample.fan_pct, sample.gpu_load_pct, sample.power_mode) == (None, None, None)
    assert sample.oc_events == {"oc1": 0}
    assert sample.temps_c == {"tj": 50.125}
    assert sample.missing["fan_pct"] == "pwm1: what the file holds is no number"
    assert sample.missing["gpu_load_pct"] == "load: No such file or directory"
    assert sample.missing["temps_c"].startswith("cpu: ")
    assert sample.missing["oc_events"] == (
        "oc3: what the file holds is no number; gpu alert: No such file or directory"
    )
    assert "nvpmodel" in sample.missing["power_mode"]


def test_a_zone_that_is_off_is_left_out_without_complaint(orin_nano: Path) -> None:
    """Newer kernels refuse the reading with EAGAIN, as an empty pipe does."""
    file = orin_nano / "sys/class/thermal/thermal_zone1/temp"
    file.unlink()
    os.mkfifo(file)
    keep = os.open(file, os.O_RDWR)
    try:
        sample = open_sysfs(orin_nano).read()
    finally:
        os.close(keep)
    assert sample.temps_c == {"cpu": 48.25, "tj": 50.125}
    assert "temps_c" not in sample.missing


def test_throttling_and_the_mode_are_of_the_moment(orin_nano: Path) -> None:
    probe = open_sysfs(orin_nano)
    probe.read()
    write(
        orin_nano,
        {
            "sys/class/thermal/cooling_device5/cur_state": 1,
            "sys/class/hwmon/hwmon3/oc3_event_cnt": 27_395,
            "var/lib/nvpmodel/status": "pmode:0000",
        },
    )
    os.utime(orin_nano / "var/lib/nvpmodel/status", (1, 1))
    sample = probe.read()
    assert sample.throttle == ("thermal (gpu)",)
    assert sample.oc_events["oc3"] == 27_395
    assert sample.power_mode == "15W"


# --- load and cost ------------------------------------------------------------------------------


def test_cpu_load_is_of_the_time_since_the_last_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    times = namedtuple("times", "user nice system idle iowait irq softirq steal guest guest_nice")
    now = times(1000.0, 0, 500.0, 8000.0, 100.0, 0, 0, 0, 400.0, 0)
    monkeypatch.setattr(psutil, "cpu_times", lambda: now)
    load = CpuLoad()
    assert load.read() is None  # no tick went by
    now = times(
        1030.0, 0, 510.0, 8050.0, 110.0, 0, 0, 0, 420.0, 0
    )  # 40 of 100 at work; a guest's are in user
    assert load.read() == pytest.approx(40.0)
    now = times(1130.0, 0, 510.0, 8050.0, 110.0, 0, 0, 0, 420.0, 0)
    assert load.read() == pytest.approx(100.0)


def test_a_reading_costs_far_below_a_hundredth_of_a_core_at_2_hz(tmp_path: Path) -> None:
    BoardTree(tmp_path, BOARDS["agx-orin"])
    probe = open_sysfs(tmp_path)
    probe.read()
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    start = time.process_time()
    for _ in range(200):
        probe.read()
    each = (time.process_time() - start) / 200
    assert 2 * each < 0.005, each  # half of a hundredth; 0.0009 on a PC
    assert len(os.listdir("/proc/self/fd")) == handles  # noqa: PTH208
