"""A picture as both GStreamer routes give it."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError

#: Slowest and fastest clock of a sender that is followed, as a share of time.
DRIFT = 5e-4


class SenderClock:
    """Brings time stamps whose zero is unknown onto our clock, to within the way that a picture takes.

    The quickest picture so far tells where zero is. A sender's clock may run slow against ours, so that
    bound may rise a little.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._last = 0.0

    def captured(self, pts: float | None) -> float:
        """The moment of a picture with time stamp `pts`, on `time.monotonic()`'s clock; now without one."""
        now = time.monotonic()
        if pts is None:
            return now
        if self._offset is None:
            self._offset, self._last = now - pts, now
        self._offset = min(self._offset + DRIFT * (now - self._last), now - pts)
        self._last = now
        return pts + self._offset


class Picture(NamedTuple):
    """`image` uint8 [H, W, 3] BGR; `pts` the pipeline's own time in seconds or None; `captured` on
    `time.monotonic()`'s clock."""

    image: NDArray[np.uint8]
    pts: float | None
    captured: float


def bgr_rows(spec: str, data: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """`data` uint8 [N] as [height, width, 3]; GStreamer fills each row up to a multiple of four bytes.

    Raises:
        EdgekitError: `data` is no picture of that size.
    """
    row = width * 3
    padded = (row + 3) & ~3
    if not width or not height or len(data) not in (row * height, padded * height):
        raise EdgekitError(f"{spec}: a picture of {len(data)} bytes is none of {width}×{height} in BGR.")
    if len(data) == row * height:
        return data.reshape(height, width, 3)
    return np.ascontiguousarray(data.reshape(height, padded)[:, :row]).reshape(height, width, 3)
