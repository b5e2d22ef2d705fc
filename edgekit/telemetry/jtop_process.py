"""The process that runs jtop's client, seen from here: it is started, read line by line, and ended."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError

CHILD = Path(__file__).with_name("jtop_child.py")


class ClientError(EdgekitError):
    """What the client's process died of.

    Attributes:
        kind: "absent" (no client), "inactive" (no service), "forbidden", "mismatch" (of versions), "silent"
            or "lost".
        text: in words.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


class JtopProcess:
    """A child of this process that samples until it fails or is stopped.

    Attributes:
        version: of the client, after `greet`.
        interval: seconds between the service's samples, after `greet`; the first client of all sets it.
        silence: seconds since its last line.
    """

    def __init__(self, python: str, interval: float) -> None:
        self.version, self.interval = "", interval
        self._lines: list[bytes] = []
        self._rest = b""
        self._reading = threading.Lock()
        self._heard = time.monotonic()
        try:
            self._child = subprocess.Popen(
                [python, str(CHILD), str(interval), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C is for the parent, which then ends it
            )
        except OSError as error:
            raise ClientError("absent", f"{python} does not start: {error}") from error

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def silence(self) -> float:
        return time.monotonic() - self._heard

    def greet(self, timeout: float) -> None:
        """Wait until it has connected; ClientError where it has not."""
        hello = self.next(timeout)
        self.version, self.interval = str(hello["version"]), float(hello["interval"])

    def next(self, timeout: float) -> dict[str, Any]:
        """Its next line; ClientError where that tells of one, none comes in time, or it has ended."""
        with self._reading:
            end = time.monotonic() + timeout
            while not self._lines:
                self._take(end - time.monotonic(), timeout)
            row: dict[str, Any] = json.loads(self._lines.pop(0))
        if "error" in row:
            raise ClientError(row["error"], _short(row["text"]))
        return row

    def _take(self, left: float, timeout: float) -> None:
        out = self._child.stdout
        if out is None or out.closed:
            raise ClientError("lost", "the sampling process was ended")
        if left <= 0 or not select.select([out], [], [], left)[0]:
            raise ClientError("silent", f"no answer for {timeout:.1f} s")
        got = os.read(out.fileno(), 1 << 16)
        if not got:
            raise ClientError("lost", "the sampling process ended")
        self._heard = time.monotonic()
        *whole, self._rest = (self._rest + got).split(b"\n")
        self._lines += whole

    def stop(self) -> None:
        """End it, in no time; a second call does nothing."""
        self._child.kill()
        self._child.wait()
        with self._reading:  # whoever reads has just met its end
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()


def _short(text: str) -> str:
    """The heart of what jetson-stats says, in one line."""
    versions = re.search(r"service: \[(.+?)\] and client: \[(.+?)\]", text)
    if versions:
        return f"service {versions[1]}, client {versions[2]}"
    return " ".join(text.split())
