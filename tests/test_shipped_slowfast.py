"""The action network that ships: its contract, its card, what it sees in the sample. Needs no PyTorch."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from sample_people import mean_scores

from edgekit.action_names import AVA80
from edgekit.files import engines_dir, sha256
from edgekit.models import models

NAME = "edgekit-slowfast"


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(str(engines_dir() / f"{NAME}.onnx"))


@pytest.fixture(scope="module")
def notes(shipped: onnx.ModelProto) -> dict[str, str]:
    return {p.key: p.value for p in shipped.metadata_props}


@pytest.fixture(scope="module")
def card() -> str:
    return (engines_dir() / f"{NAME}.md").read_text(encoding="utf-8")


def test_size_and_form(shipped: onnx.ModelProto) -> None:
    weights = sum(int(np.prod(t.dims)) for t in shipped.graph.initializer)
    assert 2 * weights <= 12_000_000
    assert (shipped.ir_version, shipped.opset_import[0].version) == (9, 17)
    assert [node.op_type for node in shipped.graph.node].count("RoiAlign") == 2
    assert [i.name for i in shipped.graph.input] == ["slow", "fast", "boxes"]
    assert [o.name for o in shipped.graph.output] == ["scores"]


def test_half_precision_loses_no_weight(shipped: onnx.ModelProto) -> None:
    for tensor in shipped.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)


def test_contract(shipped: onnx.ModelProto, notes: dict[str, str]) -> None:
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in shipped.graph.input}
    frames, alpha = int(notes["frames"]), int(notes["alpha"])
    assert shapes["fast"] == [1, 3, frames, 0, 0]
    assert shapes["slow"] == [1, 3, frames // alpha, 0, 0]
    assert shapes["boxes"] == [0, 4]
    names = json.loads(notes["names"])
    assert shipped.graph.output[0].type.tensor_type.shape.dim[1].dim_value == len(names)
    assert set(names) <= set(AVA80)
    assert notes["task"] == "slowfast"
    assert notes["license"] == "Apache-2.0"
    assert int(notes["span"]) >= frames
    assert 0 < float(notes["threshold"]) < 1


def test_card_and_shelf_agree(card: str, notes: dict[str, str]) -> None:
    file = engines_dir() / f"{NAME}.onnx"
    digest, one = sha256(file), models()[NAME]
    assert (one.sha256, one.bytes) == (digest, file.stat().st_size)
    assert digest in card
    assert f"{file.stat().st_size:,}" in card
    assert list(one.names) == json.loads(notes["names"])
    for name in one.names:
        assert re.search(rf"\| {re.escape(name)} \|", card), f"the card has no row of {name}"


def test_the_people_of_the_sample_walk() -> None:
    """Most of those who cross the picture are said to walk, and none to lie, fall, jump or fight for sure."""
    from edgekit.tasks.slowfast import open_slowfast

    with open_slowfast(NAME, precision="fp32", backend="onnxruntime", stride=8) as task:
        people, names, threshold = mean_scores(task, 48), task.names, task.threshold
    assert (people[:, names.index("walk")] >= threshold).mean() >= 0.6
    for name in ("lie/sleep", "fall down", "fight/hit (a person)"):
        assert (people[:, names.index(name)] < 0.5).mean() >= 0.8
