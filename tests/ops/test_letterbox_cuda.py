"""The CUDA letterbox against OpenCV's resize, by way of `Letterboxer`, on fresh random pictures."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench

from edgekit.engine.cuda import DeviceArray
from edgekit.errors import InputError
from edgekit.ops import letterbox_cuda
from edgekit.ops.letterbox import PAD, Letterboxer, Transform, byte_table, place
from edgekit.ops.letterbox_cuda import STYLES, CudaLetterbox

SIZES = [(1, 1), (5, 2999), (1, 90), (70, 1), (2, 3), (61, 83), (64, 96), (128, 192), (131, 65)]
INPUT = (64, 96)


@pytest.fixture
def random() -> np.random.Generator:
    """Fresh numbers each time; the seed is shown where a test fails."""
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed)


def three(table: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(table, (3, 256)))


def check(bench: Bench, random: np.random.Generator, sizes: list, size: tuple[int, int], **how: Any) -> None:
    """A batch of pictures, then another order of them, against the host's letterbox, to the last bit."""
    style, dtype = how.get("style", "ultralytics"), np.dtype(how.get("dtype", np.float32))
    unit, rgb = how.get("unit", True), how.get("rgb", True)
    boxer = CudaLetterbox(bench.thread, three(byte_table(unit, dtype)), rgb)
    pictures = [random.integers(0, 256, (*one, 3), np.uint8) for one in sizes]
    wanted, places = Letterboxer(size, style=style, unit=unit, rgb=rgb, dtype=dtype)(pictures)
    out = bench.room(wanted.shape, dtype)
    for n, (picture, to) in enumerate(zip(pictures, places, strict=True)):
        boxer.fill(bench.up(picture), to, out, n, PAD[style])
    found = bench.down(out)
    for n, one in enumerate(sizes):
        np.testing.assert_array_equal(found[n], wanted[n], err_msg=f"{one} in {size}")
    boxer.free()


def check_all(random: np.random.Generator, sizes: list, size: tuple[int, int]) -> None:
    with Bench() as bench:
        for how in (
            {},
            {"style": "yolox", "unit": False, "rgb": False},
            {"dtype": np.float16},
            {"style": "yolox", "dtype": np.float16, "rgb": False},
        ):
            bench(lambda gpu, how=how: check(gpu, random, sizes, size, **how))


@pytest.mark.compiler
def test_as_opencv(cuda_machine: FakeCuda, random: np.random.Generator) -> None:
    check_all(random, SIZES, INPUT)
    check_all(random, [tuple(random.integers(1, 99, 2)) for _ in range(2)], tuple(random.integers(1, 70, 2)))


@pytest.mark.gpu
def test_as_opencv_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_all(random, [*SIZES, (1080, 1920), (2160, 3840), (719, 1283), (1, 40_000)], (640, 640))
    for _ in range(20):
        sizes = [tuple(random.integers(1, 900, 2)) for _ in range(4)]
        check_all(random, sizes, tuple(random.integers(1, 700, 2)))


def check_pitch(random: np.random.Generator) -> None:
    """A part of a larger picture, by its pitch and an address that is no multiple of anything."""

    def work(bench: Bench) -> None:
        whole = random.integers(0, 256, (50, 71, 3), np.uint8)
        part = whole[3:40, 5:58]
        (wanted,), (to,) = Letterboxer((33, 47))([part])
        boxer = CudaLetterbox(bench.thread, three(byte_table(True, np.dtype(np.float32))))
        there = bench.up(whole)
        picture = DeviceArray(there.address + 3 * (3 * 71 + 5), part.shape, there.dtype)
        out = bench.room((1, 3, 33, 47), np.float32)
        boxer.fill(picture, to, out, pad=114, pitch=3 * 71)
        np.testing.assert_array_equal(bench.down(out)[0], wanted)
        boxer.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_rows_may_lie_apart(cuda_machine: FakeCuda, random: np.random.Generator) -> None:
    check_pitch(random)


@pytest.mark.gpu
def test_rows_may_lie_apart_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_pitch(random)


