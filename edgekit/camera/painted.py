"""Sources that paint their frames: what they share is when a frame comes, and how they end."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.pace import Pace
from edgekit.camera.source import Source
from edgekit.errors import InputError
from edgekit.results import Frame


class Painted(Source):
    """Frames as `paint` makes them. In real time it is live, as a camera is; else as fast as it is asked.

    Args:
        size: (width, height) in pixels.
        fps: frames a second; above 0, which the class that paints checks.
        frames: end after so many; None: go on.
        realtime: frame n comes n / fps seconds after the first.

    Raises:
        InputError: a number of frames that cannot be.
    """

    fps: float

    def __init__(self, size: tuple[int, int], fps: float, frames: int | None, realtime: bool) -> None:
        if frames is not None and frames < 1:
            raise InputError(f"frames={frames} cannot be; give 1 or more, or None to go on.")
        self.size, self.fps = (int(size[0]), int(size[1])), float(fps)
        self.length, self.live = frames, realtime
        self._pace = Pace()

    @abstractmethod
    def paint(self, index: int, t: float) -> NDArray[np.uint8]:
        """Frame `index`, `t` seconds after the first, uint8 [H, W, 3] BGR."""

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self.length is None or index < self.length:
            t = index / self.fps
            if self._pace.stopped or (self.live and not self._pace.wait(t)):
                return
            now = time.monotonic()
            yield Frame(self.paint(index, t), index, now if self.live else t, self.spec, now)
            index += 1

    def close(self) -> None:
        """End the iteration, wherever it is."""
        self._pace.stop()
