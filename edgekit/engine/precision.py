"""The precision of an ONNX file: told, lowered to fp16, quantised to int8, and measured.

Strongly typed TensorRT (10 and later, and TensorRT-RTX) computes in the types that stand in the ONNX
file, so lowering the precision means rewriting the file. The inputs and outputs keep their types.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, MissingError

if TYPE_CHECKING:
    import onnx

#: Layers whose inputs and weights become int8. Their outputs do not: TensorRT takes them on in fp16.
QUANTISED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
QDQ = ("QuantizeLinear", "DequantizeLinear")
#: Key of the note in a quantised file that says how much of it runs in int8.
INT8_NOTE = "edgekit_int8"
#: From this opset on Q/DQ nodes take fp16 (https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html).
QDQ_IN_FP16 = 19
#: From this opset on they take one scale per channel. Older TensorRT reads no opset much above it.
QDQ_PER_CHANNEL = 13
#: Smallest positive and largest number of IEEE 754 binary16.
FP16_MIN, FP16_MAX = 2.0**-24, 65504.0


def precision_of(model: onnx.ModelProto) -> str:
    """ "int8" if the model holds Q/DQ nodes, "fp16" if most of its weights are fp16, "fp32" otherwise."""
    import onnx

    if any(node.op_type in QDQ for node in model.graph.node):
        return "int8"
    sizes = {onnx.TensorProto.FLOAT: 0, onnx.TensorProto.FLOAT16: 0}
    for tensor in _tensors(model.graph):
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims, dtype=np.int64))
    return "fp16" if sizes[onnx.TensorProto.FLOAT16] > sizes[onnx.TensorProto.FLOAT] else "fp32"


def to_fp16(model: onnx.ModelProto, keep_io: bool = True) -> onnx.ModelProto:
    """A copy of `model` whose weights and arithmetic are fp16.

    Metadata, opset and IR version stay. Q/DQ nodes of an int8 model stay fp32 below opset 19. So do steps
    that were grafted (`edgekit.engine.graft`), here and in `to_int8`: places in a picture want fp32.

    Args:
        model: an fp32 model or one with Q/DQ nodes; an fp16 one comes back as it is.
        keep_io: leave the types of inputs and outputs as they are, with casts inside.

    Raises:
        MissingError: onnxconverter-common is not installed.
    """
    from edgekit.engine.graft import around

    if precision_of(model) == "fp16":
        return copy.deepcopy(model)
    if (grafted := around(model, lambda network: to_fp16(network, keep_io))) is not None:
        return grafted
    try:
        from onnxconverter_common import float16
    except ImportError as error:
        raise MissingError(
            "onnxconverter-common is not installed; cure: pip install onnxconverter-common"
        ) from error
    blocked = list(float16.DEFAULT_OP_BLOCK_LIST)
    if opset_of(model) < QDQ_IN_FP16:
        blocked += QDQ
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each weight below 2⁻²⁴: it is rounded, as it must be
        lowered = float16.convert_float_to_float16(
            _ready_for_fp16(model),
            FP16_MIN,
            FP16_MAX,
            keep_io,
            disable_shape_infer=True,
            op_block_list=blocked,
            check_fp16_ready=False,
        )
    return _like(lowered, model)


def to_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an fp16 model with fp32 weights (of fp16 accuracy), inputs, outputs and arithmetic."""
    import onnx

    from edgekit.engine.graft import around

    if (grafted := around(model, to_fp32)) is not None:
        return grafted
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    raised = copy.deepcopy(model)
    for tensor in _tensors(raised.graph):
        if tensor.data_type == half:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for node in raised.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == half:
                attribute.i = single
    for value in [*raised.graph.input, *raised.graph.output]:
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = single
    del raised.graph.value_info[:]
    return _without_idle_casts(raised)


