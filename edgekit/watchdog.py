"""Tell systemd that frames still flow, so that a stalled camera ends in a restart (setup/systemd/).

The protocol is that of sd_notify(3): datagrams of `KEY=value` lines to the socket that systemd names in
$NOTIFY_SOCKET. A unit with Type=notify counts as started from READY=1 on, and from then on WatchdogSec= asks
for WATCHDOG=1 at least that often.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.errors import InputError

#: A part of WatchdogSec= between two signs of life; sd_watchdog_enabled(3) asks for half of it or less.
SHARE = 0.25
#: Seconds between two lines of `systemctl status`, where the unit sets no watchdog.
STATUS_S = 5.0


class KeepAlive:
    """A sink: each frame that is done is a sign of life. Nothing is sent while none is.

    READY=1 goes out with the first frame: making an engine can take minutes, which a unit's
    TimeoutStartSec= allows for and no watchdog should count.

    Args:
        address: the socket's path; "@name" is Linux's abstract one.
        timeout: the unit's WatchdogSec= in seconds; None: it sets none, and only its status is kept.
        clock: seconds, monotonic.

    Raises:
        InputError: the address is neither a path nor "@name".
    """

    picture_side = None

    def __init__(
        self, address: str, timeout: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if address[:1] not in ("/", "@"):
            raise InputError(f"NOTIFY_SOCKET={address} is no absolute path and no @name; systemd sets it.")
        self._address = "\0" + address[1:] if address[0] == "@" else address
        self._every = STATUS_S if timeout is None else timeout * SHARE
        self._watched = timeout is not None
        self._clock = clock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.setblocking(False)
        self._frames = 0
        self._sent: float | None = None

    def write(self, *_: Any) -> None:
        """One frame more is done."""
        self._frames += 1
        now = self._clock()
        if self._sent is not None and now - self._sent < self._every:
            return
        lines = ["READY=1"] if self._sent is None else []
        lines += ["WATCHDOG=1"] if self._watched else []
        if self._send(*lines, f"STATUS={self._frames} frames"):
            self._sent = now

    def close(self) -> None:
        """Say that the end has come."""
        self._send("STOPPING=1")
        self._socket.close()

    def _send(self, *lines: str) -> bool:
        """Whether it arrived. A full or absent socket is systemd's trouble, not the run's: tried again at the
        next frame."""
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True


def keep_alive(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> list[KeepAlive]:
    """What `edgekit run` adds to its sinks: one `KeepAlive` under a unit that wants news, else nothing.

    Args:
        environment: NOTIFY_SOCKET, WATCHDOG_USEC (microseconds), WATCHDOG_PID are read, as systemd sets them.
        pid: of this process.

    Raises:
        InputError: NOTIFY_SOCKET or WATCHDOG_USEC is not what systemd would set.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address or sys.platform != "linux":
        return []
    wanted, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if wanted and not (wanted.isdigit() and int(wanted)):
        raise InputError(f"WATCHDOG_USEC={wanted} is no number of microseconds; systemd sets it.")
    mine = not whom or whom == str(os.getpid() if pid is None else pid)
    return [KeepAlive(address, int(wanted) / 1e6 if wanted and mine else None)]
