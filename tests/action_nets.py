"""Tiny SlowFast networks, and stand-ins for detector and tracker, whose answers can be told by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine import TensorSpec
from edgekit.results import Frame, Tracks

FLOAT = TensorProto.FLOAT
NAMES = ("walk", "sit", "bend")
#: Span 8, of which 4 are fast and 2 slow: small enough to be followed by hand.
NOTES = {
    "task": "slowfast",
    "names": json.dumps(NAMES),
    "span": "8",
    "frames": "4",
    "alpha": "2",
    "stride": "2",
    "short_side": "32",
    "threshold": "0.3",
}


def make(
    nodes: list, inputs: list, outputs: list, constants: Mapping[str, NDArray], notes: Mapping[str, str]
) -> onnx.ModelProto:
    """A checked model of opset 17."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model)
    return model


def value(name: str, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, FLOAT, list(shape))


def _body() -> tuple[list, dict[str, NDArray]]:
    """Mean over time and over cells of 16×16; the slow path sees the fast one besides, as SlowFast's does."""
    nodes, constants = [], {}
    for path, weight in (("slow", 0.5), ("fast", 1.0)):
        constants[f"{path}_weights"] = weight * np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1, 1)
        nodes += [
            helper.make_node("Conv", [path, f"{path}_weights"], [f"{path}_colours"]),
            helper.make_node("ReduceMean", [f"{path}_colours"], [f"{path}_mean"], axes=[2], keepdims=0),
        ]
    nodes.append(helper.make_node("Mul", ["slow_mean", "fast_mean"], ["slow_fused"]))
    nodes += [
        helper.make_node("AveragePool", [mean], [f"{path}_features"], kernel_shape=[16, 16], strides=[16, 16])
        for path, mean in (("slow", "slow_fused"), ("fast", "fast_mean"))
    ]
    return nodes, constants


def _head(classes: int) -> tuple[list, dict[str, NDArray]]:
    """Max over the cells, both paths side by side, a linear layer and a sigmoid."""
    rng = np.random.default_rng(classes)
    nodes = [
        helper.make_node("MaxPool", [f"{path}_rois"], [f"{path}_max"], kernel_shape=[7, 7])
        for path in ("slow", "fast")
    ]
    nodes += [
        helper.make_node("Concat", ["slow_max", "fast_max"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    matrix = rng.normal(size=(6, classes)).astype(np.float32)
    return nodes, {"matrix": matrix, "bias": np.zeros(classes, np.float32)}


def split_nets(
    notes: Mapping[str, str] = NOTES, classes: int = 3, rows: int | str = "people"
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Body and head as two models; `rows`: the head's first axis."""
    nodes, constants = _body()
    clips = [value("slow", 1, 3, 2, "height", "width"), value("fast", 1, 3, 4, "height", "width")]
    features = [value("slow_features", 1, 3, "h", "w"), value("fast_features", 1, 3, "h", "w")]
    body = make(nodes, clips, features, constants, notes)
    nodes, constants = _head(classes)
    rois = [value("slow_rois", rows, 3, 7, 7), value("fast_rois", rows, 3, 7, 7)]
    return body, make(nodes, rois, [value("scores", rows, classes)], constants, notes)


def whole_net(
    notes: Mapping[str, str] = NOTES,
    classes: int = 3,
    size: tuple[int | str, int | str] = ("height", "width"),
    aligned: bool = False,
) -> onnx.ModelProto:
    """The same network as one graph."""
    body, body_constants = _body()
    head, head_constants = _head(classes)
    batch = helper.make_node(
        "ConstantOfShape", ["count"], ["rows"], value=helper.make_tensor("z", TensorProto.INT64, [1], [0])
    )
    middle = [
        helper.make_node("Shape", ["boxes"], ["count"], start=0, end=1),
        batch,
        *(
            helper.make_node(
                "RoiAlign",
                [f"{path}_features", "boxes", "rows"],
                [f"{path}_rois"],
                coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
                output_height=7,
                output_width=7,
                sampling_ratio=0,
                spatial_scale=1 / 16,
            )
            for path in ("slow", "fast")
        ),
    ]
    inputs = [value("slow", 1, 3, 2, *size), value("fast", 1, 3, 4, *size)]
    return make(
        [*body, *middle, *head],
        [*inputs, value("boxes", "people", 4)],
        [value("scores", "people", classes)],
        {**body_constants, **head_constants},
        notes,
    )


def clip_net(notes: Mapping[str, str] = NOTES) -> onnx.ModelProto:
    """A network that looks at the whole picture: the softmax of its mean red and green, and 0."""
    nodes, constants = _body()
    nodes += [
        helper.make_node("ReduceMean", ["fast_mean"], ["colours"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["colours"], ["scores"], axis=1),
    ]
    nodes = [node for node in nodes if node.op_type != "AveragePool"]
    inputs = [value("slow", 1, 3, 2, "height", "width"), value("fast", 1, 3, 4, "height", "width")]
    return make(nodes, inputs, [value("scores", 1, 3)], constants, notes)


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


class Followed:
    """Stands in for `Track`: the people of frame `i` are those that `who(i)` names, number: box."""

    def __init__(self, who: Callable[[int], Mapping[int, tuple[float, ...]]]) -> None:
        self.who, self.resets, self.closed, self.calls = who, 0, False, 0
        self.parts, self.times = {"detect": 0.0, "track": 0.0}, {"pre": 0.0, "infer": 0.0, "post": 0.0}

    def __call__(self, frame: Frame) -> Tracks:
        self.calls += 1
        people = self.who(frame.index)
        boxes = np.array(list(people.values()), np.float32).reshape(-1, 4)
        ones = np.ones(len(people))
        return Tracks(boxes, ones, np.zeros(len(people)), ("person",), np.array(list(people), np.int64))

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class MadeEngine:
    """An engine whose answer is a function: of body, head or whole, by the tensors given."""

    backend, precision, device, why = "made", "fp32", "here", "for a test"

    def __init__(
        self,
        answer: Callable[..., dict[str, NDArray]],
        inputs: Mapping[str, tuple],
        outputs: Mapping[str, tuple],
        notes: Mapping[str, str] = NOTES,
    ) -> None:
        kind = np.dtype(np.float32)
        self.inputs = tuple(TensorSpec(name, shape, kind) for name, shape in inputs.items())
        self.outputs = tuple(TensorSpec(name, shape, kind) for name, shape in outputs.items())
        self.metadata, self.times, self.calls, self.closed = dict(notes), {}, 0, False
        self._answer = answer

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        self.calls += 1
        return self._answer(**feeds)

    def close(self) -> None:
        self.closed = True


def made_whole(answer: Callable[..., NDArray], notes: Mapping[str, str] = NOTES) -> MadeEngine:
    """One graph with boxes; `answer(slow, fast, boxes)` gives the scores, [N, 3]."""
    clips = {"slow": (1, 3, 2, None, None), "fast": (1, 3, 4, None, None)}
    return MadeEngine(
        lambda **feeds: {"scores": np.asarray(answer(**feeds), np.float32)},
        {**clips, "boxes": (None, 4)},
        {"scores": (None, 3)},
        notes,
    )
