"""jtop: the real service of jetson-stats, both versions, over emulated boards; and every way it can fail."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from jtop_service import POWERLESS, VERSIONS, Machine

from edgekit.errors import MissingError
from edgekit.telemetry import jtop
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.energy import energy
from edgekit.telemetry.jtop import open_jtop
from edgekit.telemetry.jtop_process import CHILD, ClientError, JtopProcess
from edgekit.telemetry.log import read_log
from edgekit.telemetry.log_columns import Log
from edgekit.telemetry.log_writer import LogWriter
from edgekit.telemetry.sample import Event, Sample, boot_clock
from edgekit.telemetry.sampler import ProbeError, Sampler
from edgekit.telemetry.sysfs import open_sysfs

pytestmark = pytest.mark.jtop
TESTED = ("orin-nano", "agx-orin", "xavier-nx", "nano", "thor")
#: What the total is read from, by board and version: jetson-stats 4 does not know the INA238 of Thor.
TOTALS = {
    "orin-nano": "VDD_IN",
    "agx-orin": "sum of 4 rails",
    "xavier-nx": "VDD_IN",
    "nano": "POM_5V_IN",
    "thor": {"4.3.2": "sum of 3 rails", "7.2.2": "VIN"},
}
MakeMachine = Callable[[str], Machine]


@contextmanager
def making() -> Iterator[MakeMachine]:
    machines: list[Machine] = []

    def machine(board: str) -> Machine:
        top = Path(tempfile.mkdtemp(prefix="edgekit-jtop-"))
        top.chmod(0o755)  # for the test in which another user looks at the socket
        machines.append(Machine(top, board))
        return machines[-1]

    try:
        yield machine
    finally:
        for machine_ in machines:
            machine_.close()


@pytest.fixture
def make() -> Iterator[MakeMachine]:
    with making() as make:
        yield make


@pytest.fixture(
    scope="module",
    params=[(board, version) for board in TESTED for version in VERSIONS],
    ids=lambda param: "-".join(param),
)
def service(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, Machine]]:
    """A board, a version, and that version's service over that board."""
    board, version = request.param
    with making() as make:
        yield board, version, make(board).start(version)


@pytest.fixture
def running(service: tuple[str, str, Machine], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, Machine]:
    """`service`, whose own client is used."""
    _, version, machine = service
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python(version)])
    return service


