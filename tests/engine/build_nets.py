"""Small ONNX models for the tests of building."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Size = int | str


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def conv_net(
    batch: Size = 1, size: Size = 32, depth: int = 3, opset: int = 17, seed: int = 0
) -> onnx.ModelProto:
    """Convolutions with SiLU and a residual sum, as a YOLO backbone has them. images → output0."""
    rng = np.random.default_rng(seed)
    nodes, weights, tensor, channels = [], [], "images", 3
    for i in range(depth):
        shape = (16, channels, 3, 3)
        weight = rng.standard_normal(shape) / np.sqrt(channels * 9)
        weights += [
            numpy_helper.from_array(weight.astype(np.float32), f"w{i}"),
            numpy_helper.from_array(rng.standard_normal(16).astype(np.float32) * 0.1, f"b{i}"),
        ]
        nodes += [
            helper.make_node("Conv", [tensor, f"w{i}", f"b{i}"], [f"c{i}"], pads=[1] * 4, name=f"conv{i}"),
            helper.make_node("Sigmoid", [f"c{i}"], [f"s{i}"], name=f"sigmoid{i}"),
            helper.make_node("Mul", [f"c{i}", f"s{i}"], [f"m{i}"], name=f"mul{i}"),
        ]
        if i:
            nodes.append(helper.make_node("Add", [tensor, f"m{i}"], [f"a{i}"], name=f"add{i}"))
        tensor, channels = (f"a{i}" if i else f"m{i}"), 16
    nodes[-1].output[0] = "output0"
    return _model(
        nodes,
        [("images", [batch, 3, size, size])],
        [("output0", TensorProto.FLOAT, [batch, 16, size, size])],
        weights,
        opset,
    )


def nms_net() -> onnx.ModelProto:
    """NonMaxSuppression, which TensorRT-RTX parses and cannot build."""
    constants = [
        numpy_helper.from_array(np.array([20], np.int64), "most"),
        numpy_helper.from_array(np.array([0.5], np.float32), "iou"),
        numpy_helper.from_array(np.array([0.1], np.float32), "score"),
    ]
    node = helper.make_node(
        "NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["chosen"], name="nms"
    )
    inputs = [("boxes", [1, 100, 4]), ("scores", [1, 3, 100])]
    return _model([node], inputs, [("chosen", TensorProto.INT64, ["n", 3])], constants)


def nonzero_net() -> onnx.ModelProto:
    """NonZero, which TensorRT-RTX does not parse."""
    node = helper.make_node("NonZero", ["x"], ["where"], name="find_them")
    return _model([node], [("x", [8, 8])], [("where", TensorProto.INT64, [2, "n"])], [])


def _model(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any], opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    helper.set_model_props(model, {"stride": "32", "names": "{0: 'person'}"})
    return model


def write_pictures(folder: Path, count: int = 4) -> Path:
    """Pictures with structure: ramps and blocks, of odd sizes."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(count):
        image = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (61 + i, 47))
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder
