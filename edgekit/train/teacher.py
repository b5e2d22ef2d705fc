"""A frozen YOLOX network as teacher: its ONNX graph run in torch, on the very batch the student sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.errors import InputError
from edgekit.train.network import STRIDES, anchors

PERSON = 0


class Teacher(nn.Module):
    """YOLOX (80 COCO classes, raw 0–255 BGR input, grid decode outside the graph) as a torch module.

    `forward` takes RGB 0..1 [B, 3, S, S], S any multiple of 32, and returns a dict:
    `boxes` [B, A, 4] x1 y1 x2 y2 pixels, `scores` [B, A, 80] objectness × class,
    `score_features` and `box_features`: per level the maps before the last 1×1 convolutions.
    Anchors have the order of `network.anchors`.
    """

    def __init__(self, file: Path | str) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(file)).graph
        self.constants: dict[str, Any] = {}
        for item in graph.initializer:
            array = np.array(numpy_helper.to_array(item))
            if array.dtype == np.float32 and array.size:
                self.register_buffer(_key(item.name), torch.from_numpy(array))
            else:
                self.constants[item.name] = array
        self.input = graph.input[0].name
        self.nodes = [
            (
                n.op_type,
                list(n.input),
                n.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute},
            )
            for n in graph.node
        ]
        flatten = [n for n in self.nodes if n[0] == "Reshape"]
        self.level_outputs = [n[1][0] for n in flatten]
        self.score_taps = self._inputs_of("head.cls_preds.{}.weight")
        self.box_taps = self._inputs_of("head.reg_preds.{}.weight")
        if not len(self.level_outputs) == len(self.score_taps) == len(self.box_taps) == len(STRIDES):
            raise InputError(f"{file} does not look like a YOLOX export with {len(STRIDES)} levels.")
        self.requires_grad_(False)
        self.eval()

    def _inputs_of(self, pattern: str) -> list[str]:
        names = [pattern.format(level) for level in range(len(STRIDES))]
        return [n[1][0] for name in names for n in self.nodes if n[0] == "Conv" and n[1][1] == name]

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        if name in values:
            return values[name]
        return self.constants[name] if name in self.constants else getattr(self, _key(name))

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Any]:
        dtype = next(self.buffers()).dtype
        values: dict[str, Any] = {self.input: (images.flip(1) * 255).to(dtype)}
        for op, inputs, output, attributes in self.nodes:
            if op == "Reshape":
                break  # from here on the graph only flattens, for a fixed size
            values[output] = OPERATORS[op](
                [self._value(i, values) if i else None for i in inputs], attributes
            )
        flat = torch.cat([values[name].flatten(2) for name in self.level_outputs], 2).float()
        points, strides = (t.to(images.device) for t in anchors(images.shape[-1]))
        centre = (flat[:, :2] + points - 0.5) * strides
        half = flat[:, 2:4].exp() * strides / 2
        return {
            "boxes": torch.cat([centre - half, centre + half], 1).transpose(1, 2),
            "scores": (flat[:, 4:5] * flat[:, 5:]).transpose(1, 2),
            "score_features": [values[name] for name in self.score_taps],
            "box_features": [values[name] for name in self.box_taps],
        }


def _key(name: str) -> str:
    return "w_" + name.replace(".", "_").replace(":", "_").replace("/", "_")


def _conv(x: list[Any], a: dict[str, Any]) -> Tensor:
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise InputError(
            "The teacher has a convolution with uneven padding, which this runner does not know."
        )
    return F.conv2d(
        x[0], x[1], x[2] if len(x) > 2 else None, a["strides"], (top, left), a["dilations"], a["group"]
    )


def _slice(x: list[Any], a: dict[str, Any]) -> Tensor:
    starts, ends, axes, steps = (np.ravel(v).tolist() for v in x[1:5])
    index = [slice(None)] * x[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, min(end, x[0].shape[axis]), step)
    return x[0][tuple(index)]


def _resize(x: list[Any], a: dict[str, Any]) -> Tensor:
    return F.interpolate(x[0], scale_factor=2.0, mode="nearest")


def _pool(x: list[Any], a: dict[str, Any]) -> Tensor:
    return F.max_pool2d(x[0], a["kernel_shape"], a["strides"], a["pads"][:2])


OPERATORS: dict[str, Callable[[list[Any], dict[str, Any]], Tensor]] = {
    "Conv": _conv,
    "Slice": _slice,
    "Resize": _resize,
    "MaxPool": _pool,
    "Sigmoid": lambda x, a: x[0].sigmoid(),
    "Mul": lambda x, a: x[0] * x[1],
    "Add": lambda x, a: x[0] + x[1],
    "Concat": lambda x, a: torch.cat(x, a["axis"]),
}
