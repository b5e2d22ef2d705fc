"""OKS AP against pycocotools used directly, and against its definition in plain loops."""

from __future__ import annotations

import contextlib
import io
import json
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import coco_set

from edgekit import InputError
from edgekit.evaluate import evaluate, read_data
from edgekit.evaluate.data import DataSet, Picture
from edgekit.evaluate.keypoints import NAMES, columns, keypoint_figures, pose_notes, reordered
from edgekit.results import Detections, Poses
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology


def poses(points: Any, scores: Any, topology: Topology = COCO17) -> Poses:
    points = np.asarray(points, np.float32).reshape(len(scores), len(topology), 3)
    return Poses(points, np.asarray(scores, np.float32), topology.keypoints, topology.skeleton)


def random_set(seed: int, pictures: int = 10) -> tuple[list[Picture], list[tuple[int, ...]], list[Poses]]:
    """People small and large, crowds, people without keypoints; answers near and far, two a person."""
    rng = np.random.default_rng(seed)
    truth, shapes, answers = [], [], []
    for _ in range(pictures):
        height, width = (int(n) for n in rng.integers(200, 500, 2))
        count = int(rng.integers(0, 6))
        start = rng.random((count, 2)) * 0.6
        boxes = np.concatenate([start, start + rng.random((count, 2)) * 0.35 + 0.05], 1)
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = np.zeros((count, 17, 3))
        points[..., :2] = boxes[:, None, :2] + rng.random((count, 17, 2)) * sides
        points[..., 2] = rng.integers(0, 3, (count, 17))
        points[rng.random(count) < 0.2] = 0  # nobody labelled their keypoints
        points[points[..., 2] == 0] = 0
        crowd = rng.random(count) < 0.1
        areas = sides[:, 0].prod(1) * rng.uniform(0.4, 0.8, count)
        truth.append(Picture(Path("x"), boxes, crowd, areas=areas, keypoints=points))
        shapes.append((height, width, 3))
        size = np.array([width, height])
        near = [points[..., :2] * size + rng.normal(0, s, (count, 17, 2)) * sides * size for s in (0.03, 0.1)]
        far = rng.random((3, 17, 2)) * size
        every = np.concatenate([*near, far])
        every = np.concatenate([every, rng.random((len(every), 17, 1))], 2)
        answers.append(poses(every, rng.random(len(every)).round(2)))
    return truth, shapes, answers


