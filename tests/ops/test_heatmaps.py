"""Heat-map decoding against plain loops in float64."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.ops.heatmaps import decode, mirror
from edgekit.topology import COCO17


def plain(heatmap: np.ndarray) -> tuple[float, float, float]:
    """The rule, cell by cell, for one map [h, w]."""
    height, width = heatmap.shape
    best, at = -np.inf, (0, 0)
    for y in range(height):
        for x in range(width):
            if float(heatmap[y, x]) > best:
                best, at = float(heatmap[y, x]), (x, y)
    if best <= 0:
        at = (0, 0)
    x, y = at
    moved = [float(x), float(y)]
    if 1 < x < width - 1 and 1 < y < height - 1:
        for axis, (low, high) in enumerate(
            [(heatmap[y, x - 1], heatmap[y, x + 1]), (heatmap[y - 1, x], heatmap[y + 1, x])]
        ):
            moved[axis] += 0.25 if high > low else -0.25 if high < low else 0.0
    return moved[0], moved[1], best


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_decoded_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 1, (3, 5, 12, 9)).astype(np.float32)
    maps[0] = np.round(maps[0])  # equal values: the first cell wins, equal neighbours do not move it
    found = decode(maps)
    assert (found.shape, found.dtype) == ((3, 5, 3), np.float32)
    for n in range(3):
        for k in range(5):
            np.testing.assert_array_equal(found[n, k], np.float32(plain(maps[n, k])))


@pytest.mark.parametrize(
    ("x", "y", "moves"),
    [(0, 5, False), (1, 5, False), (2, 5, True), (7, 5, True), (8, 5, False), (4, 1, False), (4, 10, True)],
)
def test_only_inner_points_move(x: int, y: int, moves: bool) -> None:
    maps = np.zeros((1, 1, 12, 9), np.float32)
    ramp = np.arange(9, dtype=np.float32)[None] * 0.01 + np.arange(12, dtype=np.float32)[:, None] * -0.01
    maps[0, 0] = ramp
    maps[0, 0, y, x] = 1
    wanted = (x + 0.25, y - 0.25) if moves else (x, y)
    assert tuple(decode(maps)[0, 0, :2]) == wanted


def test_a_map_without_a_value_above_zero_is_at_the_corner() -> None:
    maps = np.full((1, 2, 8, 8), -0.5, np.float32)
    maps[0, 1, 4, 4] = 0
    np.testing.assert_array_equal(decode(maps)[0], [[0, 0, -0.5], [0, 0, 0]])


def test_nobody() -> None:
    assert decode(np.zeros((0, 17, 64, 48), np.float32)).shape == (0, 17, 3)


def test_mirrored_maps_come_back() -> None:
    rng = np.random.default_rng(4)
    maps = rng.random((2, 17, 8, 6)).astype(np.float32)
    turned = mirror(maps, COCO17.flip)
    left, right = COCO17.keypoints.index("left_wrist"), COCO17.keypoints.index("right_wrist")
    for x in range(1, 6):
        np.testing.assert_array_equal(turned[:, left, :, x], maps[:, right, :, 5 - (x - 1)])
    nose = COCO17.keypoints.index("nose")
    np.testing.assert_array_equal(turned[:, nose, :, 0], maps[:, nose, :, 5])
