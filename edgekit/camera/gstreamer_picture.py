"""A picture as both GStreamer routes give it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError


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
