"""A pattern with known motion: a disc on a known path, the frame's number, a flashing square.

Everything in it is a function of the frame's number, so that what a detector, a tracker, a codec or a
network did to it can be told from the picture alone: where the disc must be (`position`), which frame
this is (`read_number`), and how long a picture took from here to a camera that films the screen
(`is_lit`, `flash_level`, `flash_delay`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.camera.painted import Painted
from edgekit.errors import InputError

Box = tuple[float, float, float, float]

#: Frames of one round of the disc, left to right and up and down; they share no factor, so that the path
#: closes after 9600 frames only.
ROUND_X, ROUND_Y = 128, 75
DISC_RADIUS = 1 / 12  # of the height
FLASH_FRAMES = 15  # frames lit, then as many dark: half a second each at 30 FPS
#: The flashing square as shares of width and height: left, top, right, bottom.
FLASH_BOX: Box = (0.04, 0.72, 0.22, 0.96)
NUMBER_BITS, CHECK_BITS = 20, 8
_CELLS = 1 + NUMBER_BITS + CHECK_BITS + 1  # a white one before and a black one after, to compare with
_STRIP = 1 / 10  # the number's share of the height, at the top
SMALLEST = (90, 60)  # three pixels a cell


def position(index: int, size: tuple[int, int] = (640, 480)) -> tuple[float, float]:
    """Centre (x, y) of the disc in pixels in frame `index` of a picture of `size` (width, height)."""
    width, height = size
    x = 0.5 + 0.40 * math.sin(2 * math.pi * index / ROUND_X)
    y = 0.42 + 0.20 * math.sin(2 * math.pi * index / ROUND_Y)
    return x * width, y * height


def is_lit(index: int) -> bool:
    """Whether the flashing square is white in frame `index`."""
    return index // FLASH_FRAMES % 2 == 1


def paint(index: int, size: tuple[int, int] = (640, 480)) -> NDArray[np.uint8]:
    """Frame `index` as uint8 [height, width, 3] BGR; the same for the same arguments."""
    width, height = size
    image = _background(width, height).copy()
    x, y = position(index, size)
    part = 1 << 4  # OpenCV draws at sixteenths of a pixel, its pixel centres at whole numbers
    centre = (round((x - 0.5) * part), round((y - 0.5) * part))
    cv2.circle(image, centre, round(height * DISC_RADIUS * part), (40, 60, 230), -1, cv2.LINE_AA, 4)
    left, top, right, bottom = _pixels(FLASH_BOX, width, height)
    image[top:bottom, left:right] = 255 if is_lit(index) else 0
    strip = image[: max(4, round(height * _STRIP))]
    for cell, bit in enumerate(_bits(index)):
        strip[:, cell * width // _CELLS : (cell + 1) * width // _CELLS] = 235 if bit else 20
    return image


@lru_cache(maxsize=4)
def _background(width: int, height: int) -> NDArray[np.uint8]:
    """A soft ramp in three colours: no codec's trouble, and no frame of one value."""
    across = np.linspace(40, 130, width, dtype=np.float32)[None, :]
    down = np.linspace(0, 50, height, dtype=np.float32)[:, None]
    planes = (across + down, 170 - across + 0 * down, 60 + down + 0 * across)
    return np.stack(planes, axis=2).astype(np.uint8)


def _check(number: int) -> int:
    return zlib.crc32(number.to_bytes(3, "big")) & ((1 << CHECK_BITS) - 1)


def _bits(index: int) -> list[int]:
    number = index % (1 << NUMBER_BITS)
    word = number << CHECK_BITS | _check(number)
    length = NUMBER_BITS + CHECK_BITS
    return [1, *(word >> (length - 1 - i) & 1 for i in range(length)), 0]


