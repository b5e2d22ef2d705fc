"""The last frames of a video as a network of action recognition wants them, normalised once and never moved.

A clip lies in memory as [C, D, H, W]: all frames of red, all of green, all of blue. In a long row of planes
the window of the next frame begins one plane further on: what was green's oldest frame becomes red's newest,
and so on, so that C planes are written for a frame and the window is one piece of memory, without a copy.
At the end of the row the window goes back to its beginning, once every D frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = Sequence[NDArray[np.uint8]]


def tables(mean: Sequence[float], std: Sequence[float]) -> list[NDArray[np.float32]]:
    """For each channel the normalised value of every byte: (x / 255 - mean) / std, in float32."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    return [(values - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)]


def planes_of(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A grey picture as it is, a BGR one as R, G and B: each uint8 [H, W], contiguous."""
    if image.ndim == 2:
        return [np.ascontiguousarray(image)]
    return [np.asarray(cv2.extractChannel(image, channel), np.uint8) for channel in (2, 1, 0)]


class Tape:
    """Windows of `length` frames, every `rate`-th, in flat memory that does not grow.

    Args:
        length: frames of a window (D).
        size: (height, width) of the frames.
        tables: of `tables`, one a channel.
        rate: 2: a window has every second frame. There are `rate` rows of planes, taken in turn.
        lag: the window ends so many frames before the newest.
        pad: the first frame stands in for those before it.

    Memory: `rate` · (C + 1) · D · H · W floats.
    """

    def __init__(
        self,
        length: int,
        size: tuple[int, int],
        tables: Sequence[NDArray[np.float32]],
        *,
        rate: int = 1,
        lag: int = 0,
        pad: bool = False,
    ) -> None:
        self.length, self.size, self.rate, self.lag = length, size, rate, lag
        self._tables, self._pad = tables, pad
        self._deep = len(tables) * length
        self._rows = np.zeros((rate, self._deep + length, *size), np.float32)
        self._starts = [-1] * rate
        self._late: deque[Planes] = deque()
        self._written = 0

    def reset(self) -> None:
        """Forget the frames, as before another video."""
        self._starts = [-1] * self.rate
        self._late.clear()
        self._written = 0

    def put(self, planes: Planes) -> None:
        """Take a frame: for each channel uint8 [H, W]."""
        if self._pad and not self._written and not self._late:
            for row in self._rows:
                for channel in range(len(planes)):
                    first = row[channel * self.length]
                    self._fill(first, planes, channel)
                    row[channel * self.length + 1 : (channel + 1) * self.length] = first
            self._starts = [0] * self.rate
        self._late.append(planes)
        if len(self._late) > self.lag:
            self._write(self._late.popleft())

    def window(self) -> NDArray[np.float32]:
        """The newest window, float32 [C, D, H, W]: a view, which the next frames write over."""
        row = max(self._written - 1, 0) % self.rate
        start = max(self._starts[row], 0)
        return self._rows[row, start : start + self._deep].reshape(-1, self.length, *self.size)

    def gather(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """A window, float32 [C, D, H, W], of frames that are still there, counted from 0; a copy."""
        while self._late:  # a video that is over has nobody to wait for
            self._write(self._late.popleft())
        clip = np.empty((len(self._tables), len(numbers), *self.size), np.float32)
        for place, number in enumerate(numbers):
            row = number % self.rate
            newest = (self._written - 1 - row) // self.rate
            slot = self.length - 1 - (newest - number // self.rate)
            start = self._starts[row]
            clip[:, place] = self._rows[row, start + slot : start + self._deep : self.length]
        return clip

    def _write(self, planes: Planes) -> None:
        number = self._written % self.rate
        row, start = self._rows[number], self._starts[number] + 1
        if start + self._deep > len(row):  # the new frame's own planes come below
            for plane in range(self._deep - 1):
                row[plane] = row[start + plane]
            start = 0
        for channel in range(len(planes)):
            self._fill(row[start + (channel + 1) * self.length - 1], planes, channel)
        self._starts[number] = start
        self._written += 1

    def _fill(self, plane: NDArray[np.float32], planes: Planes, channel: int) -> None:
        cv2.LUT(planes[channel], self._tables[channel], dst=plane)
