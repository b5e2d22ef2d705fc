"""AlphaPose: detector, crops, keypoints and pose NMS together; video as pictures; nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from pose_nets import dots_net

from edgekit import open_source
from edgekit.engine import TensorSpec, check_feeds
from edgekit.engine import choose as choosing
from edgekit.engine.batch import open_batch
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.errors import InputError
from edgekit.models import find
from edgekit.ops.pose_nms import pose_scores
from edgekit.results import Detections, Frame, Poses
from edgekit.run import run
from edgekit.tasks.alphapose import AlphaPose, alphapose_on, open_alphapose
from edgekit.tasks.topdown import TopDown
from edgekit.tasks.yolo import Yolo, open_yolo
from edgekit.topology import COCO17

# As many colours as a person has keypoints: in a photo each is found somewhere, never by accident in order.
COLOURS = np.random.default_rng(3).integers(0, 255, (17, 3))
FRAMES = (0, 30, 60)


class BoxEngine:
    """A YOLOv8-like engine of one anchor a box that sees the same boxes everywhere."""

    backend, precision, device, why = "fake", "fp32", "here", "a test"

    def __init__(self, boxes: np.ndarray, classes: int = 1, names: str = "{0: 'person'}") -> None:
        self.inputs = (TensorSpec("images", (None, 3, 64, 64), np.dtype(np.float32)),)
        self.outputs = (TensorSpec("output0", (None, 4 + classes, 84), np.dtype(np.float32)),)
        self.metadata = {"names": names, "recipe": "yolov8"}
        self.times: dict[str, float] = {}
        self.sizes: list[int] = []
        self.boxes = np.asarray(boxes, np.float32).reshape(-1, 6)
        self.classes, self.closed = classes, 0

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        check_feeds(self.inputs, feeds)
        self.sizes.append(len(feeds["images"]))
        rows = np.zeros((84, 4 + self.classes), np.float32)
        for row, (x1, y1, x2, y2, score, label) in zip(rows, self.boxes, strict=False):
            row[:4] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
            row[4 + int(label)] = score
        return {"output0": np.repeat(rows.T[None], len(feeds["images"]), 0)}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return dots_net(tmp_path / "pose.onnx", COLOURS, task="topdown", topology=COCO17.note())


@pytest.fixture
def pose(net: Path) -> Iterator[TopDown]:
    with TopDown(OnnxRuntimeEngine(net)) as pose:
        yield pose


PICTURE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def test_boxes_keypoints_and_scores_go_together(pose: TopDown) -> None:
    boxes = [[4, 4, 24, 60, 0.9, 0], [34, 2, 60, 50, 0.6, 0], [5, 5, 9, 9, 0.2, 0]]
    task = AlphaPose(Yolo(BoxEngine(boxes)), pose)
    poses = task(PICTURE)
    assert isinstance(poses, Poses)
    assert (poses.names, poses.skeleton) == (COCO17.keypoints, COCO17.skeleton)
    assert len(poses) == 2  # the third one's score is below .25
    order = np.argsort(-poses.xyxy[:, 3])  # the taller box first
    np.testing.assert_allclose(poses.xyxy[order], np.array(boxes)[:2, :4], atol=1e-4)
    np.testing.assert_allclose(poses.keypoints[order], pose(PICTURE, np.array(boxes)[:2, :4]), atol=1e-4)
    own = poses.keypoints[..., 2].astype(np.float64)
    box_score = np.array([0.9, 0.6])[np.argsort(order)]
    np.testing.assert_allclose(poses.score, own.mean(1) + box_score + 1.25 * own.max(1), rtol=1e-5)
    assert task.engine is pose.engine
    assert set(task.times) == {"pre", "infer", "post"}
    assert set(task.parts) == {"detect", "pose"}
    assert sum(task.times.values()) <= sum(task.parts.values())


def test_a_person_found_twice_is_one_by_option(pose: TopDown) -> None:
    boxes = [[4, 4, 40, 60, 0.9, 0], [4, 4, 40, 60, 0.8, 0]]  # a double that box NMS lets pass
    detector = Yolo(BoxEngine(boxes), iou=1.0)
    found = {nms: AlphaPose(detector, pose, nms=nms)(PICTURE) for nms in (True, False)}
    assert (len(found[True]), len(found[False])) == (1, 2)
    points = pose(PICTURE, np.array(boxes)[:, :4])
    np.testing.assert_array_equal(found[False].keypoints, points)
    np.testing.assert_allclose(found[False].score, pose_scores(points, np.float32([0.9, 0.8])), rtol=1e-6)


def test_nobody_is_no_engine_call(pose: TopDown, monkeypatch: pytest.MonkeyPatch) -> None:
    task = AlphaPose(Yolo(BoxEngine([])), pose)
    task(PICTURE)
    assert pose.calls == 0
    poses = task([PICTURE, PICTURE])
    assert [len(one) for one in poses] == [0, 0]
    assert poses[0].keypoints.shape == (0, 17, 3)
    assert poses[0].xyxy is not None
    assert task([]) == []


def test_of_many_classes_only_people_are_taken(pose: TopDown) -> None:
    boxes = [[4, 4, 24, 60, 0.9, 0], [34, 2, 60, 50, 0.8, 2]]
    names = "{0: 'dog', 1: 'car', 2: 'Person'}"
    task = AlphaPose(Yolo(BoxEngine(boxes, 3, names)), pose)
    np.testing.assert_allclose(task(PICTURE).xyxy, [boxes[1][:4]], atol=1e-4)
    dogs = AlphaPose(Yolo(BoxEngine(boxes, 3, names)), pose, person="dog")
    np.testing.assert_allclose(dogs(PICTURE).xyxy, [boxes[0][:4]], atol=1e-4)
    both = AlphaPose(Yolo(BoxEngine(boxes, 3, names), classes=["dog", "Person"]), pose)
    assert len(both(PICTURE)) == 2
    with pytest.raises(InputError, match="no class 'person' but dog, car"):
        AlphaPose(Yolo(BoxEngine(boxes, 2, "{0: 'dog', 1: 'car'}")), pose)


def test_the_score_can_be_moved_while_it_runs(pose: TopDown) -> None:
    task = AlphaPose(Yolo(BoxEngine([[4, 4, 24, 60, 0.4, 0], [34, 2, 60, 50, 0.9, 0]])), pose)
    assert len(task(PICTURE)) == 2
    assert set(task.controls) == {"score", "shown"}
    task.score = 0.5
    assert (task.score, task.detector.score, len(task(PICTURE))) == (0.5, 0.5, 1)
    task.shown = 0.7
    assert task(PICTURE).threshold == 0.7
    with pytest.raises(InputError, match=r"score=1\.5"):
        AlphaPose(task.detector, pose, score=1.5)


def test_smoothing_follows_the_frames_time(pose: TopDown) -> None:
    boxes = [[4, 4, 40, 60, 0.9, 0]]
    engine = BoxEngine(boxes)
    rough, smooth = (AlphaPose(Yolo(engine), pose, smooth=on) for on in (False, True))
    shaking = [np.roll(PICTURE, shift, axis=1) for shift in (0, 1, 0, 1, 0, 1, 0, 1)]
    paths = []
    for task in (rough, smooth):
        found = [task(Frame(image, i, i / 30)) for i, image in enumerate(shaking)]
        paths.append(np.array([one.keypoints[0, :, :2] for one in found]))
    moved = [np.abs(np.diff(path, axis=0)).sum() for path in paths]
    assert 0 < moved[1] < 0.8 * moved[0]


def test_both_engines_are_closed_also_when_one_cannot(pose: TopDown, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BoxEngine([])

    def stuck() -> None:
        raise RuntimeError("stuck")

    monkeypatch.setattr(pose, "close", stuck)
    with pytest.raises(RuntimeError, match="stuck"):
        AlphaPose(Yolo(engine), pose).close()
    assert engine.closed == 1


def test_what_was_opened_for_an_engine_is_closed_and_the_engine_is_not(net: Path) -> None:
    wrong = BoxEngine([], 2, "{0: 'dog', 1: 'car'}")
    with OnnxRuntimeEngine(net) as kept:
        with pytest.raises(InputError):
            alphapose_on(kept, net, detector=Yolo(wrong))
        with pytest.raises(InputError, match="max_batch"):
            alphapose_on(kept, net, max_batch=0)
        with alphapose_on(kept, net) as task:  # the engine was left to its owner: it still works
            assert task.pose(PICTURE, np.array([[4, 4, 24, 60]])).shape == (1, 17, 3)
            assert task.detector.engine.backend == "onnxruntime-cpu"


# The shipped detector on the shipped clip: video, pictures and batches say the same.


def sample_frames() -> list[np.ndarray]:
    with open_source("sample") as source:
        return [frame.image.copy() for frame in source if frame.index in FRAMES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames")
    for index, image in zip(FRAMES, sample_frames(), strict=True):
        cv2.imwrite(str(path / f"{index:03}.png"), image)
    return path


def same(a: Poses | Detections, b: Poses | Detections, within: float) -> None:
    assert len(a) == len(b)
    np.testing.assert_allclose(a.score, b.score, atol=within)
    np.testing.assert_allclose(a.xyxy, b.xyxy, atol=within)
    if isinstance(a, Poses):
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=within)


def test_a_video_gives_what_its_extracted_frames_give(folder: Path, net: Path) -> None:
    """One task over the video, its buffers used again and again, against a new task for each picture."""
    with open_alphapose(net, "fp32", "onnxruntime-cpu", nms=False) as task, open_source("sample") as video:
        by_frame = {}
        for frame in video:
            if frame.index in FRAMES or frame.index % 20 == 10:  # others between, to leave their marks
                poses = task(frame)
                by_frame[frame.index] = poses, task.detector(frame)
            if frame.index == FRAMES[-1]:
                break
    assert max(len(poses) for poses, _ in by_frame.values()) >= 2
    with open_source(folder) as pictures:
        for frame in pictures:
            with open_alphapose(net, "fp32", "onnxruntime-cpu", nms=False) as fresh:
                poses, boxes = by_frame[int(Path(frame.source).stem)]
                same(fresh.detector(frame), boxes, 0)
                same(fresh(frame), poses, 0)


def test_batches_give_what_single_frames_give(tmp_path: Path, folder: Path, net: Path) -> None:
    images = sample_frames()
    dynamic = open_batch(find("edgekit-person"), tmp_path / "person-batch.onnx")
    how = ("fp32", "onnxruntime-cpu")
    with open_alphapose(net, *how) as one, open_yolo(dynamic, *how, names=["person"]) as finder:
        alone = [one(image) for image in images]
        sizes: list[int] = []
        real = finder.engine
        finder.engine = lambda feeds: (sizes.append(len(feeds["images"])), real(feeds))[1]  # type: ignore[assignment]
        with TopDown(OnnxRuntimeEngine(net)) as pose:
            task = AlphaPose(finder, pose)
            for count in (1, 2, 3):
                found = [p for i in range(0, 3, count) for p in task(images[i : i + count])]
                for a, b in zip(found, alone, strict=True):
                    same(a, b, 2e-3)
            assert sizes == [1, 1, 1, 2, 1, 3]
            assert pose.calls == 1  # the people of three frames together
        finder.engine = real


def test_plans_of_both_take_batches_by_default(
    tmp_path: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def build(onnx: Path, precision: str, shapes: object, *_: object) -> OnnxRuntimeEngine:
        asked.append(shapes)
        return OnnxRuntimeEngine(onnx)

    monkeypatch.setattr(choosing, "tensorrt_missing", lambda: None)
    monkeypatch.setattr(choosing, "_built", build)
    dynamic = open_batch(find("edgekit-person"), tmp_path / "person-batch.onnx")
    for detector in (dynamic, "edgekit-person"):
        open_alphapose(net, "fp16", "tensorrt", detector=detector).close()
    person, pose = (3, 416, 416), (3, 256, 192)
    people = {"images": ((1, *pose), (8, *pose), (64, *pose))}
    frames = {"images": ((1, *person), (1, *person), (8, *person))}
    assert asked == [people, frames, people, None]


def test_results_stay_when_the_next_frame_comes(net: Path) -> None:
    first, _, last = sample_frames()
    with open_alphapose(net, "fp32", "onnxruntime-cpu") as task:
        poses = task(first)
        before = poses.keypoints.copy(), poses.xyxy.copy()
        task(last)
        np.testing.assert_array_equal(poses.keypoints, before[0])
        np.testing.assert_array_equal(poses.xyxy, before[1])


def test_it_runs_in_a_session(net: Path) -> None:
    task = open_alphapose(net, "fp32", "onnxruntime-cpu")
    with task:
        summary = run("sample", task, [], limit=4, progress=False)
    assert summary.frames == 4
    assert summary.found > 0
    assert summary.backend == "onnxruntime-cpu"
    assert {"pre", "infer", "post"} <= set(summary.stages)


def test_a_detector_is_asked_no_more_than_its_plan_takes() -> None:
    engine = BoxEngine([[4, 4, 24, 60, 0.9, 0]])
    engine.inputs = (TensorSpec("images", (None, 3, 64, 64), np.dtype(np.float32), (2, 3, 64, 64)),)
    assert len(Yolo(engine)([PICTURE] * 5)) == 5
    assert engine.sizes == [2, 2, 1]