def read_number(image: NDArray[np.uint8]) -> int | None:
    """The frame number painted in a picture, modulo 2**20; None where it cannot be read.

    Args:
        image: uint8 [H, W, 3], the whole picture of a `Synthetic`, at any size from 60 pixels of width; it
            may have gone through JPEG or a video codec. A wrong number passes the check once in 256 times.
    """
    height, width = image.shape[:2]
    strip = image[: max(1, round(height * _STRIP))]
    middle = strip[len(strip) // 4 : max(1, len(strip) * 3 // 4)].mean(axis=(0, 2))
    edges = [cell * width / _CELLS for cell in range(_CELLS + 1)]
    levels = []
    for left, right in pairwise(edges):
        inset = (right - left) / 4
        first = int(left + inset)
        levels.append(float(middle[first : max(first + 1, int(right - inset))].mean()))
    white, black = levels[0], levels[-1]
    if white - black < 60:
        return None
    word = 0
    for level in levels[1:-1]:
        word = word << 1 | (level > (white + black) / 2)
    number, check = word >> CHECK_BITS, word & ((1 << CHECK_BITS) - 1)
    return number if check == _check(number) else None


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def flash_level(image: NDArray[np.uint8], box: Box = FLASH_BOX) -> float:
    """Brightness of the flashing square, 0 (dark) to 1 (lit).

    Args:
        image: uint8 [H, W, 3] BGR.
        box: where to look, as shares of width and height. The default is where the pattern has the square;
            a camera that films the screen has it elsewhere, and any box around it does.
    """
    left, top, right, bottom = _pixels(box, image.shape[1], image.shape[0])
    return float(image[top:bottom, left:right].mean()) / 255


def flash_delay(shown: Sequence[tuple[float, float]], seen: Sequence[tuple[float, float]]) -> float | None:
    """Median seconds from a change of the square at the source to the same change at the other end.

    Args:
        shown: (seconds, level) of the frames sent, in order.
        seen: (seconds, level) of the frames that arrived, in order, on the same clock. Each list is
            compared with the middle between its own darkest and brightest level.

    Returns:
        The median; None where no change was both shown and seen.
    """
    sent = _changes(shown)
    delays = []
    for t, lit in _changes(seen):
        before = [s for s, way in sent if way == lit and s <= t]
        if before:
            delays.append(t - before[-1])
    return float(np.median(delays)) if delays else None


def _changes(levels: Sequence[tuple[float, float]]) -> list[tuple[float, bool]]:
    """(seconds, became lit) of every change."""
    if not levels:
        return []
    values = [level for _, level in levels]
    middle = (min(values) + max(values)) / 2
    lit = [(t, level > middle) for t, level in levels]
    return [(t, now) for (_, before), (t, now) in pairwise(lit) if now != before]


class Synthetic(Painted):
    """The pattern as a source. In real time it is live, as a camera is; otherwise as fast as it is asked.

    Args:
        size: (width, height) in pixels, from 90×60.
        fps: frames a second.
        frames: end after so many; None: go on.
        realtime: give frame n at n / fps seconds after the first.

    Raises:
        InputError: a size, rate or number of frames that cannot be.
    """

    spec = "synthetic"

    def __init__(
        self,
        *,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        frames: int | None = None,
        realtime: bool = True,
    ) -> None:
        width, height = size
        if width < SMALLEST[0] or height < SMALLEST[1]:
            raise InputError(f"size {width}×{height} is too small; from {SMALLEST[0]}×{SMALLEST[1]} on.")
        if not 0 < fps <= 1000:
            raise InputError(f"fps={fps} cannot be; give a rate above 0, up to 1000.")
        super().__init__(size, fps, frames, realtime)
        pace = f"at {fps:g} FPS" if realtime else "as fast as asked"
        self.how = f"painted {width}×{height} {pace}"

    def position(self, index: int) -> tuple[float, float]:
        """Centre (x, y) of the disc in pixels in frame `index`."""
        return position(index, self.size)

    def paint(self, index: int, t: float) -> NDArray[np.uint8]:
        """Frame `index`; `t` plays no part."""
        return paint(index, self.size)
