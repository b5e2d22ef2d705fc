"""Top-down keypoints with tiny networks: drawn dots are found, in as few engine calls as they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from pose_nets import dots_net

from edgekit.engine import TensorSpec, check_feeds
from edgekit.engine import choose as choosing
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.errors import InputError
from edgekit.tasks import topdown
from edgekit.tasks.topdown import TopDown, default_shapes, open_topdown
from edgekit.topology import COCO17, HUMAN18, Topology

THREE = Topology("toy", ("head", "left_hand", "right_hand"), ((0, 1), (0, 2)))
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])  # RGB
PLACES = np.array([[0.5, 0.2], [0.25, 0.6], [0.8, 0.7]])  # in shares of a person's box


def drawing(boxes: np.ndarray, height: int = 480, width: int = 640) -> np.ndarray:
    """People as three dots each, BGR on grey."""
    image = np.full((height, width, 3), 128, np.uint8)
    for (x, y), colour in ((p, c) for box in boxes for p, c in zip(points(box), COLOURS, strict=True)):
        cv2.circle(image, (round(x), round(y)), 9, colour[::-1].tolist(), -1)
    return image


def points(box: np.ndarray) -> np.ndarray:
    return box[:2] + PLACES * (box[2:] - box[:2])


def people(count: int, width: float = 60, height: float = 130) -> np.ndarray:
    """Boxes side by side, in rows."""
    x, y = np.arange(count) % 7, np.arange(count) // 7
    low = np.stack([20 + x * 86, 20 + y * 150], 1)
    return np.concatenate([low, low + np.array([width, height])], 1).astype(np.float32)


class Spy:
    """An engine that notes how many rows each call had, and perhaps has a greatest batch."""

    def __init__(self, engine: OnnxRuntimeEngine, most: int | None = None) -> None:
        self._engine = engine
        entry = engine.inputs[0]
        shape = None if most is None else (most, *entry.shape[1:])
        self.inputs = (TensorSpec(entry.name, entry.shape, entry.dtype, shape),)  # type: ignore[arg-type]
        self.rows: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        check_feeds(self.inputs, feeds)
        self.rows.append(len(feeds["images"]))
        return self._engine(feeds)


def made(
    tmp_path: Path, batch: int | str = "batch", most: int | None = None, **settings: object
) -> tuple[TopDown, Spy]:
    note = {"task": "topdown", "topology": THREE.note()}
    engine = Spy(OnnxRuntimeEngine(dots_net(tmp_path / "dots.onnx", COLOURS, batch, **note)), most)
    return TopDown(engine, **settings), engine  # type: ignore[arg-type]


def test_dots_are_found_where_they_are(tmp_path: Path) -> None:
    boxes = people(9)
    with made(tmp_path)[0] as pose:
        assert (pose.names, pose.skeleton) == (THREE.keypoints, THREE.skeleton)
        found = pose(drawing(boxes), boxes)
        assert (found.shape, found.dtype) == ((9, 3, 3), np.float32)
        for n, box in enumerate(boxes):
            # a cell of the heat map is 130 · 1.25 / 64 = 2.5 pixels, and a dot is 18 wide: any cell in it
            np.testing.assert_allclose(found[n, :, :2], points(box), atol=9)
            assert np.linalg.norm(found[n, :, :2] - points(box), axis=1).max() <= 9.5
        assert found[..., 2].min() > 0.95
        assert set(pose.times) == {"pre", "infer", "post"}
        assert min(pose.times.values()) > 0


@pytest.mark.parametrize(
    ("count", "settings", "calls"),
    [
        (0, {}, []),
        (1, {}, [1]),
        (9, {}, [9]),
        (9, {"max_batch": 4}, [4, 4, 1]),
        (9, {"most": 8}, [8, 1]),
        (9, {"most": 8, "max_batch": 3}, [3, 3, 3]),
        (9, {"batch": 4}, [4, 4, 4]),
        (2, {"batch": 1}, [1, 1]),
        (9, {"batch": 4, "max_batch": 3}, [4, 4, 4]),
    ],
)
def test_people_of_a_frame_are_one_call_up_to_the_engines_most(
    tmp_path: Path, count: int, settings: dict, calls: list[int]
) -> None:
    boxes = people(count)
    image = drawing(boxes)
    whole = made(tmp_path)[0](image, boxes)
    pose, engine = made(tmp_path, **settings)
    found = pose(image, boxes)
    assert engine.rows == calls
    assert pose.calls == len(calls)
    assert found.shape == (count, 3, 3)
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_people_of_many_pictures_share_calls(tmp_path: Path) -> None:
    pose, engine = made(tmp_path, most=8)
    some = [people(3), people(0), people(7), people(1)]
    images = [drawing(boxes) for boxes in some]
    together = pose.many(images, some)
    assert engine.rows == [8, 3]
    assert [len(found) for found in together] == [3, 0, 7, 1]
    for image, boxes, found in zip(images, some, together, strict=True):
        np.testing.assert_allclose(found, pose(image, boxes), atol=1e-5)
    assert pose.many([], []) == []


def test_nothing_stays_from_the_frame_before(tmp_path: Path) -> None:
    pose, _ = made(tmp_path, batch=4)
    boxes = people(4)
    pose(drawing(boxes), boxes)
    empty = np.full((480, 640, 3), 128, np.uint8)
    assert pose(empty, boxes[:2])[..., 2].max() < 0.6
    first = pose(drawing(boxes[:1]), boxes[:1])
    np.testing.assert_array_equal(pose(drawing(boxes[:1]), boxes[:1]), first)


def test_flip_averages_with_the_mirrored_crop(tmp_path: Path) -> None:
    boxes = people(3)
    image = drawing(boxes)
    plain = made(tmp_path)[0](image, boxes)
    pose, engine = made(tmp_path, flip=True)
    found = pose(image, boxes)
    assert engine.rows == [3, 3]
    # the head is in both; a mirrored hand has the other hand's colour and is found in half of the maps
    np.testing.assert_allclose(found[:, 0, :2], plain[:, 0, :2], atol=6)
    assert found[:, 0, 2].min() > 0.9
    assert found[:, 1, 2].max() < 0.9 < plain[:, 1, 2].min()


def movenet_engine(answer: np.ndarray, seen: list[np.ndarray]) -> object:
    class MoveNet:
        backend, precision, device, why = "fake", "fp32", "here", "a test"
        metadata: Mapping[str, str] = {}
        inputs = (TensorSpec("input:0", (1, 256, 256, 3), np.dtype(np.int32)),)
        outputs = (TensorSpec("Identity:0", (1, 1, 17, 3), np.dtype(np.float32)),)

        def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            check_feeds(self.inputs, feeds)
            seen.append(feeds["input:0"].copy())
            return {"Identity:0": answer}

        def close(self) -> None:
            pass

    return MoveNet()


def test_movenet_gets_a_square_of_bytes_and_answers_in_shares() -> None:
    answer = np.zeros((1, 1, 17, 3), np.float32)
    answer[0, 0, 3] = (0.25, 0.75, 0.9)  # y, x, score
    seen: list[np.ndarray] = []
    image = np.full((400, 400, 3), (10, 20, 30), np.uint8)
    pose = TopDown(movenet_engine(answer, seen))  # type: ignore[arg-type]
    assert (pose.head.name, pose.names, pose.batch) == ("movenet", COCO17.keypoints, 1)
    found = pose(image, np.array([[100, 100, 180, 260], [20, 20, 60, 60]]))
    assert len(seen) == 2
    assert seen[0].min() == 10
    np.testing.assert_array_equal(seen[0][0, 128, 128], (30, 20, 10))
    # the square is 160 · 1.25 = 200 around (140, 180): from (40, 80)
    np.testing.assert_allclose(found[0, 3], (40 + 150 - 0.5, 80 + 50 - 0.5, 0.9), atol=1e-4)
    np.testing.assert_allclose(found[1, 3], (15 + 37.5 - 0.5, 15 + 12.5 - 0.5, 0.9), atol=1e-4)


def test_names_of_the_keypoints(tmp_path: Path) -> None:
    seventeen = np.random.default_rng(0).integers(0, 255, (17, 3))
    with OnnxRuntimeEngine(dots_net(tmp_path / "17.onnx", seventeen)) as engine:
        assert TopDown(engine).names == COCO17.keypoints
        with pytest.raises(InputError, match="18 keypoints, the model 17"):
            TopDown(engine, topology=HUMAN18)
    with OnnxRuntimeEngine(dots_net(tmp_path / "3.onnx", COLOURS)) as engine:
        with pytest.raises(InputError, match=r"3 keypoints .* give topology="):
            TopDown(engine)
        assert TopDown(engine, topology=THREE).names == THREE.keypoints


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"head": "simcc"}, "head 'simcc' is unknown"),
        ({"head": "movenet"}, "this is no movenet network"),
        ({"max_batch": 0}, "max_batch=0"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, settings: dict, says: str) -> None:
    engine = OnnxRuntimeEngine(dots_net(tmp_path / "3.onnx", COLOURS, topology=THREE.note()))
    with engine, pytest.raises(InputError, match=says):
        TopDown(engine, **settings)


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ({"task": "trtpose"}, "made for 'trtpose'"),
        ({"mean": "[0.4, 0.4]"}, "the model's note 'mean'"),
        ({"std": "nonsense"}, "the model's note 'std'"),
        ({"topology": "{"}, "the model's note 'topology'"),
    ],
)
def test_bad_notes_are_refused(tmp_path: Path, note: dict[str, str], says: str) -> None:
    path = dots_net(tmp_path / "3.onnx", COLOURS, **{"topology": THREE.note(), **note})
    with pytest.raises(InputError, match=says):
        open_topdown(path, "fp32", "onnxruntime-cpu")


def test_movenet_has_no_maps_to_average() -> None:
    with pytest.raises(InputError, match="flip works on heat maps"):
        TopDown(movenet_engine(np.zeros((1, 1, 17, 3)), []), flip=True)  # type: ignore[arg-type]


def test_a_plan_is_built_for_one_to_64_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dots_net(tmp_path / "3.onnx", COLOURS, task="topdown", topology=THREE.note())
    assert default_shapes(path, "onnxruntime-cpu") is None
    monkeypatch.setattr(choosing, "tensorrt_missing", lambda: None)
    rest = (3, 256, 192)
    assert default_shapes(path) == {"images": ((1, *rest), (8, *rest), (64, *rest))}
    assert default_shapes(dots_net(tmp_path / "fixed.onnx", COLOURS, 1, task="topdown")) is None
    asked: list[object] = []

    def build(onnx: Path, precision: str, shapes: object, *_: object) -> OnnxRuntimeEngine:
        asked.append(shapes)
        return OnnxRuntimeEngine(onnx)

    monkeypatch.setattr(choosing, "_built", build)
    mine = {"images": ((1, *rest), (2, *rest), (4, *rest))}
    for shapes in (None, mine):
        open_topdown(path, "fp16", "tensorrt", shapes).close()
    assert asked == [default_shapes(path), mine]


def test_a_refused_network_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    real = topdown.open_engine

    def opened(*args: object) -> object:
        engine = real(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(engine, "close", lambda: closed.append(engine))
        return engine

    monkeypatch.setattr(topdown, "open_engine", opened)
    with pytest.raises(InputError):
        open_topdown(dots_net(tmp_path / "3.onnx", COLOURS), "fp32", "onnxruntime-cpu")
    assert len(closed) == 1
