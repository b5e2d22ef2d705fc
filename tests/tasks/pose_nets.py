"""Tiny ONNX networks that find points which a drawing has in known colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def dots_net(path: Path, colours: np.ndarray, batch: int | str = "batch", **notes: str) -> Path:
    """FastPose's contract: heat map k is high where the crop has the colour k.

    Args:
        colours: [K, 3] RGB bytes.
        batch: the first axis.
    """
    count = len(colours)
    # 1 − Σ|x − colour|, averaged over 4×4 cells: 1 inside a dot of that colour, far less elsewhere
    colour = (colours / 255 - (0.406, 0.457, 0.480)).astype(np.float32).reshape(1, count, 3, 1, 1)
    constants = {
        "colour": colour,
        "axes": np.array([1], np.int64),
        "rgb": np.array([2], np.int64),
        "one": np.ones(1, np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["images"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Unsqueeze", ["small", "axes"], ["wide"]),
        helper.make_node("Sub", ["wide", "colour"], ["off"]),
        helper.make_node("Abs", ["off"], ["apart"]),
        helper.make_node("ReduceSum", ["apart", "rgb"], ["far"], keepdims=0),
        helper.make_node("Sub", ["one", "far"], ["heatmaps"]),
    ]
    return save(
        path,
        nodes,
        helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 256, 192]),
        helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [batch, count, 64, 48]),
        constants,
        notes,
    )


def save(path: Path, nodes: list, entry: object, leave: object, constants: dict, notes: dict) -> Path:
    """Write an ONNX file of opset 17."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [entry],
        [leave],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
