"""Power, heat and load by jtop (jetson-stats 4.3.2 and newer), whose service reads them for every user.

The client runs in a process of its own: it cannot connect a second time after its service was restarted, it
leaves threads behind, and importing it changes how this process starts others.
"""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
import shutil
import sys
import threading
from pathlib import Path

from edgekit.errors import MissingError
from edgekit.telemetry.jtop_process import ClientError, JtopProcess
from edgekit.telemetry.jtop_rows import Rows
from edgekit.telemetry.sample import Sample
from edgekit.telemetry.sampler import STALE, ProbeError

#: Where the service listens, below the root.
SOCKET = "run/jtop.sock"
#: Tried where the client beside this interpreter is absent or of another version than the service:
#: `sudo pip3 install jetson-stats` installs it there.
SYSTEM_PYTHON = "/usr/bin/python3"
#: For so long, at least, the process waits for a silent service before it gives up.
PATIENCE_S = 2.0
#: Shorter silences are a busy machine's, not the service's.
SILENCE_S = 1.0
#: Time for a slow board to start a Python, import the client, connect and have a first sample.
START_S = 10.0
INSTALL = "sudo pip3 install -U jetson-stats, then reboot"
RESTART = "sudo systemctl restart jtop.service (from jetson-stats 7 on: sudo jtop --install-service)"


def open_jtop(interval: float = 0.5, root: Path | str = "/") -> JtopProbe:
    """A probe that has connected to the service.

    Raises:
        MissingError: jetson-stats is not installed, its service does not run, does not answer or does not let
            this user in, or has another version than the client; the message has the cure.
    """
    return JtopProbe(interval, Path(root))


class JtopProbe:
    """A `Probe`; `read` waits for the service's next sample. After a fault it begins with a new process.

    Attributes:
        version: of jetson-stats, "4.3.2".
    """

    name, emulated, paced = "jtop", False, True

    def __init__(self, interval: float, root: Path) -> None:
        self._interval, self._root = interval, root
        self._lock = threading.Lock()
        self._closed = False
        self._process: JtopProcess | None = None
        problem = check_socket(root)
        if problem:
            raise MissingError(problem)
        self._python, self.version = self._connect()
        self._rows = Rows(root)
        self.why = f"jtop {self.version} measures"
        pace = self._process.interval if self._process else interval
        if abs(pace - interval) > 0.01:
            self.why += f", every {pace:g} s, as another client of its service asked first"

    def _connect(self) -> tuple[str, str]:
        """Start the process with the first interpreter that can; that one, and the client's version."""
        first: ClientError | None = None
        for python in interpreters():
            for _ in range(2):  # two clients that start in one moment can take each other's answers
                try:
                    return python, self._start(python).version
                except ClientError as error:
                    first = error if first is None or first.kind == "absent" else first
                    if error.kind != "lost":
                        break
            if first is not None and first.kind not in ("absent", "mismatch"):
                break
        assert first is not None
        raise MissingError(self._explain(first)) from first

    def read(self) -> Sample:
        """The next sample.

        Raises:
            ProbeError: the service has gone, stalled, or does not let this user in any more.
        """
        process = self._process
        try:
            if process is None:
                problem = check_socket(self._root, installed=True)  # cheaper than a process that finds it out
                if problem:
                    raise ProbeError(problem)
                process = self._start(self._python)
            limit = max(STALE * max(self._interval, process.interval), SILENCE_S)
            row = process.next(limit)
        except ClientError as error:
            # a silent one is left the time to say what is wrong, or to go on: starting anew takes longer
            if error.kind != "silent" or process is None or process.silence > limit + 2 * PATIENCE_S:
                self._end()
            raise ProbeError("it is closed" if self._closed else self._explain(error)) from error
        return self._rows.sample(row, f"jtop {self.version}")

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._end()

    def _start(self, python: str) -> JtopProcess:
        process = JtopProcess(python, self._interval)
        with self._lock:
            self._process = process
        try:
            if self._closed:
                raise ClientError("lost", "closed")
            process.greet(START_S + STALE * self._interval)
        except BaseException:
            self._end()
            raise
        return process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.stop()

    def _explain(self, error: ClientError) -> str:
        """A fault in words, with the cure."""
        if error.kind == "absent":
            return (
                f"jtop.service runs, but neither {sys.executable} nor {SYSTEM_PYTHON} has its client. Cure: "
                f"{sys.executable} -m pip install jetson-stats, in the service's version (jtop --version)"
            )
        if error.kind == "mismatch":
            return (
                f"jetson-stats is here in two versions ({error.text}). Cure: {sys.executable} -m pip install "
                f"jetson-stats== the service's version; or one for all: {INSTALL}"
            )
        if error.kind == "inactive":
            return f"jtop.service is not active: nobody listens at /{SOCKET}. Cure: {RESTART}"
        if error.kind == "forbidden":
            return check_socket(self._root) or f"jtop.service does not let this user in. Cure: {RESTART}"
        return f"jtop.service does not answer ({error.text}). If it stays so: {RESTART}"


def interpreters() -> list[str]:
    """The Pythons whose client is tried, in this order."""
    return list(dict.fromkeys((sys.executable or SYSTEM_PYTHON, SYSTEM_PYTHON)))


def check_socket(root: Path, *, installed: bool = False) -> str:
    """Why the service cannot be reached, with the cure; empty where it may be. Nothing is sent to it.

    Args:
        root: below it lies the socket.
        installed: jetson-stats is known to be there.
    """
    socket = root / SOCKET
    try:
        status = socket.stat()
    except OSError:
        if installed or shutil.which("jtop") or importlib.util.find_spec("jtop"):
            return f"jtop.service is not active: there is no /{SOCKET}. Cure: {RESTART}"
        return f"jetson-stats is not installed. Cure, on a Jetson: {INSTALL}"
    if os.access(socket, os.R_OK | os.W_OK):
        return ""
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    cure = f"sudo usermod -aG {group} {user}, then log out and in again"
    if group != "jtop":
        cure = RESTART + ", which gives it to the group jtop"
    return f"user {user} may not use jtop: /{SOCKET} is for the group {group} alone. Cure: {cure}"
