"""Crops of people for top-down pose networks, and the way back into the source's pixels.

`Crops` is AlphaPose's test transform (alphapose/utils/presets/simple_transform.py with `_box_to_center_scale`
of bbox.py and `get_affine_transform` of transforms.py), down to its float32 steps: the box is widened to the
input's aspect, grown by 1.25 and warped linearly. `SquareCrops` is for networks that take raw bytes of a
square, as MoveNet does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

#: AlphaPose subtracts these from R, G and B, and divides by nothing (simple_transform.py, test_transform).
MEAN = (0.406, 0.457, 0.480)
#: How much of its surroundings a person is shown with (bbox.py, `scale_mult`).
SCALE = 1.25
Size = tuple[int, int]  # height, width


def centre_and_size(
    xyxy: NDArray, aspect: float, scale: float = SCALE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes widened to an aspect and grown, as centre and size.

    A box without width and height counts as one pixel high, so that the crop stays a picture.

    Args:
        xyxy: [N, 4] in source pixels.
        aspect: width / height of the crop.
        scale: what both sides are grown by.

    Returns:
        float32 [N, 2] x, y and float32 [N, 2] width, height.
    """
    box = np.asarray(xyxy, np.float32).reshape(-1, 4)
    width, height = (box[:, 2:] - box[:, :2]).T
    centre = np.stack([box[:, 0] + width * np.float32(0.5), box[:, 1] + height * np.float32(0.5)], 1)
    height = np.where((width <= 0) & (height <= 0), np.float32(1), height)
    wide = width > aspect * height
    size = np.stack([np.where(wide, width, height * aspect), np.where(wide, width / aspect, height)], 1)
    return centre, size.astype(np.float32) * np.float32(scale)


def boxes_of(centre: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, 4]: left, top, right, bottom of what `centre_and_size` gave."""
    low = centre - size * np.float32(0.5)
    return np.concatenate([low, low + size], 1)


def crop_matrices(centre: NDArray, size: NDArray, crop: Size) -> list[NDArray[np.float64]]:
    """For each person the 2×3 matrix from source pixels into a crop of (height, width)."""
    high, wide = crop
    target = np.array([[wide / 2, high / 2], [wide / 2, high / 2 - wide / 2], [0, high / 2 - wide / 2]])
    corners = _corners(centre, size[:, 0])
    return [cv2.getAffineTransform(corner, target.astype(np.float32)) for corner in corners]


def to_source(points: NDArray[np.float32], boxes: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Points of a crop's heat map in source pixels, as AlphaPose's `transform_preds`.

    Args:
        points: float32 [N, K, 2 or more] x, y in cells; what follows (a score) is kept.
        boxes: float32 [N, 4], what was cropped (the grown boxes).
        size: (height, width) of the heat map.

    Returns:
        float32, as `points`.
    """
    box = np.asarray(boxes, np.float64).reshape(-1, 4)
    width, height = (box[:, 2:] - box[:, :2]).T
    centre = np.stack([box[:, 0] + width * 0.5, box[:, 1] + height * 0.5], 1)
    middle, above, left = _corners(centre, width).astype(np.float64).transpose(1, 0, 2)
    step = np.stack([middle[:, 0] - left[:, 0], middle[:, 1] - above[:, 1]], 1) / (size[1] / 2)
    out = np.array(points, np.float32)
    cells = points[..., :2].astype(np.float64) - (size[1] / 2, size[0] / 2)
    out[..., :2] = middle[:, None] + cells * step[:, None]
    return out


def _corners(centre: NDArray, width: NDArray) -> NDArray[np.float32]:
    """float32 [N, 3, 2]: the centre, half a width above it, and as far left of that; they fix the warp."""
    corners = np.empty((len(centre), 3, 2), np.float32)
    corners[:, 0] = centre
    corners[:, 1, 0] = centre[:, 0]
    corners[:, 1, 1] = centre[:, 1] - width * np.asarray(0.5, width.dtype)
    corners[:, 2, 0] = corners[:, 1, 0] - (corners[:, 0, 1] - corners[:, 1, 1])
    corners[:, 2, 1] = corners[:, 1, 1]
    return corners


