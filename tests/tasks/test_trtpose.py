"""TrtPose around tiny networks: people drawn as coloured dots come back at their places in the picture.

The networks are ONNX files that know each keypoint by its colour and each limb by the colours of its ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from drawn_people import draw_maps
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine import TensorSpec, check_feeds
from edgekit.errors import InputError, MissingError
from edgekit.ops.connect import parse_objects
from edgekit.results import Frame, Poses
from edgekit.tasks.trtpose import TrtPose, open_trtpose
from edgekit.tasks.trtpose_input import MEAN, STD, PoseInput
from edgekit.topology import COCO17, HUMAN18, Topology

SIZE = (96, 128)  # of the input; the maps are a quarter of it
MAPS = (24, 32)
DOTS = Topology("dots", ("red", "green", "blue"), ((0, 1), (1, 2)))
#: BGR of the keypoints of `DOTS`.
COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0))
NOTES = {"task": "trtpose", "topology": DOTS.note(), "imgsz": "[96, 128]"}


def dots_net(path: Path, batch: int | str = 1, side: int | str = 0, **notes: str) -> Path:
    """A network of `DOTS`: a keypoint's map is its colour less the others, at a quarter of the size.

    Its fields are the same everywhere: right for limbs that go to the right, which those of `dots` do.
    """
    height, width = (side, side) if side else SIZE
    high, wide = (side, side) if side else MAPS
    constants = {
        "std": np.array(STD, np.float32).reshape(1, 3, 1, 1),
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "zero": np.zeros(1, np.float32),
        "colours": (2 * np.eye(3, dtype=np.float32) - 1).reshape(3, 3, 1, 1),
        "right": np.array([0, 1, 0, 1], np.float32).reshape(1, 4, 1, 1),
        "one_channel": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["images", "std"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mean"], ["unit"]),
        helper.make_node("AveragePool", ["unit"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "colours"], ["more"]),
        helper.make_node("Relu", ["more"], ["cmap"]),
        helper.make_node("ReduceSum", ["cmap", "one_channel"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "right"], ["paf"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dots",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, height, width])],
        [
            helper.make_tensor_value_info("cmap", TensorProto.FLOAT, [batch, 3, high, wide]),
            helper.make_tensor_value_info("paf", TensorProto.FLOAT, [batch, 4, high, wide]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {**NOTES, **notes})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def dots(
    size: tuple[int, int], *people: tuple[float, float], step: float = 0.29
) -> tuple[np.ndarray, np.ndarray]:
    """A black picture with people as three dots from left to right, and their keypoints [N, 3, 2] in pixels.

    Args:
        size: (height, width).
        people: x and y of each one's first dot, as fractions.
        step: from dot to dot, as a fraction of the width.
    """
    image = np.zeros((*size, 3), np.uint8)
    points = np.array([[(x + k * step, y) for k in range(3)] for x, y in people]) * (size[1], size[0])
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    sigma = 3.0 * max(size[0] / SIZE[0], size[1] / SIZE[1])  # three pixels of a letterboxed input
    for person in points:
        for (px, py), colour in zip(person, COLOURS, strict=True):
            bell = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
            image = np.maximum(image, (bell[:, :, None] * colour).astype(np.uint8))
    return image, points


def by_place(poses: Poses) -> np.ndarray:
    """Keypoints [N, K, 2] from the top down."""
    points = poses.keypoints[:, :, :2]
    return points[np.argsort(points[:, 0, 1])]


class Answer:
    """An engine that gives the same maps whatever it is shown."""

    backend, precision, device, why = "fake", "fp32", "here", "a test"

    def __init__(
        self, cmap: np.ndarray, paf: np.ndarray, metadata: Mapping[str, str] | None = None, **shape: Any
    ) -> None:
        entry = shape.get("entry") or (len(cmap), 3, 4 * cmap.shape[2], 4 * cmap.shape[3])
        self.inputs = (TensorSpec("images", entry, np.dtype(shape.get("dtype", np.float32))),)
        names = shape.get("names", ("cmap", "paf"))
        self.answer = dict(zip(names, (cmap, paf), strict=True))
        self.outputs = tuple(TensorSpec(n, a.shape, a.dtype) for n, a in self.answer.items())
        self.metadata = dict(metadata or {})
        self.times: dict[str, float] = {}
        self.seen: list[np.ndarray] = []
        self.closed = 0

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        check_feeds(self.inputs, feeds)
        self.seen.append(feeds["images"].copy())
        return self.answer

    def close(self) -> None:
        self.closed += 1


def drawn(count: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """cmap [1, 18, 48, 64] and paf [1, 42, 48, 64] of people side by side."""
    from drawn_people import STANDING

    people = (np.arange(count)[:, None, None] * (1, 0) + STANDING * 0.9 + 0.03) * (64 / count, 48)
    cmap, paf = draw_maps(people, (48, 64), seed=seed, noise=0.01)
    return cmap[None], paf[None]


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(96, 128), (300, 640), (480, 200), (90, 111)])
def test_people_come_back_in_source_pixels(tmp_path: Path, fit: str, size: tuple[int, int]) -> None:
    image, points = dots(size, (0.213, 0.257), (0.307, 0.711))
    with open_trtpose(dots_net(tmp_path / "dots.onnx", fit=fit), backend="onnxruntime-cpu") as task:
        assert task.fit == fit
        poses = task(Frame(image))
        assert set(task.times) == {"pre", "infer", "post"}
        assert min(task.times.values()) > 0
    whole = poses[(poses.keypoints[:, :, 2] > 0).all(axis=1)]
    assert len(whole) == 2
    assert whole.names == DOTS.keypoints
    assert whole.skeleton == DOTS.skeleton
    scale = min(SIZE[0] / size[0], SIZE[1] / size[1])
    cell = (4 / scale, 4 / scale) if fit == "letterbox" else (4 * size[1] / SIZE[1], 4 * size[0] / SIZE[0])
    off = np.abs(by_place(whole) - points) / cell
    assert off.max() < 0.4, "less than half a cell of the map"


@pytest.mark.parametrize("batch", [1, 3, "batch"])
def test_batches(tmp_path: Path, batch: int | str) -> None:
    """Pictures of several sizes together, more than a batch holds, are each as if alone."""
    sizes = [(96, 128), (200, 150), (60, 300), (96, 128), (120, 160)]
    pairs = [dots(size, (0.153, 0.207 + 0.1 * n)) for n, size in enumerate(sizes)]
    with open_trtpose(
        dots_net(tmp_path / "dots.onnx", batch, fit="letterbox"), backend="onnxruntime-cpu"
    ) as task:
        alone = [task(image) for image, _ in pairs]
        together = task([Frame(image) for image, _ in pairs])
        assert task([]) == []
    assert len(together) == 5
    for one, other, (_, points) in zip(alone, together, pairs, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.score, other.score)
        assert len(one) == 1
        assert np.abs(one.keypoints[0, :, :2] - points[0]).max() < 12


def test_places_left_over_are_grey(tmp_path: Path) -> None:
    task = TrtPose(Answer(*(np.repeat(part, 3, axis=0) for part in drawn())))
    image = np.full((50, 50, 3), 200, np.uint8)
    task([image, image, image])
    task([image])
    grey = ((np.float32(114) / np.float32(255)) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    first, *rest = task.engine.seen[-1]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first, task.engine.seen[0][0])  # type: ignore[attr-defined]
    for one in rest:
        np.testing.assert_allclose(one, np.broadcast_to(grey[:, None, None], one.shape), rtol=1e-6)


def test_a_dynamic_size_is_given_or_noted(tmp_path: Path) -> None:
    path = dots_net(tmp_path / "dots.onnx", side="side", imgsz="[64, 96]")
    image, points = dots((200, 400), (0.213, 0.513))
    for size in (None, (96, 160)):
        with open_trtpose(path, backend="onnxruntime-cpu", size=size) as task:
            assert task.size == (size or (64, 96))
            assert np.abs(task(image).keypoints[0, :, :2] - points[0]).max() < 8


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_input_as_by_hand(fit: str, dtype: type) -> None:
    """(RGB / 255 − mean) / std in float32 as torchvision rounds it, of the picture that OpenCV scaled."""
    rng = np.random.default_rng(1)
    fill = PoseInput((48, 64), fit, dtype=dtype)
    for size in ((100, 90), (48, 64), (30, 200)):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        tensor, (to,) = fill([image])
        canvas = np.full((48, 64, 3), 114, np.uint8)
        inside = np.s_[to.top : to.top + to.content[0], to.left : to.left + to.content[1]]
        canvas[inside] = cv2.resize(image, to.content[::-1], interpolation=cv2.INTER_LINEAR)
        wanted = canvas[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        wanted -= np.array(MEAN, np.float32)[:, None, None]
        wanted /= np.array(STD, np.float32)[:, None, None]
        assert tensor.dtype == dtype
        np.testing.assert_array_equal(tensor[0], wanted.astype(dtype))
        if fit == "stretch":
            assert (to.content, to.left, to.top) == ((48, 64), 0, 0)
        else:
            assert to.content[0] / to.content[1] == pytest.approx(size[0] / size[1], rel=0.1)


def test_noted_mean_and_std() -> None:
    engine = Answer(*drawn(), metadata={"mean": "[0, 0, 0]", "std": "(1, 0.5, 0.25)"})
    TrtPose(engine)(np.full((48, 64, 3), (51, 102, 255), np.uint8))  # BGR
    np.testing.assert_allclose(engine.seen[0][0, :, 0, 0], [1, 0.8, 0.8], rtol=1e-6)


def test_result_of_maps() -> None:
    """Keypoints as `parse_objects` gives them, in pixels; the score is the mean over all there could be."""
    cmap, paf = drawn(3)
    task = TrtPose(Answer(cmap, paf))
    poses = task(np.zeros((480, 960, 3), np.uint8))
    plain = parse_objects(cmap[0], paf[0], HUMAN18)
    order = np.argsort(-plain[:, :, 2].mean(axis=1))
    np.testing.assert_allclose(poses.keypoints, plain[order] * (960, 480, 1), atol=1e-3)
    np.testing.assert_allclose(poses.score, plain[order, :, 2].mean(axis=1), rtol=1e-5)
    assert (np.diff(poses.score) <= 0).all()
    got_cmap, got_paf = task.maps(task.infer(task.preprocess([np.zeros((9, 9, 3), np.uint8)])[0]))
    np.testing.assert_array_equal(got_cmap, cmap)
    np.testing.assert_array_equal(got_paf, paf)


def test_settings_take_effect_at_once() -> None:
    cmap, paf = drawn(2)
    cmap[0, 3, 2, 60] = 0.3  # an ear of nobody
    task, image = TrtPose(Answer(cmap, paf)), np.zeros((48, 64, 3), np.uint8)
    assert len(task(image)) == 2, "a lone ear is no person, unless asked for"
    task.score = 0.0
    assert len(task(image)) == 3
    assert set(task.controls) == {"cmap_threshold", "link_threshold", "score"}
    task.score = 0.5
    assert len(task(image)) == 2
    task.score, task.cmap_threshold = 0.0, 0.4
    assert len(task(image)) == 2
    task.link_threshold = 1.0
    assert len(task(image)) > 10
    task.max_people = 4
    assert len(task(image)) == 4
    task.cmap_threshold = 1.0
    assert len(task(image)) < 4


@pytest.mark.parametrize(("height", "width"), [(100, 400), (400, 100)])
def test_keypoints_stay_in_the_picture(height: int, width: int) -> None:
    """A letterboxed person who reaches into the border is cut at the picture's edge."""
    cmap, paf = drawn(2)
    poses = TrtPose(Answer(cmap, paf), fit="letterbox")(np.zeros((height, width, 3), np.uint8))
    found = poses.keypoints[poses.keypoints[:, :, 2] > 0]
    assert found[:, :2].min() >= 0
    assert (found[:, :2] <= (width, height)).all()
    across = found[:, 1] if width > height else found[:, 0]
    assert {0.0, 100.0} <= set(across.tolist())