@pytest.fixture(params=VERSIONS)
def nano(request: pytest.FixtureRequest, make: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An Orin Nano whose service of either version runs, and whose client is used."""
    machine = make("orin-nano").start(request.param)
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python(request.param)])
    return machine


@pytest.fixture
def nano7(make: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = make("orin-nano").start("7.2.2")
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python("7.2.2")])
    return machine


def read_on(probe: jtop.JtopProbe) -> None:
    """Read until it fails; what is on its way still comes."""
    while True:
        probe.read()


def gaps(samples: list[Sample]) -> list[float]:
    return [b.t_boot_s - a.t_boot_s for a, b in pairwise(samples)]


# --- what it measures ---------------------------------------------------------------------------


def test_a_step_is_seen_and_its_energy_is_right(running: tuple[str, str, Machine]) -> None:
    """12 W, 15 W, 12 W: each sample is one or the other, and the joules are the rectangle's within 1 %.

    The steps are made just after a sample, so that what the trapezoid lacks at one edge it has too much at
    the other. Where this machine itself stood still for some samples, or was late with the sample after a
    step, it is done again.
    """
    board, version, machine = running
    total = TOTALS[board] if isinstance(TOTALS[board], str) else TOTALS[board][version]
    counted = [name for name in machine.board.rails if name == total or str(total).startswith("sum")]
    counted = [name for name in counted if not (name == "VIN" and str(total).startswith("sum"))]
    for _ in range(4):
        samples, levels, edges = take_two_steps(machine, counted)
        start, end = samples[0].t_boot_s, samples[-1].t_boot_s
        found = energy(Log.of(samples, 0.1), start, end)
        bounds = [start, *edges, end]
        expected = sum(mw / 1000 * (b - a) for mw, a, b in zip(levels, bounds, bounds[1:], strict=False))
        times = [sample.t_boot_s for sample in samples]
        at_steps = [b - a for a, b in pairwise(times) if any(a <= edge < b for edge in edges)]
        if max(gaps(samples)) < 0.2 and max(at_steps) < 0.15:
            break
    assert all(sample.source == f"jtop {version}" for sample in samples)
    assert {sample.power_total_name for sample in samples} == {total}
    assert {sample.power_total_kind for sample in samples} == {"sum" if "sum" in str(total) else "input"}
    assert samples[0].power_total_mw == pytest.approx(levels[0], abs=5)
    seen = [sample.power_total_mw or 0.0 for sample in samples]
    between = [mw for mw in seen if all(abs(mw - level) > 5 for level in levels)]
    # a service may be reading while the rails of a sum change one by one
    assert len(between) <= (2 if len(counted) > 1 else 0)
    assert max(seen) > levels[0] + 2_900
    assert {max(sample.temps_c.values()) for sample in samples} == {40.0, 71.5}
    assert found.joules == pytest.approx(expected, rel=0.01), (found, gaps(samples))


def take_two_steps(machine: Machine, counted: list[str]) -> tuple[list[Sample], list[float], list[float]]:
    """Samples through a step up and one down; the three levels in mW; when the steps were made."""

    def draw(mw: float) -> float:
        return sum(machine.tree.set_rail(name, mw / len(counted)) for name in counted)

    levels, edges = [draw(12_000)], []
    machine.tree.set_temps(40.0)
    with Sampler(open_jtop(0.1, machine.top), 0.1) as sampler:
        assert sampler.wait(1)
        for mw, celsius in ((15_000, 71.5), (12_000, 40.0)):
            time.sleep(2.4 if edges else 0.8)
            assert sampler.wait(1)
            edges.append(boot_clock())
            levels.append(draw(mw))
            machine.tree.set_temps(celsius)
        time.sleep(0.8)
        assert sampler.wait(1)
        return list(sampler.samples), levels, edges


def test_jtop_and_sysfs_agree(running: tuple[str, str, Machine]) -> None:
    """Two readers, one board. jtop cuts fractions of a mW, and does not know all of Thor."""
    board, version, machine = running
    for step, name in enumerate(machine.board.rails):
        machine.tree.set_rail(name, 1_000 + 777 * step)
    for step, zone in enumerate(machine.board.zones):
        if not zone.endswith("!"):
            machine.tree.set_temp(zone, 41.5 + step)
    machine.tree.set_fan(60.0)
    machine.tree.set_gpu(37.5, machine.board.gpu_khz[1])
    machine.tree.set_oc(2, 5)
    machine.tree.set_throttled(True)
    other = open_sysfs(machine.top).read()
    probe = open_jtop(0.2, machine.top)
    try:
        probe.read()
        sample = probe.read()
    finally:
        probe.close()
    rails = dict(other.rails_mw)
    if (board, version) == ("thor", "4.3.2"):
        del rails["VIN"]
    else:
        assert sample.power_total_mw == pytest.approx(other.power_total_mw, abs=len(rails))
        assert sample.power_total_name == other.power_total_name
        assert sample.power_total_kind == other.power_total_kind
    assert sample.rails_mw == pytest.approx(rails, abs=1)
    assert sample.temps_c == pytest.approx(other.temps_c, abs=1e-6)
    assert sample.fan_pct == pytest.approx(other.fan_pct, abs=0.5)
    assert sample.oc_events == other.oc_events == {"oc1": 0, "oc2": 5, "oc3": 0}
    assert sample.throttle == other.throttle == ("thermal (cpu)", "thermal (gpu)")
    assert sample.power_mode == other.power_mode
    assert sample.jetson_clocks is False
    if board == "thor":  # its GPU answers by NVML alone
        assert sample.gpu_load_pct is None
        assert "gpu_load_pct" in sample.missing
    else:
        assert sample.gpu_load_pct == pytest.approx(other.gpu_load_pct)
        assert sample.gpu_freq_khz == pytest.approx(other.gpu_freq_khz, abs=1)
    lines = Path("/proc/meminfo").read_text().splitlines()
    used = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    # as jetson-stats counts it (core/memory.py): without buffers and the page cache
    assert sample.ram_used_kb == pytest.approx(
        used["MemTotal"] - used["MemFree"] - used["Buffers"] - used["Cached"], rel=0.2
    )
    assert 0 <= sample.age_s < 0.6
    assert not {"power_total_mw", "rails_mw", "temps_c"} & set(sample.missing)


def test_the_cpus_load_is_of_the_interval(nano: Machine) -> None:
    """jetson-stats gives the load since boot in every second sample of its "total"."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        probe = open_jtop(0.3, nano.top)
        try:
            loads = [probe.read().cpu_load_pct for _ in range(6)]
        finally:
            probe.close()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert loads[0] is None
    assert all(load is not None and load > 80 for load in loads[2:]), loads


def test_auto_takes_jtop_on_the_board_itself(nano: Machine, request: pytest.FixtureRequest) -> None:
    """With nothing told or replaced: /run/jtop.sock, /sys, this Python's own client."""
    version = request.node.callspec.params["nano"]
    code = (
        "from edgekit.telemetry import open_sampler\n"
        "with open_sampler('auto', 0.2) as sampler:\n"
        "    assert sampler.wait(3)\n"
        "    print(sampler.latest.source, sampler.latest.power_total_mw, sampler.why)\n"
    )
    done = subprocess.run(
        [nano.python(version), "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"jtop {version} 4900.0 jtop {version} measures")


def test_over_current_is_told(nano7: Machine) -> None:
    told: list[Sample | Event] = []
    with Sampler(open_jtop(0.1, nano7.top), 0.1) as sampler:
        sampler.add(told.append)
        assert sampler.wait(2)
        nano7.tree.set_oc(3, 4)
        assert sampler.wait(3)
    texts = [item.text for item in told if isinstance(item, Event)]
    assert texts == ["oc3: 4 over-current events more"]


def test_closing_is_quick_and_leaves_no_process(nano7: Machine) -> None:
    before = set(psutil.Process().children(recursive=True))
    sampler = open_sampler("jtop", 0.2, root=nano7.top).start()
    assert sampler.wait(2)
    assert set(psutil.Process().children(recursive=True)) - before
    start = time.monotonic()
    sampler.stop()
    assert time.monotonic() - start < 2
    assert not sampler.running
    assert set(psutil.Process().children(recursive=True)) == before


# --- faults while it runs -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_restarted_costs_the_gap_alone(
    nano: Machine, number: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    version = request.node.callspec.params["nano"]
    with (
        LogWriter(tmp_path / "run.jsonl", interval_s=0.3, source="jtop") as writer,
        Sampler(open_jtop(0.3, nano.top), 0.3) as sampler,
    ):
        sampler.add(writer.write)
        assert sampler.wait(4)
        nano.kill(number)
        died = boot_clock()
        time.sleep(1.8)
        assert "jtop.service" in sampler.note
        nano.start(version)
        assert sampler.wait(4, timeout=20)
        assert sampler.note == ""
    log = read_log(tmp_path / "run.jsonl")
    assert [event.event for event in log.events] == ["gap", "back"]
    steps = [b - a for a, b in pairwise(log.t)]
    over = [step for step in steps if step > 0.9]
    assert len(over) == 1, steps  # every other sample is there
    assert log.t[steps.index(over[0])] <= died + 0.1
    assert 1.2 < over[0] < 12
    assert all(b.seq == a.seq + 1 for a, b in pairwise(log.samples()))


@pytest.mark.parametrize("whole", [True, False], ids=["service", "its sampler"])
def test_a_stalled_service_gives_no_stale_samples(nano: Machine, whole: bool) -> None:
    """Held still: its last figures, which the client goes on to give, are not taken for new ones."""
    assert nano.service is not None
    # the process that samples is the last that the service starts
    sampling = max(psutil.Process(nano.service.pid).children(), key=lambda child: child.create_time())
    told: list[Sample | Event] = []
    with Sampler(open_jtop(0.3, nano.top), 0.3) as sampler:
        sampler.add(told.append)
        assert sampler.wait(3)
        if whole:
            nano.stall(True)
        else:
            sampling.suspend()
        stopped = boot_clock()
        time.sleep(2.4)
        during = [sample for sample in told if isinstance(sample, Sample) and sample.t_boot_s > stopped + 0.3]
        assert not during
        assert sampler.note
        if whole:
            nano.stall(False)
        else:
            sampling.resume()
        assert sampler.wait(3, timeout=25)
    events = [item.event for item in told if isinstance(item, Event)]
    assert events == ["gap", "back"]
    samples = [item for item in told if isinstance(item, Sample)]
    assert all(step > 0 for step in gaps(samples))
    assert all(sample.age_s <= 0.9 for sample in samples)


@pytest.mark.parametrize(("board", "rail"), [("orin-nano", "VDD_IN"), ("agx-orin", "VDD_CPU_CV")])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_rail_that_fails_once_leaves_a_hole_and_no_other_total(
    board: str, rail: str, version: str, make: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """jtop's own total is silently the sum of the other rails then."""
    machine = make(board).start(version)
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python(version)])
    file = machine.tree.current[rail]
    told: list[Sample | Event] = []
    with Sampler(open_jtop(0.1, machine.top), 0.1) as sampler:
        sampler.add(told.append)
        assert sampler.wait(3)
        file.rename(file.with_suffix(".kept"))
        file.mkdir()  # reading it is an OSError, as of a bus that did not answer
        assert sampler.wait(3)
        file.rmdir()
        file.with_suffix(".kept").rename(file)
        assert sampler.wait(4)
    samples = [item for item in told if isinstance(item, Sample)]
    holes = [sample for sample in samples if sample.power_total_mw is None]
    assert 1 <= len(holes) < len(samples)
    assert all(rail in sample.missing["power_total_mw"] for sample in holes)
    assert all(rail not in sample.rails_mw and len(sample.rails_mw) >= 2 for sample in holes)
    assert len({sample.power_total_mw for sample in samples} - {None}) == 1
    assert len({sample.power_total_name for sample in samples}) == 1
    assert samples[-1].power_total_mw is not None
    assert not [item for item in told if isinstance(item, Event)]  # neither a gap nor another total


def test_another_version_after_an_update_is_a_gap_that_says_so(nano7: Machine) -> None:
    with Sampler(open_jtop(0.2, nano7.top), 0.2) as sampler:
        assert sampler.wait(2)
        nano7.kill()
        nano7.start("4.3.2")
        end = time.monotonic() + 15
        while "4.3.2" not in sampler.note and time.monotonic() < end:
            time.sleep(0.1)
        assert "service 4.3.2, client 7.2.2" in sampler.note
        assert sampler.running


def test_a_reading_after_the_service_has_gone_says_how_to_have_it_back(nano: Machine) -> None:
    probe = open_jtop(0.2, nano.top)
    try:
        probe.read()
        nano.kill(signal.SIGKILL)
        shutil.rmtree(nano.socket, ignore_errors=True)
        for _ in range(3):
            with pytest.raises(ProbeError, match=r"jtop\.service .*systemctl restart jtop\.service"):
                read_on(probe)
    finally:
        probe.close()
    with pytest.raises(ProbeError):
        probe.read()


# --- more than one client -----------------------------------------------------------------------


def test_a_slower_client_that_was_first(nano7: Machine) -> None:
    """So slow that a service at this client's own pace would have been given up."""
    first = JtopProcess(nano7.python("7.2.2"), 2.5)
    try:
        first.greet(10)
        probe = open_jtop(0.2, nano7.top)
        try:
            assert "every 2.5 s, as another client" in probe.why
            samples = [probe.read() for _ in range(3)]
        finally:
            probe.close()
    finally:
        first.stop()
    assert all(2.0 < step < 6 for step in gaps(samples))


def test_a_faster_client_that_was_first(nano7: Machine) -> None:
    first = JtopProcess(nano7.python("7.2.2"), 0.1)
    try:
        first.greet(10)
        probe = open_jtop(0.5, nano7.top)
        try:
            samples = [probe.read() for _ in range(4)]
        finally:
            probe.close()
    finally:
        first.stop()
    assert all(0.4 < step < 1.5 for step in gaps(samples))


# --- what keeps it from being opened ------------------------------------------------------------


@pytest.mark.parametrize(("service", "client"), [VERSIONS, VERSIONS[::-1]])
def test_two_versions_are_named(
    service: str, client: str, make: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make("orin-nano").start(service)
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python(client)])
    start = time.monotonic()
    with pytest.raises(MissingError, match=rf"service {service}, client {client}\).*pip install"):
        open_jtop(0.2, machine.top)
    assert time.monotonic() - start < 10
    # the interpreter with the service's own client is found
    monkeypatch.setattr(jtop, "interpreters", lambda: [machine.python(client), machine.python(service)])
    probe = open_jtop(0.2, machine.top)
    try:
        assert probe.read().source == f"jtop {service}"
    finally:
        probe.close()


def test_no_client(nano7: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    matching = nano7.python("7.2.2")
    monkeypatch.setattr(jtop, "interpreters", lambda: [nano7.python(), "/no/such/python"])
    with pytest.raises(MissingError, match=r"jtop\.service runs, but neither .*pip install jetson-stats"):
        open_jtop(0.2, nano7.top)
    monkeypatch.setattr(jtop, "interpreters", lambda: [nano7.python(), matching])
    open_jtop(0.2, nano7.top).close()


def test_the_systems_python_samples_where_this_one_has_no_client(
    nano: Machine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing of edgekit, NumPy or psutil."""
    version = request.node.callspec.params["nano"]
    theirs = nano.python(version, program=shutil.which("python3", path="/usr/bin") or sys.executable)
    monkeypatch.setattr(jtop, "interpreters", lambda: [nano.python(), theirs])
    probe = open_jtop(0.2, nano.top)
    try:
        assert probe.read().power_total_mw == 4900.0
    finally:
        probe.close()


def test_a_user_outside_the_group(nano: Machine) -> None:
    if nano.rootless:
        nano.socket.chmod(0)  # nobody else can be played here
        with pytest.raises(MissingError, match=r"may not use jtop"):
            open_jtop(0.2, nano.top)
        return
    read, write = os.pipe()
    child = os.fork()
    if not child:
        words = "opened"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            open_jtop(0.2, nano.top)
        except BaseException as error:
            words = f"{type(error).__name__}: {error}"
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        words = pipe.read()
    os.waitpid(child, 0)
    assert words.startswith("MissingError: user nobody may not use jtop: /run/jtop.sock is for the group ")


def test_a_socket_of_another_group(nano7: Machine) -> None:
    """On the board itself, with its own groups, and without root's right to open everything."""
    nano7.socket.chmod(0)
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from edgekit.telemetry import open_sampler\n"
        "open_sampler('jtop', 0.2)"
    )
    program = nano7.python("7.2.2", powerless=True)
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "user root may not use jtop: /run/jtop.sock is for the group" in last
    assert ("usermod -aG jtop root" in last) != nano7.rootless  # without root, the group is one's own
    if nano7.rootless:
        return
    os.chown(nano7.socket, 0, 4)
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "is for the group adm alone. Cure: sudo systemctl restart jtop.service" in last


def test_the_clients_own_words_are_understood(nano: Machine, request: pytest.FixtureRequest) -> None:
    """What the check before cannot see: the client itself is refused, or meets a socket nobody listens at."""
    version = request.node.callspec.params["nano"]
    nano.socket.chmod(0)
    process = JtopProcess(nano.python(version, powerless=True), 0.2)
    with pytest.raises(ClientError) as caught:
        process.greet(10)
    process.stop()
    assert caught.value.kind == "forbidden"
    nano.kill(signal.SIGKILL)
    nano.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(nano.socket))
    with pytest.raises(MissingError, match=r"jtop\.service is not active: nobody listens at /run/jtop\.sock"):
        open_jtop(0.2, nano.top)


def test_a_service_that_hangs_is_not_waited_for_long(nano7: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jtop, "START_S", 2.0)
    nano7.stall(True)
    start = time.monotonic()
    try:
        with pytest.raises(MissingError, match=r"jtop\.service does not answer \(no answer for 2\.6 s\)"):
            open_jtop(0.2, nano7.top)
    finally:
        nano7.stall(False)
    assert time.monotonic() - start < 6


# --- its process --------------------------------------------------------------------------------


@pytest.mark.parametrize("forked", [False, True], ids=["alone", "with a fork that holds its pipes"])
def test_the_child_dies_with_its_parent(nano7: Machine, forked: bool) -> None:
    code = (
        "import os, sys, time\n"
        "from edgekit.telemetry import jtop\n"
        "jtop.interpreters = lambda: [sys.argv[1]]\n"
        "probe = jtop.open_jtop(0.2, sys.argv[2])\n"
        "probe.read()\n"
        f"if {forked} and os.fork() == 0: time.sleep(6); os._exit(0)\n"
        "print(probe._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, nano7.python("7.2.2"), str(nano7.top)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert "jtop_child.py" in " ".join(child.cmdline())
        parent.kill()
        parent.wait()
        end = time.monotonic() + 5
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.05)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_child_is_of_python_3_8() -> None:
    """The system's Python, whose client it may have to use, is older than what the kit itself needs."""
    ast.parse(CHILD.read_text(), feature_version=(3, 8))


def test_sampling_costs_little_at_2_hz(nano7: Machine) -> None:
    """This process and its child together take 0.4 % of a core on a quiet PC, 0.8 % on a busy one;
    the service runs anyhow, for all."""
    with Sampler(open_jtop(0.5, nano7.top), 0.5) as sampler:
        assert sampler.wait(2)
        both = [psutil.Process(), *psutil.Process().children()]
        both = [
            process
            for process in both
            if process.pid == os.getpid() or "jtop_child" in str(process.cmdline())
        ]
        assert len(both) == 2
        start, used = time.monotonic(), sum(sum(process.cpu_times()[:2]) for process in both)
        assert sampler.wait(10)
        share = (sum(sum(process.cpu_times()[:2]) for process in both) - used) / (time.monotonic() - start)
    assert share < 0.02


def test_this_process_never_loads_jetson_stats(nano7: Machine) -> None:
    probe = open_jtop(0.2, nano7.top)
    probe.read()
    probe.close()
    assert "jtop" not in sys.modules


def test_as_an_ordinary_user() -> None:
    """The first test once more, with no more rights than anybody has."""
    drop = POWERLESS if os.geteuid() == 0 else ()
    assert subprocess.run([*drop, "unshare", "-m", "true"], capture_output=True, check=False).returncode != 0
    one = f"{__file__}::test_a_step_is_seen_and_its_energy_is_right[orin-nano-7.2.2]"
    quick = ["--noconftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*drop, sys.executable, "-m", "pytest", "-q", *quick, one],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
