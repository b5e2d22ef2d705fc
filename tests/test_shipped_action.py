"""The ActionRecognitionNet that ships: its contract, its card, what it sees in the sample. No PyTorch."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from sample_people import mean_scores

from edgekit.files import engines_dir, sha256
from edgekit.models import models

NAME = "edgekit-action"
FILE = engines_dir() / f"{NAME}.onnx"


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(str(FILE))


@pytest.fixture(scope="module")
def notes(shipped: onnx.ModelProto) -> dict[str, str]:
    return {p.key: p.value for p in shipped.metadata_props}


@pytest.fixture(scope="module")
def card() -> str:
    return (engines_dir() / f"{NAME}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(FILE), providers=["CPUExecutionProvider"])


def test_size_and_form(shipped: onnx.ModelProto) -> None:
    weights = sum(int(np.prod(t.dims)) for t in shipped.graph.initializer)
    assert 2 * weights <= 12_000_000
    assert (shipped.ir_version, shipped.opset_import[0].version) == (9, 17)
    assert "BatchNormalization" not in {node.op_type for node in shipped.graph.node}


def test_half_precision_loses_no_weight(shipped: onnx.ModelProto) -> None:
    for tensor in shipped.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)


def test_contract(session: onnxruntime.InferenceSession, notes: dict[str, str]) -> None:
    """TAO's input and output; what running needs to know is in the metadata."""
    names = json.loads(notes["names"])
    (clip,), (scores,) = session.get_inputs(), session.get_outputs()
    assert (clip.name, clip.shape, clip.type) == ("input_rgb", ["batch", 3, 16, 112, 112], "tensor(float)")
    assert (scores.name, scores.shape, scores.type) == ("fc_pred", ["batch", len(names)], "tensor(float)")
    assert names == ["stand", "walk", "sit", "bend", "lie", "fall", "jump"]
    assert (notes["task"], notes["crop"], notes["per"]) == ("action", "resize", "person")
    assert (notes["license"], json.loads(notes["sample_rate"])) == ("Apache-2.0", 1)
    assert json.loads(notes["mean"]) == json.loads(notes["std"]) == [0.5, 0.5, 0.5]
    assert 0 < json.loads(notes["threshold"]) < 1
    assert json.loads(notes["person_margin"]) > 0


def test_a_clip_answers_alike_alone_and_among_others(session: onnxruntime.InferenceSession) -> None:
    clips = np.random.default_rng(5).normal(0, 0.5, (2, 3, 16, 112, 112)).astype(np.float32)
    both = session.run(["fc_pred"], {"input_rgb": clips})[0]
    np.testing.assert_array_equal(session.run(["fc_pred"], {"input_rgb": clips})[0], both)
    alone = session.run(["fc_pred"], {"input_rgb": clips[1:]})[0]
    np.testing.assert_allclose(alone[0], both[1], rtol=1e-4, atol=1e-4)
    assert np.abs(both[0] - both[1]).max() > 1e-3


def test_card_and_shelf_agree(card: str, notes: dict[str, str]) -> None:
    one = models()[NAME]
    assert (one.sha256, one.bytes) == (sha256(FILE), FILE.stat().st_size)
    assert one.sha256 in card
    assert f"{one.bytes:,}" in card
    assert list(one.names) == json.loads(notes["names"])
    for name in one.names:
        assert re.search(rf"^\| {name} \|", card, re.MULTILINE), f"the card has no row of {name}"


def test_the_people_of_the_sample_walk() -> None:
    """Those who cross the picture are said to walk, and nobody to lie, fall or jump."""
    from edgekit.tasks.action import open_action

    with open_action(NAME, precision="fp32", backend="onnxruntime", stride=8) as task:
        people, names = mean_scores(task, 24), task.names
    np.testing.assert_allclose(people.sum(1), 1, atol=1e-4)
    said = [names[column] for column in people.argmax(1)]
    assert said.count("walk") >= 0.75 * len(said)
    assert not {"lie", "fall", "jump"} & set(said)
