"""The CUDA twin of the heat maps' decoding: points equal to NumPy's to the last bit."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench

from edgekit.errors import InputError
from edgekit.ops.heatmaps import decode
from edgekit.ops.heatmaps_cuda import CudaPoints, check_twin

SIZES = [(64, 48), (1, 1), (3, 200), (17, 13), (2, 2), (4, 3)]


def some_maps(seed: int, size: tuple[int, int], dtype: type) -> np.ndarray:
    """[4, 5, h, w]: equal maxima, maps without a value above 0, a peak in each corner, NaN and infinity."""
    rng = np.random.default_rng(seed)
    maps = np.round(rng.normal(0, 0.4, (4, 5, *size)), 1).astype(dtype)
    maps[0, 0] = -1
    maps[0, 1] = 0
    maps[0, 2] = -np.inf
    flat = maps[1].reshape(5, -1)
    for k, at in enumerate((0, size[1] - 1, -size[1], -1, flat.shape[1] // 2)):
        flat[k, at] = 9
    maps[2, 0, size[0] // 2, size[1] // 2] = np.nan
    maps[2, 1, size[0] // 2 :, :] = np.inf
    maps[2, 2, :, size[1] // 2] = -0.0
    maps[2, 3] = np.finfo(dtype).tiny / 4
    return maps


def check(seed: int) -> None:
    print("seed", seed)  # noqa: T201

    def work(gpu: Bench) -> None:
        twin = CudaPoints(gpu.thread)
        try:
            for size in SIZES:
                for dtype in (np.float32, np.float16):
                    maps = some_maps(seed, size, dtype)
                    found = twin.enqueue(gpu.up(maps))
                    gpu.stream.synchronize()
                    with np.errstate(invalid="ignore", over="ignore"):
                        wanted = decode(maps)
                    np.testing.assert_array_equal(found, wanted, err_msg=f"{size} {dtype}")
                    assert found.dtype == wanted.dtype
                    found = twin.enqueue(gpu.up(maps), 2)
                    gpu.stream.synchronize()
                    np.testing.assert_array_equal(found, wanted[:2])
            none = twin.enqueue(gpu.up(np.zeros((0, 5, 8, 8), np.float32)))
            gpu.stream.synchronize()
            assert none.shape == (0, 5, 3)
        finally:
            twin.free()

    with Bench() as gpu:
        gpu(work)
        assert "equal" in gpu.thread.call(check_twin, gpu.thread)


@pytest.mark.compiler
def test_as_numpy(cuda_machine: FakeCuda) -> None:
    check(secrets.randbelow(10**6))


@pytest.mark.gpu
def test_as_numpy_on_a_gpu(real_memory: None) -> None:
    for _ in range(10):
        check(secrets.randbelow(10**6))


@pytest.mark.compiler
def test_what_are_no_heat_maps(cuda_machine: FakeCuda) -> None:
    def work(gpu: Bench) -> None:
        twin = CudaPoints(gpu.thread)
        try:
            for shape, dtype in (
                ((2, 3, 4), np.float32),
                ((2, 3, 4, 5), np.float64),
                ((2, 3, 0, 5), np.float32),
            ):
                with pytest.raises(InputError, match="heat maps"):
                    twin.enqueue(gpu.up(np.zeros(shape, dtype)))
        finally:
            twin.free()

    with Bench() as gpu:
        gpu(work)
