"""A SlowFast as ONNX in three forms, each made of another, without PyTorch.

(a) split: body and head as two models, RoIAlign between them, outside;
(b) whole: one graph with the operator RoiAlign, for ONNX Runtime and TensorRT ≥ 8.5;
(c) grid:  one graph with RoIAlign as GridSample, for TensorRT-RTX, which has no plugins.

    "slow" [1, 3, T/α, H, W], "fast" [1, 3, T, H, W] → body → "slow_features" [1, Cs, h, w], "fast_features"
    "boxes" [N, 4] (x1 y1 x2 y2, pixels of W×H) → RoIAlign → "slow_rois" [N, Cs, 7, 7], "fast_rois"
    → head → "scores" [N, classes]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.engine.roi_grid import Grid
from edgekit.engine.roi_grid import RoiForm as RoiForm  # part of these forms' interface
from edgekit.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FEATURES, ROIS = ("slow_features", "fast_features"), ("slow_rois", "fast_rois")
PEOPLE = "people"  # the name of N


def form_of(node: NodeProto) -> RoiForm:
    """The settings of a RoiAlign node (opset 16).

    Raises:
        InputError: it takes the largest sample, or its bins are no square.
    """
    from onnx import helper

    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    sides = {found.get("output_height", 1), found.get("output_width", 1)}
    if found.get("mode", b"avg") != b"avg" or len(sides) > 1:
        raise InputError(f"the RoiAlign {node.name!r} is not the mean over square bins.")
    aligned = found.get("coordinate_transformation_mode", b"half_pixel") == b"half_pixel"
    return RoiForm(sides.pop(), found.get("spatial_scale", 1.0), found.get("sampling_ratio", 0), aligned)


def roi_nodes(model: ModelProto) -> tuple[NodeProto, NodeProto]:
    """The RoiAlign of the slow and of the fast features. Slow features see both inputs, fast ones one.

    Raises:
        InputError: there are not two, or they cannot be told apart.
    """
    nodes = [node for node in model.graph.node if node.op_type == "RoiAlign"]
    if len(nodes) != 2:
        raise InputError(f"the model has {len(nodes)} RoiAlign; a SlowFast with its head has two.")
    wanted = {value.name for value in model.graph.input}
    seen = [len(wanted & _behind(model, [node.input[0]])[1]) for node in nodes]
    if seen[0] == seen[1]:
        raise InputError("the features of both RoiAlign see the same inputs: this is no SlowFast.")
    return (nodes[0], nodes[1]) if seen[0] > seen[1] else (nodes[1], nodes[0])


def _behind(model: ModelProto, tensors: list[str], stop: set[str] | None = None) -> tuple[set[int], set[str]]:
    """Numbers of the nodes that make `tensors`, and the tensors that no node makes or that are in `stop`."""
    makers = {name: n for n, node in enumerate(model.graph.node) for name in node.output}
    nodes: set[int] = set()
    ends: set[str] = set()
    waiting = list(tensors)
    while waiting:
        name = waiting.pop()
        if name in (stop or ()) or name not in makers:
            ends.add(name)
        elif makers[name] not in nodes:
            nodes.add(makers[name])
            waiting += [given for given in model.graph.node[makers[name]].input if given]
    return nodes, ends


def _part(
    model: ModelProto,
    name: str,
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    names: dict[str, str],
) -> ModelProto:
    """The part of a model between two sets of tensors; `names` renames tensors."""
    import onnx
    from onnx import TensorProto, helper

    back = {new: old for old, new in names.items()}
    begins = {back.get(n, n) for n in inputs}
    nodes, ends = _behind(model, [back.get(n, n) for n in outputs], begins)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in ends]
    lacking = ends - begins - {tensor.name for tensor in weights}
    if lacking:
        raise InputError(f"the {name} of the model also needs {', '.join(sorted(lacking))}.")
    kept = []
    for n in sorted(nodes):
        node = onnx.NodeProto()
        node.CopyFrom(model.graph.node[n])
        node.input[:] = [names.get(given, given) for given in node.input]
        node.output[:] = [names.get(made, made) for made in node.output]
        kept.append(node)
    values = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in group.items()]
        for group in (inputs, outputs)
    ]
    graph = helper.make_graph(kept, name, *values, initializer=weights)
    return _dressed(graph, model)


def _dressed(graph: Any, like: ModelProto) -> ModelProto:
    """A model around `graph` with the versions and notes of another, checked."""
    import onnx
    from onnx import helper

    made = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
    made.producer_name = like.producer_name
    made.metadata_props.extend(like.metadata_props)
    onnx.checker.check_model(made, full_check=True)
    return made


def _shapes(model: ModelProto) -> dict[str, list[Any]]:
    """Of every tensor that shape inference knows: numbers, or names of what is open."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    return {
        value.name: [d.dim_value or d.dim_param or None for d in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.value_info, *graph.output]
    }


