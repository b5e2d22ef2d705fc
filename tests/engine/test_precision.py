"""Rewriting ONNX files: ONNX Runtime's arithmetic on the original is the reference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from build_nets import conv_net, nonzero_net
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine.precision import at_opset, cosine, opset_of, precision_of, to_fp16, to_fp32, to_int8
from edgekit.errors import InputError


def feeds(count: int = 4, size: int = 32) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    return [{"images": rng.random((1, 3, size, size), np.float32)} for _ in range(count)]


def props(model: onnx.ModelProto) -> dict[str, str]:
    return {p.key: p.value for p in model.metadata_props}


@pytest.fixture
def model() -> onnx.ModelProto:
    return conv_net()


def test_fp16_computes_the_same_within_half_precision(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    lowered = to_fp16(model)
    onnx.checker.check_model(lowered, full_check=True)
    assert model.SerializeToString() == before, "the original must stay as it was"
    assert precision_of(lowered) == "fp16"
    assert 0.99999 < cosine(model, lowered, feeds()[0])["output0"] < 1
    assert {w.data_type for w in lowered.graph.initializer} == {TensorProto.FLOAT16}
    assert [v.type.tensor_type.elem_type for v in [*lowered.graph.input, *lowered.graph.output]] == [1, 1]
    assert (opset_of(lowered), lowered.ir_version, props(lowered)) == (17, 9, props(model))
    assert lowered.ByteSize() < 0.65 * model.ByteSize()


def test_fp16_can_change_the_inputs_and_outputs_too(model: onnx.ModelProto) -> None:
    lowered = to_fp16(model, keep_io=False)
    kinds = {v.type.tensor_type.elem_type for v in [*lowered.graph.input, *lowered.graph.output]}
    assert kinds == {TensorProto.FLOAT16}
    assert "Cast" not in {node.op_type for node in lowered.graph.node}


def test_fp16_keeps_large_constants_and_zeros() -> None:
    values = np.array([0, 60000, -1e-9, 2.0**-24, -65504, 1.5], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [6])],
        [helper.make_tensor_value_info("y", 1, [6])],
        [numpy_helper.from_array(values, "c")],
    )
    small = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    kept = numpy_helper.to_array(to_fp16(small).graph.initializer[0]).astype(np.float64)
    np.testing.assert_allclose(kept, values, rtol=0, atol=2.0**-24)


def test_fp16_of_nodes_without_names(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""
    assert cosine(model, to_fp16(model), feeds()[0])["output0"] > 0.99999


def test_fp16_of_a_model_with_its_own_cast_and_a_layer_that_stays_fp32() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["m"]),
        helper.make_node("Resize", ["m", "", "sizes"], ["y"], mode="nearest"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
        [
            numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    picture = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4)
    lowered = to_fp16(model)
    onnx.checker.check_model(lowered, full_check=True)
    assert cosine(model, lowered, {"x": picture})["y"] > 0.99999


def test_fp32_of_an_fp16_model_equals_it(model: onnx.ModelProto) -> None:
    lowered = to_fp16(model, keep_io=False)
    raised = to_fp32(lowered)
    onnx.checker.check_model(raised, full_check=True)
    assert precision_of(raised) == "fp32"
    for half, single in zip(lowered.graph.initializer, raised.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(half), numpy_helper.to_array(single))
    assert cosine(model, raised, feeds()[0])["output0"] > 0.99999
    assert props(raised) == props(model)


@pytest.mark.parametrize(("fp16", "opset"), [(True, 19), (False, 17)])
def test_int8_puts_qdq_around_every_convolution(model: onnx.ModelProto, fp16: bool, opset: int) -> None:
    quantised = to_int8(model, feeds(), fp16=fp16)
    onnx.checker.check_model(quantised, full_check=True)
    assert (precision_of(quantised), opset_of(quantised), props(quantised)) == ("int8", opset, props(model))
    makers = {output: node for node in quantised.graph.node for output in node.output}
    convolutions = [node for node in quantised.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    weights = {w.name: numpy_helper.to_array(w) for w in quantised.graph.initializer}
    for node in convolutions:
        assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        stored, scale, zero = (weights[name] for name in makers[node.input[1]].input)
        assert stored.dtype == np.int8
        assert scale.shape == (16,), "one scale a channel"
        assert not zero.any(), "symmetric"
        assert node.input[2] in weights, "the bias is not quantised"
    activation_zeros = [weights[n.input[2]] for n in quantised.graph.node if n.op_type == "QuantizeLinear"]
    assert {zero.dtype for zero in activation_zeros} == {np.dtype(np.int8)}
    assert not np.any(activation_zeros)
    assert 0.99 < cosine(model, quantised, feeds()[0])["output0"] < 1


def test_int8_scales_come_from_the_feeds(model: onnx.ModelProto) -> None:
    def input_scale(factor: float) -> float:
        given = [{"images": f["images"] * np.float32(factor)} for f in feeds()]
        quantised = to_int8(model, given, fp16=False)
        first = next(
            n for n in quantised.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "images"
        )
        weights = {w.name: numpy_helper.to_array(w) for w in quantised.graph.initializer}
        return float(weights[first.input[1]])

    most = max(float(f["images"].max()) for f in feeds())
    assert input_scale(1) == pytest.approx(most / 127, rel=0.01)
    assert input_scale(255) == pytest.approx(255 * most / 127, rel=0.01)


def test_int8_at_an_opset_where_qdq_must_stay_fp32(model: onnx.ModelProto) -> None:
    quantised = to_int8(model, feeds(), fp16=False)
    assert opset_of(quantised) == 17
    lowered = to_fp16(quantised)
    onnx.checker.check_model(lowered, full_check=True)
    scales = {n.input[1] for n in lowered.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")}
    assert {w.data_type for w in lowered.graph.initializer if w.name in scales} == {TensorProto.FLOAT}
    assert cosine(model, lowered, feeds()[0])["output0"] > 0.99


def test_int8_of_an_fp16_file_and_of_an_old_opset() -> None:
    old = conv_net(opset=11)
    assert cosine(old, to_int8(to_fp16(old), feeds()), feeds()[0])["output0"] > 0.99
    quantised = to_int8(old, feeds(), fp16=False)
    assert opset_of(quantised) == 13
    assert cosine(old, quantised, feeds()[0])["output0"] > 0.99


def test_int8_leaves_depthwise_convolutions_alone(model: onnx.ModelProto) -> None:
    middle = next(node for node in model.graph.node if node.name == "conv1")
    middle.attribute.append(helper.make_attribute("group", 16))
    weight = next(w for w in model.graph.initializer if w.name == "w1")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :1], "w1"))
    quantised = to_int8(model, feeds())
    makers = {output: node.op_type for node in quantised.graph.node for output in node.output}
    kinds = {node.name: makers.get(node.input[1]) for node in quantised.graph.node if node.op_type == "Conv"}
    assert kinds == {"conv0": "DequantizeLinear", "conv1": None, "conv2": "DequantizeLinear"}
    assert cosine(model, quantised, feeds()[0])["output0"] > 0.99


def test_int8_without_feeds_or_without_anything_to_quantise(model: onnx.ModelProto) -> None:
    with pytest.raises(InputError, match="calibration inputs"):
        to_int8(model, [])
    with pytest.raises(InputError, match="nothing to quantise"):
        to_int8(nonzero_net(), feeds())


def test_raising_the_opset_keeps_what_the_model_computes() -> None:
    old = conv_net(opset=11)
    raised = at_opset(old, 17)
    assert (opset_of(raised), props(raised)) == (17, props(old))
    assert cosine(old, raised, feeds()[0])["output0"] == pytest.approx(1, abs=1e-6)
    assert at_opset(raised, 13) is raised


def test_cosine_sees_a_difference(model: onnx.ModelProto) -> None:
    assert cosine(model, conv_net(seed=5), feeds()[0])["output0"] < 0.9
    assert Counter(n.op_type for n in model.graph.node)["Conv"] == 3
