"""The ring of frames on the GPU against the host's, whose windows it gives bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench
from numpy.typing import NDArray

from edgekit.engine.cuda import DeviceArray
from edgekit.errors import InputError
from edgekit.ops import clip_cuda
from edgekit.ops.clip_cuda import CudaClip, check_twin
from edgekit.tasks.action_tape import Tape, planes_of, tables
from edgekit.tasks.clip_buffer import ClipBuffer

SEED = int(np.random.SeedSequence().entropy % 2**32)  # type: ignore[operator]
HALF, FLOAT = np.dtype(np.float16), np.dtype(np.float32)


def pictures(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    print("seed", SEED)  # noqa: T201
    return list(np.random.default_rng(SEED).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def follow(source: tuple[int, int], dtype: np.dtype, **how: Any) -> Callable[[Bench], int]:
    """Feed both rings and compare every window; returns how many there were."""

    def work(bench: Bench) -> int:
        host = ClipBuffer(**{"span": 8, "frames": 4, "alpha": 2, "short_side": 32, **how})
        twin, compared = CudaClip(bench.thread, host.tables, host.span), 0
        try:
            for image in pictures(13, *source):
                place = host.count % host.span
                if host.add(image):
                    assert host.fit is not None
                    twin.open(host.fit.canvas, host.fit.content)
                twin.add(image, place)
                if not host.ready or (host.count > 8 and host.count % 2 == 0):
                    continue
                wanted = host.window()
                slow, fast = (bench.room(one.shape, dtype) for one in wanted)
                twin.gather(host.fast_frames, host.first, fast, slow, host.every)
                for found, host_one in zip((slow, fast), wanted, strict=True):
                    np.testing.assert_array_equal(bench.down(found), host_one.astype(dtype))
                compared += 1
        finally:
            bench.stream.synchronize()
            twin.free()
        return compared

    return work


def check_windows() -> None:
    """Pictures of any form: odd sizes, upright, as large as the network's, and smaller than it."""
    with Bench() as bench:
        for dtype in (FLOAT, HALF):
            for size in ((48, 64), (37, 61), (61, 37), (24, 43), (11, 20)):
                assert bench(follow(size, dtype, short_side=24)) == 4
            assert bench(follow((45, 67), dtype, pad=True, span=7, frames=5, alpha=5)) == 11


def check_filled() -> None:
    """Zeros, the mean colour, lie beside a picture of another form, also where another lay before."""
    with Bench() as bench:
        for dtype in (FLOAT, HALF):
            for size, wanted in (((64, 64), (16, 32)), ((20, 80), (17, 35)), ((33, 65), (31, 53))):
                how: dict[str, Any] = {"size": wanted, "mean": (0.1, 0.5, 0.9), "std": (0.2, 0.3, 0.4)}
                assert bench(follow(size, dtype, **how)) == 4


def check_other_size() -> None:
    """A ring that is used for one size after the other, first larger, then smaller."""

    def work(bench: Bench) -> None:
        host = ClipBuffer(span=3, frames=3, alpha=1, size=(24, 40))
        twin = CudaClip(bench.thread, host.tables, host.span)
        try:
            for size in ((24, 40), (48, 40), (30, 90)):
                for image in pictures(4, *size):
                    place = 0 if host.fit is None or host.fit.source != size else host.count % 3
                    if host.add(image):
                        assert host.fit is not None
                        twin.open(host.fit.canvas, host.fit.content)
                    twin.add(image, place)
                wanted = host.window()[1]
                found = bench.room(wanted.shape, FLOAT)
                twin.gather(host.fast_frames, host.first, found)
                np.testing.assert_array_equal(bench.down(found), wanted)
        finally:
            bench.stream.synchronize()
            twin.free()

    with Bench() as bench:
        bench(work)


