"""int8 of pose networks: a top-down one is calibrated with people cut out, not with whole pictures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import InputError
from edgekit.engine import calibration as cal
from edgekit.engine.exact import open_exact
from edgekit.engine.int8 import calibrated_with, quantised
from edgekit.engine.pose_inputs import CropInput, people_in
from edgekit.engine.precision import INT8_NOTE
from edgekit.files import engines_dir

SAMPLE = Path("edgekit/samples/people.jpg")


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shelf that ships, with its detector, in a folder of its own."""
    folder = tmp_path / "engines"
    folder.mkdir()
    for name in ("models.toml", "edgekit-person.onnx"):
        shutil.copy(engines_dir() / name, folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture
def street(tmp_path: Path) -> Path:
    folder = tmp_path / "street"
    folder.mkdir()
    shutil.copy(SAMPLE, folder)
    return folder


def heat_net(path: Path, **notes: str) -> Path:
    """Two convolutions with stride 2, and 17 heat maps."""
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal(s).astype(np.float32) / 6 for s in ((16, 3, 4, 4), (17, 16, 4, 4)))
    nodes = [
        helper.make_node("Conv", ["images", "one"], ["a"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "two"], ["heatmaps"], strides=[2, 2], pads=[1] * 4),
    ]
    graph = helper.make_graph(
        nodes,
        "heat",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 256, 192])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["n", 17, 64, 48])],
        [numpy_helper.from_array(one, "one"), numpy_helper.from_array(two, "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"task": "topdown", **notes})
    onnx.save(model, path)
    return path


def test_the_people_are_cut_out_once(street: Path, shelf: Path) -> None:
    folder = people_in(street, (256, 192))
    crops = [cv2.imread(str(file)) for file in sorted(folder.iterdir())]
    assert len(crops) >= 3
    assert {crop.shape for crop in crops} == {(256, 192, 3)}
    assert shelf in folder.parents
    assert people_in(street, (256, 192)) == folder
    assert people_in(street, (128, 96)) != folder


def test_the_input_is_that_of_the_task(street: Path, tmp_path: Path) -> None:
    """Pixel for pixel what `TopDown` feeds its engine for the same boxes."""
    from edgekit.engine.pose_inputs import DETECTOR, SURE
    from edgekit.tasks.topdown import TopDown
    from edgekit.tasks.yolo import open_yolo

    path = heat_net(tmp_path / "heat.onnx", mean="[.4, .5, .6]", std="[.2, .3, .4]")
    folder, recipe = calibrated_with(path, path, street)
    assert recipe == CropInput((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    spec = cal.TensorSpec("images", (1, 3, 256, 192), np.dtype(np.float32))
    feeds = [feed["images"] for feed in cal.picture_feeds(cal.pictures(folder), spec, recipe)]
    image = cv2.imread(str(SAMPLE))
    with open_yolo(DETECTOR, "fp32", "onnxruntime-cpu", score=SURE) as yolo:
        boxes = yolo(image).xyxy
    with TopDown(open_exact(path, "fp32", "onnxruntime-cpu")) as task:
        wanted = task.preprocess([image] * len(boxes), boxes)[0]["images"]
    np.testing.assert_allclose(np.concatenate(feeds), wanted, atol=1e-6)


def test_without_notes_the_numbers_are_alphaposes(street: Path, tmp_path: Path) -> None:
    path = heat_net(tmp_path / "heat.onnx")
    assert calibrated_with(path, path, street)[1] == CropInput((0.406, 0.457, 0.48), (1, 1, 1))
    bad = heat_net(tmp_path / "bad.onnx", mean="red")
    with pytest.raises(InputError, match="'mean' is no three numbers"):
        calibrated_with(bad, bad, street)


def test_int8_of_a_top_down_network_says_whom_it_saw(street: Path, tmp_path: Path) -> None:
    made = quantised(heat_net(tmp_path / "heat.onnx"), calibration=street)
    note = {p.key: p.value for p in onnx.load(made).metadata_props}[INT8_NOTE]
    assert "people in pictures of street" in note
    with open_exact(tmp_path / "heat.onnx", "int8", "onnxruntime-cpu", calibration=street, batch=3) as engine:
        assert engine.precision == "int8"
        assert engine({"images": np.zeros((3, 3, 256, 192), np.float32)})["heatmaps"].shape == (3, 17, 64, 48)


def test_pictures_without_people_calibrate_no_top_down_network(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    cv2.imwrite(str(folder / "black.png"), np.zeros((90, 120, 3), np.uint8))
    path = heat_net(tmp_path / "heat.onnx")
    with pytest.raises(InputError, match="finds nobody in the pictures"):
        quantised(path, calibration=folder)


@pytest.mark.parametrize("notes", [{}, {"fit": "letterbox", "mean": "[0, 0, 0]", "std": "[1, 1, 1]"}])
def test_trtpose_is_calibrated_with_its_own_preprocessing(
    street: Path, tmp_path: Path, notes: dict[str, str]
) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "evaluate"))
    from pose_world import trtpose_net

    from edgekit.tasks.trtpose import open_trtpose

    path = trtpose_net(tmp_path / "pose.onnx", **notes)
    folder, recipe = calibrated_with(path, path, street)
    assert folder == street
    spec = cal.TensorSpec("images", (1, 3, 64, 64), np.dtype(np.float32))
    (feed,) = cal.picture_feeds(cal.pictures(folder), spec, recipe)
    with open_trtpose(path, "fp32", "onnxruntime-cpu") as task:
        wanted = task.preprocess([cv2.imread(str(SAMPLE))])[0]["images"]
    np.testing.assert_array_equal(feed["images"], wanted)
    with open_exact(path, "int8", "onnxruntime-cpu", calibration=street) as engine:
        assert engine.precision == "int8"
    assert repr(recipe) == f"TrtPoseInput(model={str(path)!r})"