def to_int8(
    model: onnx.ModelProto,
    feeds: Iterable[Mapping[str, NDArray]],
    fp16: bool = True,
    *,
    outputs: bool = False,
    reduce_range: bool = False,
) -> onnx.ModelProto:
    """A copy of `model` with explicit Q/DQ nodes around its convolutions and matrix products.

    Symmetric signed int8, one scale per channel of the weights. Biases are left alone, as a quantised
    bias is refused by TensorRT's parser, and so are depthwise and grouped convolutions, whose few weights
    a channel lose most by it. Everything else runs in fp16 with `fp16`, in fp32 without.

    Args:
        model: an fp32 or fp16 model; the scales are taken from what it computes on `feeds`.
        feeds: calibration inputs, {name: array}, at least one; of a grafted model, those of its network.
        fp16: lower what is not quantised to fp16 (strongly typed TensorRT).
        outputs: for ONNX Runtime's CPU, which has int8 kernels only for layers whose outputs are quantised
            too, and good ones for unsigned activations: both are so then. The last layers are left alone:
            their outputs are the answer, and boxes of 256 steps are rough.
        reduce_range: weights in 7 bits, for an x86 CPU without VNNI.

    Raises:
        InputError: no feeds, or the model has nothing to quantise.
        MissingError: onnxruntime is not installed.
    """
    from edgekit.engine.graft import around

    def quantised(network: onnx.ModelProto) -> onnx.ModelProto:
        return to_int8(network, feeds, fp16, outputs=outputs, reduce_range=reduce_range)

    if (grafted := around(model, quantised)) is not None:
        return grafted
    try:
        from onnxruntime import quantization as q
    except ImportError as error:
        raise MissingError("int8 needs onnxruntime; cure: pip install onnxruntime") from error
    if not any(node.op_type in QUANTISED for node in model.graph.node):
        raise InputError(f"the model has none of {', '.join(QUANTISED)}: there is nothing to quantise.")
    source = _with_names(at_opset(to_fp32(model), QDQ_IN_FP16 if fp16 else QDQ_PER_CHANNEL))
    alone = [node.name for node in source.graph.node if _is_grouped(node)]
    if outputs:
        alone += _last_layers(source)
    options = {
        "ActivationSymmetric": not outputs,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "CalibMovingAverage": True,  # one odd picture does not stretch the scales of all
        "OpTypesToExcludeOutputQuantization": [] if outputs else list(QUANTISED),
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-int8-") as folder, _quiet():
        result = Path(folder) / "int8.onnx"
        q.quantize_static(
            source,
            result,
            _Reader(feeds),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            activation_type=q.QuantType.QUInt8 if outputs else q.QuantType.QInt8,
            weight_type=q.QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=alone,
            reduce_range=reduce_range,
            extra_options=options,
        )
        import onnx

        quantised = _like(onnx.load(result), model, opset=False)
    return to_fp16(quantised) if fp16 else quantised


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """`model` raised to `opset` where it is below and onnx can convert it; else as it is.

    The IR version becomes the one that goes with the opset, so that older readers still take it.
    """
    import onnx

    if opset_of(model) >= opset:
        return model
    try:
        raised = onnx.version_converter.convert_version(model, opset)
    except Exception:  # onnx raises many kinds; the model stays usable at its own opset
        return model
    raised.ir_version = max(model.ir_version, 9)
    return _like(raised, model, opset=False)


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operator set the model uses."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def cosine(
    reference: onnx.ModelProto | Path, other: onnx.ModelProto | Path, feeds: Mapping[str, NDArray]
) -> dict[str, float]:
    """Cosine similarity of each output of two models on the same feeds, both run by ONNX Runtime's CPU.

    1 is equal but for scale. Outputs that are constant zero in both count as 1.
    """
    a, b = _run(reference, feeds), _run(other, feeds)
    found = {}
    for name, left in a.items():
        x, y = left.ravel().astype(np.float64), b[name].ravel().astype(np.float64)
        scale = float(np.linalg.norm(x) * np.linalg.norm(y))
        found[name] = float(x @ y) / scale if scale else float(np.array_equal(x, y))
    return found


def _run(model: onnx.ModelProto | Path, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
    import onnxruntime as ort

    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


class _Reader:
    """Feeds as onnxruntime's calibrator asks for them."""

    def __init__(self, feeds: Iterable[Mapping[str, NDArray]]) -> None:
        self._feeds = iter(feeds)
        self.count = 0

    def get_next(self) -> dict[str, NDArray] | None:
        feed = next(self._feeds, None)
        if feed is None and self.count == 0:
            raise InputError("int8 needs calibration inputs; there are none.")
        self.count += 1
        return None if feed is None else dict(feed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice to run its other tools first off the screen (it logs to the root logger)."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _tensors(graph: onnx.GraphProto) -> Iterator[Any]:
    """Weights and constants of a graph."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _without_idle_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself, each Cast from fp32 to fp32 made an Identity: the fp16 converter trips over it."""
    import onnx

    single = onnx.TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in [*inferred.input, *inferred.value_info]}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == single == kinds.get(node.input[0]):
            node.op_type = "Identity"
            del node.attribute[:]
    return model


def _ready_for_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with all types inferred, a name for each node, and its own casts to fp32 made casts to fp16.

    The converter makes tensor names of node names, and takes what a Cast gives for fp16 either way.
    """
    import onnx

    ready = _with_names(onnx.shape_inference.infer_shapes(model))
    for node in ready.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.FLOAT16
    return ready


def _with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself, each node given a name of its own."""
    seen: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{i}"
        seen.add(node.name)
    return model


def _is_grouped(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


def _last_layers(model: onnx.ModelProto) -> list[str]:
    """Names of the layers with weights from which no other such layer is reached."""
    reaching: set[str] = set()  # tensors that lead to a layer with weights
    last = []
    for node in reversed(model.graph.node):  # the nodes of an ONNX file are in the order of computing
        leads = any(name in reaching for name in node.output)
        if node.op_type in QUANTISED and not leads:
            last.append(node.name)
        if leads or node.op_type in QUANTISED:
            reaching.update(node.input)
    return last


def _like(changed: onnx.ModelProto, original: onnx.ModelProto, opset: bool = True) -> onnx.ModelProto:
    """`changed` with the notes (and with `opset`, the opset and IR version) of `original`."""
    del changed.metadata_props[:]
    changed.metadata_props.extend(original.metadata_props)
    if opset:
        changed.ir_version = original.ir_version
    return changed
