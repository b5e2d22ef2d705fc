"""One person cut out of the frames of a window: the same square of each, so that movement stays to be seen.

A box of its own for each frame would hold a walker still and shake with the detector. The square is that of
all the person's boxes in the window together; where the tracker has none for a frame, it lies there all the
same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

#: What lies outside the picture: mid-grey, which is 0 after (x / 255 - .5) / .5, and no movement in u and v.
OUTSIDE = 128


class Square(NamedTuple):
    """A square of whole pixels; it may reach out of the picture."""

    left: int
    top: int
    side: int

    def times(self, scale: float) -> Square:
        """The same square of a picture `scale` times as large."""
        if scale == 1:
            return self
        return Square(round(self.left * scale), round(self.top * scale), max(1, round(self.side * scale)))


def square_of(xyxy: NDArray[np.float32], margin: float) -> Square:
    """The square of a person.

    Args:
        xyxy: float32 [N, 4], the person's boxes in a window, one or more.
        margin: share of the greater side that is added to it, half of it on each side.

    Returns:
        The square round the middle of all boxes together, of (1 + margin) times their greater side.

    Raises:
        InputError: there is no box.
    """
    if not len(xyxy):
        raise InputError("a person without a box cannot be cut out.")
    left, top = xyxy[:, :2].min(axis=0).tolist()
    right, bottom = xyxy[:, 2:].max(axis=0).tolist()
    side = max(1, round((1 + margin) * max(right - left, bottom - top)))
    return Square(round((left + right - side) / 2), round((top + bottom - side) / 2), side)


def cut(image: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """The square of a picture, uint8 [side, side] or [side, side, 3]; `OUTSIDE` where there is no picture."""
    left, top, side = square
    height, width = image.shape[:2]
    x, y = max(left, 0), max(top, 0)
    inside = image[y : max(y, min(top + side, height)), x : max(x, min(left + side, width))]
    if inside.shape[:2] == (side, side):
        return inside
    whole = np.full((side, side, *image.shape[2:]), OUTSIDE, np.uint8)
    whole[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]] = inside
    return whole
