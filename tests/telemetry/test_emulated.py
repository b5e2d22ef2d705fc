"""The emulated board: what its model gives, that it says what it is, and that it leaves nothing behind."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.telemetry import emulated
from edgekit.telemetry.boards import BOARDS
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.emulated import EmulatedProbe, open_emulated
from edgekit.telemetry.sample import Event, Sample
from edgekit.telemetry.sampler import ProbeError, Sampler


@pytest.fixture
def probe() -> Iterator[EmulatedProbe]:
    probe = open_emulated("orin-nano")
    yield probe
    probe.close()


@pytest.mark.parametrize("name", list(BOARDS))
def test_every_board_opens_and_says_that_it_is_emulated(name: str) -> None:
    probe = open_emulated(name)
    try:
        sample = probe.read()
    finally:
        probe.close()
    assert sample.emulated
    assert sample.source == f"emulated {BOARDS[name].title} (sysfs)"
    assert "no measurement" in probe.why
    assert sample.power_total_mw is not None
    assert sample.power_total_mw > 1000
    assert set(sample.rails_mw) == set(BOARDS[name].rails)


def test_an_unknown_board_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'rpi5'; there are orin-nano, .*thor"):
        open_emulated("rpi5")


@pytest.mark.parametrize(("load", "watts"), [(0.0, 4.9), (0.5, 9.95), (1.0, 15.0), (7.0, 15.0)])
def test_power_lies_between_idle_and_full(probe: EmulatedProbe, load: float, watts: float) -> None:
    probe.load = load
    sample = probe.read()
    assert sample.power_total_mw == pytest.approx(watts * 1000, abs=5)  # whole mA at 4.9 V
    assert sample.power_total_name == "VDD_IN"
    assert sample.gpu_load_pct == pytest.approx(min(load, 1.0) * 100)


def test_power_can_be_said_outright(probe: EmulatedProbe) -> None:
    probe.power_mw = 12_345.0
    assert probe.read().power_total_mw == pytest.approx(12_345, abs=5)


def test_it_follows_the_load_of_this_machine(probe: EmulatedProbe) -> None:
    """Idle against load, as a notebook shows it: one busy core of N is 1/N of the way."""
    probe.read()
    time.sleep(0.5)
    probe.read()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        sum(range(10_000))
    sample = probe.read()
    cores = os.cpu_count() or 1
    assert sample.power_total_mw is not None
    assert sample.power_total_mw > 4900 + 0.5 * (15_000 - 4900) / cores


def test_warmth_rises_as_of_the_first_order(probe: EmulatedProbe) -> None:
    probe.load = 1.0
    start = probe.read().temps_c["tj"]
    goal = 25.0 + 55.0
    probe.step(20.0)  # one time constant
    expected = goal + (start - goal) * math.exp(-1.0)
    assert probe.read().temps_c["tj"] == pytest.approx(expected, abs=0.1)


def test_too_hot_throttles_and_recovers(probe: EmulatedProbe) -> None:
    probe.load, probe.ambient_c = 1.0, 60.0
    seen: list[Sample] = []
    for _ in range(120):
        probe.step(1.0)
        seen.append(probe.read())
    held = [sample for sample in seen if sample.throttle]
    assert held
    assert held[0].throttle == ("thermal (cpu)", "thermal (gpu)")
    assert max(sample.temps_c["tj"] for sample in seen) < emulated.HOT_C + 2
    later = held[1]
    assert later.power_total_mw == pytest.approx(4900 + 0.2 * 10_100, abs=5)
    assert later.gpu_freq_khz == 306_000
    counts = [sample.oc_events["oc3"] for sample in seen]
    assert counts == sorted(counts)
    assert counts[-1] >= 2
    released = seen[seen.index(held[0]) :]
    assert any(not sample.throttle for sample in released)  # it cools, and is let go


def test_listeners_are_told_of_throttling() -> None:
    probe = open_emulated()
    probe.load, probe.ambient_c = 1.0, 90.0
    told: list[Sample | Event] = []
    with Sampler(probe, 0.1) as sampler:
        sampler.add(told.append)
        probe.step(60.0)
        assert sampler.wait(3)
    assert any(isinstance(item, Event) and item.event == "throttle" for item in told)


def test_nothing_stays_behind() -> None:
    sampler = open_sampler("emulated:nano", 0.1)
    probe = sampler.probe
    assert isinstance(probe, EmulatedProbe)
    folder = probe.tree.root
    with sampler:
        assert sampler.wait(2)
        assert (folder / "sys").is_dir()
    assert not folder.exists()
    probe.close()
    with pytest.raises(ProbeError, match="closed"):
        probe.read()
    assert not folder.exists()


def test_closing_amid_readings_leaves_nothing(probe: EmulatedProbe) -> None:
    stopped: list[str] = []

    def work() -> None:
        try:
            while True:
                probe.read()
        except ProbeError as error:
            stopped.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    probe.close()
    thread.join(5)
    assert stopped == ["the emulated Orin Nano is closed"]
    assert not probe.tree.root.exists()


def test_what_a_killed_program_left_is_removed_by_the_next() -> None:
    code = (
        "import os, time\n"
        "from edgekit.telemetry.emulated import open_emulated\n"
        "probe = open_emulated()\n"
        "print(probe.tree.root, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        left = Path(program.stdout.readline().strip())
        other = open_emulated()
        assert (left / "sys").is_dir()  # a living one's is left alone
        program.kill()
        program.wait()
    assert (left / "sys").is_dir()
    open_emulated().close()
    assert not left.exists()
    assert other.read().power_total_mw
    other.close()


def test_a_fork_that_ends_takes_nothing_with_it(probe: EmulatedProbe) -> None:
    child = os.fork()
    if not child:
        probe.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert probe.read().power_total_mw


def test_a_program_that_just_ends_leaves_nothing(tmp_path: Path) -> None:
    code = "from edgekit.telemetry.emulated import open_emulated as o; p = o(); print(p.tree.root)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()
