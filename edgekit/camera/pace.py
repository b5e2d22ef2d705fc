"""Waiting for the moment a frame is due, until another thread says stop."""

from __future__ import annotations

import threading
import time


class Pace:
    """A clock for frames that starts with the first one and whose waits `stop()` ends from any thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._start: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def wait(self, t: float) -> bool:
        """Wait until `t` seconds after the frame at t = 0 was due; False where stopped.

        What comes too late is not waited for, and does not shift what follows.
        """
        if self._start is None:
            self._start = time.monotonic() - t
        return not self._stopped.wait(max(0.0, self._start + t - time.monotonic()))

    def stop(self) -> None:
        """End the present wait and all later ones."""
        self._stopped.set()
