"""The pose networks that ship: their contract, their operators, what they find. Needs no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import edgekit
from edgekit.files import engines_dir, sha256
from edgekit.models import models
from edgekit.results import Poses
from edgekit.topology import COCO17, HUMAN18, Topology

PLAIN = {
    "Conv",
    "ConvTranspose",
    "Clip",
    "Relu",
    "Sigmoid",
    "Tanh",
    "Mul",
    "Add",
    "Concat",
    "Resize",
    "DepthToSpace",
    "Constant",
}
PEOPLE = {"edgekit-trtpose": 6, "edgekit-fastpose": 4}  # of the six in the sample picture, at least
#: outputs, the weights' bytes in half precision at most, topology
SHIPPED = {
    "edgekit-trtpose": (["cmap", "paf"], 12_000_000, HUMAN18),
    "edgekit-fastpose": (["heatmaps"], 8_000_000, COCO17),
}


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> tuple[str, onnx.ModelProto]:
    return request.param, onnx.load(str(engines_dir() / f"{request.param}.onnx"))


def test_sizes_and_operators(shipped: tuple[str, onnx.ModelProto]) -> None:
    name, model = shipped
    weights = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
    assert 2 * weights <= SHIPPED[name][1]
    assert {node.op_type for node in model.graph.node} <= PLAIN
    assert (model.ir_version, model.opset_import[0].version) == (9, 17)


def test_half_precision_loses_no_weight(shipped: tuple[str, onnx.ModelProto]) -> None:
    """Every weight is a number of half precision: an fp16 engine has the very same ones."""
    for tensor in shipped[1].graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)


def test_contract(shipped: tuple[str, onnx.ModelProto]) -> None:
    name, model = shipped
    outputs, _, topology = SHIPPED[name]
    notes = {p.key: p.value for p in model.metadata_props}
    assert [o.name for o in model.graph.output] == outputs
    assert [i.name for i in model.graph.input] == ["images"]
    assert Topology.from_category(json.loads(notes["topology"])) == topology
    assert notes["license"] == "Apache-2.0"
    height, width = json.loads(notes["imgsz"])
    channels = [len(topology), 2 * len(topology.skeleton)]
    for output, count in zip(model.graph.output, channels, strict=False):
        sides = [d.dim_value for d in output.type.tensor_type.shape.dim[1:]]
        assert sides[0] == count
        assert sides[1:] in ([height // 4, width // 4], [0, 0])


def test_card_and_shelf_agree(shipped: tuple[str, onnx.ModelProto]) -> None:
    name = shipped[0]
    file = engines_dir() / f"{name}.onnx"
    digest = sha256(file)
    assert models()[name].sha256 == digest
    card = (engines_dir() / f"{name}.md").read_text(encoding="utf-8")
    assert digest in card
    assert f"{file.stat().st_size:,}" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_finds_the_people_of_the_sample(name: str) -> None:
    """On the sample picture: as many people as it should find, shoulders above feet."""
    image = cv2.imread(str(Path(edgekit.__file__).parent / "samples" / "people.jpg"))
    poses = found(name, image)
    sure = poses.keypoints[poses.score > (0.3 if name == "edgekit-trtpose" else 0.5)]
    assert len(sure) >= PEOPLE[name]
    shoulders, ankles = sure[:, [5, 6]], sure[:, [15, 16]]
    both = (shoulders[..., 2] > 0.1).all(1) & (ankles[..., 2] > 0.1).all(1)
    assert both.sum() >= 3
    assert (shoulders[both, :, 1].mean(1) < ankles[both, :, 1].mean(1)).all()


def found(name: str, image: np.ndarray) -> Poses:
    if name == "edgekit-trtpose":
        from edgekit.tasks.trtpose import open_trtpose

        with open_trtpose(name, precision="fp32", backend="onnxruntime") as task:
            return task(image)
    from edgekit.tasks.alphapose import open_alphapose

    with open_alphapose(name, precision="fp32", backend="onnxruntime") as task:
        return task(image)
