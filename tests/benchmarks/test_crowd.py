"""A crowd has as many people as asked for, of one size."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.bench.crowd import crowd
from edgekit.errors import InputError

RED, BLUE = (0, 0, 255), (255, 0, 0)


def picture() -> np.ndarray:
    """Grey, with a red block of 30×60 and a blue one at the right edge."""
    image = np.full((200, 300, 3), 90, np.uint8)
    image[50:110, 40:70] = RED
    image[20:80, 280:300] = BLUE
    return image


BOXES = np.array([[40, 50, 70, 110], [280, 20, 300, 80]], np.float32)


def places(canvas: np.ndarray, grid: tuple[int, int] = (3, 6)) -> list[str]:
    """What stands in the middle of each place."""
    high, wide = canvas.shape[0] // grid[0], canvas.shape[1] // grid[1]
    found = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            cell = canvas[row * high : (row + 1) * high, column * wide : (column + 1) * wide].astype(int)
            red = (cell[..., 2] - cell[..., 0] > 100).mean()
            blue = (cell[..., 0] - cell[..., 2] > 100).mean()
            found.append("red" if red > 0.2 else "blue" if blue > 0.2 else "nobody")
    return found


@pytest.mark.parametrize("count", [0, 1, 5, 18])
def test_so_many_people_in_turn(count: int) -> None:
    canvas = crowd(picture(), BOXES, count)
    assert canvas.shape == (576, 768, 3)
    assert places(canvas) == (["red", "blue"] * 9)[:count] + ["nobody"] * (18 - count)


def test_all_are_as_high_as_their_place() -> None:
    canvas = crowd(picture(), BOXES[:1], 1, size=(300, 600), grid=(1, 4))
    rows = np.flatnonzero((canvas[:, :150].astype(int)[..., 2] > 200).any(axis=1))
    assert len(rows) == pytest.approx(300 / 1.15, abs=6)


def test_nobody_or_too_many() -> None:
    for boxes, count in ((BOXES[:0], 1), (BOXES, 19), (BOXES, -1)):
        with pytest.raises(InputError, match="places"):
            crowd(picture(), boxes, count)
    with pytest.raises(InputError, match="box 0 has no pixel"):
        crowd(picture(), np.array([[40, 50, 40, 50]], np.float32), 1)
