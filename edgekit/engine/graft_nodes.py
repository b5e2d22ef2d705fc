"""The grafted steps as ONNX nodes: bytes to input, a YOLO's output to rows, heat maps to points.

All of them compute in fp32 whatever the network's types are, as the host's do, and use only operators that
every TensorRT from 8.5 on and TensorRT-RTX have. Where a first index among equals is wanted, it is the lowest
of the equal ones and no ArgMax, whose choice among equals differs by back end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.graft_note import PICTURES, POINTS, ROWS, GraftNote
from edgekit.ops.heatmaps import QUARTER

#: Names of all that is grafted begin with it.
PREFIX = "graft/"
FLOAT, HALF, INT64 = 1, 10, 7  # of onnx.TensorProto
OBJECTNESS = ("yolov5", "darknet", "yolox")  # heads whose fifth column multiplies the scores of classes
END = np.iinfo(np.int64).max


class Nodes:
    """Nodes and weights that are being made.

    Args:
        opset: of the model: from 18 on a reduction takes its axes as an input.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.weights: dict[str, NDArray] = {}

    def op(
        self, kind: str, *inputs: str | NDArray | np.generic, name: str, output: str = "", **attributes: Any
    ) -> str:
        """Add a node; arrays and numbers among its inputs become weights. Returns its output."""
        from onnx import helper

        name = PREFIX + name
        given = []
        for n, value in enumerate(inputs):
            if not isinstance(value, str):
                self.weights[f"{name}/{n}"] = np.asarray(value)
                value = f"{name}/{n}"
            given.append(value)
        self.nodes.append(helper.make_node(kind, given, [output or name], name, **attributes))
        return output or name

    def reduce(self, kind: str, x: str, axes: list[int], *, name: str, keep: bool = True) -> str:
        """ReduceMax or ReduceMin."""
        if self.opset >= 18:
            return self.op(kind, x, np.array(axes), name=name, keepdims=int(keep))
        return self.op(kind, x, name=name, axes=axes, keepdims=int(keep))

    def slice(self, x: str, start: int, end: int, axis: int, *, name: str) -> str:
        return self.op("Slice", x, np.array([start]), np.array([end]), np.array([axis]), name=name)

    def first(self, values: str, highest: str, count: int, *, name: str) -> str:
        """Number of the first of `count` values along axis 2 that is the highest one, as a float."""
        number = np.arange(count, dtype=np.float32)
        equal = self.op("Equal", values, highest, name=f"{name}_equal")
        number_or_last = self.op("Where", equal, number, np.float32(count - 1), name=f"{name}_numbers")
        return self.reduce("ReduceMin", number_or_last, [2], name=name)

    def single(self, x: str, dtype: np.dtype, *, name: str) -> str:
        """`x` as fp32."""
        return x if dtype == np.float32 else self.op("Cast", x, name=name, to=FLOAT)


