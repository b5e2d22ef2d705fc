"""The YOLO task with engines made of arrays: pictures in, boxes in source pixels out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine import TensorSpec, check_feeds
from edgekit.errors import InputError
from edgekit.models.coco import COCO80
from edgekit.ops.letterbox import letterbox, place, to_tensor
from edgekit.results import Detections, Frame
from edgekit.tasks.yolo import Yolo
from edgekit.tasks.yolo_settings import noted_names

PEERS = np.load(Path(__file__).parents[1] / "golden" / "peers.npz")
BRIGHT = 250


class FakeEngine:
    """An engine that checks its feeds, keeps copies of them and answers with what `answer` makes of them."""

    backend, precision, device, why = "fake", "fp32", "here", "a test"

    def __init__(
        self,
        answer: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int | None, ...] = (1, 3, 160, 160),
        output: tuple[int | None, ...] = (1, 12, 525),
        dtype: type = np.float32,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.answer = answer
        self.inputs = (TensorSpec("images", shape, np.dtype(dtype)),)
        self.outputs = (TensorSpec("output0", output, np.dtype(np.float32)),)
        self.metadata = dict(metadata or {})
        self.times: dict[str, float] = {}
        self.seen: list[np.ndarray] = []
        self.closed = 0

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        check_feeds(self.inputs, feeds)
        self.seen.append(feeds["images"].copy())
        return {"output0": self.answer(feeds["images"])}

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def picture(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """A dark picture with one bright box (x1, y1, x2, y2); blue is brighter than red."""
    image = np.zeros((height, width, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = (BRIGHT, 200, 150)
    return image


def bright_box(tensor: np.ndarray, unit: bool = True) -> tuple[float, float, float, float]:
    """Corners of what is bright in one input [3, H, W]: an honest detector of `picture`."""
    bright = tensor.max(axis=0) > (0.6 if unit else 150)
    ys, xs = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return xs[0], ys[0], xs[-1] + 1, ys[-1] + 1


def detector(head: str, classes: int = 8, label: int = 3) -> Callable[[np.ndarray], np.ndarray]:
    """A network of a given head that finds the bright box: two doubles of it and one weak rival."""

    def answer(batch: np.ndarray) -> np.ndarray:
        outputs = []
        for tensor in batch:
            size = tensor.shape[1:]
            grid = [(s, x, y) for s in (8, 16, 32) for y in range(size[0] // s) for x in range(size[1] // s)]
            rows = np.zeros((len(grid), 5 + classes), np.float32)
            if (tensor > 0.6).any():
                x1, y1, x2, y2 = bright_box(tensor, unit=head != "yolox")
                for place_in, shift, score in ((40, 0.0, 0.9), (41, 0.5, 0.8)):
                    rows[place_in, :4] = (x1 + x2) / 2 + shift, (y1 + y2) / 2, x2 - x1, y2 - y1
                    rows[place_in, 4], rows[place_in, 5 + label] = 1.0, score
                rows[42] = rows[41]
                rows[42, 5 + label], rows[42, 5] = 0.0, 0.3  # the same place, another class
                rows[43, :4], rows[43, 4], rows[43, 5] = rows[40, :4], 0.2, 1.0  # under the threshold
            outputs.append(as_head(rows, head, grid))
        return np.stack(outputs)

    return answer


def as_head(rows: np.ndarray, head: str, grid: list[tuple[int, int, int]]) -> np.ndarray:
    """Rows of [x, y, w, h, objectness, classes…] as the output of a head."""
    if head == "yolov8":
        return np.hstack([rows[:, :4], rows[:, 5:] * rows[:, 4:5]]).T
    if head in ("yolov5", "darknet"):
        return np.repeat(rows, 3, axis=0)
    if head == "yolox":
        raw = rows.copy()
        for a, (stride, x, y) in enumerate(grid):
            raw[a, :2] = raw[a, :2] / stride - (x, y)
            raw[a, 2:4] = np.log(np.maximum(raw[a, 2:4], 1e-6) / stride)
        return raw
    best = rows[[40, 42, 43]]
    half = best[:, 2:4] / 2
    score, label = (best[:, 5:] * best[:, 4:5]).max(1), best[:, 5:].argmax(1)
    return np.vstack(
        [np.column_stack([best[:, :2] - half, best[:, :2] + half, score, label]), np.zeros((297, 6))]
    )


OUTPUTS = {
    "yolov8": (12, 525),
    "yolov5": (1575, 13),
    "darknet": (1575, 13),
    "yolox": (525, 13),
    "end2end": (300, 6),
}


def yolo(head: str = "yolov8", batch: int | None = 1, **settings: object) -> Yolo:
    engine = FakeEngine(detector(head), (batch, 3, 160, 160), (batch, *OUTPUTS[head]))
    return Yolo(engine, head=head, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", OUTPUTS)
@pytest.mark.parametrize(
    ("shape", "box"),
    [((160, 160), (40, 30, 90, 120)), ((480, 640), (400, 100, 520, 400)), ((200, 90), (10, 20, 60, 160))],
)
def test_every_head_finds_the_box_in_source_pixels(head, shape, box):
    task = yolo(head)
    found = task(picture(*shape, box))
    assert isinstance(found, Detections)
    assert found.label.tolist() == [3, 0]  # the doubles are gone, the other class stays
    np.testing.assert_allclose(found.score, [0.9, 0.3], rtol=1e-5)
    pixel = max(shape) / 160  # the fake network sees whole pixels of its input
    np.testing.assert_allclose(found.xyxy[0], box, atol=1.5 * pixel)


@pytest.mark.parametrize("head", OUTPUTS)
def test_each_head_gets_its_own_kind_of_input(head):
    image = np.random.default_rng(0).integers(0, 256, (70, 130, 3), np.uint8)
    task = yolo(head)
    task(image)
    style = {"darknet": "darknet", "yolox": "yolox"}.get(head, "ultralytics")
    expected = letterbox(image, (160, 160), style=style)[0].astype(np.float32)
    if head != "yolox":
        expected = expected[..., ::-1] / 255
    np.testing.assert_array_equal(task.engine.seen[0][0], expected.transpose(2, 0, 1))


def test_v8_gives_what_ultralytics_gives():
    engine = FakeEngine(lambda _: PEERS["v8.output"][None])
    found = Yolo(engine)(np.zeros((101, 67, 3), np.uint8))
    np.testing.assert_array_equal(found.label, PEERS["v8.found"][:, 5])
    np.testing.assert_array_equal(found.score, PEERS["v8.found"][:, 4])
    np.testing.assert_allclose(found.xyxy, PEERS["v8.found"][:, :4], atol=1e-3)


def test_yolox_gives_what_yolox_gives():
    engine = FakeEngine(lambda _: PEERS["yolox.output"][None], output=(1, 525, 13))
    found = Yolo(engine, names=[f"kind{i}" for i in range(8)])(np.zeros((101, 67, 3), np.uint8))
    np.testing.assert_array_equal(found.label, PEERS["yolox.found"][:, 5])
    np.testing.assert_allclose(found.score, PEERS["yolox.found"][:, 4], rtol=1e-6)
    expected = np.clip(PEERS["yolox.found"][:, :4], 0, [67, 101, 67, 101])
    np.testing.assert_allclose(found.xyxy, expected, atol=1e-3)


def test_the_seeds_engine_of_17_classes_with_a_shorter_list_of_names():
    output = np.zeros((1, 21, 8400), np.float32)
    output[0, :4, 5], output[0, 4 + 16, 5] = (320, 320, 100, 200), 0.7
    engine = FakeEngine(lambda _: output, (1, 3, 640, 640), (1, 21, 8400))
    found = Yolo(engine, names=["stand", "walk"])(np.zeros((480, 640, 3), np.uint8))
    np.testing.assert_allclose(found.xyxy, [[270, 140, 370, 340]])
    assert found.name(0) == "class16"


@pytest.mark.parametrize(("batch", "calls"), [(1, 5), (2, 3), (4, 2), (8, 1), (None, 1)])
def test_lists_run_in_the_engines_batches(batch, calls):
    task = yolo(batch=batch)
    boxes = [(10 * i, 20, 10 * i + 60, 90) for i in range(5)]
    images = [picture(160, 160, box) for box in boxes]
    found = task([Frame(images[0]), *images[1:]])
    assert len(task.engine.seen) == calls
    assert [len(one) for one in found] == [2] * 5
    for one, box in zip(found, boxes, strict=True):
        np.testing.assert_allclose(one.xyxy[0], box, atol=0.1)
    assert task([]) == []


def test_results_stay_when_the_engine_reuses_its_memory():
    memory = np.zeros((1, 12, 525), np.float32)

    def answer(batch: np.ndarray) -> np.ndarray:
        memory[...] = detector("yolov8")(batch)
        return memory

    task = Yolo(FakeEngine(answer))
    first = task(picture(160, 160, (10, 10, 50, 50)))
    kept = first.xyxy.copy()
    task(picture(160, 160, (80, 80, 150, 150)))
    np.testing.assert_array_equal(first.xyxy, kept)


def test_auto_letterbox_on_a_dynamic_engine():
    engine = FakeEngine(
        detector("yolov8"), (None, 3, None, None), (None, 12, None), metadata={"stride": "32"}
    )
    task = Yolo(engine, size=(160, 160), auto=True)
    wide, tall = picture(80, 160, (20, 20, 80, 60)), picture(160, 80, (20, 20, 60, 80))
    np.testing.assert_allclose(task(wide).xyxy[0], (20, 20, 80, 60), atol=0.1)
    assert engine.seen[-1].shape == (1, 3, 96, 160)
    both = task([wide, tall])  # they differ: full size for both
    assert engine.seen[-1].shape == (2, 3, 160, 160)
    np.testing.assert_allclose(both[0].xyxy[0], (20, 20, 80, 60), atol=0.1)
    np.testing.assert_allclose(both[1].xyxy[0], (20, 20, 60, 80), atol=0.1)


def test_the_size_of_a_dynamic_engine():
    def size(metadata: dict[str, str], shape: tuple = (1, 3, None, None), **settings: object) -> tuple:
        engine = FakeEngine(detector("yolov8"), shape, (1, 12, None), metadata=metadata)
        return Yolo(engine, **settings).size  # type: ignore[arg-type]

    assert size({}) == (640, 640)
    assert size({"imgsz": "[384, 512]"}) == (384, 512)
    assert size({"imgsz": "320"}) == (320, 320)
    assert size({"imgsz": "junk("}) == (640, 640)
    assert size({"imgsz": "[384, 512]"}, size=(96, 128)) == (96, 128)
    assert size({}, (1, 3, 256, None)) == (256, 640)
    assert size({}, (1, 3, 256, None), size=(256, 96)) == (256, 96)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_input_has_the_engines_dtype(dtype):
    image = np.random.default_rng(1).integers(0, 256, (160, 160, 3), np.uint8)
    task = Yolo(FakeEngine(detector("yolov8"), dtype=dtype))
    task(image)
    np.testing.assert_array_equal(task.engine.seen[0], to_tensor([image], dtype=dtype))


def test_filters_run_before_the_doubles_are_removed():
    image = picture(160, 160, (40, 30, 90, 120))
    assert yolo(classes=[3])(image).label.tolist() == [3]
    assert yolo(classes=["class3"], names=[f"class{i}" for i in range(8)])(image).label.tolist() == [3]
    assert yolo(classes=["0"])(image).label.tolist() == [0]  # would be dropped by class 3 if agnostic
    assert yolo(classes=["0"], agnostic=True)(image).label.tolist() == [0]
    assert yolo(agnostic=True)(image).label.tolist() == [3]
    assert yolo(classes=[5])(image).label.tolist() == []
    assert yolo(classes=[])(image).label.tolist() == []


def test_limits():
    image = picture(160, 160, (40, 30, 90, 120))
    assert yolo(max_det=1)(image).label.tolist() == [3]
    assert yolo("end2end", max_det=1)(image).label.tolist() == [3]
    assert yolo(score=0.5)(image).label.tolist() == [3]
    assert yolo(score=0.95)(image).label.tolist() == []
    np.testing.assert_allclose(yolo(iou=1.0)(image).score, [0.9, 0.8, 0.3])
    assert len(yolo()(np.zeros((50, 50, 3), np.uint8))) == 0


def test_names():
    def names(count: int, metadata: dict[str, str], **settings: object) -> tuple[str, ...]:
        output = (1, 4 + count, 525)
        return Yolo(FakeEngine(detector("yolov8"), output=output, metadata=metadata), **settings).names  # type: ignore[arg-type]

    assert names(80, {}) == COCO80
    assert names(3, {}) == ()
    assert names(2, {"names": "{0: 'cat', 1: 'dog'}"}) == ("cat", "dog")
    assert names(2, {"names": "['cat', 'dog']"}) == ("cat", "dog")
    assert names(3, {"names": '{"0": "cat", "2": "dog"}'}) == ("cat", "class1", "dog")
    assert names(2, {"names": "{0: 'cat', 1: 'dog'}"}, names=["a", "b"]) == ("a", "b")
    assert names(2, {"names": "__import__('os')"}, names=["a", "b"]) == ("a", "b")


@pytest.mark.parametrize(
    "note",
    [
        "__import__('os').getcwd()",
        "{0: 'a'",
        "7",
        "{'a': 'b'}",
        "{10**9: 'a'}",
        "{-1: 'a'}",
        "{999999999: 'a'}",
        "(" * 5000,
    ],
)
def test_names_that_cannot_be_read(note):
    with pytest.raises(InputError, match=r"note 'names' is no list or dict of class names.*give names="):
        noted_names({"names": note})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": 1.1}, "score=1.1 is not between 0 and 1"),
        ({"score": float("nan")}, "score=nan"),
        ({"iou": -0.1}, "iou=-0.1"),
        ({"max_det": 0}, "max_det=0 keeps nothing"),
        ({"classes": ["cow"]}, "class 'cow' is not one of this model's: it has no names"),
        ({"classes": ["cow"], "names": ["cat"]}, "class 'cow' is not one of this model's: cat"),
        ({"classes": [8]}, "class 8 does not exist; this model has 8 classes, from 0"),
        ({"classes": [-1]}, "class -1 does not exist"),
        ({"size": (64, 64)}, "size=64×64 does not fit the engine's input images 1×3×160×160"),
        ({"auto": True}, "auto needs an engine of dynamic size"),
        ({"head": "v3"}, "head 'v3' is unknown; choose one of auto, yolov8"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        Yolo(FakeEngine(detector("yolov8")), **settings)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"shape": (1, 160, 160, 3)}, "one picture input.*this model has images 1×160×160×3"),
        ({"shape": (1, 3)}, "one picture input"),
        ({"dtype": np.uint8}, "input tensor is uint8; the kit fills float32 and float16"),
        ({"output": (1, 1000)}, "no output has three axes; it has output0 1×1000"),
        ({"output": (1, 9, 9)}, "fits no single YOLO head for an input of 160×160"),
        ({"metadata": {"task": "pose"}}, "made for 'pose'"),
    ],
)
def test_models_that_are_no_detectors(engine, message):
    with pytest.raises(InputError, match=message):
        Yolo(FakeEngine(detector("yolov8"), **engine))


def test_yolox_on_a_dynamic_engine_has_no_auto():
    engine = FakeEngine(detector("yolox"), (1, 3, None, None), (1, None, 13))
    with pytest.raises(InputError, match="letterbox style 'yolox' has no auto"):
        Yolo(engine, head="yolox", auto=True)


def test_the_steps_one_by_one_and_their_times():
    task = yolo()
    image = picture(120, 160, (40, 30, 90, 100))
    feeds, transforms = task.preprocess([image])
    assert list(feeds) == ["images"]
    assert transforms == [place((120, 160), (160, 160))]
    outputs = task.infer(feeds)
    (found,) = task.postprocess(outputs, transforms)
    whole = task(image)
    np.testing.assert_array_equal(found.xyxy, whole.xyxy)
    assert set(task.times) == {"pre", "infer", "post"}
    assert all(seconds > 0 for seconds in task.times.values())
    with pytest.raises(InputError, match=r"the outputs \['wrong'\] lack 'output0'"):
        task.postprocess({"wrong": outputs["output0"]}, transforms)


def test_pictures_that_are_none_are_refused():
    for wrong in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(InputError):
            yolo()(wrong)


def test_closing_the_task_closes_the_engine():
    with yolo() as task:
        pass
    assert task.engine.closed == 1


def test_a_real_onnx_file(tmp_path):
    """Names, size and head come out of the file; the boxes out of ONNX Runtime."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from edgekit.tasks.yolo import open_yolo

    output = np.zeros((1, 6, 84), np.float32)  # a 64×64 input
    output[0, :, 10] = 32, 32, 20, 40, 0.1, 0.8
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["bright"], keepdims=0),
        helper.make_node("Mul", ["table", "bright"], ["output0"]),  # white pictures make scores 1:1
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 84])],
        [numpy_helper.from_array(output, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'cat', 1: 'dog'}", "stride": "32", "task": "detect"})
    onnx.save(model, tmp_path / "toy.onnx")
    with open_yolo(tmp_path / "toy.onnx", backend="onnxruntime-cpu", classes=["dog"]) as task:
        found = task(np.full((128, 128, 3), 255, np.uint8))
    np.testing.assert_allclose(found.xyxy, [[44, 24, 84, 104]], atol=1e-4)
    assert [found.name(i) for i in range(len(found))] == ["dog"]
