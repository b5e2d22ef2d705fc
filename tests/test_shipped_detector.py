"""The detector that ships: small, in the promised shape, and it sees people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit import open_source
from edgekit.tasks.yolo import open_yolo

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "engines" / "edgekit-person.onnx"
# what TensorRT has layers for in every version the kit supports, DLA aside
PLAIN = {"Conv", "Clip", "Add", "Sub", "Mul", "Concat", "MaxPool", "Resize", "Sigmoid", "Softplus"} | {
    "Slice",
    "Reshape",
    "Constant",
    "Shape",
}


def test_file_is_small_and_plain() -> None:
    assert MODEL.stat().st_size <= 8_000_000
    model = onnx.load(str(MODEL))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 9
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert {n.op_type for n in model.graph.node} <= PLAIN
    notes = {p.key: p.value for p in model.metadata_props}
    assert notes["names"] == "{0: 'person'}"
    assert (notes["stride"], notes["task"], notes["license"]) == ("32", "detect", "Apache-2.0")
    assert notes["imgsz"] == "[416, 416]"


def test_inputs_and_outputs() -> None:
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    (entry,), (leave,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape, entry.type) == ("images", [1, 3, 416, 416], "tensor(float)")
    assert (leave.name, leave.shape, leave.type) == ("output0", [1, 5, 3549], "tensor(float)")
    output = session.run(None, {"images": np.full((1, 3, 416, 416), 114 / 255, np.float32)})[0]
    assert np.isfinite(output).all()
    assert output[0, 4].max() < 0.1  # grey is nobody
    assert output[0, 4].min() >= 0


@pytest.mark.parametrize("seed", range(4))
def test_nobody_in_noise_and_gradients(seed: int) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (4 << seed, 4 << seed, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_LINEAR)
    with open_yolo("edgekit-person") as yolo:
        assert len(yolo(image)) == 0


def test_people_in_every_frame_of_the_sample() -> None:
    with open_source("sample") as source, open_yolo("edgekit-person") as yolo:
        for frame in source:
            heights = np.diff(yolo(frame).xyxy[:, 1::2])
            assert (heights > 60).sum() >= 3, f"frame {frame.index}"


#: People in full view in some frames of the clip, by eye: x and y of the middle, height, in pixels.
IN_VIEW = {
    0: ((656, 357, 107), (598, 197, 73), (374, 190, 81), (67, 207, 67)),
    26: ((373, 373, 122), (655, 358, 105), (238, 180, 70)),
    53: ((642, 352, 104), (595, 323, 111), (483, 214, 81), (73, 214, 71), (136, 175, 70)),
    79: ((363, 452, 140), (661, 250, 90), (505, 281, 88), (136, 181, 70), (201, 194, 69), (363, 195, 71)),
}


def test_those_in_full_view_are_found_where_they_stand() -> None:
    with open_source("sample") as source, open_yolo("edgekit-person") as yolo:
        for frame in source:
            found = yolo(frame).xyxy
            middle, height = (found[:, :2] + found[:, 2:]) / 2, found[:, 3] - found[:, 1]
            for x, y, tall in IN_VIEW.get(frame.index, ()):
                near = np.hypot(*(middle - (x, y)).T) < 0.15 * tall
                assert (near & (abs(height / tall - 1) < 0.25)).any(), f"frame {frame.index}: {x}, {y}"
