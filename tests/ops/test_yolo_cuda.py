"""The CUDA decoding and NMS against `yolo_heads.decode` and `nms`, on fresh random outputs of every head."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench

from edgekit.errors import EdgekitError, InputError
from edgekit.ops import yolo_cuda
from edgekit.ops.nms import nms
from edgekit.ops.yolo_cuda import CHUNK, MOST_BYTES, TILE, CudaYolo, chunk_of
from edgekit.tasks.yolo_heads import HEADS, STRIDE_SETS, cells, decode

SIZE = (96, 64)
EXACT_EXP = {"yolov8", "yolov5", "darknet", "end2end"}  # heads that need none


@pytest.fixture
def random() -> np.random.Generator:
    """Fresh numbers each time; the seed is shown where a test fails."""
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed)


def outputs(
    random: np.random.Generator, head: str, pictures: int, anchors: int, classes: int, dtype: type
) -> np.ndarray:
    """[pictures, anchors, columns]: doubles, many equal scores, and numbers that are none."""
    centres = random.uniform(0, 90, (pictures, max(anchors // 6, 1), 2))
    which = random.integers(0, centres.shape[1], anchors)
    xy = centres[:, which] + random.normal(0, 2, (pictures, anchors, 2))
    wh = random.uniform(-1, 40, (pictures, anchors, 2))  # below 0: inside out
    score = np.round(random.random((pictures, anchors, classes)) ** 2 * 16) / 16
    score[:, ::3] = random.random(score[:, ::3].shape)
    if head == "end2end":
        label = random.integers(-1, classes, (pictures, anchors, 1)) + random.choice([0, 0.5], (anchors, 1))
        found = np.concatenate([xy, xy + wh, score[..., :1], label], axis=2)
    elif head == "yolov8":
        found = np.concatenate([xy, wh, score], axis=2)
    else:
        if head == "yolox":
            xy, wh = random.normal(0, 1, xy.shape), random.normal(0, 1, wh.shape)
        found = np.concatenate([xy, wh, random.random((pictures, anchors, 1)) ** 0.5, score], axis=2)
    broken = random.random(found.shape) < 0.003
    found[broken] = random.choice([np.nan, np.inf, -np.inf, 9e4], broken.sum())
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(found.astype(dtype))


def on_host(head: str, output: np.ndarray, first: bool, **how: Any) -> np.ndarray:
    """The rows of one picture, float32 [n, 6]."""
    with np.errstate(invalid="ignore", over="ignore"):
        xyxy, score, label = decode(HEADS[head], output, SIZE, how.get("score", 0.25), first)
    if how.get("classes") is not None:
        wanted = np.isin(label, how["classes"])
        xyxy, score, label = xyxy[wanted], score[wanted], label[wanted]
    if HEADS[head].nms:
        of = None if how.get("agnostic") else label
        keep = nms(xyxy, score, of, how.get("iou", 0.45), how["max_det"], how.get("max_candidates", 30_000))
    else:
        keep = np.argsort(-score, kind="stable")[: how["max_det"]]
    return np.column_stack([xyxy, score, label])[keep].astype(np.float32)


def compare(
    bench: Bench, twin: CudaYolo, head: str, output: np.ndarray, first: bool, max_det: int = 300, **how: Any
) -> int:
    """Both ways of one output [B, anchors, columns]; returns how many boxes there are."""
    given = np.ascontiguousarray(output.transpose(0, 2, 1)) if head == "yolov8" and first else output
    rows = bench.room((len(output), 1 + max_det, 6), np.float32)
    strides = next(s for s in STRIDE_SETS if cells(SIZE, s) == output.shape[1]) if head == "yolox" else ()
    twin.enqueue(bench.up(given), rows, SIZE, strides=strides, **how)
    found, total = bench.down(rows), 0
    for one, part in zip(found, given, strict=True):
        wanted = on_host(head, part, first, max_det=max_det, **how)
        assert one[0, 0] == len(wanted), how
        kept = one[1 : 1 + len(wanted)]
        np.testing.assert_array_equal(kept[:, 4:], wanted[:, 4:], err_msg=f"{head} {how}")
        # a centre less half a size: what is lost there is in the last place of the larger of the two
        atol = 0 if head in EXACT_EXP else 1e-3
        np.testing.assert_allclose(kept[:, :4], wanted[:, :4], rtol=0, atol=atol, err_msg=f"{head} {how}")
        total += len(wanted)
    return total


def check_head(random: np.random.Generator, head: str, dtype: type) -> None:
    """Settings one after the other, with one twin; of YOLOX, whose sizes may differ, no box drops another."""
    settings: list[dict[str, Any]] = [
        {},
        {"score": 0.01},
        {"score": 0.5, "classes": [0, 2]},
        {"score": 0.0, "agnostic": True, "max_det": 7},
        {"score": 0.3, "iou": 0.1, "max_candidates": 33},
        {"classes": []},
        {"score": 1.0},
        {"score": float(random.random()), "iou": float(random.random())},
    ]

    def work(bench: Bench) -> None:
        for first in (True, False) if head == "yolov8" else (True,):
            twin, total = CudaYolo(bench.thread, head, first), 0
            for how in settings:
                anchors = cells(SIZE) if head == "yolox" else int(random.integers(1, 140))
                output = outputs(random, head, int(random.integers(1, 3)), anchors, 5, dtype)
                if head == "yolox":
                    how = how | {"iou": 1.0}
                total += compare(bench, twin, head, output, first, **how)
            assert total > 10
            twin.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("head", HEADS)
def test_as_the_host(cuda_machine: FakeCuda, random: np.random.Generator, head: str, dtype: type) -> None:
    check_head(random, head, dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("head", HEADS)
def test_as_the_host_on_a_gpu(real_gpu: None, random: np.random.Generator, head: str, dtype: type) -> None:
    for _ in range(10):
        check_head(random, head, dtype)


def check_extremes(random: np.random.Generator) -> None:
    """Nothing at all, one box, one box many times, one class, more classes than a mask's word."""

    def work(bench: Bench) -> None:
        twin = CudaYolo(bench.thread, "yolov8")
        for anchors in (0, 1):
            output = np.full((2, anchors, 6), 0.5, np.float32)
            assert compare(bench, twin, "yolov8", output, True) == 2 * anchors
        same = np.tile(np.array([20, 20, 8, 8, 0.75], np.float32), (1, 130, 1))
        assert compare(bench, twin, "yolov8", same, True) == 1
        same[..., 2] = 0  # without area nothing drops anything
        assert compare(bench, twin, "yolov8", same, True, max_det=100) == 100
        many = outputs(random, "yolov8", 1, 70, 90, np.float32)
        assert compare(bench, twin, "yolov8", many, True, classes=[3, 31, 32, 64, 89]) > 0
        huge = np.tile(np.array([0, 0, 3e38, 3e38, 0.5], np.float32), (1, 3, 1))
        assert compare(bench, twin, "yolov8", huge, True) == 3
        twin.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_extremes(cuda_machine: FakeCuda, random: np.random.Generator) -> None:
    check_extremes(random)


