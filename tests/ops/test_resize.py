"""Resizing against the triangle filter written out, and torchvision's arithmetic of sides and middles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.resize import crop_center, resize, resize_short, to_size


def triangle(picture: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The first axis at `count` rows: each the mean of what a triangle as wide as two of its rows covers."""
    size = len(picture)
    step = size / count
    wide, rows = max(step, 1.0), []
    for row in range(count):
        middle = (row + 0.5) * step
        weights = np.array([max(0.0, 1 - abs(place + 0.5 - middle) / wide) for place in range(size)])
        rows.append(np.tensordot(weights / weights.sum(), picture, 1))
    return np.array(rows)


@pytest.mark.parametrize("size", [(20, 30), (13, 41), (55, 100), (37, 29)])
@pytest.mark.parametrize("shape", [(37, 75, 3), (37, 75)])
def test_every_pixel_counts_as_the_triangle_filter_has_it(shape: tuple, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    rows = triangle(picture.astype(np.float64), size[0])
    expected = triangle(rows.swapaxes(0, 1), size[1]).swapaxes(0, 1)
    found = resize(picture, size)
    assert (found.dtype, found.shape) == (np.uint8, (*size, *shape[2:]))
    assert np.abs(found - expected).max() <= 1.5  # it rounds between the two passes


def test_far_smaller_pictures_stay_close_to_the_filter() -> None:
    smooth = np.add.outer(np.arange(300.0), np.arange(400.0) * 0.5) % 256
    picture = np.repeat(smooth.astype(np.uint8)[..., None], 3, axis=2)
    rows = triangle(picture.astype(np.float64), 30)
    expected = triangle(rows.swapaxes(0, 1), 40).swapaxes(0, 1)
    assert np.abs(resize(picture, (30, 40)) - expected).mean() < 2


def test_a_picture_of_the_size_is_the_same_one() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    assert resize(picture, (4, 6)) is picture


@pytest.mark.parametrize(
    ("size", "edge", "found"),
    [
        ((720, 1280), 256, (256, 455)),
        ((1280, 720), 256, (455, 256)),
        ((33, 61), 17, (17, 31)),
        ((9, 9), 5, (5, 5)),
    ],
)
def test_the_short_side_has_the_edge_and_the_long_one_is_cut_to_whole_pixels(
    size: tuple[int, int], edge: int, found: tuple[int, int]
) -> None:
    assert resize_short(np.zeros((*size, 3), np.uint8), edge).shape[:2] == found


def test_the_middle_begins_at_the_even_one_of_two_pixels() -> None:
    picture = np.add.outer(10 * np.arange(7), np.arange(9)).astype(np.uint8)
    # 7 rows to 4: from 1.5, so from 2; 9 columns to 4: from 2.5, so from 2
    assert crop_center(picture, (4, 4)).tolist() == picture[2:6, 2:6].tolist()
    assert to_size(picture, (4, 4), "center", 7).tolist() == picture[2:6, 2:6].tolist()
    with pytest.raises(InputError, match="9×7 has no middle of 4×8"):
        crop_center(picture, (8, 4))
    with pytest.raises(InputError, match="crop='middle' is unknown"):
        to_size(picture, (4, 4), "middle")
