"""From checkpoint to the ONNX file that ships: decode inside the graph, opset 17, IR 9, named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import InputError, MissingError
from edgekit.files import atomic_write
from edgekit.train.loop import load_checkpoint
from edgekit.train.network import Detector

OPSET, IR = 17, 9  # what onnxruntime 1.16 and TensorRT 8.5 read


def load_detector(checkpoint: Path | str) -> Detector:
    """The averaged network of a training checkpoint, in evaluation mode on the CPU."""
    state = load_checkpoint(checkpoint)
    try:
        network = Detector(state["settings"]["size"], state["settings"]["width"])
        network.load_state_dict(state["average"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{checkpoint} is not a checkpoint of the person detector: {error}.") from error
    return network.eval()


def blend(first: Detector, second: Detector, share: float) -> Detector:
    """`first` with `share` of `second`'s weights mixed in: two stages, averaged, err less."""
    theirs = second.state_dict()
    mixed = {
        k: v.lerp(theirs[k], share) if v.is_floating_point() else v for k, v in first.state_dict().items()
    }
    first.load_state_dict(mixed)
    return first


def metadata(network: Detector) -> dict[str, str]:
    """The file's `metadata_props`, in the words that YOLO tools read."""
    return {
        "names": "{0: 'person'}",
        "stride": "32",
        "task": "detect",
        "imgsz": f"[{network.size}, {network.size}]",
        "author": "edgekit",
        "license": "Apache-2.0",
        "description": "Small anchor-free person detector, RGB 0..1 letterboxed with grey 114, "
        "output cx cy w h in input pixels and the person score.",
    }


def export_detector(
    checkpoint: Path | str,
    out: Path | str,
    dynamic: bool = False,
    other: Path | str | None = None,
    share: float = 0.35,
) -> Path:
    """Write `images` [1, 3, S, S] → `output0` [1, 5, A] as ONNX; with `dynamic` the batch may vary.

    `other` is a second checkpoint of which `share` is blended in.
    Raises `MissingError` without the package onnx, `InputError` for a file that is no checkpoint.
    """
    try:
        import onnx
    except ImportError:
        raise MissingError("The package onnx is missing: pip install 'edgekit[train]'.") from None
    out, network = Path(out), load_detector(checkpoint)
    if other:
        network = blend(network, load_detector(other), share)
    example = torch.zeros(1, 3, network.size, network.size)
    axes: dict[str, Any] | None = {"images": {0: "batch"}, "output0": {0: "batch"}} if dynamic else None
    with atomic_write(out) as scratch:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch warns that this exporter is the older one; the other needs IR 10
            torch.onnx.export(
                network,
                (example,),
                str(scratch),
                opset_version=OPSET,
                dynamo=False,
                input_names=["images"],
                output_names=["output0"],
                dynamic_axes=axes,
            )
        model = onnx.load(str(scratch))
        model.ir_version = IR
        model.producer_name, model.producer_version = "edgekit", ""
        onnx.helper.set_model_props(model, metadata(network))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(scratch))
    return out
