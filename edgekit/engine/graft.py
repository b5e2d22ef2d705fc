"""Grafting: the steps around a network put into its ONNX graph.

    graft(model, note)      the network with them: bytes of pictures in, some rows or points out
    network_of(model)       the network again, without them
    around(model, change)   the network changed (lowered, quantised), the steps left as they are

TensorRT fuses them with the network; ONNX Runtime runs them as nodes like any other. `graft_files` says
which steps a model wants, and keeps the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.engine.graft_nodes import PREFIX, Nodes, add_input, add_points, add_rows
from edgekit.engine.graft_note import COLUMNS, NOTE, PICTURES, POINTS, ROWS, GraftNote, noted_graft
from edgekit.engine.shapes import model_inputs
from edgekit.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

#: What the nodes are written in; its readers begin with TensorRT 8.5.
OPSET, IR = 17, 9


def graft_of(model: ModelProto) -> GraftNote | None:
    """What is grafted into a model; None for a plain one.

    Raises:
        InputError: its note cannot be read.
    """
    return noted_graft(_notes(model))


def graft(model: ModelProto, note: GraftNote) -> ModelProto:
    """A copy of `model` with the steps of `note` inside; its other notes are kept.

    Types of the network itself stay: casts to and from them are grafted too.

    Raises:
        InputError: it is grafted already, or of an opset that cannot be raised to 17.
    """
    import onnx
    from onnx import helper, numpy_helper

    from edgekit.engine.precision import at_opset, opset_of

    if graft_of(model) is not None:
        raise InputError("the file is grafted already; graft the plain one.")
    grafted = onnx.ModelProto()
    grafted.CopyFrom(at_opset(model, OPSET))
    if opset_of(grafted) < OPSET:
        raise InputError(f"the model's opset {opset_of(model)} cannot be raised to {OPSET}; export it anew.")
    grafted.ir_version = IR  # newer ones add types only, and older TensorRT refuses them
    graph, nodes = grafted.graph, Nodes(opset_of(grafted))
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    if double := taken & {PICTURES, ROWS, POINTS}:
        raise InputError(f"a tensor of the model is called {min(double)!r}, which grafting wants; rename it.")
    add_input(nodes, note)
    before, nodes.nodes = nodes.nodes, []
    if note.leave is not None:
        (add_rows if note.kind == "yolo" else add_points)(nodes, note)
    network = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *network, *nodes.nodes])
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in nodes.weights.items())
    entry = next(value for value in graph.input if value.name == note.entry.name)
    batch, _, *sides = entry.type.tensor_type.shape.dim
    pictures = _value(PICTURES, onnx.TensorProto.UINT8, [batch, *sides, 3])
    _replace(graph.input, [pictures if value is entry else value for value in graph.input])
    if note.leave is not None:
        shape = [batch, note.rows, COLUMNS] if note.kind == "yolo" else [batch, note.leave.shape[1], 3]
        name = ROWS if note.kind == "yolo" else POINTS
        _replace(graph.output, [_value(name, onnx.TensorProto.FLOAT, shape)])
    notes = _notes(model)
    notes.setdefault("task", "detect" if note.kind == "yolo" else note.kind)
    helper.set_model_props(grafted, {**notes, NOTE: note.text()})
    try:
        onnx.checker.check_model(grafted)
    except (onnx.checker.ValidationError, ValueError) as error:  # ValueError: above 2 GB
        raise InputError(f"the model cannot be grafted: {str(error).splitlines()[0]}.") from error
    return grafted


def network_of(model: ModelProto) -> ModelProto | None:
    """The network that a grafted model was made of, without what was grafted; None for a plain model."""
    import onnx
    from onnx import helper

    note = graft_of(model)
    if note is None:
        return None
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph = plain.graph
    _replace(graph.node, [node for node in graph.node if not node.name.startswith(PREFIX)])
    _replace(graph.initializer, [w for w in graph.initializer if not w.name.startswith(PREFIX)])
    pictures = next(value for value in graph.input if value.name == PICTURES)
    batch, *sides, _ = pictures.type.tensor_type.shape.dim
    kind = helper.np_dtype_to_tensor_dtype(note.entry.dtype)
    entry = _value(note.entry.name, kind, [batch, 3, *sides])
    _replace(graph.input, [entry if value is pictures else value for value in graph.input])
    if note.leave is not None:
        kind = helper.np_dtype_to_tensor_dtype(note.leave.dtype)
        _replace(graph.output, [_value(note.leave.name, kind, [batch, *note.leave.shape[1:]])])
    helper.set_model_props(plain, {k: v for k, v in _notes(model).items() if k != NOTE})
    return plain


def around(model: ModelProto, change: Callable[[ModelProto], ModelProto]) -> ModelProto | None:
    """What `change` makes of a grafted model's network, with the steps around it; None for a plain model."""
    from dataclasses import replace

    from edgekit.engine.shapes import specs

    note, network = graft_of(model), network_of(model)
    if note is None or network is None:
        return None
    changed = change(network)
    kinds = {spec.name: spec.dtype for spec in (*model_inputs(changed), *specs(changed.graph.output))}
    entry, leave = note.entry, note.leave
    entry = replace(entry, dtype=kinds[entry.name])
    leave = leave and replace(leave, dtype=kinds[leave.name])
    return graft(changed, replace(note, entry=entry, leave=leave))


def _value(name: str, kind: int, dims: Sequence[Any]) -> ValueInfoProto:
    """A tensor's description; `dims` are sizes, None, or another one's dimensions."""
    from onnx import helper

    value = helper.make_tensor_value_info(name, kind, [None] * len(dims))
    for dim, given in zip(value.type.tensor_type.shape.dim, dims, strict=True):
        if isinstance(given, int):
            dim.dim_value = given
        elif given is not None:
            dim.CopyFrom(given)
    return value


def _replace(field: Any, values: Sequence[Any]) -> None:
    """Put other values into a repeated field of a model."""
    kept = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(kept)


def _notes(model: ModelProto) -> dict[str, str]:
    return {note.key: note.value for note in model.metadata_props}