def add_input(nodes: Nodes, note: GraftNote) -> None:
    """uint8 [N, H, W, 3] BGR `pictures` → the network's input."""
    pixels, half = note.pixels, note.entry.dtype == np.float16
    # Cast first: TensorRT has bytes at its edges only.
    steps: list[tuple[str, list[Any], dict[str, Any]]] = [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    if pixels.rgb:
        steps.append(("Gather", [np.array([2, 1, 0])], {"axis": 1}))
    x = nodes.op("Cast", PICTURES, name="numbers", to=FLOAT)
    if pixels.unit:
        by: Any = np.float32(255)
        if pixels.dark:
            most = nodes.reduce("ReduceMax", x, [1, 2, 3], name="highest_byte")
            bright = nodes.op("Greater", most, np.float32(1), name="bright")
            by = nodes.op("Where", bright, np.float32(255), np.float32(1), name="divisor")
        steps.append(("Div", [by], {}))
    if pixels.mean:
        steps.append(("Sub", [_channels(pixels.mean)], {}))
    if pixels.std and set(pixels.std) != {1.0}:
        steps.append(("Div", [_channels(pixels.std)], {}))
    if half:
        steps.append(("Cast", [], {"to": HALF}))
    for n, (kind, inputs, attributes) in enumerate(steps):
        last = n == len(steps) - 1
        output = note.entry.name if last else ""
        x = nodes.op(kind, x, *inputs, name=f"input_{n}_{kind}", output=output, **attributes)


def _channels(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(1, 3, 1, 1)


def add_rows(nodes: Nodes, note: GraftNote) -> None:
    """A YOLO's output → float32 `rows` [N, k, 7]: corners, score, class and number of the k best anchors."""
    assert note.leave is not None
    turned = note.head == "yolov8" and note.first  # [N, 4 + nc, A], else [N, A, …]
    column, anchor = (1, 2) if turned else (2, 1)
    columns = note.leave.shape[column]
    assert columns is not None
    objectness = note.head in OBJECTNESS
    start = 5 if objectness else 4
    x = nodes.single(note.leave.name, note.leave.dtype, name="output")
    scores = nodes.slice(x, start, END, column, name="class_scores")
    best = nodes.reduce("ReduceMax", scores, [column], name="best_score", keep=False)
    if objectness:  # of probabilities, so the best product is the best score's
        sure = nodes.slice(x, 4, 5, column, name="objectness")
        sure = nodes.op("Squeeze", sure, np.array([column]), name="objectness_flat")
        best = nodes.op("Mul", best, sure, name="best_product")
    nodes.op("TopK", best, np.array([note.rows]), name="best_rows", axis=1)
    nodes.nodes[-1].output.append(at := f"{PREFIX}anchors")
    wide = nodes.op("Unsqueeze", at, np.array([column]), name="anchors_wide")
    shape = [1, columns, 1] if turned else [1, 1, columns]
    wide = nodes.op("Expand", wide, np.array(shape), name="anchors_each")
    few = nodes.op("GatherElements", x, wide, name="few", axis=anchor)
    if turned:
        few = nodes.op("Transpose", few, name="few_rows", perm=[0, 2, 1])
    low, high = _corners(nodes, note, few, at)
    scores = nodes.slice(few, start, END, 2, name="few_scores")
    if objectness:
        scores = nodes.op("Mul", scores, nodes.slice(few, 4, 5, 2, name="few_sure"), name="few_products")
    score = nodes.reduce("ReduceMax", scores, [2], name="score")
    label = nodes.first(scores, score, columns - start, name="class")
    number = nodes.op("Cast", at, name="anchor_number", to=FLOAT)
    number = nodes.op("Unsqueeze", number, np.array([2]), name="anchor")
    nodes.op("Concat", low, high, score, label, number, name="rows", output=ROWS, axis=2)


def _corners(nodes: Nodes, note: GraftNote, few: str, at: str) -> tuple[str, str]:
    """Left top and right bottom [N, k, 2] of rows x, y, w, h, …"""
    from edgekit.tasks.yolo_heads import anchor_grid

    centre, size = nodes.slice(few, 0, 2, 2, name="centre"), nodes.slice(few, 2, 4, 2, name="size")
    if note.head == "yolox":
        assert note.leave is not None
        corner, stride = anchor_grid(note.size, note.leave.shape[1] or 0)
        cell = nodes.op("Gather", corner, at, name="cell", axis=0)
        step = nodes.op("Gather", stride[:, None], at, name="stride", axis=0)
        centre = nodes.op("Mul", nodes.op("Add", centre, cell, name="in_cells"), step, name="in_pixels")
        size = nodes.op("Mul", nodes.op("Exp", size, name="size_in_cells"), step, name="size_in_pixels")
    half = nodes.op("Mul", size, np.float32(0.5), name="half")
    return nodes.op("Sub", centre, half, name="low"), nodes.op("Add", centre, half, name="high")


def add_points(nodes: Nodes, note: GraftNote) -> None:
    """Heat maps [N, K, h, w] → float32 `points` [N, K, 3], as `edgekit.ops.heatmaps.decode`."""
    assert note.leave is not None
    height, width = note.leave.shape[2], note.leave.shape[3]
    assert height is not None
    assert width is not None
    x = nodes.single(note.leave.name, note.leave.dtype, name="output")
    flat = nodes.op("Reshape", x, np.array([0, 0, height * width]), name="flat")
    score = nodes.reduce("ReduceMax", flat, [2], name="score")
    best = nodes.first(flat, score, height * width, name="best")
    some = nodes.op("Greater", score, np.float32(0), name="some")
    best = nodes.op("Where", some, best, np.float32(0), name="best_or_0")
    # The half keeps a quotient that is not rounded well from falling into the row before.
    middle = nodes.op("Add", best, np.float32(0.5), name="middle")
    row = nodes.op("Div", middle, np.float32(width), name="row_middle")
    row = nodes.op("Floor", row, name="row")
    before = nodes.op("Mul", row, np.float32(width), name="before")
    place = nodes.op("Concat", nodes.op("Sub", best, before, name="x"), row, name="place", axis=2)
    above = nodes.op("Greater", place, np.float32(1), name="inner_low")
    below = nodes.op("Less", place, np.array([width - 1, height - 1], np.float32), name="inner_high")
    inner = nodes.op("And", above, below, name="inner_axes")
    inner = nodes.op("Cast", inner, name="inner_numbers", to=FLOAT)
    inner = nodes.reduce("ReduceMin", inner, [2], name="inner")
    higher = [_neighbours(nodes, flat, best, sign, height, width) for sign in (1, -1)]
    moved = nodes.op("Sub", *higher, name="difference")
    moved = nodes.op("Sign", moved, name="towards")
    moved = nodes.op("Mul", moved, np.float32(QUARTER), name="quarter")
    inner = nodes.op("Greater", inner, np.float32(0), name="inner_both")
    moved = nodes.op("Where", inner, moved, np.float32(0), name="quarter_inside")
    place = nodes.op("Add", place, moved, name="moved")
    nodes.op("Concat", place, score, name="points", output=POINTS, axis=2)


def _neighbours(nodes: Nodes, flat: str, best: str, sign: int, height: int, width: int) -> str:
    """Values [N, K, 2] of the cells beside and below (sign 1), or before and above."""
    name = "after" if sign > 0 else "before"
    away = np.array([sign, sign * width], np.float32)
    at = nodes.op("Add", best, away, name=f"{name}_cells")
    at = nodes.op("Max", at, np.float32(0), name=f"{name}_low")
    at = nodes.op("Min", at, np.float32(height * width - 1), name=f"{name}_inside")
    at = nodes.op("Cast", at, name=f"{name}_index", to=INT64)
    return nodes.op("GatherElements", flat, at, name=f"{name}_values", axis=2)