def check_others(random: np.random.Generator) -> None:
    """Stretched bytes with a table for each plane; a border that stays; a place without a picture."""

    def work(bench: Bench) -> None:
        picture = random.integers(0, 256, (37, 53, 3), np.uint8)
        tables = random.integers(0, 256, (3, 256), np.uint8)
        boxer = CudaLetterbox(bench.thread, tables)
        stretched = Transform((37, 53), (24, 20), (24, 20), 0, 0, 20 / 53, 24 / 37)
        out = bench.room((3, 3, 24, 20), np.uint8)
        boxer.fill(bench.up(picture), stretched, out, 1)
        boxed = place((37, 53), (24, 20))
        boxer.fill(bench.up(picture), boxed, out, 2)
        boxer.blank(out, 0, 7)
        found = bench.down(out)
        whole = cv2.resize(picture, (20, 24))[..., ::-1]
        small = cv2.resize(picture, boxed.content[::-1])[..., ::-1]
        height, width = boxed.content
        for p in range(3):
            assert (found[0, p] == tables[p, 7]).all()
            np.testing.assert_array_equal(found[1, p], tables[p][whole[..., p]])
            inside = found[2, p, boxed.top : boxed.top + height, boxed.left : boxed.left + width]
            np.testing.assert_array_equal(inside, tables[p][small[..., p]])
        assert (found[2, :, : boxed.top] == 0xEE).all()
        assert (found[2, :, boxed.top + height :] == 0xEE).all()
        boxer.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_stretched_bytes_and_borders(cuda_machine: FakeCuda, random: np.random.Generator) -> None:
    check_others(random)


@pytest.mark.gpu
def test_stretched_bytes_and_borders_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_others(random)


def check_many(random: np.random.Generator) -> None:
    """Pictures of one size side by side, with a gap, backwards, and anyhow."""

    def work(bench: Bench) -> None:
        pictures = random.integers(0, 256, (6, 21, 35, 3), np.uint8)
        there = bench.up(pictures)
        boxer = CudaLetterbox(bench.thread, three(byte_table(False, np.dtype(np.float32))))
        for order in ([0, 1, 2, 3, 4, 5], [1, 3, 5], [4, 3, 2], [0, 1, 4, 2], [2], []):
            out = bench.room((7, 3, 32, 32), np.float32)
            before = bench.down(out)
            boxer.fill_many([there.row(i) for i in order], place((21, 35), (32, 32)), out, 1, 114)
            found, last = bench.down(out), 1 + len(order)
            if order:
                wanted, _ = Letterboxer((32, 32), unit=False)(list(pictures[order]))
                np.testing.assert_array_equal(found[1:last], wanted)
            np.testing.assert_array_equal(found[[0, *range(last, 7)]], before[[0, *range(last, 7)]])
        with pytest.raises(InputError, match="place 7 is not in a tensor"):
            boxer.fill_many([there.row(i) for i in range(6)], place((21, 35), (32, 32)), out, 2)
        boxer.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_many_at_once(cuda_machine: FakeCuda, random: np.random.Generator) -> None:
    check_many(random)


@pytest.mark.gpu
def test_many_at_once_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_many(random)


@pytest.mark.compiler
def test_what_does_not_fit_is_refused(cuda_machine: FakeCuda) -> None:
    def work(bench: Bench) -> None:
        boxer = CudaLetterbox(bench.thread, three(byte_table(True, np.dtype(np.float32))))
        picture, to = bench.up(np.zeros((4, 6, 3), np.uint8)), place((4, 6), (8, 8))
        room = bench.room((2, 3, 8, 8), np.float32)
        for changes, message in (
            ({"n": 2}, "place 2 is not in a tensor"),
            ({"to": place((6, 4), (8, 8))}, "no picture of 4×6"),
            ({"pitch": 17}, "pitch=17 is less than a row of 6"),
            ({"out": bench.room((2, 3, 8, 8), np.float16)}, "no tensor for tables of float32"),
            ({"out": bench.room((2, 3, 8, 9), np.float32)}, "does not fit a tensor"),
        ):
            with pytest.raises(InputError, match=message):
                boxer.fill(**{"picture": picture, "to": to, "out": room, **changes})
        with pytest.raises(InputError, match="byte tables are float64"):
            CudaLetterbox(bench.thread, np.zeros((3, 256)))
        bench.stream.synchronize()
        boxer.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_what_the_selftest_says(cuda_machine: FakeCuda) -> None:
    with Bench() as bench:
        said = bench.thread.call(letterbox_cuda.check_twin, bench.thread)
    assert said == "4 pictures, equal to OpenCV to the last bit"


def test_the_styles_that_the_kernel_has() -> None:
    assert set(STYLES) == set(PAD) - {"darknet"}
