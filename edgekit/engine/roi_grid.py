"""RoIAlign as ONNX nodes around GridSample, which every TensorRT has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

#: The grid's longest box over the picture's side. A box may stick out; a longer one has its bins sampled
#: more coarsely.
REACH = 1.25


@dataclass(frozen=True)
class RoiForm:
    """What RoIAlign is told; defaults are upstream's for AVA."""

    bins: int = 7
    scale: float = 1 / 16
    ratio: int = 0
    aligned: bool = False


class Grid:
    """The nodes that stand for RoIAlign on maps of height × width places."""

    def __init__(self, form: RoiForm, height: int, width: int) -> None:
        self.form = form
        self.sides = {"y": height, "x": width}
        self.most = {a: form.ratio or math.ceil(REACH * n / form.bins) for a, n in self.sides.items()}
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str | np.ndarray | np.float32, name: str, **attributes: Any) -> str:
        """Add a node; arrays and numbers among its inputs become weights. Returns its output."""
        from onnx import helper

        name = f"roi/{name}"
        given = []
        for n, value in enumerate(inputs):
            if not isinstance(value, str):
                self.weights[f"{name}/{n}"] = np.asarray(value)
                value = f"{name}/{n}"
            given.append(value)
        self.nodes.append(helper.make_node(kind, given, [name], name, **attributes))
        return name

    def taken(self) -> tuple[list[Any], dict[str, np.ndarray]]:
        nodes, weights, self.nodes, self.weights = self.nodes, self.weights, [], {}
        return nodes, weights

    def places(self, boxes: str) -> tuple[list[Any], dict[str, np.ndarray]]:
        """`roi/grid` [1, N·7·gy, 7·gx, 2] and `roi/weight` [1, 1, N·7·gy, 7·gx]."""
        at = self.op("Mul", boxes, np.float32(self.form.scale), name="places")
        if self.form.aligned:
            at = self.op("Sub", at, np.float32(0.5), name="aligned")
        axes = {axis: self._axis(at, axis) for axis in ("y", "x")}
        ny, nx = (self.form.bins * self.most[axis] for axis in ("y", "x"))
        both = {}
        for what, n in (("at", 0), ("weight", 1)):
            both["y", what] = self.op("Reshape", axes["y"][n], np.array([-1, ny, 1, 1]), name=f"y_{what}_4d")
            both["x", what] = self.op("Reshape", axes["x"][n], np.array([-1, 1, nx, 1]), name=f"x_{what}_4d")
        x = self.op("Mul", both["x", "at"], np.ones((1, ny, 1, 1), np.float32), name="x_all")
        y = self.op("Mul", both["y", "at"], np.ones((1, 1, nx, 1), np.float32), name="y_all")
        grid = self.op("Concat", x, y, name="grid_each", axis=3)
        self.op("Reshape", grid, np.array([1, -1, nx, 2]), name="grid")
        weight = self.op("Mul", both["y", "weight"], both["x", "weight"], name="weight_each")
        self.op("Reshape", weight, np.array([1, 1, -1, nx]), name="weight")
        return self.taken()

    def _axis(self, boxes: str, axis: str) -> tuple[str, str]:
        """Of one axis: places from -1 to 1 and weights of the samples, [N, bins · most] each."""
        bins, most, length = self.form.bins, self.most[axis], self.sides[axis]
        first = 1 if axis == "y" else 0
        low = self.op("Gather", boxes, np.array([first]), name=f"{axis}_low", axis=1)
        high = self.op("Gather", boxes, np.array([first + 2]), name=f"{axis}_high", axis=1)
        extent = self.op("Sub", high, low, name=f"{axis}_extent")
        if not self.form.aligned:
            extent = self.op("Max", extent, np.float32(1), name=f"{axis}_extent_1")
        step = self.op("Div", extent, np.float32(bins), name=f"{axis}_step")
        if self.form.ratio:
            count = self.op("Mul", step, np.float32(0), name=f"{axis}_none")
            count = self.op("Add", count, np.float32(most), name=f"{axis}_count")
        else:
            up = self.op("Ceil", step, name=f"{axis}_ceil")
            few = self.op("Max", up, np.float32(0), name=f"{axis}_count_0")
            count = self.op("Min", few, np.float32(most), name=f"{axis}_count")
        divisor = self.op("Max", count, np.float32(1), name=f"{axis}_divisor")
        number = np.arange(bins * most)
        sample = (number % most + 0.5).astype(np.float32)[None]
        bin_ = (number // most).astype(np.float32)[None]
        inner = self.op("Div", sample, divisor, name=f"{axis}_inner")
        steps = self.op("Add", inner, bin_, name=f"{axis}_steps")
        away = self.op("Mul", steps, step, name=f"{axis}_away")
        place = self.op("Add", away, low, name=f"{axis}_place")
        used = self.op("Less", sample, count, name=f"{axis}_used")
        above = self.op("GreaterOrEqual", place, np.float32(-1), name=f"{axis}_above")
        below = self.op("LessOrEqual", place, np.float32(length), name=f"{axis}_below")
        valid = self.op("And", above, below, name=f"{axis}_within")
        valid = self.op("And", valid, used, name=f"{axis}_valid")
        one = self.op("Cast", valid, name=f"{axis}_one", to=1)
        # AveragePool divides by the places of a bin, a mean by the samples of this box
        share = self.op("Div", np.float32(most), divisor, name=f"{axis}_share")
        weight = self.op("Mul", one, share, name=f"{axis}_weight")
        double = self.op("Mul", place, np.float32(2 / length), name=f"{axis}_double")
        return self.op("Add", double, np.float32(1 / length - 1), name=f"{axis}_at"), weight

    def sample(self, node: NodeProto, channels: int) -> tuple[list[Any], dict[str, np.ndarray]]:
        """The nodes for one map, with the output of `node`."""
        from onnx import helper

        name, bins = node.output[0], self.form.bins
        kernel = [self.most["y"], self.most["x"]]
        found = self.op(
            "GridSample",
            node.input[0],
            "roi/grid",
            name=f"{name}/samples",
            mode="bilinear",
            padding_mode="border",
            align_corners=0,
        )
        found = self.op("Mul", found, "roi/weight", name=f"{name}/weighed")
        found = self.op("AveragePool", found, name=f"{name}/bins", kernel_shape=kernel, strides=kernel)
        found = self.op("Reshape", found, np.array([channels, -1, bins, bins]), name=f"{name}/stripes")
        self.nodes.append(
            helper.make_node("Transpose", [found], [name], f"roi/{name}/boxes", perm=[1, 0, 2, 3])
        )
        return self.taken()