class _Rows:
    """One crop a row of a buffer that is kept."""

    def __init__(
        self, shape: tuple[int, ...], size: Size, scale: float, batch: int | None, dtype: Any
    ) -> None:
        self.size, self.scale, self.batch, self.dtype = size, scale, batch, np.dtype(dtype)
        self._buffer = np.zeros((batch or 0, *shape), dtype)
        self._filled = 0
        self._crop = np.empty((*size, 3), np.uint8)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], xyxy: NDArray
    ) -> tuple[NDArray, NDArray[np.float32]]:
        """Crop one person a row.

        Args:
            images: for each box its picture, uint8 [H, W, 3] BGR (the same one again and again is fine).
            xyxy: [N, 4] boxes in source pixels; what lies outside of the picture is black.

        Returns:
            The tensor, of which a fixed batch's rows without a person are 0, and float32 [N, 4]: the grown
            boxes, which the way back wants.

        Raises:
            InputError: more people than a fixed batch holds.
        """
        count = len(images)
        if self.batch is not None and count > self.batch:
            raise InputError(f"{count} people do not fit a batch of {self.batch}.")
        if count > len(self._buffer):
            self._buffer = np.zeros((count, *self._buffer.shape[1:]), self._buffer.dtype)
        matrices, boxes = self.place(xyxy)
        for row, image, matrix in zip(self._buffer, images, matrices, strict=False):
            cv2.warpAffine(image, matrix, self.size[::-1], self._crop, flags=cv2.INTER_LINEAR)
            self._fill(row)
        if self.batch is not None:
            self._buffer[count : self._filled] = 0
        self._filled = count
        return self._buffer[: self.batch or count], boxes

    def place(self, xyxy: NDArray) -> tuple[list[NDArray[np.float64]], NDArray[np.float32]]:
        """For each box [N, 4] the 2×3 matrix from source into crop, and float32 [N, 4]: the box as grown."""
        centre, size = centre_and_size(xyxy, self.size[1] / self.size[0], self.scale)
        return self._matrices(centre, size), boxes_of(centre, size)

    def _matrices(self, centre: NDArray, size: NDArray) -> list[NDArray[np.float64]]:
        """What takes source pixels into each crop."""
        raise NotImplementedError

    def _fill(self, row: NDArray) -> None:
        """Write the crop into its row."""
        raise NotImplementedError


class Crops(_Rows):
    """People as an input tensor [N, 3, H, W], RGB, in a buffer that the next call overwrites.

    Args:
        size: (height, width) of the input.
        mean, std: of R, G, B as shares of 255: (x / 255 − mean) / std.
        scale: what boxes are grown by.
        batch: rows of the tensor, for engines of fixed batch; None: as many as people.
        dtype: float32 or float16.

    Attributes:
        tables: [2, 3, 256] float32, or float16 as uint16 bits: what a byte of R, G and B becomes in a crop
            that has a byte above 1, and in one that has none: only the first is divided by 255.

    Raises:
        InputError: a setting makes no sense.
    """

    def __init__(
        self,
        size: Size = (256, 192),
        *,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = (1.0, 1.0, 1.0),
        scale: float = SCALE,
        batch: int | None = None,
        dtype: type | np.dtype = np.float32,
    ) -> None:
        if np.dtype(dtype) not in (np.float32, np.float16):
            raise InputError(f"the input tensor is {np.dtype(dtype)}; crops are float32 or float16.")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise InputError(f"mean {list(mean)} and std {list(std)} must be three numbers, std above 0.")
        super().__init__((3, *size), size, scale, batch, dtype)
        self._planes = np.empty((3, *size), np.uint8)
        bytes_ = np.arange(256, dtype=np.float32)
        self.tables = np.stack(
            [self._table(values, mean, std) for values in (bytes_ / np.float32(255), bytes_)]
        )

    def _table(self, values: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> NDArray:
        """[3, 256]: what a byte of R, G and B becomes; float16 as bits, which every OpenCV looks up."""
        table = (values - np.asarray(mean, np.float32)[:, None]) / np.asarray(std, np.float32)[:, None]
        half = self._buffer.dtype == np.float16
        return table.astype(np.float16).view(np.uint16) if half else table

    def _matrices(self, centre: NDArray, size: NDArray) -> list[NDArray[np.float64]]:
        return crop_matrices(centre, size, self.size)

    def _fill(self, row: NDArray) -> None:
        cv2.split(self._crop, list(self._planes[::-1]))
        # AlphaPose divides by 255 only a crop that has a byte above 1 (`im_to_torch`).
        tables = self.tables[0 if self._planes.max() > 1 else 1]
        for plane, table, target in zip(self._planes, tables, row.view(tables.dtype), strict=True):
            cv2.LUT(plane, table, target)


class SquareCrops(_Rows):
    """People as the bytes of a square [N, side, side, 3], RGB, for networks that normalise by themselves.

    Pixel areas are kept, so that a place (x, y) of 0 to 1 in the crop is that share of the grown box.

    Args:
        side: of the input in pixels.
        scale: what the square around a box is grown by.
        batch: rows of the tensor; None: as many as people.
        dtype: of the tensor (MoveNet: int32).
    """

    def __init__(
        self,
        side: int = 256,
        *,
        scale: float = SCALE,
        batch: int | None = None,
        dtype: type | np.dtype = np.int32,
    ) -> None:
        super().__init__((side, side, 3), (side, side), scale, batch, dtype)

    def _matrices(self, centre: NDArray, size: NDArray) -> list[NDArray[np.float64]]:
        grow = (self.size[0] / size.astype(np.float64)).tolist()
        low = boxes_of(centre, size)[:, :2].astype(np.float64).tolist()
        # (source pixel + ½ − corner) × grow = crop pixel + ½
        return [
            np.array([[gx, 0, (0.5 - x) * gx - 0.5], [0, gy, (0.5 - y) * gy - 0.5]])
            for (gx, gy), (x, y) in zip(grow, low, strict=True)
        ]

    def _fill(self, row: NDArray) -> None:
        row[...] = self._crop[:, :, ::-1]
