"""A sink for notebooks: it keeps what came by, so that a cell can look at it afterwards."""

from __future__ import annotations

import threading
import time
from collections import deque

from numpy.typing import NDArray

from edgekit.results import Frame, Result


class Keep:
    """Keeps the newest frame with its result and drawing, and when and how old each frame was.

    Args:
        picture_side: the drawings' longer side in pixels at most, 0 for the frame's own, None for no drawing.
        most: frames whose times are kept.

    Attributes:
        frame, result, picture: the newest; None before the first.
        index: number of each frame.
        age: seconds from capture to here, of each frame.
        found: how many detections, poses or actions each frame had.
    """

    def __init__(self, picture_side: int | None = None, most: int = 10_000) -> None:
        self.picture_side = picture_side
        self.frame: Frame | None = None
        self.result: Result | None = None
        self.picture: NDArray | None = None
        self.index: deque[int] = deque(maxlen=most)
        self.age: deque[float] = deque(maxlen=most)
        self.found: deque[int] = deque(maxlen=most)
        self._changed = threading.Condition()
        self._closed = False

    def write(self, frame: Frame, result: Result, picture: NDArray | None) -> None:
        """Take a frame in."""
        with self._changed:
            self.frame, self.result, self.picture = frame, result, picture
            self.index.append(frame.index)
            self.age.append(time.monotonic() - frame.captured)
            self.found.append(len(result))
            self._changed.notify_all()

    def wait(self, frames: int, timeout: float = 30.0) -> bool:
        """Wait until so many frames have come; False where they do not come in time, or at all."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self.index) >= frames, timeout)
            return len(self.index) >= frames

    def close(self) -> None:
        """No more frames will come; what was kept stays."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
