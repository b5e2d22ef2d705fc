"""Targets against plain loops in float64, written from the formulas of trt_pose's C++."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.train.targets import cmap_targets, heatmap_targets, masks, paf_targets  # noqa: E402

SHAPE, STDEV, WINDOW = (13, 17), 1.4, 7
LINKS = np.array([[0, 1, 0, 1], [2, 3, 1, 2]])


def scene(seed: int, people: int = 4, kinds: int = 3, pictures: int = 2) -> np.ndarray:
    """Random keypoints, also beyond the map and at its very edge; some unknown."""
    random = np.random.default_rng(seed)
    points = random.uniform(-4, 20, (pictures, people, kinds, 3))
    points[..., 2] = random.random(points.shape[:-1]) < 0.7
    points[0, 0, 0] = [0.0, 0.0, 1]
    points[0, 1, 1] = [17.0, 13.0, 1]
    points[0, 2] = points[0, 2, :1]  # limbs of no length
    return points


def loop_cmap(points: np.ndarray) -> np.ndarray:
    height, width = SHAPE
    out = np.zeros((points.shape[0], points.shape[2], height, width))
    for n, person, k in np.ndindex(points.shape[:3]):
        x, y, known = points[n, person, k]
        if not known:
            continue
        half = WINDOW // 2
        for i in range(max(0, int(y - half)), min(height, int(y + half + 1))):
            for j in range(max(0, int(x - half)), min(width, int(x + half + 1))):
                value = math.exp(-((y - i - 0.5) ** 2 + (x - j - 0.5) ** 2) / STDEV**2)
                out[n, k, i, j] = max(out[n, k, i, j], value)
    return out


def loop_paf(points: np.ndarray) -> np.ndarray:
    height, width = SHAPE
    out = np.zeros((points.shape[0], 2 * len(LINKS), height, width))
    for n, person in np.ndindex(points.shape[:2]):
        for row, column, a, b in LINKS:
            (ax, ay, a_known), (bx, by, b_known) = points[n, person, a], points[n, person, b]
            if not (a_known and b_known):
                continue
            length = math.hypot(by - ay, bx - ax) + 1e-5
            uy, ux = (by - ay) / length, (bx - ax) / length
            for i, j in np.ndindex(height, width):
                dy, dx = i + 0.5 - ay, j + 0.5 - ax
                along, across = dy * uy + dx * ux, dy * ux - dx * uy
                over = along if along < 0 else max(0.0, along - length)
                scale = math.exp(-(over**2 + across**2) / STDEV**2)
                out[n, row, i, j] += scale * uy
                out[n, column, i, j] += scale * ux
    return out


@pytest.mark.parametrize("seed", range(3))
def test_cmap_equals_the_loops(seed: int) -> None:
    points = scene(seed)
    made = cmap_targets(torch.from_numpy(points), SHAPE, STDEV, WINDOW).numpy()
    np.testing.assert_allclose(made, loop_cmap(points), atol=1e-12)
    assert made.max() > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_paf_equals_the_loops(seed: int) -> None:
    points = scene(seed)
    made = paf_targets(torch.from_numpy(points), torch.from_numpy(LINKS), SHAPE, STDEV).numpy()
    np.testing.assert_allclose(made, loop_paf(points), atol=1e-12)
    single = paf_targets(torch.from_numpy(points).float(), torch.from_numpy(LINKS), SHAPE, STDEV).numpy()
    np.testing.assert_allclose(single, loop_paf(points), atol=2e-5)


def test_a_limb_points_from_row_to_column() -> None:
    """Straight down: the first channel is +1 on the limb, the second 0; turned round, −1."""
    down = torch.tensor([[[[5.5, 2.5, 1], [5.5, 8.5, 1]]]])
    links = torch.tensor([[0, 1, 0, 1]])
    field = paf_targets(down, links, SHAPE, STDEV)[0, :, 5, 5]
    torch.testing.assert_close(field, torch.tensor([1.0, 0.0]), atol=1e-4, rtol=0)
    back = paf_targets(down.flip(2), links, SHAPE, STDEV)[0, :, 5, 5]
    torch.testing.assert_close(back, -field, atol=1e-4, rtol=0)


def test_masks_hide_what_nobody_knows() -> None:
    points = torch.zeros(1, 2, 3, 3)
    points[0, 0, 0] = torch.tensor([2.5, 2.5, 1.0])  # its keypoints 1 and 2 are unknown
    points[0, 1] = torch.tensor([[12.5, 8.5, 0.5], [4.5, 4.5, 1.0], [12.5, 4.5, 1.0]])
    boxes = torch.tensor([[[0.0, 0, 6, 6], [10.0, 3, 16, 12]]])
    ignore = torch.tensor([[[0.0, 10, 5, 13]]])
    links = torch.from_numpy(LINKS)
    cmap = cmap_targets(points, SHAPE, STDEV, WINDOW)
    paf = paf_targets(points, links, SHAPE, STDEV)
    cmask, pmask = masks(points, boxes, ignore, links, cmap, paf)
    assert cmask[0, 0, 1, 1] == 1  # known
    assert cmask[0, 2, 1, 1] == 0  # unknown, in its box
    assert cmask[0, 1, 4, 4] == 1  # unknown for the first, but the second's keypoint is there
    assert cmask[0, 1, 0, 0] == 0
    assert cmask[0, 2, 1, 8] == 1  # outside all boxes
    assert cmask[0, 0, 6, 12] == 0.5  # half sure
    assert not cmask[0, :, 11, 2].any()
    assert not pmask[0, :, 11, 2].any()
    assert pmask[0, 0, 1, 1] == 0  # a limb with an unknown end
    assert pmask[0, 0, 8, 12] == 0.5
    assert pmask[0, 2, 8, 12] == 1


def test_heatmaps_equal_the_formula() -> None:
    points = torch.tensor([[[3.0, 4.0, 1.0], [5.25, 1.5, 0.5], [2.0, 2.0, 0.0]]], dtype=torch.float64)
    made = heatmap_targets(points, (8, 9), 2.0).numpy()[0]
    for k, (x, y, known) in enumerate(points[0].tolist()):
        for i, j in np.ndindex(8, 9):
            value = math.exp(-((i - y) ** 2 + (j - x) ** 2) / 8) * (known > 0)
            assert made[k, i, j] == pytest.approx(value, abs=1e-12)