def test_smooth_needs_time() -> None:
    cmap, paf = drawn(1)
    engine = Answer(cmap, paf)
    steady, plain = TrtPose(engine, smooth=True), TrtPose(engine)
    image = np.zeros((48, 64, 3), np.uint8)
    np.testing.assert_array_equal(steady(Frame(image, t=0.0)).keypoints, plain(image).keypoints)
    engine.answer["cmap"] = np.roll(cmap, 2, axis=3)
    engine.answer["paf"] = np.roll(paf, 2, axis=3)
    new, old = plain(image), steady(Frame(image, t=0.03))
    behind = new.keypoints[:, :, 0] - old.keypoints[:, :, 0]
    assert (behind[new.keypoints[:, :, 2] > 0] > 0.1).all()


def test_outputs_without_names_of_their_own() -> None:
    """As other exporters name them; 18 keypoints and 21 limbs are trt_pose's person."""
    task = TrtPose(Answer(*drawn(), names=("621", "634")))
    assert task.topology == HUMAN18
    assert len(task(np.zeros((48, 64, 3), np.uint8))) == 2


def test_half_precision_outputs() -> None:
    poses = TrtPose(Answer(*(part.astype(np.float16) for part in drawn())))(np.zeros((48, 64, 3), np.uint8))
    assert len(poses) == 2


