"""Average precision against known answers, pycocotools used directly, and an independent derivation."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.evaluate.boxes import NAMES, at_threshold, average_precision
from edgekit.evaluate.classes import Match, match
from edgekit.evaluate.data import Picture
from edgekit.results import Detections

BOXES = np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.2, 0.9, 0.9]])
PICTURE = Picture(Path("x"), BOXES, np.zeros(2, bool))
SCALE = np.array([200, 100, 200, 100])
SHAPES = [(100, 200, 3)]
PERSON = match(("person",), ("person",), [0])


def found(boxes: Any, scores: Any, labels: Any = None) -> Detections:
    scores = np.asarray(scores, np.float32)
    labels = np.zeros(len(scores), np.int64) if labels is None else labels
    return Detections(np.asarray(boxes, np.float32).reshape(-1, 4), scores, labels)


def test_perfect_half_and_no_answers() -> None:
    perfect = average_precision([PICTURE], SHAPES, [found(BOXES * SCALE, [0.9, 0.8])], PERSON)
    half = average_precision([PICTURE], SHAPES, [found(BOXES[:1] * SCALE, [0.9])], PERSON)
    assert perfect["AP"] == pytest.approx(1.0)
    assert perfect["per_class"] == {"person": pytest.approx(1.0)}
    assert half["AP50"] == pytest.approx(51 / 101)  # COCO's 101 recall points up to 0.5
    assert half["AR100"] == pytest.approx(0.5)
    nothing = average_precision([PICTURE], SHAPES, [found([], [])], PERSON)
    assert nothing["AP50"] == 0
    # 40×40 and 80×70 px: neither is smaller than 32², both are smaller than 96²
    assert (nothing["APs"], nothing["APm"], nothing["APl"]) == (None, 0, None)


def random_set(seed: int, pictures: int = 8, classes: int = 3) -> tuple[list, list, list]:
    """Truth with crowds and areas of their own, and answers near and far from it, some in one place."""
    rng = np.random.default_rng(seed)
    truth, shapes, answers = [], [], []
    for _ in range(pictures):
        height, width = rng.integers(80, 400, 2)
        count = int(rng.integers(0, 9))
        start = rng.random((count, 2)) * 0.7
        boxes = np.concatenate([start, start + rng.random((count, 2)) * 0.29 + 0.01], 1)
        labels = rng.integers(0, classes, count)
        truth.append(
            Picture(Path("x"), boxes, rng.random(count) < 0.15, labels, rng.random(count) * 0.1 + 0.001)
        )
        shapes.append((int(height), int(width), 3))
        scale = np.array([width, height, width, height])
        near = (boxes + rng.normal(0, 0.02, boxes.shape)) * scale
        start = rng.random((6, 2)) * 0.7
        far = np.concatenate([start, start + 0.2], 1) * scale
        every = np.concatenate([near, near + 2, far])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        kinds = np.concatenate([labels, labels, rng.integers(0, classes, 6)])
        answers.append(found(every, rng.random(len(every)).round(2), kinds))
    return truth, shapes, answers


def test_equal_to_pycocotools_used_directly() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, shapes, answers = random_set(1)
    notes, results = [], []
    for key, (picture, (h, w, _), one) in enumerate(zip(truth, shapes, answers, strict=True), 1):
        for box, label, crowd, area in zip(
            picture.boxes, picture.labels, picture.ignore, picture.areas, strict=True
        ):
            x1, y1, x2, y2 = box * [w, h, w, h]
            notes.append(
                {"id": len(notes) + 1, "image_id": key, "category_id": int(label) + 40, "iscrowd": int(crowd),
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area * w * h}
            )  # fmt: skip
        for (x1, y1, x2, y2), score, label in zip(
            one.xyxy.tolist(), one.score.tolist(), one.label, strict=True
        ):
            results.append(
                {"image_id": key, "category_id": int(label) + 40, "score": score,
                 "bbox": [x1, y1, x2 - x1, y2 - y1]}
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(1, len(truth) + 1)],
            "annotations": notes,
            "categories": [{"id": 40 + i, "name": n} for i, n in enumerate("abc")],
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    mine = average_precision(truth, shapes, answers, match("abc", "abc", [0, 1, 2]))
    for name, value in zip(NAMES, judge.stats, strict=True):
        assert (mine[name] if mine[name] is not None else -1) == pytest.approx(value, abs=1e-12), name
    assert 0.05 < mine["AP"] < 0.95


def ap_by_hand(truth: list, shapes: list, answers: list, label: int, overlap: float) -> float:
    """AP of one class at one overlap, from the definition, in float64: no crowds, up to 100 boxes."""
    rows, there = [], 0
    for n, (picture, (h, w, _), one) in enumerate(zip(truth, shapes, answers, strict=True)):
        boxes = picture.boxes[picture.labels == label] * [w, h, w, h]
        there += len(boxes)
        mine = one.label == label
        order = np.argsort(-one.score[mine], kind="stable")
        taken = np.zeros(len(boxes), bool)
        for box, score in zip(one.xyxy[mine][order].astype(float), one.score[mine][order], strict=True):
            best, at = overlap, -1
            for i, other in enumerate(boxes):
                side = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
                common = side.clip(0).prod()
                union = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - common
                if not taken[i] and common / union >= best:
                    best, at = common / union, i
            if at >= 0:
                taken[at] = True
            rows.append((-float(score), n, len(rows), at >= 0))
    hits = np.array([row[3] for row in sorted(rows)])  # equal scores stay in the order of the pictures
    recall = hits.cumsum() / there
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    at_recall = [precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]
    return float(np.mean(at_recall))


def test_equal_to_the_definition() -> None:
    truth, shapes, answers = random_set(2)
    truth = [Picture(p.path, p.boxes, np.zeros(len(p.boxes), bool), p.labels) for p in truth]
    mine = average_precision(truth, shapes, answers, match("abc", "abc", [0, 1, 2]))
    overlaps = np.arange(0.5, 1, 0.05)
    each = np.array([[ap_by_hand(truth, shapes, answers, c, o) for o in overlaps] for c in range(3)])
    assert mine["AP"] == pytest.approx(each.mean(), abs=1e-9)
    assert mine["AP50"] == pytest.approx(each[:, 0].mean(), abs=1e-9)
    assert mine["per_class"] == {
        n: pytest.approx(v, abs=1e-9) for n, v in zip("abc", each.mean(1), strict=True)
    }


def test_only_matched_classes_count() -> None:
    """The model calls 5 what the data call 0, and knows nothing of class 1."""
    picture = Picture(Path("x"), BOXES, np.zeros(2, bool), np.array([0, 1]))
    known = Match({5: 0}, {0: "dog"}, ())
    answers = [found(BOXES * SCALE, [0.9, 0.8], np.array([5, 2]))]
    assert average_precision([picture], SHAPES, answers, known)["per_class"] == {"dog": pytest.approx(1)}
    assert at_threshold([picture], SHAPES, answers, known) == {"P": 1, "R": 1}


def test_precision_and_recall_at_a_threshold() -> None:
    boxes = np.concatenate([BOXES[:1], BOXES[:1], [[0.6, 0.0, 0.7, 0.1]]]) * SCALE
    one = found(boxes, [0.9, 0.5, 0.2])
    assert at_threshold([PICTURE], SHAPES, [one], PERSON, 0.25) == {"P": 0.5, "R": 0.5}
    assert at_threshold([PICTURE], SHAPES, [one], PERSON, 0.1)["P"] == pytest.approx(1 / 3)
    assert at_threshold([PICTURE], SHAPES, [one], PERSON, 0.95) == {"P": None, "R": 0}


def test_boxes_on_a_crowd_are_neither_right_nor_wrong() -> None:
    crowd = Picture(Path("x"), BOXES, np.array([False, True]))
    inside = [[110, 30, 130, 60], [140, 30, 160, 60]]
    one = found([*(BOXES[:1] * SCALE), *inside], [0.9, 0.8, 0.7])
    assert at_threshold([crowd], SHAPES, [one], PERSON) == {"P": 1, "R": 1}
