"""Crops against a float64 warp in plain loops, and the way back against the way there."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.ops.crops import Crops, SquareCrops, boxes_of, centre_and_size, crop_matrices, to_source

BOXES = np.array(
    [[40, 30, 90, 180], [100, 60, 220, 90], [-30, -20, 50, 60], [10.3, 20.7, 70.3, 100.7]], np.float32
)


def smooth_picture(height: int = 200, width: int = 240) -> np.ndarray:
    """BGR with slow gradients, each channel its own: a warp that is a little off shows as a level or two."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 255 - (x + y) / 2], -1).clip(0, 255).astype(np.uint8)


def grown(box: np.ndarray, aspect: float, scale: float) -> tuple[float, float, float, float]:
    """Centre x, y and width, height by the paper's words, float64."""
    x1, y1, x2, y2 = map(float, box)
    w, h = x2 - x1, y2 - y1
    if w / h > aspect:
        h = w / aspect
    else:
        w = h * aspect
    return (x1 + x2) / 2, (y1 + y2) / 2, w * scale, h * scale


def pixel(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The picture at (x, y) by bilinear weights, float64; black outside."""
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(3)
    for dy in (0, 1):
        for dx in (0, 1):
            if 0 <= left + dx < image.shape[1] and 0 <= top + dy < image.shape[0]:
                weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
                total += weight * image[top + dy, left + dx]
    return total


def test_boxes_get_the_aspect_and_grow() -> None:
    centre, size = centre_and_size(BOXES, 0.75)
    for n, box in enumerate(BOXES):
        np.testing.assert_allclose([*centre[n], *size[n]], grown(box, 0.75, 1.25), rtol=1e-6)
        assert size[n, 0] / size[n, 1] == pytest.approx(0.75)
    around = boxes_of(centre, size)
    assert (around[:, :2] <= BOXES[:, :2]).all()
    assert (around[:, 2:] >= BOXES[:, 2:]).all()


def test_crop_is_the_warp_of_the_picture() -> None:
    image = smooth_picture()
    tensor, _ = Crops()([image] * len(BOXES), BOXES)
    assert (tensor.shape, tensor.dtype) == ((4, 3, 256, 192), np.float32)
    for n, box in enumerate(BOXES):
        cx, cy, w, h = grown(box, 0.75, 1.25)
        for v in range(3, 256, 23):
            for u in range(2, 192, 19):
                x, y = cx + (u - 96) * w / 192, cy + (v - 128) * h / 256
                if not (2 < x < 237 and 2 < y < 197):
                    continue  # at the border a step of the fixed-point warp is a step from black
                wanted = pixel(image, x, y)[::-1] / 255 - (0.406, 0.457, 0.480)
                np.testing.assert_allclose(tensor[n, :, v, u], wanted, atol=1.6 / 255)


def test_outside_is_black_and_inside_is_rgb() -> None:
    image = np.full((50, 50, 3), (10, 20, 30), np.uint8)  # BGR
    tensor, _ = Crops()([image], np.array([[0, 0, 50, 50]]))
    np.testing.assert_allclose(tensor[0, :, 0, 0], (-0.406, -0.457, -0.480), atol=1e-7)
    np.testing.assert_allclose(
        tensor[0, :, 128, 96], np.array([30, 20, 10]) / 255 - (0.406, 0.457, 0.480), atol=1e-7
    )


def test_a_crop_of_ones_is_not_divided() -> None:
    ones, twos = np.ones((40, 40, 3), np.uint8), np.full((40, 40, 3), 2, np.uint8)
    tensor, _ = Crops()([ones, twos], np.array([[10, 10, 20, 20]] * 2))
    np.testing.assert_allclose(tensor[0, :, 128, 96], 1 - np.array([0.406, 0.457, 0.480]), atol=1e-7)
    np.testing.assert_allclose(tensor[1, :, 128, 96], 2 / 255 - np.array([0.406, 0.457, 0.480]), atol=1e-7)


@pytest.mark.parametrize("size", [(64, 48), (256, 192)])
def test_the_way_back_is_the_inverse_of_the_way_there(size: tuple[int, int]) -> None:
    centre, sides = centre_and_size(BOXES, 0.75)
    points = np.random.default_rng(0).uniform(0, 60, (4, 17, 3)).astype(np.float32)
    back = to_source(points, boxes_of(centre, sides), size)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back[..., 2], points[..., 2])
    for n, matrix in enumerate(crop_matrices(centre, sides, size)):
        there = back[n, :, :2].astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(there, points[n, :, :2], atol=2e-4)
    x = centre[0, 0] + (points[0, 0, 0] - size[1] / 2) * sides[0, 0] / size[1]
    assert back[0, 0, 0] == pytest.approx(x, abs=1e-3)


def test_other_means_and_deviations_and_half_precision() -> None:
    image, box = smooth_picture(), BOXES[:1]
    plain, _ = Crops(mean=(0, 0, 0))([image], box)
    made, _ = Crops(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), dtype=np.float16)([image], box)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    wanted = (plain.astype(np.float64) - mean[:, None, None]) / std[:, None, None]
    assert made.dtype == np.float16
    np.testing.assert_allclose(made, wanted, atol=2e-3)


def test_the_buffer_is_kept_and_nothing_stays_from_before() -> None:
    image = smooth_picture()
    crops = Crops()
    first, _ = crops([image] * 4, BOXES)
    wanted = first[3].copy()
    second, _ = crops([image], BOXES[3:])
    assert second.shape == (1, 3, 256, 192)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second[0], wanted)
    assert crops([], np.zeros((0, 4)))[0].shape == (0, 3, 256, 192)


def test_a_fixed_batch_has_empty_rows() -> None:
    image = smooth_picture()
    crops = Crops(batch=3)
    full, _ = crops([image] * 3, BOXES[:3])
    assert full[2].any()
    tensor, boxes = crops([image], BOXES[:1])
    assert tensor.shape == (3, 3, 256, 192)
    assert tensor[0].any()
    assert not tensor[1:].any()
    assert boxes.shape == (1, 4)
    with pytest.raises(InputError, match="4 people do not fit a batch of 3"):
        crops([image] * 4, BOXES)


def test_a_box_without_area_gives_a_picture_and_finite_points() -> None:
    tensor, boxes = Crops()([smooth_picture()], np.array([[50, 60, 50, 60]]))
    assert np.isfinite(tensor).all()
    back = to_source(np.zeros((1, 17, 3), np.float32), boxes, (64, 48))
    np.testing.assert_allclose(back[0, 0, :2], (50, 60), atol=1)


def test_a_square_keeps_pixel_areas() -> None:
    image = smooth_picture()
    box = np.array([[40.0, 50, 104, 114]], np.float32)  # ×1 onto 64: every pixel is itself
    tensor, squares = SquareCrops(64, scale=1.0)([image], box)
    assert (tensor.shape, tensor.dtype) == ((1, 64, 64, 3), np.int32)
    np.testing.assert_array_equal(tensor[0], image[50:114, 40:104, ::-1])
    np.testing.assert_array_equal(squares, box)
    half, _ = SquareCrops(32, scale=1.0)([image], box)  # onto 32: each lies between four
    between = image[50:114, 40:104, ::-1].astype(float).reshape(32, 2, 32, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half[0], between, atol=1)


def test_a_square_holds_a_high_box_grown() -> None:
    _, squares = SquareCrops(256)([smooth_picture()], np.array([[50, 20, 90, 180]]))
    np.testing.assert_allclose(squares, [[70 - 100, 0, 70 + 100, 200]])


@pytest.mark.parametrize(
    "wrong",
    [{"std": (1, 0, 1)}, {"mean": (1, 2)}, {"dtype": np.uint8}],
)
def test_bad_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        Crops(**wrong)
