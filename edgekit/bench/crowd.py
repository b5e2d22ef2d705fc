"""Pictures with as many people as one wants, to time methods whose cost depends on how many there are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError


def crowd(
    image: NDArray[np.uint8],
    xyxy: NDArray[np.floating],
    count: int,
    size: tuple[int, int] = (576, 768),
    grid: tuple[int, int] = (3, 6),
) -> NDArray[np.uint8]:
    """People cut out of a picture, side by side in a new one, each as large whatever their number.

    Args:
        image: uint8 [H, W, 3].
        xyxy: [N, 4], their boxes in it; they are taken in turn, again and again.
        count: how many to paste.
        size: (height, width) of the new picture.
        grid: rows and columns of places; a person is as high as a row.

    Returns:
        uint8 [*size, 3]; what is between the people has the middle colour of the picture.

    Raises:
        InputError: no box, a box without area inside the picture, or more people than places.
    """
    rows, columns = grid
    if not len(xyxy) or not 0 <= count <= rows * columns:
        raise InputError(
            f"{count} people of {len(xyxy)} boxes do not fit {rows}×{columns} places; give at least one box."
        )
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = np.median(image.reshape(-1, 3), axis=0).astype(np.uint8)
    high, wide = size[0] // rows, size[1] // columns
    for place in range(count):
        left, top, right, bottom = _grown(xyxy[place % len(xyxy)], wide / high, image.shape[:2])
        if left >= right or top >= bottom:
            raise InputError(f"box {place % len(xyxy)} has no pixel in a picture of {image.shape[:2]}.")
        person = cv2.resize(image[top:bottom, left:right], (wide, high), interpolation=cv2.INTER_AREA)
        row, column = divmod(place, columns)
        canvas[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = person
    return canvas


def _grown(
    box: NDArray[np.floating], aspect: float, shape: tuple[int, ...], scale: float = 1.15
) -> tuple[int, int, int, int]:
    """The box with its surroundings, of one aspect, moved into the picture where it stands out of it."""
    x, y = (float(v) for v in (box[:2] + box[2:]) / 2)
    wide, high = (float(v) * scale for v in box[2:] - box[:2])
    high = max(high, wide / aspect)
    wide = high * aspect
    x = min(max(x, wide / 2), max(wide / 2, shape[1] - wide / 2))
    y = min(max(y, high / 2), max(high / 2, shape[0] - high / 2))
    left, right = round(max(0.0, x - wide / 2)), round(min(shape[1], x + wide / 2))
    top, bottom = round(max(0.0, y - high / 2)), round(min(shape[0], y + high / 2))
    return left, top, right, bottom
