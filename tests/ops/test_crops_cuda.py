"""The CUDA twin of the crops, beside OpenCV's warp and bilinear weights in float64."""

from __future__ import annotations

import secrets

import cv2
import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench

from edgekit.engine.cuda import DeviceArray
from edgekit.errors import InputError
from edgekit.ops.crops import Crops
from edgekit.ops.crops_cuda import CudaCrops, check_twin

VERSION = tuple(int(part) for part in cv2.__version__.split(".")[:2])
EXACT = VERSION >= (4, 12)  # before, weights in steps of 1/32 pixel
AVX2 = 11  # CV_CPU_AVX2, which brings fused multiply-add
#: (h, w) of the crop, (H, W) of the picture.
SIZES = [((64, 48), (67, 91)), ((33, 51), (40, 30)), ((64, 48), (1, 1)), ((32, 24), (200, 3))]


def some_boxes(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """[7, 4]: three anywhere, around the picture, far outside of it, without area, no number."""
    scale = np.array([size[1], size[0]])
    corner = rng.uniform(-0.4, 0.9, (3, 2)) * scale
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 1.0, (3, 2)) * scale], 1)
    more = [[-5, -5, size[1] + 5, size[0] + 5], [1e7, 1e7, 1e7 + 90, 1e7 + 90], [2, 3, 2, 3], [np.nan] * 4]
    return np.concatenate([boxes, more])


