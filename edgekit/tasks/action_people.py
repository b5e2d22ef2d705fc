"""One person cut out of the frames of a window: the same square of each, so that movement stays to be seen.

A box of its own for each frame would hold a walker still and shake with the detector. The square is that of
all the person's boxes in the window together; where the tracker has none for a frame, it lies there all the
same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.resize import resize
from edgekit.results import Tracks
from edgekit.tasks.action_tape import Planes, planes_of

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


@dataclass(frozen=True)
class Entry:
    """A frame as it is kept for people.

    Attributes:
        pictures: of each stream: BGR, or u and v.
        scale: of each stream, pixels of its pictures for one of the frame.
        boxes: of each track, float32 [4] in pixels of the frame.
    """

    pictures: Mapping[str, Planes]
    scale: Mapping[str, float]
    boxes: Mapping[int, NDArray[np.float32]]

    def write(
        self, out: NDArray[np.float32], kind: str, square: Square, tables: Sequence[NDArray[np.float32]]
    ) -> None:
        """Cut a person out of a stream into [C, H, W], normalised by a table a channel."""
        square = square.times(self.scale[kind])
        size = out.shape[1], out.shape[2]
        planes = [p for one in self.pictures[kind] for p in planes_of(resize(cut(one, square), size))]
        for channel, (plane, table) in enumerate(zip(planes, tables, strict=True)):
            cv2.LUT(plane, table, dst=out[channel])


class People:
    """The frames that a window may show, with the boxes of who is in them.

    Args:
        reach: frames that a window covers.
        margin: of `square_of`.
    """

    def __init__(self, reach: int, margin: float) -> None:
        self._past: deque[Entry] = deque(maxlen=reach)
        self._margin = margin
        self._early = max(1, reach // 4)

    def add(self, pictures: Mapping[str, Planes], tracks: Tracks, height: int) -> None:
        """Take a frame of `height` pixels; its pictures are kept, not copied."""
        scale = {kind: len(some[0]) / height for kind, some in pictures.items()}
        boxes = dict(zip(tracks.track_id.tolist(), tracks.xyxy, strict=True))
        self._past.append(Entry(pictures, scale, boxes))

    def clear(self) -> None:
        """Forget all frames."""
        self._past.clear()

    def squares(self, everybody: bool) -> dict[int, Square]:
        """The square of each person of the newest frame who was there from the window's first quarter on.

        `everybody`: also of those who came later.
        """
        ids = list(self._past[-1].boxes)
        if not everybody:
            early = {n for entry in list(self._past)[: self._early] for n in entry.boxes}
            ids = [n for n in ids if n in early]
        seen = {n: np.array([e.boxes[n] for e in self._past if n in e.boxes]) for n in ids}
        return {n: square_of(boxes, self._margin) for n, boxes in seen.items()}

    def entries(self, places: NDArray[np.int64]) -> list[Entry]:
        """The frames at these places, 0 the oldest."""
        past = list(self._past)
        return [past[place] for place in places]
