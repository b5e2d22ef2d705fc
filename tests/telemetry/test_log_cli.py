"""`edgekit log` as people run it: as a process, with signals, with commands that behave badly."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.telemetry import log_table
from edgekit.telemetry.log import LogWriter, read_log
from edgekit.telemetry.log_table import text
from edgekit.telemetry.sample import Sample

EDGEKIT = (sys.executable, "-m", "edgekit", "log")
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
BOARD = ("--sampler", "emulated:orin-nano", "--interval", "0.1")


def log(*words: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EDGEKIT, *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture
def begin() -> Iterator[object]:
    """Starts `edgekit log` in the background; what is left of it is ended after the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*EDGEKIT, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(path: Path, count: int) -> None:
    """Wait until the log holds so many lines."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if path.is_file() and path.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} holds no {count} samples after 30 s")


# for some time


def test_a_duration_is_kept(tmp_path: Path) -> None:
    done = log(*BOARD, "--duration", "2", "--out", tmp_path / "run.jsonl")
    assert done.returncode == 0, done.stderr
    read = read_log(tmp_path / "run.jsonl")
    assert 17 <= len(read) <= 21  # 20, and room for a machine that is busy
    assert read.t[-1] - read.t[0] <= 2.0
    steps = read.t - read.t[0]
    assert abs(steps[-1] - 0.1 * round(steps[-1] / 0.1)) < 0.05  # still on the grid
    assert read.emulated
    assert read.header["board"]
    assert "no measurement" in done.stdout
    assert re.search(r"^energy +[\d.]+ J, by trapezoid$", done.stdout, re.MULTILINE)


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = log(*BOARD, "--duration", "0.3", "--quiet", "--out", tmp_path / "run.jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_end_of_a_log_that_has_none(tmp_path: Path, begin, number: int) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "run.jsonl"
    process = begin(*BOARD, "--out", path)
    until(path, 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "energy" in out
    assert len(read_log(path)) >= 5


def test_interrupted_before_its_time(tmp_path: Path, begin) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "run.jsonl"
    process = begin(*BOARD, "--out", path, "--duration", "60")
    until(path, 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_killed_the_log_is_whole(tmp_path: Path, begin) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "run.jsonl"
    process = begin(*BOARD, "--out", path)
    until(path, 8)
    process.kill()
    process.communicate(timeout=10)
    read = read_log(path)
    assert [one.seq for one in read.samples()] == list(range(len(read)))
    assert len(read) >= 8


def test_rotation(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    done = log(*BOARD, "--rotate", "0.016", "--keep", "99", "--duration", "5", "--out", path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.1.jsonl").is_file()
    read = read_log(path)
    assert [one.seq for one in read.samples()] == list(range(len(read)))
    assert not read.events


def test_a_full_disk_is_said_once_and_survived(tmp_path: Path) -> None:
    """A file that the kernel lets grow to 4 KiB and no more; every sample after that is lost, and counted."""
    path = tmp_path / "run.jsonl"
    command = [*EDGEKIT, *BOARD, "--duration", "3", "--out", str(path)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written: File too large") == 1
    lost = re.search(r"^lost +(\d+) samples could not be written$", done.stdout, re.MULTILINE)
    assert lost, done.stdout
    read = read_log(path)
    assert 0 < len(read) < 10
    assert 17 <= len(read) + int(lost[1]) <= 31
    assert "energy     unknown: no sample for" in done.stdout  # half a log is no joules


def test_a_log_that_is_there_is_refused_or_continued(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    assert log(*BOARD, "--duration", "0.3", "--out", path).returncode == 0
    before = path.read_bytes()
    refused = log(*BOARD, "--duration", "0.3", "--out", path)
    assert refused.returncode == 2
    assert "run.jsonl exists" in refused.stderr
    assert "--append" in refused.stderr
    assert path.read_bytes() == before
    count = len(read_log(path))
    assert log(*BOARD, "--duration", "0.3", "--out", path, "--append").returncode == 0
    assert len(read_log(path)) > count


# a command


def test_a_command_gets_its_words_and_gives_its_code(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    words = ("--out", "x y", "--", "$HOME;`id`", "-q")
    done = log(*BOARD, "--out", tmp_path / "run.jsonl", "--", sys.executable, "-c", code, *words)
    assert done.returncode == 7
    assert done.stdout == f"{list(words)}\n"  # its own output, and nothing of ours
    assert "emulated Orin Nano" in done.stderr
    assert "no measurement" in done.stderr


def test_the_energy_of_a_command(tmp_path: Path) -> None:
    """Against the samples, summed here by hand."""
    path = tmp_path / "run.jsonl"
    done = log(*BOARD, "--out", path, "--", "sleep", "1.5")
    found = re.search(r"^energy +([\d.]+) J, by trapezoid$", done.stderr, re.MULTILINE)
    assert found, done.stderr
    seconds = float(re.search(r"^time +([\d.]+) s", done.stderr, re.MULTILINE)[1])  # type: ignore[index]
    assert 1.5 <= seconds < 2.5
    read = read_log(path)
    assert float(found[1]) == pytest.approx(read.power_w.mean() * seconds, rel=0.2)
    assert re.search(r"^covered +(100|99)% ", done.stderr, re.MULTILINE), done.stderr
    for row in ("mean", "hottest", "throttled", "mode", "log"):
        assert re.search(rf"^{row} ", done.stderr, re.MULTILINE), row


def test_energy_above_idle() -> None:
    done = log(
        *BOARD,
        "--baseline",
        "0.5",
        "--",
        sys.executable,
        "-c",
        "while __import__('time').process_time() < 1: pass",
    )
    assert re.search(r"^above idle +-?[\d.]+ J above the idle [\d.]+ W$", done.stderr, re.MULTILINE), (
        done.stderr
    )
    assert not re.search("^log ", done.stderr, re.MULTILINE)  # none was asked for, none is kept


def test_unknown_power_is_said_and_nothing_is_invented() -> None:
    done = log("--sampler", "none", "--interval", "0.1", "--", "true")
    assert done.returncode == 0
    assert "energy     unknown: nothing is measured (sampler none)" in done.stderr
    assert " J" not in done.stderr
    assert " W" not in done.stderr


def test_a_command_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    done = log(*BOARD, "--out", tmp_path / "run.jsonl", "--", "no-such-command")
    assert done.returncode == 127
    assert done.stderr.startswith("edgekit: no-such-command is not here")
    (tmp_path / "text").write_text("words")
    done = log(*BOARD, "--out", tmp_path / "run.jsonl", "--", tmp_path / "text")
    assert done.returncode == 126
    assert "chmod +x" in done.stderr
    assert not (tmp_path / "run.jsonl").exists()
    (tmp_path / "text").chmod(0o755)
    (tmp_path / "text").write_bytes(b"\x00\x01 no program")
    done = log(*BOARD, "--", tmp_path / "text")
    assert done.returncode == 126
    assert "cannot be run" in done.stderr


def test_a_command_that_deletes_its_log_keeps_its_code(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    done = log("--sampler", "none", "--out", path, "--", "sh", "-c", f"rm {path}; exit 6")
    assert done.returncode == 6
    assert "run.jsonl does not exist" in done.stderr


def test_a_command_that_died_of_a_signal() -> None:
    done = log("--sampler", "none", "--", "sh", "-c", "kill -SEGV $$")
    assert done.returncode == 128 + signal.SIGSEGV


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_and_the_command_decides(tmp_path: Path, begin, number: int) -> None:  # type: ignore[no-untyped-def]
    code = f"""
        import signal, sys, time
        def end(number, frame):
            print("got", number, flush=True)
            sys.exit(9)
        signal.signal({int(number)}, end)
        print("ready", flush=True)
        time.sleep(60)
    """
    process = begin(
        *BOARD, "--out", tmp_path / "run.jsonl", "--", sys.executable, "-c", textwrap.dedent(code)
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert out == f"got {int(number)}\n"  # once
    assert process.returncode == 9
    assert "energy" in err


def test_a_command_that_ignores_sigterm_is_not_killed(tmp_path: Path, begin) -> None:  # type: ignore[no-untyped-def]
    code = """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
        print("ready", flush=True)
        while not sys.stdin.readline(): time.sleep(0.05)
    """
    script = tmp_path / "stubborn.py"
    script.write_text(
        textwrap.dedent(code).replace("sys.stdin.readline()", "__import__('os').path.exists(sys.argv[1])")
    )
    path = tmp_path / "run.jsonl"
    process = begin(*BOARD, "--out", path, "--", sys.executable, script, tmp_path / "stop")
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "no\n"
    before = len(read_log(path))
    until(path, before + 3)  # the log goes on with it
    assert process.poll() is None
    (tmp_path / "stop").touch()
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_children_of_the_command_live_on(tmp_path: Path) -> None:
    """What a command leaves running is not ours to end."""
    mark = tmp_path / "mark"
    done = log(
        "--sampler",
        "none",
        "--interval",
        "0.1",
        "--",
        "sh",
        "-c",
        f"(sleep 2; touch {mark}) >/dev/null 2>&1 &",
    )
    assert done.returncode == 0
    end = time.monotonic() + 10
    while not mark.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert mark.exists()


def test_ctrl_c_at_a_terminal_reaches_the_command_once(tmp_path: Path) -> None:
    """The terminal gives it to both; the log ends with the command, and its code is passed on."""
    code = """
        import signal, sys, time
        count = 0
        def got(number, frame):
            global count
            count += 1
        signal.signal(signal.SIGINT, got)
        print("ready", flush=True)
        end = time.monotonic() + 30
        while not count and time.monotonic() < end: time.sleep(0.01)
        time.sleep(0.5)
        print("count", count, sys.stdin.isatty(), flush=True)
        sys.exit(5)
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*EDGEKIT, *BOARD, "--", sys.executable, "-c", textwrap.dedent(code)])
    seen = b""
    try:
        end = time.monotonic() + 30
        pressed = False
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    chunk = os.read(terminal, 4096)
                except OSError:
                    break
                if not chunk:
                    break
                seen += chunk
            if b"ready" in seen and not pressed:
                os.write(terminal, b"\x03")
                pressed = True
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert b"count 1 True" in seen, seen
    assert os.waitstatus_to_exitcode(status) == 5