def test_topology_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "person.json"
    path.write_text(json.dumps({**HUMAN18.to_category(), "name": "somebody"}))
    task = TrtPose(Answer(*drawn()), topology=path)
    assert task.topology.name == "somebody"
    assert task.names == HUMAN18.keypoints


def test_the_engine_is_closed_with_the_task_and_after_an_error(tmp_path: Path) -> None:
    engine = Answer(*drawn())
    with TrtPose(engine):
        assert not engine.closed
    assert engine.closed == 1
    with pytest.raises(InputError, match="fit='tall'"):  # an engine left open would be a ResourceWarning
        open_trtpose(dots_net(tmp_path / "dots.onnx"), backend="onnxruntime-cpu", fit="tall")


def test_an_engine_of_the_host_has_its_steps_there() -> None:
    with pytest.raises(MissingError, match="keeps its tensors on the host"):
        TrtPose(Answer(*drawn()), ops="cuda")
    task = TrtPose(Answer(*drawn()))
    assert (task.ops, task.ops_why) == ("host", "fake keeps its tensors on the host")


def test_broken_maps_are_named() -> None:
    cmap, paf = drawn()
    with pytest.raises(InputError, match="NaN or infinity"):
        TrtPose(Answer(cmap, paf * np.float32("nan")))(np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cmap_threshold": 1.5}, "cmap_threshold=1.5"),
        ({"link_threshold": -0.1}, "link_threshold=-0.1"),
        ({"score": 2}, "score=2"),
        ({"max_people": 0}, "max_people=0"),
        ({"fit": "crop"}, "stretch or letterbox"),
        ({"topology": COCO17}, "17 keypoints and 19 limbs"),
        ({"topology": "nowhere.json"}, "no skeleton 'nowhere.json'"),
        ({"size": (100, 100)}, "size=100×100"),
        ({"ops": "fpga"}, "auto, host, graft, cuda"),
    ],
)
def test_settings_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrtPose(Answer(*drawn()), **settings)


def test_models_refused() -> None:
    cmap, paf = drawn()
    with pytest.raises(InputError, match="does not say of what"):
        TrtPose(Answer(cmap[:, :5], paf[:, :8]))
    with pytest.raises(InputError, match="one picture input"):
        TrtPose(Answer(cmap, paf, entry=(1, 1, 48, 64)))
    with pytest.raises(InputError, match="batch×channels"):
        TrtPose(Answer(cmap[0], paf[0], entry=(1, 3, 48, 64)))
    with pytest.raises(InputError, match="'std'"):
        TrtPose(Answer(cmap, paf, metadata={"std": "[0, 1, 1]"}))
    with pytest.raises(InputError, match="'mean'"):
        TrtPose(Answer(cmap, paf, metadata={"mean": "no"}))
    one = Answer(cmap, paf)
    one.outputs = one.outputs[:1]
    with pytest.raises(InputError, match="outputs cmap and paf"):
        TrtPose(one)
    task = TrtPose(Answer(cmap, paf))
    with pytest.raises(InputError, match="lack 'paf'"):
        task.postprocess({"cmap": cmap}, [])
    with pytest.raises(InputError, match="18 channels"):
        task.postprocess({"cmap": paf, "paf": paf}, [])
