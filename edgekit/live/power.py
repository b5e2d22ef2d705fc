"""The live view's line about power and temperature: a sampler that runs while pictures do."""

from __future__ import annotations

import threading

from edgekit.live.text import sentence
from edgekit.telemetry.line import line_of
from edgekit.telemetry.sampler import Sampler

#: A line that a person reads needs no more.
INTERVAL_S = 1.0


class PowerLine:
    """Opens a sampler beside the pictures, which must not wait for it, and gives its newest line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sampler: Sampler | None = None
        self._trouble = ""
        self._opening: object | None = None  # the start that counts; what an older one opens is closed again
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to sample, if it does not yet."""
        with self._lock:
            if self._opening is not None:
                return
            self._opening, self._trouble = object(), ""
            work = threading.Thread(
                target=self._open, args=(self._opening,), name="edgekit-power", daemon=True
            )
            work.start()

    def _open(self, opening: object) -> None:
        from edgekit.telemetry import open_sampler

        sampler, trouble = None, ""
        try:
            sampler = open_sampler(self._name, INTERVAL_S)
        except Exception as error:  # a meter's trouble must not end the picture
            trouble = f"power: {sentence(error)}"
        with self._lock:
            if opening is self._opening:
                self._trouble, self._sampler = trouble, sampler
                if sampler is not None:
                    sampler.start()
                sampler = None
        if sampler is not None:
            sampler.stop()

    def text(self) -> str:
        """The line of this moment, "" before the first sample."""
        with self._lock:
            sampler = self._sampler
            if sampler is None:
                return self._trouble
        if sampler.note:
            return f"power: {sampler.note}"
        return "" if sampler.latest is None else line_of(sampler.latest)

    def detach(self) -> Sampler | None:
        """End the line at once; the sampler that comes back is the caller's to stop, which takes a while."""
        with self._lock:
            self._opening = None
            sampler, self._sampler = self._sampler, None
            return sampler
