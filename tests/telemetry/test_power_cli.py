"""`edgekit power` over the files of boards; nothing is run and nothing is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from boards import BOARDS, make_board, make_pc, write

from edgekit.cli import main
from edgekit.errors import InputError, MissingError
from edgekit.telemetry import power_cli
from edgekit.telemetry.power import find_mode, read_modes, read_power

#: In the shape of an Orin's file: clocks of the CPU in kHz, of the GPU in Hz, -1 and 0 for no limit.
NVPMODEL = """
# < POWER_MODEL ID=9 NAME=COMMENT >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< PARAM TYPE=CLOCK NAME=GPU >
MAX_FREQ /sys/class/devfreq/17000000.gpu/max_freq

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 0
TPC_POWER_GATING TPC_PG_MASK 252
CPU_A78_0 MIN_FREQ 729600
CPU_A78_0 MAX_FREQ 1497600
CPU_A78_1 MAX_FREQ 1382400
GPU MIN_FREQ 0
GPU MAX_FREQ 612000000
EMC MAX_FREQ 2133000000

< POWER_MODEL ID=1 NAME=MODE_25W >
CPU_ONLINE CORE_0 1
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 1
TPC_POWER_GATING TPC_PG_MASK 252
CPU_A78_0 MAX_FREQ 1344000
GPU MAX_FREQ 918000000

< POWER_MODEL ID=2 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
TPC_POWER_GATING TPC_PG_MASK 240
CPU_A78_0 MAX_FREQ -1
GPU MAX_FREQ -1
EMC MAX_FREQ 0

< PM_CONFIG DEFAULT=0 >
"""
FAN = """
<FAN 1>
	FAN_PROFILE quiet {
		0 0 0 0
	}
	FAN_PROFILE cool {
		0 0 0 0
	}
	FAN_DEFAULT_CONTROL close_loop
	FAN_DEFAULT_PROFILE quiet
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    root = make_board(tmp_path, "orin-nano")
    write(root, "etc/nvpmodel.conf", NVPMODEL)
    write(root, "var/lib/nvpmodel/status", "pmode:0001")
    write(root, "etc/nvfancontrol.conf", FAN)
    for policy in (0, 4):
        folder = f"sys/devices/system/cpu/cpufreq/policy{policy}"
        for name, khz in (("cur", 960_000), ("min", 729_600), ("max", 1_344_000)):
            write(root, f"{folder}/scaling_{name}_freq", f"{khz}\n")
    for name, hz in (("cur", 306_000_000), ("min", 306_000_000), ("max", 918_000_000)):
        write(root, f"sys/class/devfreq/17000000.gpu/{name}_freq", f"{hz}\n")
    write(root, "sys/class/hwmon/hwmon2/name", "pwmfan")
    write(root, "sys/class/hwmon/hwmon2/pwm1", "77\n")
    return root


def show(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(power_cli, "ROOT", root)
    code = main(["power", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_what_the_board_is_set_to(board: Path) -> None:
    power = read_power(board)
    assert power.mode is not None
    assert (power.mode.number, power.mode.name) == (1, "25W")
    assert power.default == 0
    assert [mode.name for mode in power.modes] == ["15W", "25W", "MAXN_SUPER"]
    first = power.modes[0]
    assert (first.cores, first.cpu_hz, first.gpu_hz) == (2, 1_497_600_000, 612_000_000)
    unlimited = power.modes[2]
    assert (unlimited.cpu_hz, unlimited.gpu_hz) == (None, None)
    assert set(power.clocks) == {"cpu0", "cpu4", "GPU"}
    assert power.clocks["GPU"].now == 306_000_000
    assert power.clocks["cpu4"].high == 1_344_000_000
    assert power.fan_pct == pytest.approx(30.2, abs=0.05)
    assert (power.fan_profile, power.fan_profiles) == ("quiet", ["quiet", "cool"])
    assert power.missing == {}


def test_the_page(board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = show(board, monkeypatch, capsys)
    assert code == 0
    assert "mode     1, 25W: 3 cores, CPU 1.34 GHz, GPU 918 MHz" in out
    assert "clock    GPU   306 MHz, moves between 306 MHz and 918 MHz" in out
    assert "follow the load" in out
    assert "fan      30 %; profile: quiet" in out
    assert "mode 0   15W           2 cores, CPU 1.50 GHz, GPU 612 MHz  (default)" in out
    assert "(now)" in out
    for command in ("nvpmodel -m N", "jetson_clocks --store", "jetson_clocks", "jetson_clocks --restore"):
        assert f"  sudo {command}\n" in out
    assert "FAN_DEFAULT_PROFILE cool/' /etc/nvfancontrol.conf" in out
    assert "Some modes restart the board" in out


@pytest.mark.parametrize(("wanted", "number"), [("2", 2), ("maxn_super", 2), ("MODE_15W", 0), ("15w", 0)])
def test_a_mode_that_is_wanted(
    board: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wanted: str,
    number: int,
) -> None:
    code, out, _ = show(board, monkeypatch, capsys, wanted)
    assert code == 0
    assert f"  sudo nvpmodel -m {number}\n" in out
    assert ("takes a restart" in out) == (number == 2)  # its mask of the GPU's parts is another


def test_the_mode_it_is_in_already(
    board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = show(board, monkeypatch, capsys, "25W")
    assert "The board is in mode 25W already" in out


def test_a_mode_that_it_has_not(
    board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = show(board, monkeypatch, capsys, "60W")
    assert code == 2
    assert "no power mode '60W'; it has 0 (15W), 1 (25W), 2 (MAXN_SUPER)" in err


def test_clocks_that_are_held(
    board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in [
        *board.glob("sys/devices/system/cpu/cpufreq/*/scaling_*"),
        *board.glob("sys/class/devfreq/*/*"),
    ]:
        file.write_text("918000000" if "devfreq" in str(file) else "1344000")
    _, out, _ = show(board, monkeypatch, capsys)
    assert "clock    cpu0  1.34 GHz, held there" in out
    assert "held, as by jetson_clocks" in out


def test_nothing_is_run_and_nothing_is_changed(
    board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"ran {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    show(board, monkeypatch, capsys, "2")
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_without_clocks_and_fan_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, _ = show(make_board(tmp_path, name), monkeypatch, capsys)
    assert code == 0
    assert "mode     1, 25W: no limits named" in out
    assert "clocks   unknown: neither cpufreq" in out
    assert "fan      unknown: no fan" in out
    assert "JetPack 5 and newer" in out


def test_a_container_that_hides_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_board(tmp_path, "nano")
    (root / "etc/nvpmodel.conf").unlink()
    (root / "var/lib/nvpmodel/status").unlink()
    code, out, _ = show(root, monkeypatch, capsys)
    assert code == 0
    assert "mode     unknown: neither /var/lib/nvpmodel/status" in out
    assert "modes    unknown: /etc/nvpmodel.conf is not here" in out
    with pytest.raises(InputError, match="none that can be read"):
        find_mode(read_power(root), "0")


def test_a_pc_is_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_pc(tmp_path)
    with pytest.raises(MissingError, match="this is no Jetson"):
        read_power(root)
    code, out, err = show(root, monkeypatch, capsys)
    assert (code, out) == (3, "")
    assert "this is no Jetson" in err


@pytest.mark.parametrize("text", ["", "garbage <", "< POWER_MODEL >", "< PM_CONFIG DEFAULT=x >"])
def test_a_damaged_file_has_no_modes(text: str) -> None:
    assert read_modes(text) == ([], None)