def split_at_rois(model: ModelProto) -> tuple[ModelProto, ModelProto]:
    """Form (b) → form (a): the body and the head of a whole SlowFast.

    Raises:
        InputError: it has not two RoiAlign, or they are not all that joins its halves.
    """
    rois, shapes = roi_nodes(model), _shapes(model)
    form = form_of(rois[0])
    if form_of(rois[1]) != form:
        raise InputError("the two RoiAlign of the model have different settings.")
    names = {
        **{node.input[0]: name for node, name in zip(rois, FEATURES, strict=True)},
        **{node.output[0]: name for node, name in zip(rois, ROIS, strict=True)},
    }
    channels = [_channels(shapes, node) for node in rois]
    clips = {v.name: shapes[v.name] for v in model.graph.input if len(shapes[v.name]) == 5}
    maps = {
        name: [1, c, *_places(shapes.get(node.input[0]), clips)]
        for node, name, c in zip(rois, FEATURES, channels, strict=True)
    }
    body = _part(model, "body", clips, maps, names)
    given = {name: [PEOPLE, c, form.bins, form.bins] for name, c in zip(ROIS, channels, strict=True)}
    outputs = {value.name: [PEOPLE, *shapes[value.name][1:]] for value in model.graph.output}
    return body, _part(model, "head", given, outputs, names)


def _channels(shapes: dict[str, list[Any]], node: NodeProto) -> int:
    for name in (node.input[0], node.output[0]):
        shape = shapes.get(name)
        if shape and isinstance(shape[1], int):
            return shape[1]
    raise InputError(f"the channels of the RoiAlign {node.name!r} are not known; export with a fixed size.")


def _places(shape: list[Any] | None, clips: dict[str, list[Any]]) -> list[Any]:
    """Height and width of a feature map: numbers where the clips' are, else names."""
    if shape and all(isinstance(side, int) for side in shape[2:]):
        return shape[2:]
    return ["feature_height", "feature_width"]


