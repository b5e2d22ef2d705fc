"""Signs of life for systemd: the protocol, a run under a fake service manager, and a camera that stalls."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.watchdog import SHARE, KeepAlive, keep_alive

ROOT = Path(__file__).resolve().parents[1]


class Manager:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.settimeout(0.2)

    def next(self) -> dict[str, str] | None:
        """The next message; None: none within 0.2 s."""
        try:
            text = self.socket.recv(4096).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines())

    def all(self) -> list[dict[str, str]]:
        """What lies there."""
        return list(iter(self.next, None))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_ready_with_the_first_frame_then_a_sign_of_life_a_quarter_of_the_time(
    manager: Manager, tmp_path: Path
) -> None:
    clock = Clock()
    sink = KeepAlive(str(tmp_path / "notify"), 8.0, clock)
    assert manager.next() is None  # opened, and no frame yet: a first start may build an engine for minutes
    sink.write(None, None, None)
    assert manager.next() == {"READY": "1", "WATCHDOG": "1", "STATUS": "1 frames"}
    for _ in range(10):
        clock.now += 8.0 * SHARE / 10 - 1e-6
        sink.write(None, None, None)
    assert manager.next() is None
    clock.now += 0.1
    sink.write(None, None, None)
    assert manager.all() == [{"WATCHDOG": "1", "STATUS": "12 frames"}]
    clock.now += 100.0  # time alone is no sign of life
    assert manager.next() is None
    sink.close()
    assert manager.all() == [{"STOPPING": "1"}]


def test_without_a_watchdog_only_the_status_is_kept(manager: Manager, tmp_path: Path) -> None:
    sink = KeepAlive(str(tmp_path / "notify"))
    sink.write(None, None, None)
    sink.close()
    assert manager.all() == [{"READY": "1", "STATUS": "1 frames"}, {"STOPPING": "1"}]


def test_an_abstract_socket() -> None:
    name = f"@edgekit-{os.getpid()}"
    manager = Manager(name)
    sink = KeepAlive(name, 1.0)
    sink.write(None, None, None)
    sink.close()
    assert [sorted(message) for message in manager.all()] == [["READY", "STATUS", "WATCHDOG"], ["STOPPING"]]
    manager.socket.close()


def test_a_manager_that_is_away_is_told_later(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    sink = KeepAlive(address, 8.0, Clock())
    sink.write(None, None, None)  # nobody listens: the run goes on
    manager = Manager(address)
    sink.write(None, None, None)
    sink.close()
    assert manager.next() == {"READY": "1", "WATCHDOG": "1", "STATUS": "2 frames"}
    manager.socket.close()


def test_which_environment_wants_news(tmp_path: Path) -> None:
    address = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    assert keep_alive({}) == [] == keep_alive({"WATCHDOG_USEC": "60000000"})

    def every(**more: str) -> float:
        (sink,) = keep_alive({**address, **more}, pid=7)
        sink.close()
        return sink._every if sink._watched else 0.0

    assert every() == 0.0
    assert every(WATCHDOG_USEC="60000000") == 15.0
    assert every(WATCHDOG_USEC="60000000", WATCHDOG_PID="7") == 15.0
    assert every(WATCHDOG_USEC="60000000", WATCHDOG_PID="8") == 0.0  # meant for another process
    for wrong in ("0", "-1", "1e6", "soon"):
        with pytest.raises(InputError, match="WATCHDOG_USEC"):
            keep_alive({**address, "WATCHDOG_USEC": wrong})
    with pytest.raises(InputError, match="NOTIFY_SOCKET"):
        keep_alive({"NOTIFY_SOCKET": "tcp:1"})


#: Pictures that stop coming after five while the source stays open, as a camera's do whose driver hangs.
STALLS = """
import sys, threading
from edgekit.camera.pictures import Pictures
from edgekit.cli import main
frames = Pictures.__iter__
def stalls(self):
    for number, frame in enumerate(frames(self)):
        if number == 5:
            threading.Event().wait()
        yield frame
Pictures.__iter__ = stalls
sys.exit(main())
"""


def start(tmp_path: Path, code: list[str], pictures: int, watchdog_s: float) -> subprocess.Popen[bytes]:
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(pictures):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full((48, 64, 3), number, np.uint8))
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        "OMP_NUM_THREADS": "1",
    }
    options = ["--source", str(folder), "--sampler", "none", "--no-video", "--quiet", "--policy", "every"]
    options += ["--out", str(tmp_path / "out")]
    return subprocess.Popen(
        [sys.executable, *code, "run", "yolo", *options, "--backend", "onnxruntime-cpu"],
        env=environment, cwd=ROOT,
    )  # fmt: skip


def test_edgekit_run_tells_of_itself(manager: Manager, tmp_path: Path) -> None:
    """The command that the unit starts, with the variables that systemd would set."""
    process = start(tmp_path, ["-m", "edgekit"], pictures=6, watchdog_s=0.001)
    assert process.wait(timeout=120) == 0
    told = manager.all()
    assert "READY" in told[0]
    assert all("READY" not in message for message in told[1:])
    assert sum("WATCHDOG" in message for message in told) == 6
    assert told[-1] == {"STOPPING": "1"}


def test_a_stalled_camera_falls_silent_and_what_systemd_does_then_ends_it(
    manager: Manager, tmp_path: Path
) -> None:
    process = start(tmp_path, ["-c", STALLS], pictures=50, watchdog_s=0.001)
    try:
        manager.socket.settimeout(60)
        assert "READY" in (manager.next() or {})
        for _ in range(4):
            assert "WATCHDOG" in (manager.next() or {})
        manager.socket.settimeout(1.5)
        assert manager.next() is None  # silence, while the process lives
        assert process.poll() is None
        process.send_signal(signal.SIGABRT)  # systemd's WatchdogSignal=
        begun = time.monotonic()
        assert process.wait(timeout=20) == -signal.SIGABRT
        assert time.monotonic() - begun < 10
    finally:
        process.kill()
        process.wait()
