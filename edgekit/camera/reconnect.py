"""A live source that is opened again when it breaks off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from edgekit.camera.source import Source
from edgekit.errors import EdgekitError
from edgekit.results import Frame

#: Seconds before the first, second, … attempt; the last one holds from there on.
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)


def _inner(name: str) -> Any:
    """The attribute of the source that is open, as it is now."""
    return property(lambda self: getattr(self._source, name))


class Reconnecting(Source):
    """The frames of what `open_inner` opens; when they end or fail it is opened again, until `close()`.

    The number of the frame goes on over a break; `size` is that of the source open now, which may have
    come back with another one. `state` says what is being waited for, `note` what has happened so far.

    Args:
        open_inner: opens the source; called at once, and again after each break, then in a thread, so
            that `close()` need not wait for an address that does not answer.
        give_up_s: seconds after a break at which its error is raised; None: never.
        waits: seconds before each attempt after a break.

    Attributes:
        breaks: how often the source has broken off.

    Raises:
        EdgekitError: whatever the first opening raises; the last error once `give_up_s` is over.
    """

    spec, size, fps, length = (_inner(name) for name in ("spec", "size", "fps", "length"))
    live, how, policy = (_inner(name) for name in ("live", "how", "policy"))

    def __init__(
        self,
        open_inner: Callable[[], Source],
        *,
        give_up_s: float | None = None,
        waits: tuple[float, ...] = WAITS,
    ) -> None:
        self._open, self._give_up_s, self._waits = open_inner, give_up_s, waits
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._waiting = ""
        self._dropped = 0
        self.breaks, self._reason = 0, ""
        self._source = open_inner()

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Frames thrown away, over all breaks."""
        return self._dropped + self._source.dropped

    @property
    def state(self) -> str:  # type: ignore[override]
        """ "reconnecting in 2 s (attempt 3): why" while there is a break, else the source's own state."""
        return self._waiting or self._source.state

    @property
    def note(self) -> str:  # type: ignore[override]
        """How often the source broke off and why the last time; else its own note."""
        if not self.breaks:
            return self._source.note
        times = "once" if self.breaks == 1 else f"{self.breaks} times"
        return f"the source broke off {times}; the last time: {self._reason}"

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._closed.is_set():
            error: EdgekitError | None = None
            try:
                for frame in self._source:
                    self._waiting = ""
                    yield replace(frame, index=index)
                    index += 1
            except EdgekitError as caught:
                error = caught
            if self._closed.is_set():
                return
            self._reason = str(error or self._source.note or f"{self.spec} ended.")
            self.breaks += 1
            self._source.close()
            if not self._reopen(error):
                return

    def _reopen(self, error: EdgekitError | None) -> bool:
        """Open the source again, attempt after attempt; False when closed meanwhile."""
        reason, since, attempt = self._reason, time.monotonic(), 0
        while True:
            wait = self._waits[min(attempt, len(self._waits) - 1)]
            attempt += 1
            if self._give_up_s is not None and time.monotonic() + wait - since > self._give_up_s:
                raise error or EdgekitError(reason)
            self._waiting = f"reconnecting in {wait:g} s (attempt {attempt}): {reason}"
            if self._closed.wait(wait):
                return False
            self._waiting = f"reconnecting (attempt {attempt}): {reason}"
            try:
                return self._open_aside()
            except EdgekitError as caught:
                error, reason = caught, str(caught)

    def _open_aside(self) -> bool:
        """Open the source in a thread; False when closed before it is open (it is then closed when it is)."""
        ready = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                source = self._open()
                with self._lock:
                    late = self._closed.is_set()
                    if not late:
                        self._dropped += self._source.dropped
                        self._source = source
                if late:
                    source.close()
            except BaseException as error:
                failed.append(error)
            finally:
                ready.set()

        threading.Thread(target=work, name="edgekit-reconnect", daemon=True).start()
        while not ready.wait(0.05):
            if self._closed.is_set():
                return False
        if failed:
            raise failed[0]
        return not self._closed.is_set()

    def close(self) -> None:
        """Close the source, or end the waiting for it at once."""
        with self._lock:
            self._closed.set()
            source = self._source
        self._waiting = ""
        source.close()