def join(body: ModelProto, head: ModelProto, form: RoiForm | None = None) -> ModelProto:
    """Form (a) → form (b): the operator RoiAlign between a body and its head, which has the notes.

    Raises:
        InputError: they are no body and head, or their channels differ.
    """
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    form = form or RoiForm()
    sides = {v.name: v for v in [*body.graph.output, *head.graph.input]}
    if not {*FEATURES, *ROIS} <= set(sides):
        raise InputError(f"a body gives {' and '.join(FEATURES)}, a head takes {' and '.join(ROIS)}.")
    channels = [sides[n].type.tensor_type.shape.dim[1].dim_value for n in (*FEATURES, *ROIS)]
    if channels[:2] != channels[2:]:
        raise InputError(f"the body gives {channels[:2]} channels, the head takes {channels[2:]}.")
    keep = {v.name for v in [*head.graph.input, *head.graph.output]}
    graph = onnx.GraphProto()
    graph.CopyFrom(compose.add_prefix_graph(head.graph, "head/", rename_inputs=False, rename_outputs=False))
    assert keep == {v.name for v in [*graph.input, *graph.output]}
    where = [
        helper.make_node("Shape", ["boxes"], ["roi/shape"], "roi/shape", start=0, end=1),
        helper.make_node(
            "ConstantOfShape",
            ["roi/shape"],
            ["roi/clip"],
            "roi/clip",
            value=numpy_helper.from_array(np.zeros(1, np.int64)),
        ),
    ]
    aligns = [
        helper.make_node(
            "RoiAlign",
            [features, "boxes", "roi/clip"],
            [rois],
            f"roi/{rois}",
            coordinate_transformation_mode="half_pixel" if form.aligned else "output_half_pixel",
            mode="avg",
            output_height=form.bins,
            output_width=form.bins,
            sampling_ratio=form.ratio,
            spatial_scale=form.scale,
        )
        for features, rois in zip(FEATURES, ROIS, strict=True)
    ]
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [PEOPLE, 4])
    whole = helper.make_graph(
        [*body.graph.node, *where, *aligns, *graph.node],
        "slowfast",
        [*body.graph.input, boxes],
        graph.output,
        initializer=[*body.graph.initializer, *graph.initializer],
    )
    return _dressed(whole, head)


def rois_as_grid(model: ModelProto, size: tuple[int, int]) -> ModelProto:
    """Form (b) → form (c): RoIAlign as GridSample, for pictures of one size.

    Every bin has as many sampling places as the longest box needs (`roi_grid.REACH` times the picture), a
    box uses the first ceil(length / bins) of them, and the weights say so; places more than one outside
    count nothing, as in RoIAlign. The features are not copied for each box: N boxes are N stripes of one
    grid. ONNX Runtime refuses N = 0 here.

    Args:
        model: form (b), whose height and width are open or `size`.
        size: height and width in pixels.

    Raises:
        InputError: it is no form (b), or made for another size.
    """
    import onnx
    from onnx import helper

    model_, size = onnx.ModelProto(), (int(size[0]), int(size[1]))
    model_.CopyFrom(model)
    for value in model_.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 5:
            for dim, side in zip(dims[3:], size, strict=True):
                if dim.dim_value not in (0, side):
                    raise InputError(
                        f"the model takes {value.name} of another size than {size[0]}×{size[1]}."
                    )
                dim.Clear()
                dim.dim_value = side
    del model_.graph.value_info[:]
    rois, shapes = roi_nodes(model_), _shapes(model_)
    maps = [shapes.get(node.input[0]) or [] for node in rois]
    if (
        any(len(m) != 4 or not all(isinstance(n, int) for n in m[1:]) for m in maps)
        or maps[0][2:] != maps[1][2:]
    ):
        raise InputError(f"the feature maps {maps} are not of one known size.")
    form = form_of(rois[0])
    grid = Grid(form, maps[0][2], maps[0][3])
    nodes, weights = grid.places(rois[0].input[1])
    made = {node.output[0]: grid.sample(node, shape[1]) for node, shape in zip(rois, maps, strict=True)}
    kept: list[Any] = []
    for node in model_.graph.node:
        if node.op_type != "RoiAlign":
            kept.append(node)
            continue
        kept += nodes + made[node.output[0]][0]
        weights |= made[node.output[0]][1]
        nodes = []
    graph = helper.make_graph(
        kept,
        model_.graph.name,
        model_.graph.input,
        model_.graph.output,
        initializer=[
            *model_.graph.initializer,
            *(onnx.numpy_helper.from_array(value, name) for name, value in weights.items()),
        ],
    )
    whole = _dressed(graph, model_)
    needed, _ = _behind(whole, [v.name for v in whole.graph.output])
    for n in sorted(set(range(len(whole.graph.node))) - needed, reverse=True):
        del whole.graph.node[n]  # the numbers of the clips, which RoiAlign alone took
    return whole
