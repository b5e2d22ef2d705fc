"""Probes that do as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgekit.telemetry.sample import Sample, boot_clock, wall_iso


def sample(t: float | None = None, watts: float | None = 5.0, **fields) -> Sample:
    """A sample of an input rail; at this moment unless `t` says when."""
    total = {} if watts is None else {"power_total_name": "VDD_IN", "power_total_kind": "input"}
    total["power_total_mw"] = None if watts is None else watts * 1e3
    t = boot_clock() if t is None else t
    return Sample(**{"t_boot_s": t, "t_wall_iso": wall_iso(), "source": "test", **total, **fields})


class Scripted:
    """A probe whose readings come from a function; what the function raises, `read` raises."""

    name, why = "test", "a probe of the tests"

    def __init__(
        self, read: Callable[[], Sample] = sample, paced: bool = False, emulated: bool = False
    ) -> None:
        self._read, self.paced, self.emulated = read, paced, emulated
        self.closed = threading.Event()
        self.reads = 0

    def read(self) -> Sample:
        self.reads += 1
        return self._read()

    def close(self) -> None:
        self.closed.set()
