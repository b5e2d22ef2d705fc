"""The layers of a Darknet network as ONNX nodes. `edgekit.darknet` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.darknet_files import Section, Weights

#: Darknet's normalisation divides by sqrt(variance + 0.00001) (`normalize_kernel` in blas_kernels.cu).
BN_EPSILON = 1e-5
LEAKY_SLOPE = 0.1


class Graph:
    """The ONNX graph under construction: nodes, constants, and the shape [C, H, W] of each layer so far."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.input = (channels, height, width)
        self.layers: list[tuple[str, tuple[int, int, int]]] = []  # tensor name and shape, by layer number
        self.heads: list[tuple[str, int, int]] = []  # tensor name, rows, columns of each yolo layer
        self.strides: list[int] = []

    @property
    def last(self) -> tuple[str, tuple[int, int, int]]:
        return self.layers[-1] if self.layers else ("images", self.input)

    def node(self, kind: str, inputs: Sequence[str], count: int = 1, **attributes: Any) -> list[str]:
        """Append a node; returns the names of its `count` outputs."""
        from onnx import helper

        name = f"{kind.lower()}{len(self.nodes)}"
        outputs = [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return outputs

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name


def _fold(weights: Weights, filters: int, fan: tuple[int, int, int], norm: bool) -> tuple[NDArray, NDArray]:
    """Kernel [filters, *fan] and bias [filters] of one convolution, batch normalisation folded in.

    Darknet stores biases, then (scales, means, variances) where normalised, then the kernel.
    """
    bias = weights.take(filters).astype(np.float64)
    if not norm:
        return weights.take(filters, *fan), bias.astype(np.float32)
    scale, mean, variance = weights.take(3, filters).astype(np.float64)
    gain = scale / np.sqrt(variance + BN_EPSILON)
    kernel = weights.take(filters, *fan) * gain[:, None, None, None]
    return kernel.astype(np.float32), (bias - mean * gain).astype(np.float32)


def _activate(graph: Graph, section: Section, tensor: str, default: str) -> str:
    kind = section.text("activation", default)
    if kind == "linear":
        return tensor
    if kind == "leaky":
        return graph.node("LeakyRelu", [tensor], alpha=LEAKY_SLOPE)[0]
    if kind in ("relu", "logistic"):
        return graph.node("Relu" if kind == "relu" else "Sigmoid", [tensor])[0]
    if kind == "swish":
        return graph.node("Mul", [tensor, *graph.node("Sigmoid", [tensor])])[0]
    if kind == "mish":  # ONNX has Mish from opset 18 on
        return graph.node("Mul", [tensor, *graph.node("Tanh", graph.node("Softplus", [tensor]))])[0]
    raise section.error(f"activation={kind} is not supported (linear, leaky, relu, logistic, swish, mish)")


def _convolutional(graph: Graph, section: Section, weights: Weights) -> None:
    tensor, (channels, height, width) = graph.last
    filters, size = section.number("filters", 1), section.number("size", 1)
    stride, groups = section.number("stride", 1), section.number("groups", 1)
    dilation = section.number("dilation", 1)
    pad = size // 2 if section.number("pad", 0) else section.number("padding", 0)
    if min(filters, size, stride, groups, dilation) < 1 or channels % groups or filters % groups:
        raise section.error(f"filters, size, stride or groups do not fit {channels} channels")
    pad *= dilation
    reach = dilation * (size - 1) + 1
    height, width = ((side + 2 * pad - reach) // stride + 1 for side in (height, width))
    fan = (channels // groups, size, size)
    kernel, bias = _fold(weights, filters, fan, bool(section.number("batch_normalize", 0)))
    out = graph.node(
        "Conv",
        [tensor, graph.constant(kernel), graph.constant(bias)],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[pad] * 4,
        group=groups,
        dilations=[dilation, dilation],
    )[0]
    graph.layers.append((_activate(graph, section, out, "logistic"), (filters, height, width)))


def _maxpool(graph: Graph, section: Section, weights: Weights) -> None:
    """Darknet pads size − 1 in all, the smaller half before (`maxpool_layer.c`), with minus infinity."""
    tensor, (channels, height, width) = graph.last
    stride = section.number("stride", 1)
    size = section.number("size", stride)
    padding = section.number("padding", size - 1)
    if size < 1 or stride < 1 or not 0 <= padding < 2 * size:
        raise section.error(f"size {size}, stride {stride} and padding {padding} make no pooling")
    before = padding // 2
    sides = [(side + padding - size) // stride + 1 for side in (height, width)]
    # only as much after as a window reaches: the rest would be padding that no window sees
    after = [
        max(0, (out - 1) * stride + size - before - side)
        for out, side in zip(sides, (height, width), strict=True)
    ]
    out = graph.node(
        "MaxPool", [tensor], kernel_shape=[size] * 2, strides=[stride] * 2, pads=[before, before, *after]
    )[0]
    graph.layers.append((out, (channels, sides[0], sides[1])))


def _earlier(graph: Graph, section: Section, index: int) -> tuple[str, tuple[int, int, int]]:
    """The layer that `index` of a route or shortcut means: from here when negative, else from the first."""
    number = len(graph.layers) + index if index < 0 else index
    if not 0 <= number < len(graph.layers):
        raise section.error(f"layer {index} does not exist before this one")
    return graph.layers[number]


def _route(graph: Graph, section: Section, weights: Weights) -> None:
    sources = [_earlier(graph, section, int(i)) for i in section.numbers("layers")]
    if not sources:
        raise section.error("layers= is missing")
    sides = {shape[1:] for _, shape in sources}
    if len(sides) > 1:
        raise section.error(
            f"it joins maps of {' and '.join(f'{h}×{w}' for h, w in sorted(sides))}; "
            "the input size must be a multiple of the largest stride (32 for YOLOv3)"
        )
    channels = sum(shape[0] for _, shape in sources)
    groups, group = section.number("groups", 1), section.number("group_id", 0)
    if groups > 1:
        if channels % groups or not 0 <= group < groups or len(sources) > 1:
            raise section.error(f"group {group} of {groups} cannot be taken from {channels} channels")
        channels //= groups
        tensor = graph.node("Split", [sources[0][0]], groups, axis=1)[group]
    elif len(sources) > 1:
        tensor = graph.node("Concat", [name for name, _ in sources], axis=1)[0]
    else:
        tensor = sources[0][0]
    graph.layers.append((tensor, (channels, *next(iter(sides)))))


def _shortcut(graph: Graph, section: Section, weights: Weights) -> None:
    tensor, shape = graph.last
    sources = [int(i) for i in section.numbers("from")]
    if len(sources) != 1 or section.text("weights_type", "none") != "none":
        raise section.error("only a plain shortcut from one layer is supported")
    other, wanted = _earlier(graph, section, sources[0])
    if wanted != shape:
        raise section.error(f"it adds {list(wanted)} to {list(shape)}; the shapes must be equal")
    out = graph.node("Add", [tensor, other])[0]
    graph.layers.append((_activate(graph, section, out, "linear"), shape))


def _upsample(graph: Graph, section: Section, weights: Weights) -> None:
    tensor, (channels, height, width) = graph.last
    stride = section.number("stride", 2)
    if stride < 1 or section.real("scale", 1.0) != 1:
        raise section.error("stride must be 1 or more, and scale 1")
    out = graph.node(
        "Resize",
        [tensor, "", graph.constant([1, 1, stride, stride])],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )[0]
    graph.layers.append((out, (channels, height * stride, width * stride)))


def _dropout(graph: Graph, section: Section, weights: Weights) -> None:
    graph.layers.append(graph.last)  # at inference it passes its input on


def _yolo(graph: Graph, section: Section, weights: Weights) -> None:
    """Decode one head: x = (column + sigmoid)·stride, w = exp·anchor, objectness and classes by sigmoid."""
    tensor, (channels, height, width) = graph.last
    classes = section.number("classes", 20)
    listed = section.numbers("anchors")
    anchors = np.array(listed[: len(listed) // 2 * 2], np.float64).reshape(-1, 2)
    mask = [int(i) for i in section.numbers("mask")] or list(range(section.number("num", 1)))
    if section.number("new_coords", 0):
        raise section.error("new_coords=1 (Scaled-YOLOv4) is not supported")
    if not 0 <= min(mask) <= max(mask) < len(anchors) or channels != len(mask) * (5 + classes):
        raise section.error(
            f"{channels} channels arrive, but {len(mask)} anchors with {classes} classes need "
            f"{len(mask) * (5 + classes)}, and {len(anchors)} anchors are listed"
        )
    if graph.input[1] % height or graph.input[2] % width:
        raise section.error(f"the input {graph.input[1]}×{graph.input[2]} is no multiple of its grid")
    stride = np.array([graph.input[2] // width, graph.input[1] // height])
    growth = section.real("scale_x_y", 1.0)
    rows, columns = height * width * len(mask), 5 + classes

    flat = graph.node("Transpose", [tensor], perm=[0, 2, 3, 1])
    flat = graph.node("Reshape", [*flat, graph.constant([0, rows, columns], np.int64)])
    parts = [*flat, graph.constant([2, 2, columns - 4], np.int64)]
    centre, extent, scores = graph.node("Split", parts, 3, axis=2)
    y, x = np.mgrid[:height, :width]
    cell = np.repeat(np.stack([x, y], -1).reshape(-1, 2), len(mask), 0)
    centre = graph.node("Sigmoid", [centre])[0]
    centre = graph.node("Mul", [centre, graph.constant((stride * growth)[None, None])])[0]
    offset = (cell - (growth - 1) / 2) * stride
    centre = graph.node("Add", [centre, graph.constant(offset[None])])[0]
    extent = graph.node("Exp", [extent])[0]
    box = np.tile(anchors[mask], (height * width, 1))
    extent = graph.node("Mul", [extent, graph.constant(box[None])])[0]
    scores = graph.node("Sigmoid", [scores])[0]
    graph.heads.append((graph.node("Concat", [centre, extent, scores], axis=2)[0], rows, columns))
    graph.strides.append(int(stride.max()))
    graph.layers.append((tensor, (channels, height, width)))


LAYERS: dict[str, Callable[[Graph, Section, Weights], None]] = {
    "convolutional": _convolutional,
    "conv": _convolutional,
    "maxpool": _maxpool,
    "max": _maxpool,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "dropout": _dropout,
    "yolo": _yolo,
}
