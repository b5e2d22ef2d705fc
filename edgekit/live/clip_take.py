"""One clip in the making: it counts down, takes its frames, and hands them to whoever writes them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, InputError
from edgekit.ops.resize import resize_short

#: Seconds that a camera may take to give its first picture (a stream needs some), and any later one.
OPEN_S, STALL_S = 30.0, 5.0
#: A clip may wait for the disk in memory, whole; a longer or larger one is refused.
MOST_BYTES = 512 << 20
#: A camera's stated rate counts, unless frames come at another one: in the dark it may expose longer.
RATE_TOLERANCE = 0.15
#: Seconds between two looks at what might have ended meanwhile.
POLL_S = 0.05


class CancelledError(EdgekitError):
    """Somebody wanted no clip after all."""


class Rate:
    """Frames a second, as they come: over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        """A frame has come."""
        if self._times and now - self._times[-1] > 1.0:  # a pause says nothing about the rate
            self._times.clear()
        self._times.append(now)
        while now - self._times[0] > 2.0:
            self._times.popleft()

    def value(self, stated: float | None) -> float | None:
        """The stated rate, unless what is measured differs from it; None as long as neither is known."""
        span = self._times[-1] - self._times[0] if self._times else 0.0
        if span < 0.5:
            return stated
        measured = (len(self._times) - 1) / span
        return stated if stated and abs(measured / stated - 1) <= RATE_TOLERANCE else measured


@dataclass(frozen=True)
class Mark:
    """What the picture says on top.

    Attributes:
        kind: "countdown", "recording" or "replay".
        left, whole: seconds left, of so many.
    """

    kind: str
    left: float
    whole: float


class Take:
    """A clip from the first second of its countdown to its last frame.

    Args:
        label: the class.
        seconds: of video.
        countdown: seconds before it; they count from the first frame that comes.
        fps: frames a second to keep at most; None: all.
        size: the shorter side that frames are shrunk to, in pixels; None: as they come.
        alive: whether frames may still come.
        clock: seconds that only grow; for tests.

    Attributes:
        label: as given.
        count: frames of the clip, once the countdown is over.
        taken: frames taken so far.
        rate: frames a second of the clip, once the countdown is over.
    """

    def __init__(
        self,
        label: str,
        seconds: float,
        countdown: float,
        fps: float | None,
        size: int | None,
        alive: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self._seconds, self._countdown, self._fps, self._size = seconds, countdown, fps, size
        self._alive, self._clock = alive, clock
        self._lock = Lock()
        self._heard, self._patience = clock(), OPEN_S
        self._due: float | None = None  # when the countdown ends
        self._begun = self._half = 0.0  # the first frame's moment; half the time between the camera's frames
        self._error: EdgekitError | None = None
        self._frames: Queue[NDArray[np.uint8]] = Queue()
        self.count: int | None = None
        self.taken, self.rate = 0, 0.0

    # the picture loop's side: never waits

    def offer(self, image: NDArray[np.uint8], rate: float | None) -> None:
        """A frame of the camera, and the rate at which they come, if known."""
        now = self._clock()
        with self._lock:
            self._heard, self._patience = now, STALL_S
            if self._due is None:
                self._due = now + self._countdown
            if now < self._due or self._error is not None:
                return
            if self.count is None:
                if rate is None:  # two frames more tell it
                    return
                self._begin(image, now, rate)
            if self.count is None or self.taken == self.count:
                return
            # The frame nearest to its moment.
            if self._fps is None or now >= self._begun + self.taken / self.rate - self._half:
                self._frames.put(shrunk(image, self._size))
                self.taken += 1

    def _begin(self, image: NDArray[np.uint8], now: float, rate: float) -> None:
        self._half = 0.5 / rate
        self.rate = rate if self._fps is None else min(rate, self._fps)
        count = max(1, round(self._seconds * self.rate))
        needed = count * shrunk(image, self._size).nbytes
        if needed > MOST_BYTES:
            self._error = InputError(
                f"{count} frames of this camera need {needed / 1e6:.0f} MB of memory, and "
                f"{MOST_BYTES / 1e6:.0f} MB are allowed; record fewer seconds, or give a smaller size."
            )
            return
        self._begun, self.count = now, count

    def mark(self) -> Mark | None:
        """What the picture is to say now."""
        now = self._clock()
        if self._due is None or self._error is not None:
            return None
        if self.count is None:
            return Mark("countdown", max(0.0, self._due - now), self._countdown)
        if self.taken == self.count:
            return None
        return Mark("recording", (self.count - self.taken) / self.rate, self.count / self.rate)

    def cancel(self, why: str) -> None:
        """End it; whoever writes it is told why."""
        with self._lock:
            self._error = self._error or CancelledError(why)

    def words(self) -> str:
        """What goes on, in words."""
        if self._due is None:
            return "opening the camera …"
        if self.count is None:
            return "get ready"
        if self.taken == self.count:
            return "saving …"
        return f"recording, frame {self.taken} of {self.count}"

    # the writer's side

    def wait(self) -> None:
        """Until the countdown is over.

        Raises:
            EdgekitError: it was cancelled, the camera stalled or ended, or the clip is too large.
        """
        while self.count is None:
            self._check()
            time.sleep(POLL_S / 5)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The clip's frames, as they come: uint8 [H, W, 3] BGR. Raises as `wait` does."""
        assert self.count is not None
        for _ in range(self.count):
            yield self._next()

    def _next(self) -> NDArray[np.uint8]:
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._frames.get(timeout=POLL_S)
            except Empty:
                self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        of = "" if self.count is None else f" after {self.taken} of {self.count} frames"
        if not self._alive():
            if self._frames.empty():
                raise EdgekitError(f"the camera stopped{of}; nothing was kept.")
        elif self._clock() - self._heard > self._patience:
            raise EdgekitError(
                f"no picture has come from the camera for {self._patience:.0f} s{of}; nothing was kept."
            )


def shrunk(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """The picture with a shorter side of `size` pixels at most, as training would make it smaller."""
    return image if size is None or min(image.shape[:2]) <= size else resize_short(image, size)
