"""A thread that reads a source ahead, by one of two policies: *latest* or *every*."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from edgekit.camera.source import POLICIES, Source
from edgekit.errors import InputError
from edgekit.results import Frame
from edgekit.slots import Slot

#: Seconds that `close` waits for the thread.
PATIENCE_S = 2.0


def _inner(name: str) -> Any:
    """The attribute of the source that is read, as it is now."""
    return property(lambda self: getattr(self._source, name))


class Reader(Source):
    """Reads `source` in a thread of its own; the thread starts with the first iteration.

    Args:
        source: what to read; it is closed with the reader.
        policy: "latest": a slot of one, in which a newer frame replaces an older one (live sources);
            "every": up to two frames wait and none is lost (files).

    Attributes:
        took: seconds that the source needed for the frame given last. Of a live source mostly waiting.

    Raises:
        InputError: an unknown policy. While iterating: whatever the source raises, after its last frame.
    """

    spec, size, fps, length = (_inner(name) for name in ("spec", "size", "fps", "length"))
    live, how, note, state = (_inner(name) for name in ("live", "how", "note", "state"))

    def __init__(self, source: Source, policy: str = "latest") -> None:
        if policy not in POLICIES:
            raise InputError(f"policy={policy!r} is unknown; give one of {', '.join(POLICIES)}.")
        self._source = source
        self.policy = policy  # type: ignore[misc]
        self.took = 0.0
        self._slot: Slot[tuple[Frame, float]] = Slot(1, latest=True) if policy == "latest" else Slot(2)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Frames thrown away, by the source itself and here."""
        return self._source.dropped + self._slot.dropped

    def _read(self) -> None:
        try:
            frames = iter(self._source)
            while not self._closed:
                start = time.perf_counter()
                frame = next(frames, None)
                if frame is None or not self._slot.put((frame, time.perf_counter() - start)):
                    break
        except BaseException as error:
            self._slot.end(error)
        finally:
            self._slot.end()

    def __iter__(self) -> Iterator[Frame]:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._read, name="edgekit-capture", daemon=True)
                self._thread.start()
        while (got := self._slot.get()) is not None:
            frame, self.took = got
            yield frame

    def close(self) -> None:
        """Stop the thread and close the source."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._slot.close()
        self._source.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE_S)