# Prometheus, and settings


def test_prometheus_beside_a_log(tmp_path: Path, begin) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "run.jsonl"
    process = begin(*BOARD, "--out", path, "--prometheus", "0")
    url = process.stderr.readline().split()[-1]
    assert url.startswith("http://127.0.0.1:")
    until(path, 3)
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert 'edgekit_power_watts{kind="input",meter="VDD_IN",note="emulated"}' in answer.read().decode()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_port_that_is_taken_starts_nothing(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        done = log(*BOARD, "--out", tmp_path / "run.jsonl", "--prometheus", port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"edgekit: --prometheus {port}")
    assert "in use" in done.stderr
    assert not (tmp_path / "run.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give --out FILE"),
        (["--out", "x.jsonl", "--duration", "0"], "--duration 0"),
        (["--out", "x.jsonl", "--duration", "nan"], "--duration nan"),
        (["--out", "x.jsonl", "--interval", "0.001"], "--interval"),
        (["--out", "x.jsonl", "--rotate", "0.001"], "too small"),
        (["--out", "x.jsonl", "--rotate", "-1"], "--rotate -1"),
        (["--out", "x.jsonl", "--keep", "-1"], "--keep -1"),
        (["--out", "x.jsonl", "--baseline", "1"], "--baseline goes with a command"),
        (["--out", "x.jsonl", "--sampler", "jtopp"], "no sampler 'jtopp'"),
        (["--duration", "1", "--", "true"], "not both"),
        (["--out", "/dev/null/x.jsonl", "--sampler", "none", "--duration", "1"], "cannot be written"),
    ],
)
def test_settings_that_cannot_be(
    words: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["log", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_table_names_heat_and_throttling(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with LogWriter(path, interval_s=0.5, source="sysfs") as writer:
        for i in range(21):
            hot = 10 <= i < 15
            writer.write(
                Sample(
                    100 + i / 2,
                    "",
                    "sysfs",
                    seq=i,
                    power_total_mw=10_000.0 + 1000 * hot,
                    power_total_name="VDD_IN",
                    power_total_kind="input",
                    temps_c={"cpu": 60.0, "gpu": 97.5 if hot else 50.0},
                    oc_events={"oc1": 2 + 3 * (i > 12)},
                    throttle=("thermal",) if hot else (),
                    power_mode="15W",
                )
            )
    words = text(read_log(path), 100.0, 110.0, baseline_w=4.0, path=path, lost=3)
    rows = {line[:11].strip(): line[11:] for line in words.splitlines()}
    assert rows["power"] == "sysfs, VDD_IN"
    assert rows["energy"] == "102.5 J, by trapezoid"  # 10 s at 10 W, and 2.5 s at 1 W more
    assert rows["above idle"] == "62.50 J above the idle 4.00 W"
    assert rows["mean"] == "10.25 W, lowest 10.00, highest 11.00"
    assert rows["hottest"] == "gpu, 97.5 °C"
    assert rows["throttled"] == "in 5 of 21 samples: thermal; oc1: 3 over-current events"
    assert rows["lost"] == "3 samples could not be written"


@pytest.mark.parametrize(
    ("joules", "words"),
    [
        (-1e-14, "0.000"),
        (0.0123, "0.012"),
        (-0.5, "-0.500"),
        (24.321, "24.32"),
        (999.9, "999.9"),
        (4411.2, "4411"),
    ],
)
def test_joules_are_never_powers_of_ten(joules: float, words: str) -> None:
    assert log_table._digits(joules) == words
