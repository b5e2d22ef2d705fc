"""NMS against torchvision's answers (tests/golden/make_nms.py), ONNX Runtime's operator and plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.ops import nms as module
from edgekit.ops.nms import nms

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "nms.npz")
CASES = sorted(key[:-5] for key in GOLDEN if key.endswith(".keep"))
EVERY = 10**6


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, float64."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def plain(xyxy: np.ndarray, score: np.ndarray, label: np.ndarray, iou: float) -> list[int]:
    """The definition, box by box."""
    kept: list[int] = []
    for i in sorted(range(len(score)), key=lambda i: (-score[i], i)):
        if all(label[i] != label[k] or overlap(xyxy[i], xyxy[k]) <= iou for k in kept):
            kept.append(i)
    return kept


def boxes(rng: np.random.Generator, count: int, grid: float = 0.0) -> tuple[np.ndarray, ...]:
    """Boxes about a few objects; on a grid of pixels if asked, scores all different."""
    objects = max(1, count // 8)
    which = rng.integers(0, objects, count)
    centre, size = rng.uniform(0, 200, (objects, 2))[which], rng.uniform(10, 80, (objects, 2))[which]
    corner = centre + rng.normal(0, 5, (count, 2))
    xyxy = np.hstack([corner, corner + size * rng.uniform(0.7, 1.3, (count, 2))])
    if grid:
        xyxy = np.round(xyxy / grid) * grid
    return xyxy.astype(np.float32), (rng.permutation(count) / count).astype(np.float32), which % 3


@pytest.mark.parametrize("case", CASES)
def test_keeps_what_torchvision_keeps(case):
    xyxy, score, label, iou, keep = (GOLDEN[f"{case}.{k}"] for k in ("xyxy", "score", "label", "iou", "keep"))
    found = nms(xyxy, score, label.astype(np.int64), float(iou), EVERY, EVERY)
    if case == "ties":  # torchvision's own order of equal scores is open
        assert (np.diff(score[found]) <= 0).all()
        found, keep = np.sort(found), np.sort(keep)
    np.testing.assert_array_equal(found, keep)


def test_the_golden_cases_are_not_trivial():
    assert len(CASES) == 13
    assert "torchvision" in str(GOLDEN["versions"])
    for case in ("crowd", "crowd_one_class", "crowd_vanilla", "scattered_strict", "ties"):
        assert 40 < len(GOLDEN[f"{case}.keep"]) < 0.9 * len(GOLDEN[f"{case}.score"])


@pytest.fixture(scope="module")
def onnx_nms():
    """ONNX Runtime's NonMaxSuppression: (xyxy, score, iou) → kept indices."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou"], ["kept"])],
        "nms",
        [
            value("boxes", TensorProto.FLOAT, [1, None, 4]),
            value("scores", TensorProto.FLOAT, [1, None, None]),
            value("most", TensorProto.INT64, [1]),
            value("iou", TensorProto.FLOAT, [1]),
        ],
        [value("kept", TensorProto.INT64, [None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(xyxy: np.ndarray, score: np.ndarray, label: np.ndarray, iou: float) -> np.ndarray:
        by_class = np.full((1, label.max() + 1, len(score)), -1, np.float32)
        by_class[0, label, np.arange(len(score))] = score
        feeds = {
            "boxes": xyxy[None, :, [1, 0, 3, 2]],
            "scores": by_class,
            "most": np.array([EVERY]),
            "iou": np.array([iou], np.float32),
        }
        kept = session.run(None, feeds)[0]
        rows = kept[by_class[0, kept[:, 1], kept[:, 2]] >= 0, 2]  # not the fillers of other classes
        return rows[np.argsort(-score[rows], kind="stable")]

    return run


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("iou", [0.2, 0.45, 0.7])
def test_keeps_what_onnx_runtime_keeps(onnx_nms, seed, iou):
    xyxy, score, label = boxes(np.random.default_rng(seed), 60 * (seed + 1))
    np.testing.assert_array_equal(nms(xyxy, score, label, iou, EVERY), onnx_nms(xyxy, score, label, iou))


@pytest.mark.parametrize("seed", range(6))
def test_keeps_what_the_definition_keeps(seed):
    # whole pixels: every product is exact, so float32 and float64 cannot part at the limit
    rng = np.random.default_rng(seed)
    xyxy, score, label = boxes(rng, 350, grid=1.0)
    score = np.round(score, 1)  # many ties: the earlier box goes first
    assert nms(xyxy, score, label, 0.5, EVERY).tolist() == plain(xyxy, score, label, 0.5)
    one = np.zeros_like(label)
    assert nms(xyxy, score, None, 0.5, EVERY).tolist() == plain(xyxy, score, one, 0.5)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 400), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_what_must_hold_of_any_answer(count, seed, iou):
    rng = np.random.default_rng(seed)
    xyxy, score, label = boxes(rng, count, grid=0.5)
    kept = nms(xyxy, score, label, iou, EVERY)
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(score[kept]) <= 0).all()
    for n, i in enumerate(kept):
        assert all(label[i] != label[k] or overlap(xyxy[i], xyxy[k]) <= iou + 1e-6 for k in kept[:n])
    for i in set(range(count)) - set(kept.tolist()):
        over = (k for k in kept if score[k] >= score[i] and label[k] == label[i])
        assert any(overlap(xyxy[i], xyxy[k]) > iou - 1e-6 for k in over)
    shuffle = rng.permutation(count)  # scores differ, so the order given does not matter
    again = nms(xyxy[shuffle], score[shuffle], label[shuffle], iou, EVERY)
    np.testing.assert_array_equal(shuffle[again], kept)


@pytest.mark.parametrize(("block", "chunk"), [(1, 1), (2, 7), (7, 5000), (64, 64), (65, 100), (5000, 5000)])
def test_the_size_of_the_blocks_changes_nothing(monkeypatch, block, chunk):
    xyxy, score, label = boxes(np.random.default_rng(3), 500)
    expected = nms(xyxy, score, label)
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "CHUNK", chunk)
    np.testing.assert_array_equal(nms(xyxy, score, label), expected)