def test_equal_to_pycocotools_used_directly(tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, shapes, answers = random_set(1)
    notes, results = [], []
    for key, (picture, (h, w, _), one) in enumerate(zip(truth, shapes, answers, strict=True), 7):
        for n, (x1, y1, x2, y2) in enumerate(picture.boxes * [w, h, w, h]):
            points = picture.keypoints[n] * [w, h, 1]
            notes.append(
                {"id": len(notes) + 1, "image_id": key, "category_id": 1, "iscrowd": int(picture.ignore[n]),
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": picture.areas[n] * w * h,
                 "keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
            )  # fmt: skip
        for points, score in zip(one.keypoints.tolist(), one.score.tolist(), strict=True):
            flat = [value for point in points for value in point]
            results.append({"image_id": key, "category_id": 1, "keypoints": flat, "score": score})
    images = [{"id": i} for i in range(7, 7 + len(truth))]
    file = tmp_path / "truth.json"
    file.write_text(
        json.dumps({"info": {}, "images": images, "annotations": notes, "categories": [{"id": 1}]})
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
        judge = COCOeval(coco, coco.loadRes(results), "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    mine = keypoint_figures(truth, shapes, answers, COCO17)
    for name, value in zip(NAMES, judge.stats, strict=True):
        assert (mine[name] if mine[name] is not None else -1) == pytest.approx(value, abs=1e-9), name
    assert 0.05 < mine["AP"] < 0.95
    assert len({mine[name] for name in NAMES}) > 6
    np.testing.assert_allclose(COCO17.sigmas, judge.params.kpt_oks_sigmas)


def oks_by_hand(answer: Any, points: Any, area: float) -> float:
    """Mean over labelled keypoints of exp(−d² / 2 s k²), k twice the sigma; from COCO's page, in loops."""
    total, labelled = 0.0, 0
    for k, (x, y, v) in enumerate(points):
        if v > 0:
            labelled += 1
            square = (float(answer[k][0]) - x) ** 2 + (float(answer[k][1]) - y) ** 2
            total += exp(-square / (2 * area * (2 * float(COCO17.sigmas[k])) ** 2))
    return total / labelled


def ap_by_hand(truth: list, shapes: list, answers: list, least: float) -> float:
    """AP at one similarity: best answers first, each takes the likest person that is free."""
    rows, there = [], 0
    for picture, (h, w, _), one in zip(truth, shapes, answers, strict=True):
        people = [
            (points * [w, h, 1], float(area) * w * h)
            for points, area in zip(picture.keypoints, picture.areas, strict=True)
        ]
        there += len(people)
        taken: set[int] = set()
        order = sorted(range(len(one)), key=lambda n: -float(one.score[n]))
        for n in order[:20]:
            best, at = least, -1
            for i, (points, area) in enumerate(people):
                likeness = oks_by_hand(one.keypoints[n], points, area)
                if i not in taken and likeness >= best:
                    best, at = likeness, i
            taken.add(at)
            rows.append((float(one.score[n]), at >= 0))
    rows.sort(key=lambda row: -row[0])
    hits, curve = 0, []
    for rank, (_, hit) in enumerate(rows, 1):
        hits += hit
        curve.append((hits / there, hits / rank))
    total = 0.0
    for step in range(101):
        total += max((p for r, p in curve if r >= step / 100), default=0.0)
    return total / 101


def test_equal_to_the_definition() -> None:
    truth, shapes, answers = random_set(2)
    whole = []
    for p in truth:  # no crowds, nobody without keypoints: what they do is pycocotools' own rule
        kept = p.num_keypoints > 0
        points = p.keypoints[kept]
        whole.append(
            Picture(p.path, p.boxes[kept], np.zeros(kept.sum(), bool), areas=p.areas[kept], keypoints=points)
        )
    mine = keypoint_figures(whole, shapes, answers, COCO17)
    each = [ap_by_hand(whole, shapes, answers, 0.5 + 0.05 * n) for n in range(10)]
    assert mine["AP"] == pytest.approx(np.mean(each), abs=1e-6)
    assert mine["AP50"] == pytest.approx(each[0], abs=1e-6)
    assert mine["AP75"] == pytest.approx(each[5], abs=1e-6)


BOX = np.array([[0.1, 0.1, 0.9, 0.9]])
POINTS = np.random.default_rng(3).random((1, 17, 3)) * [1, 1, 0] + [0, 0, 2]
ONE = Picture(Path("x"), BOX, np.zeros(1, bool), keypoints=POINTS)
SHAPE = [(100, 200, 3)]
PIXELS = POINTS * [200, 100, 0.5]


def test_perfect_wrong_and_no_answers() -> None:
    perfect = keypoint_figures([ONE], SHAPE, [poses(PIXELS, [0.9])], COCO17)
    for name in ("AP", "AR", "APl"):
        assert perfect[name] == pytest.approx(1)
    assert perfect["APm"] is None, "there is nobody of that size"
    assert keypoint_figures([ONE], SHAPE, [poses(PIXELS + np.array([60, 0, 0]), [0.9])], COCO17)["AP50"] == 0
    assert keypoint_figures([ONE], SHAPE, [poses([], [])], COCO17)["AP"] == 0
    nobody = Picture(Path("x"), np.zeros((0, 4)), np.zeros(0, bool))
    assert keypoint_figures([nobody], SHAPE, [poses(PIXELS, [0.9])], COCO17)["AP"] is None


def test_keypoints_are_matched_by_name() -> None:
    """A pose with a neck, in another order and spelling, scores as its seventeen."""
    order = np.random.default_rng(0).permutation(18)
    names = tuple(HUMAN18.keypoints[k].replace("_", " ").title() for k in order)
    points = np.concatenate([PIXELS, np.full((1, 1, 3), 5.0)], 1)[:, order]
    mixed = Poses(points, np.ones(1), names)
    np.testing.assert_array_equal(reordered(mixed, COCO17), PIXELS.astype(np.float32))
    assert keypoint_figures([ONE], SHAPE, [mixed], COCO17)["AP"] == pytest.approx(1)
    (note,) = pose_notes(mixed, DataSet(Path("x"), (ONE,), ("person",), COCO17))
    assert note.endswith("label them: Neck")


def test_keypoints_that_the_model_lacks_are_not_found() -> None:
    few = Topology("person", COCO17.keypoints[:15])
    one = poses(PIXELS[:, :15], [0.9], few)
    assert reordered(one, COCO17)[0, 15:].tolist() == [[0, 0, 0]] * 2
    assert 0 < keypoint_figures([ONE], SHAPE, [one], COCO17)["AP"] < 1
    (note,) = pose_notes(one, DataSet(Path("x"), (ONE,), ("person",), COCO17))
    assert note.endswith("left_ankle, right_ankle")
    with pytest.raises(InputError, match="no keypoint of the model"):
        columns(("wheel",), ANIMAL20)


NOTE = {"category_id": 1, "bbox": [10, 5, 20, 10], "area": 80}
PEOPLE = {**COCO17.to_category(), "id": 1}


def keypoint_file(
    file: Path,
    notes: list[dict],
    categories: list[dict] | None = None,
    count: int = 1,
    images: str = "images",
) -> Path:
    coco_set(file, notes, {}, images, count)
    content = json.loads(file.read_text())
    content["categories"] = categories or [PEOPLE, {"id": 18, "name": "dog"}]
    file.write_text(json.dumps(content))
    return file


def test_reading_keypoints(tmp_path: Path) -> None:
    flat = [v for k in range(17) for v in (2 * k, k, k % 3)]
    notes = [
        {**NOTE, "keypoints": flat, "num_keypoints": 11},
        {**NOTE, "keypoints": flat},
        NOTE,
        {**NOTE, "category_id": 18},
    ]
    data = read_data(keypoint_file(tmp_path / "notes.json", notes))
    (one,) = data.pictures
    assert data.topology == COCO17
    assert one.keypoints.shape == (4, 17, 3)
    np.testing.assert_allclose(one.keypoints[0], one.keypoints[1])
    np.testing.assert_allclose(one.keypoints[0, 5], [10 / 40, 5 / 20, 2])
    assert one.num_keypoints.tolist() == [11, 11, 0, -1]
    assert not one.keypoints[2:].any()
    np.testing.assert_allclose(one.areas * 800, 80)
    assert data.only({"0"}).topology == COCO17
    without = read_data(coco_set(tmp_path / "boxes.json", [NOTE], {1: "person"}))
    assert without.topology is None
    assert without.pictures[0].keypoints.shape == (1, 0, 3)


def test_kinds_with_the_same_keypoints_are_all_read(tmp_path: Path) -> None:
    """As of animals: a category each, one list of keypoints."""
    categories = [{"id": 3, "name": "car"}, {**PEOPLE, "id": 5}, {**PEOPLE, "id": 6, "name": "child"}]
    categories.append({"id": 7, "name": "door", "keypoints": ["hinge"]})
    flat = [1.0] * 51
    notes = [
        {**NOTE, "category_id": key, "keypoints": flat if key < 7 else [1, 1, 1]} for key in (3, 5, 6, 7)
    ]
    (one,) = read_data(keypoint_file(tmp_path / "notes.json", notes, categories)).pictures
    assert one.num_keypoints.tolist() == [-1, 17, 17, -1]


@pytest.mark.parametrize("points", [[1, 2], [1] * 48, ["x"] * 51, [float("nan")] * 51, 7])
def test_damaged_keypoints_are_refused_by_file(tmp_path: Path, points: Any) -> None:
    with pytest.raises(InputError, match=r"notes\.json"):
        read_data(keypoint_file(tmp_path / "notes.json", [{**NOTE, "keypoints": points}]))


def test_which_annotation_file_is_meant(tmp_path: Path) -> None:
    """COCO's own folder: boxes or keypoints as asked, of the pictures that are there."""
    folder = tmp_path / "annotations"
    for split in ("val2017", "train2017"):
        coco_set(folder / f"instances_{split}.json", [NOTE], {1: "person", 2: "bicycle"}, f"../{split}")
        file = folder / f"person_keypoints_{split}.json"
        keypoint_file(file, [{**NOTE, "keypoints": [1] * 51}], images=f"../{split}")
        coco_set(folder / f"captions_{split}.json", [], {}, f"../{split}")
    (tmp_path / "train2017").rename(tmp_path / "elsewhere")
    boxes, points = read_data(tmp_path), read_data(tmp_path, keypoints=True)
    assert (len(boxes.names), boxes.topology) == (2, None)
    assert points.topology == COCO17
    assert points.path.name == "person_keypoints_val2017.json"
    assert points.pictures[0].path.parent.name == "val2017"
    (folder / "instances_val2017.json").unlink()
    (folder / "instances_train2017.json").unlink()
    (folder / "captions_val2017.json").unlink()
    (folder / "captions_train2017.json").unlink()
    assert read_data(tmp_path).path.name == "person_keypoints_val2017.json", "it holds boxes too"


def test_the_digest_is_of_the_keypoints_too(tmp_path: Path) -> None:
    def digest(value: int) -> str:
        return read_data(keypoint_file(tmp_path / "n.json", [{**NOTE, "keypoints": [value] * 51}])).digest

    assert digest(1) == digest(1) != digest(2)


class Posing:
    """A task that always finds the same pose."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.calls = answer, 0

    def __call__(self, image: np.ndarray) -> Any:
        self.calls += 1
        return self.answer


def test_a_task_of_poses_is_evaluated(tmp_path: Path) -> None:
    flat = [v for k in range(17) for v in (10 + k, 5 + k % 7, 2)]
    data = read_data(keypoint_file(tmp_path / "n.json", [{**NOTE, "keypoints": flat}], count=2))
    task = Posing(poses(np.reshape(flat, (1, 17, 3)), [0.7]))
    found = evaluate(task, data)
    assert found["AP"] == pytest.approx(1), "the second picture's comes after it: equal scores"
    assert found["pictures"] == task.calls == 2
    assert found["notes"] == []


def test_poses_on_a_data_set_without_keypoints_are_refused_at_once(tmp_path: Path) -> None:
    data = read_data(coco_set(tmp_path / "n.json", [NOTE], {1: "person"}, count=5))
    task = Posing(poses(PIXELS, [1]))
    with pytest.raises(InputError, match="labels no keypoints"):
        evaluate(task, data)
    assert task.calls == 1
    assert not isinstance(task.answer, Detections)
