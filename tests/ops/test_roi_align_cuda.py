"""The RoIAlign kernels against the NumPy function, torchvision's values and ONNX Runtime's operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench
from numpy.typing import NDArray
from test_roi_align import KINDS, boxes_of, by_onnxruntime

from edgekit.engine.cuda import DeviceArray
from edgekit.errors import InputError
from edgekit.ops import roi_align_cuda
from edgekit.ops.roi_align import roi_align
from edgekit.ops.roi_align_cuda import TOLERANCE, TOLERANCE_HALF, CudaRoiAlign, check_twin

GOLDEN = Path(__file__).parents[1] / "golden/roi_align.npz"
HALF, FLOAT = np.float16, np.float32
SEED = int(np.random.SeedSequence().entropy % 2**32)  # type: ignore[operator]


def on_gpu(
    features: NDArray, boxes: NDArray, out: type = FLOAT, maps: int = 1, **how: Any
) -> NDArray[np.floating]:
    """What the kernels give, by way of memory that held something else before."""

    def work(bench: Bench) -> NDArray:
        twin = CudaRoiAlign(bench.thread, **how)
        try:
            there = bench.up(features)
            places = [
                bench.room((len(boxes), features.shape[-3], twin.cells, twin.cells), out) for _ in range(maps)
            ]
            twin.enqueue(bench.up(boxes), [(there, place) for place in places])
            return np.stack([bench.down(place) for place in places])
        finally:
            bench.stream.synchronize()
            twin.free()

    with Bench() as bench:
        found: NDArray = bench(work)
    assert (found == found[:1]).all()
    return found[0]


def check(found: NDArray, wanted: NDArray, features: NDArray) -> None:
    """Equal but for the order of sums, and for the last bit of a float16."""
    share = TOLERANCE_HALF if found.dtype == HALF else TOLERANCE
    np.testing.assert_allclose(found, wanted, rtol=0, atol=share * float(np.abs(features).max()))


def check_kinds() -> None:
    """Boxes of every kind, among them some far outside, inverted and empty ones, of float32 and float16."""
    print("seed", SEED)  # noqa: T201
    rng = np.random.default_rng(SEED)
    for ratio, aligned, cells, size in (
        (0, False, 7, (5, 16, 29)),
        (0, True, 7, (3, 16, 29)),
        (2, True, 5, (1, 15, 31)),
        (3, False, 3, (2, 17, 28)),
    ):
        features = rng.normal(size=size).astype(FLOAT)
        boxes = np.concatenate([boxes_of(kind) for kind in KINDS])
        how: dict[str, Any] = {"sampling_ratio": ratio, "aligned": aligned, "output_size": cells}
        wanted = roi_align(features, boxes, **how)
        assert np.abs(wanted).max() > 0.5
        check(on_gpu(features, boxes, **how), wanted, features)
        check(on_gpu(features, boxes, HALF, **how), wanted, features)
        half = features.astype(HALF)
        check(on_gpu(half, boxes, **how), roi_align(half, boxes, **how), features)
        check(on_gpu(half[None], boxes, HALF, maps=2, **how), roi_align(half, boxes, **how), features)
        by_ort = by_onnxruntime(features, boxes, cells, 1 / 16, ratio, aligned)
        np.testing.assert_allclose(on_gpu(features, boxes, **how), by_ort, atol=1e-5)


def check_golden() -> None:
    with np.load(GOLDEN) as golden:
        features, boxes = golden["features"], golden["boxes"]
        for ratio in (0, 1, 2, 3):
            for aligned in (False, True):
                wanted = golden[f"ratio{ratio}_aligned{int(aligned)}"]
                found = on_gpu(features, boxes, sampling_ratio=ratio, aligned=aligned)
                np.testing.assert_allclose(found, wanted, atol=5e-6)
                assert np.abs(wanted).max() > 1


def check_limits() -> None:
    """Nobody; one feature; boxes that no picture has, whose samples outside are not even looked at."""
    features = np.random.default_rng(SEED).normal(size=(2, 9, 13)).astype(FLOAT)
    assert on_gpu(features, np.zeros((0, 4), FLOAT)).shape == (0, 2, 7, 7)
    one = np.full((1, 1, 1), 3.5, FLOAT)
    np.testing.assert_array_equal(on_gpu(one, np.array([[0, 0, 9, 9]], FLOAT), output_size=1), [[[[3.5]]]])
    huge = np.array([[-3e5, -3e5, 3e5, 3e5]], FLOAT)
    check(on_gpu(features, huge, output_size=1), roi_align(features, huge, output_size=1), features)
    mad = np.array([[-1e38, 0, 1e38, 50], [np.nan, 0, 9, 9], [0, 0, np.inf, 9]], FLOAT)
    for ratio in (0, 2):
        found = on_gpu(features, mad, sampling_ratio=ratio)
        assert np.isfinite(found).all()
        assert not found[1:].any()


def check_scale() -> None:
    """As many cells, and features a cell, as other networks have."""
    features = np.random.default_rng(SEED).normal(size=(2, 25, 34)).astype(FLOAT)
    boxes = (boxes_of("any") / 12).astype(FLOAT)
    for cells, scale in ((14, 1.0), (1, 0.25), (2, 1.0)):
        how: dict[str, Any] = {"output_size": cells, "spatial_scale": scale}
        check(on_gpu(features, boxes, **how), roi_align(features, boxes, **how), features)


CHECKS = (check_kinds, check_golden, check_limits, check_scale)


@pytest.mark.compiler
@pytest.mark.parametrize("work", CHECKS)
def test_as_the_host(cuda_machine: FakeCuda, work: Any) -> None:
    work()


@pytest.mark.gpu
@pytest.mark.parametrize("work", CHECKS)
def test_as_the_host_on_a_gpu(real_gpu: None, work: Any) -> None:
    work()


def check_check() -> None:
    with Bench() as bench:
        assert bench(lambda bench: check_twin(bench.thread)).startswith("27 boxes")


@pytest.mark.compiler
def test_the_check_of_the_twin_can_fail(cuda_machine: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    check_check()
    monkeypatch.setattr(
        roi_align_cuda, "roi_align", lambda *a, **k: roi_align(*a, **(k | {"aligned": not k["aligned"]}))
    )
    with pytest.raises(AssertionError, match="of the greatest feature apart"):
        check_check()


@pytest.mark.gpu
def test_the_check_of_the_twin_on_a_gpu(real_gpu: None) -> None:
    check_check()


@pytest.mark.compiler
def test_what_does_not_fit_is_refused(cuda_machine: FakeCuda) -> None:
    def array(*shape: int, dtype: type = FLOAT) -> DeviceArray:
        return DeviceArray(64, shape, np.dtype(dtype))

    def work(bench: Bench) -> None:
        with pytest.raises(InputError, match="0 or more"):
            CudaRoiAlign(bench.thread, sampling_ratio=-1)
        twin = CudaRoiAlign(bench.thread)
        try:
            for boxes, features, out in (
                (array(2, 5), array(3, 9, 9), array(2, 3, 7, 7)),
                (array(2, 4, dtype=HALF), array(3, 9, 9), array(2, 3, 7, 7)),
                (array(2, 4), array(2, 3, 9, 9), array(2, 3, 7, 7)),
                (array(2, 4), array(3, 9, 9), array(2, 4, 7, 7)),
                (array(2, 4), array(3, 9, 9, dtype=np.int32), array(2, 3, 7, 7)),
                (array(2, 4), array(3, 9, 9), array(2, 3, 7, 7, dtype=np.float64)),
            ):
                with pytest.raises(InputError):
                    twin.enqueue(boxes, [(features, out)])
        finally:
            twin.free()

    with Bench() as bench:
        bench(work)