@pytest.mark.gpu
def test_extremes_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_extremes(random)


def check_chunks(random: np.random.Generator, anchors: int, **how: Any) -> None:
    """More candidates than are compared together."""

    def work(bench: Bench) -> None:
        twin = CudaYolo(bench.thread, "yolov5")
        for _ in range(2):
            output = outputs(random, "yolov5", 2, anchors, 2, np.float32)
            output[..., :2] *= how.get("spread", 3)
            assert compare(bench, twin, "yolov5", output, True, score=0.001, max_det=2 * anchors) > 0
            assert compare(bench, twin, "yolov5", output, True, score=0.001, max_det=100) == 200
        twin.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_chunks(cuda_machine: FakeCuda, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yolo_cuda, "CHUNK", 2 * TILE)
    check_chunks(random, 400)


@pytest.mark.gpu
def test_chunks_on_a_gpu(real_gpu: None, random: np.random.Generator) -> None:
    check_chunks(random, 25_200, spread=30)
    check_chunks(random, 40_000, spread=10)  # more than max_candidates


def test_the_table_of_overlaps_is_bounded() -> None:
    assert chunk_of(1, 8400) == CHUNK
    assert chunk_of(1, 30_000) == CHUNK
    assert chunk_of(1, 1) == TILE
    for pictures in (1, 2, 8, 64, 300):
        chunk = chunk_of(pictures, 30_000)
        assert chunk % TILE == 0
        assert pictures * chunk * chunk / 8 <= MOST_BYTES or chunk <= 2 * TILE


@pytest.mark.compiler
def test_a_failed_launch_leaves_nothing_behind(cuda_machine: FakeCuda) -> None:
    """Whichever step fails, the next call has the right answer."""
    output = outputs(np.random.default_rng(1), "yolov8", 1, 60, 3, np.float32)

    def work(bench: Bench) -> None:
        twin = CudaYolo(bench.thread, "yolov8")
        compare(bench, twin, "yolov8", output, True)
        rows, given = bench.room((1, 301, 6), np.float32), bench.up(output.transpose(0, 2, 1).copy())
        for step in range(4):
            cuda_machine.fail_at(step)
            with pytest.raises(Exception, match="on purpose"):
                twin.enqueue(given, rows, SIZE)
            cuda_machine.fail_at(None)
            assert compare(bench, twin, "yolov8", output, True) > 3
        twin.free()

    with Bench() as bench:
        bench(work)


@pytest.mark.compiler
def test_what_does_not_fit_is_refused(cuda_machine: FakeCuda) -> None:
    def work(bench: Bench) -> None:
        rows = bench.room((1, 5, 6), np.float32)
        for head, shape, dtype in (
            ("yolov8", (1, 4, 9), np.float32),
            ("yolov5", (1, 9, 5), np.float32),
            ("end2end", (1, 9, 5), np.float32),
            ("yolov8", (1, 9, 9), np.float64),
        ):
            twin = CudaYolo(bench.thread, head)
            with pytest.raises(InputError, match=f"no output of a {head} head"):
                twin.enqueue(bench.up(np.zeros(shape, dtype)), rows, SIZE)
            twin.free()
        with pytest.raises(EdgekitError, match="'ssd' is unknown"):
            CudaYolo(bench.thread, "ssd")

    with Bench() as bench:
        bench(work)


@pytest.mark.gpu
def test_what_the_selftest_says(real_gpu: None) -> None:
    with Bench() as bench:
        assert "equal to the last bit" in bench.thread.call(yolo_cuda.check_twin, bench.thread)
