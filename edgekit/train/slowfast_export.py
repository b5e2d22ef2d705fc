"""From SlowFast's weights to ONNX: whole, split around RoIAlign, or with RoIAlign as GridSample."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgekit.engine.roi_files import files_of, write
from edgekit.engine.roi_forms import FEATURES, PEOPLE, ROIS, RoiForm, join, rois_as_grid
from edgekit.errors import InputError, MissingError
from edgekit.train.pose_export import IR, OPSET, _unshare
from edgekit.train.slowfast_network import BINS, SCALE, SlowFast
from edgekit.train.slowfast_weights import Loaded

if TYPE_CHECKING:
    from onnx import ModelProto


class _Body(nn.Module):
    def __init__(self, network: SlowFast) -> None:
        super().__init__()
        self.network = network

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.body(slow, fast)


class _Head(_Body):
    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.activate(self.network.classify(slow, fast))


class _Clip(_Body):
    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:  # type: ignore[override]
        return self.network(slow, fast)


def export_slowfast(
    net: Loaded,
    out: Path | str,
    form: str = "whole",
    size: tuple[int, int] | None = None,
    half: bool = False,
) -> list[Path]:
    """Write ONNX (opset 17, IR 9, float32), batch norms folded into their convolutions.

    Args:
        net: of `load_slowfast`.
        out: the file, ending in .onnx; form "split" writes two beside it (`files_of`).
        form: "whole" (with the operator RoiAlign), "split" (body and head) or "grid" (GridSample).
        size: height and width in pixels, for good; by default open, and for "grid" the network's own.
        half: round every weight to what float16 can hold, so that a conversion loses nothing more.

    Returns:
        the files.

    Raises:
        MissingError: the package onnx is not installed.
        InputError: form, size or ending make no sense. Nothing is written.
    """
    files, c = files_of(out, form), net.network.config
    if c.head == "clip" and form != "whole":
        raise InputError(f"a network for whole clips has no RoIAlign: there is no form {form!r} of it.")
    if form == "grid":
        size = size or net.size
    if size is not None and min(size) < 32:
        raise InputError(f"the size {size[0]}×{size[1]} is too small: at least 32×32.")
    models = _models(net, form, size)
    if half:
        for model in models:
            round_to_half(model)
    return write(models, files)


def _models(net: Loaded, form: str, size: tuple[int, int] | None) -> list[ModelProto]:
    network, c = net.network.eval(), net.network.config
    height, width = size or net.size
    clips = (
        torch.zeros(1, 3, c.frames // c.alpha, height, width),
        torch.zeros(1, 3, c.frames, height, width),
    )
    open_sides = None if size else {3: "height", 4: "width"}
    notes = net.metadata()
    if size:
        notes["imgsz"] = json.dumps(list(size))
    inputs = {"slow": open_sides, "fast": open_sides}
    if c.head == "clip":
        return [to_onnx(_Clip(network), clips, inputs, {"scores": None}, notes)]
    maps = None if size else {2: "feature_height", 3: "feature_width"}
    body = to_onnx(_Body(network), clips, inputs, dict.fromkeys(FEATURES, maps), notes)
    rois = tuple(torch.zeros(2, channels, BINS, BINS) for channels in c.channels)
    people = {0: PEOPLE}
    head = to_onnx(_Head(network), rois, dict.fromkeys(ROIS, people), {"scores": people}, notes)
    if form == "split":
        return [body, head]
    whole = join(body, head, RoiForm(BINS, 1 / SCALE, 0, c.aligned))
    return [whole if form == "whole" else rois_as_grid(whole, (height, width))]


def to_onnx(
    part: nn.Module,
    example: tuple[Tensor, ...],
    inputs: dict[str, dict[int, str] | None],
    outputs: dict[str, dict[int, str] | None],
    notes: dict[str, str],
) -> ModelProto:
    """A part as ONNX; `inputs` and `outputs` say by name which of their dimensions are open."""
    import io

    try:
        import onnx
    except ImportError:
        raise MissingError("The package onnx is missing: pip install 'edgekit[train]'.") from None
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this exporter is the older one
        torch.onnx.export(
            part.eval(),
            example,
            content,
            opset_version=OPSET,
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: axes for name, axes in {**inputs, **outputs}.items() if axes},
        )
    model = onnx.load_model_from_string(content.getvalue())
    _unshare(model.graph)
    _name_shapes(model.graph.output, outputs)
    model.ir_version = IR
    model.producer_name, model.producer_version = "edgekit", ""
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _name_shapes(values: Iterable[Any], named: dict[str, dict[int, str] | None]) -> None:
    """The exporter invents names for open sides of outputs: give them ours."""
    for value in values:
        for axis, name in (named.get(value.name) or {}).items():
            value.type.tensor_type.shape.dim[axis].dim_param = name


def round_to_half(model: ModelProto) -> None:
    """Round the float weights of a model to float16's numbers; they stay stored as float32."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            most = float(np.finfo(np.float16).max)
            rounded = np.clip(value, -most, most).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
