"""From a checkpoint of ActionRecognitionNet to the ONNX file that runs: TAO's own form, with notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgekit.engine.onnx_file import load_model
from edgekit.errors import InputError, MissingError
from edgekit.files import atomic_write
from edgekit.ops.flow import SCALING
from edgekit.train.action_network import ActionNet
from edgekit.train.action_weights import load_actions
from edgekit.train.slowfast_export import round_to_half, to_onnx

if TYPE_CHECKING:
    from edgekit.train.action_spec import Spec

OUTPUT = "fc_pred"  # TAO's name; its inputs are input_rgb and input_of
#: What the network was trained with, and no note may change.
FIXED = ("task", "names", "sample_rate", "mean", "std", "of_mean", "of_std")


class _Positional(nn.Module):
    """The network with its streams in their order: the exporter passes no names."""

    def __init__(self, network: ActionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, *clips: Tensor) -> Tensor:
        return self.network(**dict(zip(self.network.streams, clips, strict=True)))


def export_actions(spec: Spec) -> Path:
    """Write `export.checkpoint` as ONNX (opset 17, IR 9, float32), batch norms folded into convolutions.

    Inputs "input_rgb" float32 [N, 3, D, H, W] and "input_of" [N, 2, D, H, W], or [N, 3·D, H, W] and
    [N, 2·D, H, W] for 2-d, as the network has them; output "fc_pred" [N, classes], logits. H and W are
    `dataset.output_shape`; N is open, or `export.batch_size`.

    Args:
        spec: of the task "export". `export.half_weights` rounds weights to what float16 holds, so that an
            fp16 engine loses nothing more; `export.notes` is written over the metadata made of the rest.

    Returns:
        `export.onnx_file`; by default the checkpoint's name with .onnx, beside it. An earlier export there is
        replaced once the new one is whole.

    Raises:
        MissingError: the package onnx is not installed.
        InputError: there is no checkpoint, it does not fit the spec, or a file that this kit did not export
            stands where the new one should. Nothing is written.
    """
    try:
        import onnx
    except ImportError:
        raise MissingError("The package onnx is missing: pip install 'edgekit[train]'.") from None
    if not spec.export.checkpoint:
        raise InputError("export.checkpoint is missing: name the .pth to export.")
    checkpoint = Path(spec.export.checkpoint)
    out = Path(spec.export.onnx_file or checkpoint.with_suffix(".onnx"))
    if out.suffix != ".onnx":
        raise InputError(f"{out.name}: export.onnx_file must end in .onnx.")
    network, own = load_actions(checkpoint, spec.model)
    names = _names(network.classes, own, spec.classes if spec.dataset.label_map else None)
    _replaceable(out)
    height, width = spec.dataset.output_shape
    if min(height, width) < 32:
        raise InputError(f"dataset.output_shape {height}×{width} is too small to export: at least 32×32.")
    fixed = max(spec.export.batch_size, 0)
    batch = None if fixed else {0: "batch"}
    clips = tuple(torch.zeros(fixed or 2, *network.shape(s, (height, width))) for s in network.streams)
    model = to_onnx(
        _Positional(network),
        clips,
        {f"input_{stream}": batch for stream in network.streams},
        {OUTPUT: batch},
        metadata(spec, names),
    )
    if spec.export.half_weights:
        round_to_half(model)
    with atomic_write(out) as scratch:
        onnx.save(model, str(scratch))
    return out


def metadata(spec: Spec, names: tuple[str, ...]) -> dict[str, str]:
    """The ONNX file's `metadata_props`: how pictures become its input, and what its classes are.

    Words stand as they are, everything else as JSON. `mean` and `std` are of RGB / 255, `of_mean` and
    `of_std` of the flow's grey pictures / 255.
    """
    shown = spec.dataset.augmentation_config
    own: dict[str, Any] = {
        "task": "action",
        "names": list(names),
        "sample_rate": spec.model.sample_rate,
        "mean": _each(shown.rgb_input_mean, 3),
        "std": _each(shown.rgb_input_std, 3),
        "crop": "center" if shown.val_center_crop else "resize",
        "smaller_edge": shown.crop_smaller_edge,
        "per": "picture",
        "stride": 1,
        "threshold": 0.3,
        "author": "edgekit",
        "description": f"ActionRecognitionNet {spec.model.backbone} {spec.model.input_type}: logits.",
    }
    if spec.model.model_type != "rgb":
        own |= {"of_mean": _each(shown.of_input_mean, 2), "of_std": _each(shown.of_input_std, 2)}
        own["flow"] = {"scaling": SCALING}
    more = spec.export.notes or {}
    if fixed := next((name for name in more if name in FIXED), None):
        raise InputError(f"export.notes: {fixed} is told by the checkpoint and its spec; leave it out.")
    own |= more
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in own.items()}


def _each(values: tuple[float, ...], channels: int) -> list[float]:
    """One value counts for every channel."""
    return [float(v) for v in (values * channels if len(values) == 1 else values)]


def _names(classes: int, own: tuple[str, ...] | None, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of the classes: the checkpoint's, which the spec must not contradict, or the spec's."""
    names = own or given or tuple(f"class{n}" for n in range(classes))
    if given and given != names:
        raise InputError(
            f"the checkpoint was trained for {', '.join(names)}, and dataset.label_map says "
            f"{', '.join(given)}: leave label_map out, or give the one it was trained with."
        )
    if len(names) != classes:
        raise InputError(
            f"the checkpoint has {classes} classes, and dataset.label_map {len(names)}: give the label_map "
            "it was trained with."
        )
    return names


def _replaceable(out: Path) -> None:
    """Raise InputError where `out` is something that this export did not write."""
    if not out.exists():
        return
    try:
        found = load_model(out)
    except InputError:  # anything may stand there
        found = None
    notes = {p.key: p.value for p in found.metadata_props} if found else {}
    if found is None or (found.producer_name, notes.get("task")) != ("edgekit", "action"):
        raise InputError(
            f"{out} exists and is no earlier export of this kit: move it away, or name another file with "
            "export.onnx_file."
        )
