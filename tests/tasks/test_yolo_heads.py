"""Recognition of each output layout, and decoding against loops written out in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.tasks.yolo_heads import (
    HEADS,
    cells,
    channels_first,
    class_count,
    decode,
    pick_output,
    recognise,
)

SQUARE = (640, 640)
ULTRALYTICS = {"stride": "32", "names": "{0: 'person'}", "task": "detect"}


def spec(*shape: int | None, name: str = "output0") -> TensorSpec:
    return TensorSpec(name, shape, np.dtype(np.float32))


@pytest.mark.parametrize(
    ("shape", "size", "notes", "classes", "head"),
    [
        ((1, 84, 8400), SQUARE, {}, 0, "yolov8"),
        ((1, 21, 8400), SQUARE, {}, 0, "yolov8"),  # human.engine, 17 classes
        ((1, 20, 8400), SQUARE, {}, 16, "yolov8"),  # human.engine, 16 classes
        ((1, 5, 8400), SQUARE, ULTRALYTICS, 1, "yolov8"),
        ((None, 84, None), SQUARE, {}, 0, "yolov8"),
        ((1, 5, 3549), (416, 416), {}, 1, "yolov8"),
        ((1, 5, 34000), SQUARE, {}, 0, "yolov8"),  # a P2 network
        ((1, 12, 777), SQUARE, {}, 8, "yolov8"),  # strides no set has, but the names fit
        ((1, 8400, 84), SQUARE, {}, 0, "yolov8"),
        ((1, 8400, 5), SQUARE, {}, 1, "yolov8"),
        ((1, 8400, 6), SQUARE, {}, 2, "yolov8"),
        ((1, 25200, 85), SQUARE, {}, 0, "yolov5"),
        ((None, 25200, 6), SQUARE, {}, 0, "yolov5"),
        ((1, None, 85), SQUARE, {"stride": "32"}, 80, "yolov5"),
        ((1, 15120, 85), (384, 640), {}, 0, "yolov5"),
        ((1, 22743, 85), (608, 608), ULTRALYTICS, 0, "yolov5"),
        ((1, 22743, 85), (608, 608), {}, 0, "darknet"),
        ((1, 2535, 85), (416, 416), {}, 0, "darknet"),  # v3-tiny
        ((1, 25200, 85), SQUARE, {"recipe": "darknet"}, 0, "darknet"),
        ((1, 8400, 85), SQUARE, {}, 0, "yolox"),
        ((1, 3549, 85), (416, 416), {}, 80, "yolox"),
        ((1, 3549, 6), (416, 416), {}, 1, "yolox"),
        ((1, 300, 6), SQUARE, {}, 0, "end2end"),
        ((None, 300, 6), SQUARE, ULTRALYTICS, 1, "end2end"),
    ],
)
def test_heads_are_recognised(shape, size, notes, classes, head):
    assert recognise(spec(*shape), size, notes, "auto", classes) is HEADS[head]


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        ((1, 8400, 6), 0),  # YOLOX of one class or a turned v8 of two
        ((1, 8400, 9), 80),
        ((1, None, 85), 0),
        ((1, None, None), 80),
        ((1, 777, 85), 0),
        ((1, 3, 8400), 0),
        ((1, 5000, 6), 0),
    ],
)
def test_what_cannot_be_told_is_asked(shape, classes):
    output = spec(*shape)
    with pytest.raises(InputError, match="fits no single YOLO head") as error:
        recognise(output, SQUARE, {}, "auto", classes)
    assert str(output) in str(error.value)
    for name in HEADS:
        assert name in str(error.value)


@pytest.mark.parametrize("name", HEADS)
def test_the_head_can_be_named(name):
    assert recognise(spec(1, 777, 85), SQUARE, {"recipe": "yolox"}, name) is HEADS[name]


def test_unknown_heads_and_other_tasks_are_refused():
    with pytest.raises(InputError, match="head 'v9' is unknown; choose one of auto, yolov8"):
        recognise(spec(1, 84, 8400), SQUARE, {}, "v9")
    with pytest.raises(InputError, match="made for 'segment'"):
        recognise(spec(1, 116, 8400), SQUARE, {"task": "segment"})


def test_the_output_with_boxes_is_picked():
    raw = spec(1, 3, 80, 80, 85, name="raw")
    assert pick_output([raw, spec(1, 25200, 85)]).name == "output0"
    with pytest.raises(InputError, match="no output has three axes; it has raw 1×3×80×80×85 float32"):
        pick_output([raw])


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((1, 84, 8400), True),
        ((1, 8400, 84), False),
        ((1, 84, None), True),
        ((1, None, 84), False),
        ((1, 84, 9), False),
        ((1, 9, 84), True),
    ],
)
def test_a_turned_output_is_told(shape, first):
    assert channels_first(spec(*shape), SQUARE) is first


def test_class_counts():
    assert class_count(spec(1, 21, 8400), HEADS["yolov8"], True) == 17
    assert class_count(spec(1, 8400, 21), HEADS["yolov8"], False) == 17
    assert class_count(spec(1, 25200, 85), HEADS["yolov5"], True) == 80
    assert class_count(spec(1, 300, 6), HEADS["end2end"], True) is None
    assert class_count(spec(1, None, None), HEADS["yolov8"], True) is None
    with pytest.raises(InputError, match="no room for class scores in a yolov5 head"):
        class_count(spec(1, 25200, 5), HEADS["yolov5"], True)
    with pytest.raises(InputError, match="is no end2end head: that has 6 columns"):
        class_count(spec(1, 300, 7), HEADS["end2end"], True)


def test_cells():
    assert cells(SQUARE) == 8400
    assert cells((416, 416)) == 3549
    assert cells((384, 640)) == 5040
    assert 3 * cells((608, 608)) == 22743


# Decoding. Each loop gives [(x1, y1, x2, y2, score, label), …] in anchor order.


def loop_v8(output: np.ndarray, threshold: float) -> list[tuple]:
    found = []
    for a in range(output.shape[1]):
        x, y, w, h, *scores = (float(v) for v in output[:, a])
        label = max(range(len(scores)), key=lambda c: (scores[c], -c))
        if scores[label] > threshold:
            found.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, scores[label], label))
    return found


def loop_v5(output: np.ndarray, threshold: float) -> list[tuple]:
    found = []
    for row in output:
        x, y, w, h, box, *scores = (float(v) for v in row)
        label = max(range(len(scores)), key=lambda c: (scores[c], -c))
        if box * scores[label] > threshold:
            found.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, box * scores[label], label))
    return found


def loop_yolox(output: np.ndarray, size: tuple[int, int], threshold: float) -> list[tuple]:
    rows, a = output.astype(np.float64), 0
    for stride in (8, 16, 32):
        for y in range(size[0] // stride):
            for x in range(size[1] // stride):
                rows[a, 0], rows[a, 1] = (rows[a, 0] + x) * stride, (rows[a, 1] + y) * stride
                rows[a, 2], rows[a, 3] = math.exp(rows[a, 2]) * stride, math.exp(rows[a, 3]) * stride
                a += 1
    assert a == len(rows)
    return loop_v5(rows, threshold)


def same(found: tuple, expected: list[tuple], rtol: float = 1e-5) -> None:
    xyxy, score, label = found
    wanted = np.array(expected, np.float64).reshape(-1, 6)
    np.testing.assert_array_equal(label, wanted[:, 5])
    np.testing.assert_allclose(score, wanted[:, 4], rtol=rtol)
    np.testing.assert_allclose(xyxy, wanted[:, :4], rtol=rtol, atol=rtol * 700)
    assert (xyxy.dtype, score.dtype, label.dtype) == (np.float32, np.float32, np.int64)


def rows(seed: int, anchors: int, classes: int, objectness: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xywh = rng.uniform(1, 150, (anchors, 4))
    return np.hstack([xywh, rng.random((anchors, classes + objectness))]).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0, 1))
def test_v8_decodes_as_the_loop(seed, classes, threshold):
    output = np.ascontiguousarray(rows(seed, 150, classes, False).T)
    same(decode(HEADS["yolov8"], output, (160, 160), threshold), loop_v8(output, threshold))
    turned = np.ascontiguousarray(output.T)
    same(decode(HEADS["yolov8"], turned, (160, 160), threshold, first=False), loop_v8(output, threshold))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0.01, 0.95))
@pytest.mark.parametrize("head", ["yolov5", "darknet"])
def test_v5_decodes_as_the_loop(head, seed, classes, threshold):
    output = rows(seed, 150, classes, True)
    threshold += 1e-5 * math.pi  # not on a product, where float32 and float64 may part
    same(decode(HEADS[head], output, (160, 160), threshold), loop_v5(output, threshold))


@pytest.mark.parametrize("size", [(160, 160), (96, 224), (64, 32)])
def test_yolox_decodes_as_the_loop(size):
    output = rows(5, cells(size), 4, True)
    rng = np.random.default_rng(6)
    output[:, :2], output[:, 2:4] = rng.normal(0, 1, (len(output), 2)), rng.normal(0, 1, (len(output), 2))
    found = decode(HEADS["yolox"], output, size, 0.3)
    assert len(found[0]) > 20
    same(found, loop_yolox(output, size, 0.3))


def test_end_to_end_rows_are_taken_as_they_are():
    output = np.array([[1, 2, 3, 4, 0.9, 7], [5, 6, 7, 8, 0.25, 1], [0, 0, 0, 0, 0, 0]], np.float32)
    same(decode(HEADS["end2end"], output, SQUARE, 0.25), [(1, 2, 3, 4, 0.9, 7)], rtol=1e-6)


@pytest.mark.parametrize("head", ["yolov8", "yolov5", "yolox", "end2end"])
def test_half_precision_outputs(head):
    output = rows(7, cells((160, 160)), 6, head != "yolov8")
    if head == "end2end":
        output = np.hstack([output[:300, :2], output[:300, :2] + 9, output[:300, 4:5], np.ones((300, 1))])
    output = (output.T if head == "yolov8" else output).astype(np.float16)
    if head == "yolox":
        output[:, :4] /= 200
    found = decode(HEADS[head], output, (160, 160), 0.4)
    assert len(found[0]) > 30
    for part, full in zip(
        found, decode(HEADS[head], output.astype(np.float32), (160, 160), 0.4), strict=True
    ):
        np.testing.assert_array_equal(part, full)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.1, 0.25, 0.3331, 0.45, 0.6, 0.7, 0.9, 1.0])
def test_half_precision_thresholds(threshold):
    """The scores next to the threshold, on either side, are told apart as in float32."""
    near = np.float16(threshold)
    scores = [near, np.nextafter(near, np.float16(2)), np.nextafter(near, np.float16(-2)), np.float16(-0.0)]
    output = np.ones((5, len(scores) + 1), np.float16)
    output[4, :-1], output[4, -1] = scores, np.nan
    found = decode(HEADS["yolov8"], output, (160, 160), threshold)
    expected = [s for s in output[4, :-1].astype(np.float64) if s > threshold]
    np.testing.assert_array_equal(found[1], expected)


@pytest.mark.parametrize("head", ["yolov8", "yolov5", "yolox", "end2end"])
def test_broken_numbers_are_left_out_quietly(head, recwarn):
    output = rows(8, cells((160, 160)), 1, True)
    output[:, 4:] = 0.9
    if head == "end2end":
        output[:, 2:4] += output[:, :2]
    if head == "yolov8":
        output = output[:, :5]
    if head == "yolox":
        output[:, :4] /= 50
    good = decode(HEADS[head], output.T if head == "yolov8" else output, (160, 160), 0.5)
    bad = output.copy()
    bad[0, 0], bad[1, 2], bad[2, 4] = np.nan, np.inf, np.nan
    if head == "end2end":
        bad[3, 5], bad[4, 2] = -1, bad[4, 0] - 1  # a class below 0; right of left
    elif head == "yolox":
        bad[3, 2], bad[4, 0] = 500, np.inf  # exp overflows
    else:
        bad[3, 2], bad[4, 3] = -1, -np.inf
    found = decode(HEADS[head], bad.T if head == "yolov8" else bad, (160, 160), 0.5)
    assert len(found[0]) == len(output) - 5
    for part, full in zip(found, good, strict=True):
        np.testing.assert_allclose(part, full[5:], rtol=1e-5)
    assert not recwarn.list


def test_a_yolox_of_another_size_is_told():
    with pytest.raises(InputError, match="input 160×160 has 525 anchors; this output has 100"):
        decode(HEADS["yolox"], rows(1, 100, 2, True), (160, 160), 0.1)
