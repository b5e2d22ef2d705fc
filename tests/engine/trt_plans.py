"""Networks that stand in for plans, what goes into them, and what ONNX Runtime says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgekit.engine.tensorrt import TensorRTEngine

RANGE = [[1, 3, 4, 4], [2, 3, 8, 8], [4, 3, 16, 16]]


def save(path: Path, nodes: list, inputs: list, outputs: list, weights: tuple = (), **ranges: list) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for name, shapes in ranges.items():
        model.metadata_props.add(key=f"profile:{name}", value=json.dumps(shapes))
    onnx.save(model, path)
    return path


def info(name: str, shape: list, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def fixed(folder: Path) -> Path:
    """Two inputs and three outputs of several types, fixed shapes."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["half", "bias"], ["sum"]),
        helper.make_node("ReduceSum", ["sum"], ["total"], keepdims=0),
        helper.make_node("ArgMax", ["half"], ["best"], axis=1, keepdims=0),
        helper.make_node("Greater", ["half", "bias"], ["more"]),
    ]
    inputs = [info("pixels", [1, 3, 5, 7], TensorProto.UINT8), info("bias", [3, 5, 7], TensorProto.FLOAT16)]
    outputs = [
        info("total", [], TensorProto.FLOAT16),
        info("best", [1, 5, 7], TensorProto.INT64),
        info("more", [1, 3, 5, 7], TensorProto.BOOL),
    ]
    return save(folder / "fixed.plan", nodes, inputs, outputs)


def dynamic(folder: Path) -> Path:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 3, 3], np.linspace(-1, 1, 54))
    return save(
        folder / "dynamic.plan",
        [helper.make_node("Conv", ["images", "w"], ["output0"], pads=[1, 1, 1, 1], strides=[2, 2])],
        [info("images", ["batch", 3, "h", "w"])],
        [info("output0", ["batch", 2, "oh", "ow"])],
        (weights,),
        images=RANGE,
    )


def data_dependent(folder: Path) -> Path:
    return save(
        folder / "nonzero.plan",
        [helper.make_node("NonZero", ["x"], ["where"]), helper.make_node("Neg", ["x"], ["minus"])],
        [info("x", [4, 6])],
        [info("where", [2, "n"], TensorProto.INT64), info("minus", [4, 6])],
    )


def reference(plan: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(plan), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def check(engine: TensorRTEngine, plan: Path, feeds: dict[str, np.ndarray]) -> None:
    wanted, got = reference(plan, feeds), engine(feeds)
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        assert got[name].tobytes() == array.tobytes()


def fixed_feeds(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "pixels": rng.integers(0, 9, (1, 3, 5, 7), np.uint8),
        "bias": rng.normal(0, 5, (3, 5, 7)).astype(np.float16),
    }


def images(*shape: int) -> dict[str, np.ndarray]:
    return {"images": np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)}
