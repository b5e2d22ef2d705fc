"""Tiny networks in TAO's form: every pixel of every frame has a weight of its own in every class."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import onnx
from action_nets import make, value
from onnx import helper

NAMES = ("wave", "jump", "walk")
LENGTH, SIZE = 4, (10, 12)
NOTES = {"task": "action", "names": json.dumps(NAMES), "threshold": "0.1"}


def window_net(
    notes: Mapping[str, str] | None = NOTES,
    *,
    rgb: int = LENGTH,
    of: int = 0,
    flat: bool = False,
    batch: int | str = "batch",
    classes: int = 3,
    size: tuple[int, int] = SIZE,
    output: str = "fc_pred",
) -> onnx.ModelProto:
    """Logits of `rgb` frames and `of` flows (0: no such input), 3d or flat (2d)."""
    rng = np.random.default_rng(5)
    inputs, nodes, constants, parts = [], [], {}, []
    for name, channels, length in (("input_rgb", 3, rgb), ("input_of", 2, of)):
        if not length:
            continue
        shape = (channels * length, *size) if flat else (channels, length, *size)
        inputs.append(value(name, batch, *shape))
        nodes.append(helper.make_node("Flatten", [name], [f"{name}_flat"], axis=1))
        parts.append(f"{name}_flat")
        weights = rng.normal(size=(int(np.prod(shape)), classes)) / 20
        constants[f"{name}_weights"] = weights.astype(np.float32)
        nodes.append(helper.make_node("MatMul", [f"{name}_flat", f"{name}_weights"], [f"{name}_logits"]))
    logits = [f"{value.name}_logits" for value in inputs]
    nodes.append(helper.make_node("Sum", logits, [output]))
    return make(nodes, inputs, [value(output, batch, classes)], constants, notes or {})