def test_caps():
    xyxy, score, label = boxes(np.random.default_rng(4), 900)
    every = nms(xyxy, score, label, 0.6, EVERY)
    assert len(every) > 60
    np.testing.assert_array_equal(nms(xyxy, score, label, 0.6, 50), every[:50])
    best = np.argsort(-score)[:100]
    np.testing.assert_array_equal(
        nms(xyxy, score, label, 0.6, EVERY, max_candidates=100),
        best[nms(xyxy[best], score[best], label[best], 0.6, EVERY)],
    )


def test_far_classes_lose_no_precision():
    """Shifting classes apart by 7680 pixels each, as ultralytics does, rounds these two to one another."""
    xyxy = np.array([[0, 0, 10, 1], [0, 0, 4.999, 1]], np.float32)
    assert nms(xyxy, np.array([0.9, 0.8], np.float32), np.array([79, 79]), 0.5).tolist() == [0, 1]
    xyxy[1, 2] = 5.001
    assert nms(xyxy, np.array([0.9, 0.8], np.float32), np.array([79, 79]), 0.5).tolist() == [0]


def test_unsound_boxes_are_never_kept_and_drop_nothing():
    good = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    bad = np.repeat(good[:1], 4, axis=0)
    bad[0, 0], bad[1, 2], bad[2, 3] = np.nan, np.inf, -np.inf
    xyxy = np.vstack([bad, good])
    score = np.array([0.99, 0.98, 0.97, np.nan, 0.5, 0.4], np.float32)
    assert nms(xyxy, score, None).tolist() == [4, 5]
    assert nms(np.full((3, 4), np.nan, np.float32), np.ones(3, np.float32)).tolist() == []


def test_huge_and_pointlike_boxes_give_no_warning(recwarn):
    xyxy = np.array([[-3e38, -3e38, 3e38, 3e38]] * 2 + [[5, 5, 5, 5]] * 2, np.float32)
    assert len(nms(xyxy, np.array([4, 3, 2, 1], np.float32))) == 4
    assert not recwarn.list


def test_nothing_in_nothing_out():
    kept = nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert kept.shape == (0,)
    assert kept.dtype == np.int64