def check_tape() -> None:
    """The windows of a tape, of three channels or two, every frame or every second one, from the first on."""

    def work(bench: Bench) -> None:
        for channels, rate, lag, size in ((3, 1, 0, (8, 12)), (2, 2, 1, (9, 13)), (3, 3, 2, (5, 7))):
            values = tables((0.3, 0.5, 0.7)[:channels], (0.2, 0.4, 0.6)[:channels])
            host = Tape(4, size, values, rate=rate, lag=lag, pad=True)
            reach = 3 * rate + 1 + lag
            twin = CudaClip(bench.thread, values, reach)
            twin.open(size)
            try:
                for number, image in enumerate(pictures(20, *size)):
                    planes = planes_of(image)[:channels]
                    host.put(planes)
                    twin.add_planes(planes, number % reach)
                    found = bench.room((1, channels * 4, *size), FLOAT)
                    twin.gather(np.arange(4) * rate, number - 3 * rate - lag, found)
                    wanted = host.window().reshape(found.shape)
                    np.testing.assert_array_equal(bench.down(found), wanted)
            finally:
                bench.stream.synchronize()
                twin.free()

    with Bench() as bench:
        bench(work)


CHECKS = (check_windows, check_filled, check_other_size, check_tape)


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
        assert bench(lambda bench: check_twin(bench.thread)) == "2 windows, equal to the last bit"


@pytest.mark.compiler
def test_the_check_of_the_twin_can_fail(cuda_machine: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    check_check()
    gather = CudaClip.gather
    monkeypatch.setattr(
        CudaClip, "gather", lambda self, frames, first, *a: gather(self, frames, first - 1, *a)
    )
    with pytest.raises(AssertionError, match="a window of 96×72 pixels"):
        check_check()


@pytest.mark.gpu
def test_the_check_of_the_twin_on_a_gpu(real_gpu: None) -> None:
    check_check()


@pytest.mark.compiler
def test_a_frame_is_sent_once_and_a_window_sends_nothing(cuda_machine: FakeCuda) -> None:
    """One upload a frame, of the frame alone; windows after the first send nothing at all."""

    def work(bench: Bench) -> None:
        host = ClipBuffer(span=8, frames=4, alpha=2, short_side=32)
        twin = CudaClip(bench.thread, host.tables, host.span)
        slow, fast = bench.room((1, 3, 2, 32, 42), FLOAT), bench.room((1, 3, 4, 32, 42), FLOAT)
        try:
            for number, image in enumerate(pictures(24, 48, 64)):
                if host.add(image):
                    twin.open((32, 42))
                twin.add(image, number % 8)
                if number == 7:
                    twin.gather(host.fast_frames, host.first, fast, slow, host.every)
                    bench.stream.synchronize()
                    cuda_machine.steps.clear()
                if number > 7:
                    twin.gather(host.fast_frames, host.first, fast, slow, host.every)
            taken = cuda_machine.steps
            assert taken.count("upload") == (0 if cuda_machine.integrated else 16)
            assert taken.count("launch") == 2 * 16
            assert "mem_alloc" not in taken
            assert "pagelocked_empty" not in taken
        finally:
            bench.stream.synchronize()
            twin.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_what_does_not_fit_is_refused(cuda_machine: FakeCuda) -> None:
    def work(bench: Bench) -> None:
        twin = CudaClip(bench.thread, tables((0.5,) * 3, (0.5,) * 3), 4)
        try:
            twin.open((8, 8))
            for shape, dtype in (
                ((3, 2, 8, 8), FLOAT),
                ((3, 4, 8, 7), FLOAT),
                ((3, 4, 8, 8), np.dtype("f8")),
            ):
                with pytest.raises(InputError, match="does not lie"):
                    twin.gather(np.arange(4), 0, DeviceArray(64, shape, dtype))
        finally:
            twin.free()

    with Bench() as bench:
        bench(work)


def test_the_kernels_travel_with_the_package() -> None:
    assert clip_cuda.SOURCE.is_file()