def by_hand(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, 3] grey levels by bilinear weights in float64, black outside; not rounded."""
    padded = np.zeros((image.shape[0] + 2, image.shape[1] + 2, 3))
    padded[1:-1, 1:-1] = image
    v, u = np.mgrid[: size[0], : size[1]]
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    x, y, _ = np.tensordot(back, np.stack([u, v, np.ones_like(u)]), 1)
    inside = (x > -1) & (x < image.shape[1]) & (y > -1) & (y < image.shape[0])
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    total = np.zeros((*size, 3))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy)) * inside
            total += weight[..., None] * padded[top + dy + 1, left + dx + 1]
    return total


def cropped(gpu: Bench, twin: CudaCrops, host: Crops, image: np.ndarray, xyxy: np.ndarray) -> np.ndarray:
    """What the twin makes of a picture whose rows are some bytes apart."""
    count, (height, width) = len(xyxy), image.shape[:2]
    wide = np.full((height, 3 * width + 7), 255, np.uint8)
    wide[:, : 3 * width] = image.reshape(height, -1)
    out = gpu.room((count, 3, *host.size), host.dtype)
    twin.put(host.place(xyxy)[0], count)
    picture = DeviceArray(gpu.up(wide).address, image.shape, np.dtype(np.uint8))
    twin.fill(picture, out, 0, count, pitch=wide.shape[1])
    return gpu.down(out)


def check_levels(seed: int) -> None:
    """Noise of bytes: every level that a crop is off shows."""
    print("seed", seed)  # noqa: T201

    def work(gpu: Bench) -> None:
        rng = np.random.default_rng(seed)
        for crop, size in SIZES:
            host = Crops(crop, mean=(0, 0, 0), std=(1 / 255,) * 3)
            image, boxes = rng.integers(2, 256, (*size, 3), np.uint8), some_boxes(rng, size)
            wanted, _ = host([image] * len(boxes), boxes)
            twin = CudaCrops(gpu.thread, host)
            try:
                found = np.rint(cropped(gpu, twin, host, image, boxes))
            finally:
                twin.free()
            apart = np.abs(found - np.rint(wanted))[: None if EXACT else 6]  # the old one sees no numbers too
            assert apart.max() <= (1 if EXACT else 9), f"{crop} of {size}: OpenCV is {apart.max()} levels off"
            if EXACT:
                assert (apart > 0).mean() < 0.002
            if EXACT and cv2.checkHardwareSupport(AVX2):
                assert not apart.any(), f"{(apart > 0).sum()} values of {crop} of {size} are not OpenCV's"
            for one, matrix in zip(found[:4], host.place(boxes)[0], strict=False):
                exact = by_hand(image, matrix, crop)[:, :, ::-1].transpose(2, 0, 1)
                # half a level of rounding, and places in float32: 2⁻²⁰ of a picture this wide × 255
                assert np.abs(one - exact).max() < 0.52
            assert not found[4].any(), "a box outside of the picture is black"
            assert not found[6].any(), "so is one that is no number"

    with Bench() as gpu:
        gpu(work)
        assert "5 crops" in gpu.thread.call(check_twin, gpu.thread)


def check_rule() -> None:
    """AlphaPose divides a crop by 255 only where it has a byte above 1; crops decide each for itself."""

    def work(gpu: Bench) -> None:
        dark = np.random.default_rng(0).integers(0, 2, (6, 8, 3), np.uint8).repeat(10, 0).repeat(10, 1)
        dark[10, 70] = 200  # seen by the second box only
        boxes = np.array([[5, 20, 30, 50], [55, 2, 78, 40], [5, 5, 9, 30], [90, 90, 99, 99]], np.float32)
        for dtype in (np.float32, np.float16):
            host = Crops((64, 48), std=(0.5, 1.0, 2.0), dtype=dtype)
            twin = CudaCrops(gpu.thread, host)
            try:
                for order in (slice(None), slice(None, None, -1), slice(1, 2)):
                    wanted, _ = host([dark] * len(boxes[order]), boxes[order])
                    found = cropped(gpu, twin, host, dark, boxes[order])
                    assert found.dtype == dtype
                    # at the edges of the squares a level may round the other way
                    apart = np.abs(found.astype(np.float32) - wanted)
                    assert (apart > 1e-6).mean() < (0.002 if EXACT else 0.1)
            finally:
                twin.free()

    with Bench() as gpu:
        gpu(work)


def check_rows() -> None:
    """Several pictures' people, each in their rows; rows without anybody are 0; other rows are let be."""

    def work(gpu: Bench) -> None:
        rng = np.random.default_rng(1)
        host = Crops((32, 24))
        pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((40, 50), (61, 33))]
        boxes = np.array([[3, 4, 20, 30], [10, 10, 30, 35], [0, 0, 33, 61]], np.float32)
        wanted, _ = host([pictures[0], pictures[0], pictures[1]], boxes)
        twin = CudaCrops(gpu.thread, host)
        try:
            out = gpu.room((6, 3, 32, 24), np.float32)
            twin.put(host.place(boxes)[0], 5)
            twin.fill(gpu.up(pictures[0]), out, 0, 2)
            twin.fill(gpu.up(pictures[1]), out, 2, 3, 5)
            found = gpu.down(out)
            np.testing.assert_allclose(found[:3], wanted, atol=(1.001 if EXACT else 9) / 255)
            assert not found[3:5].any()
            assert set(found[5].tobytes()) == {0xEE}
            twin.put([], 5)
            twin.fill(gpu.up(pictures[0]), out, 0, 0, 1)
            assert not gpu.down(out)[0].any()
            with pytest.raises(InputError, match="rows 0 to 6"):
                twin.fill(gpu.up(pictures[0]), out, 0, 6)
            with pytest.raises(InputError, match="do not fit"):
                twin.fill(gpu.up(pictures[0]), gpu.room((1, 3, 32, 32), np.float32), 0, 1)
            with pytest.raises(InputError, match="no picture"):
                twin.fill(gpu.up(pictures[0][:, :, :2].copy()), out, 0, 1)
        finally:
            twin.free()

    with Bench() as gpu:
        gpu(work)


@pytest.mark.compiler
def test_as_opencv_and_as_by_hand(cuda_machine: FakeCuda) -> None:
    check_levels(secrets.randbelow(10**6))


@pytest.mark.compiler
def test_only_a_crop_with_a_byte_above_1_is_divided(cuda_machine: FakeCuda) -> None:
    check_rule()


@pytest.mark.compiler
def test_rows(cuda_machine: FakeCuda) -> None:
    check_rows()


@pytest.mark.gpu
def test_crops_on_a_gpu(real_memory: None) -> None:
    for _ in range(10):
        check_levels(secrets.randbelow(10**6))
    check_rule()
    check_rows()
