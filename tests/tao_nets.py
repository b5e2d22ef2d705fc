"""ActionRecognitionNet as TAO exports it, tiny: the shapes and names of its file, an answer told by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHANNELS = {"rgb": 3, "of": 2}
#: What this kit's own export says besides; TAO's says nothing.
NOTES = {
    "task": "action",
    "names": json.dumps(["walk", "sit", "fall", "wave", "jump"]),
    "sample_rate": "1",
    "mean": "[0.5, 0.5, 0.5]",
    "std": "[0.5, 0.5, 0.5]",
    "crop": "resize",
    "smaller_edge": "256",
    "per": "picture",
    "stride": "1",
    "threshold": "0.3",
}


def matrix(stream: str, frames: int, classes: int) -> NDArray[np.float32]:
    """float32 [C, D, classes]: what a channel's mean over one frame adds to each logit."""
    rng = np.random.default_rng(frames)
    return rng.normal(size=(CHANNELS[stream], frames, classes)).astype(np.float32)


def logits(classes: int = 5, **clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, classes] that the network answers to rgb= and of=, float32 [N, C, D, H, W] each."""
    total = 0
    for stream, clip in clips.items():
        weights = matrix(stream, clip.shape[2], classes).astype(np.float64)
        total = total + np.einsum("ncd,cdk->nk", clip.mean((3, 4), dtype=np.float64), weights)
    return np.asarray(total, np.float32)


def tao_net(
    frames: int = 32,
    size: tuple[int, int] = (224, 224),
    classes: int = 5,
    streams: tuple[str, ...] = ("rgb",),
    kind: str = "3d",
    batch: int | str = "batch",
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A checked model of opset 17: input_rgb [N, 3, D, H, W] → fc_pred [N, classes], as TAO's public one.

    Args:
        frames: D of every stream.
        streams: of "rgb" and "of"; both: a joint network.
        kind: "2d": inputs are [N, C·D, H, W].
        batch: N, or the name of an open one.
        notes: metadata; TAO writes none.
    """
    nodes, inputs, values, parts = [], [], {}, []
    for stream in streams:
        channels = CHANNELS[stream]
        shape = [channels * frames] if kind == "2d" else [channels, frames]
        inputs.append(_value(f"input_{stream}", batch, *shape, *size))
        values[f"matrix_{stream}"] = matrix(stream, frames, classes).reshape(-1, classes)
        axes = [len(shape) + 1, len(shape) + 2]
        nodes += [
            helper.make_node("ReduceMean", [f"input_{stream}"], [f"mean_{stream}"], axes=axes, keepdims=0),
            helper.make_node("Flatten", [f"mean_{stream}"], [f"flat_{stream}"], axis=1),
            helper.make_node("MatMul", [f"flat_{stream}", f"matrix_{stream}"], [f"part_{stream}"]),
        ]
        parts.append(f"part_{stream}")
    last = "Sum" if len(parts) > 1 else "Identity"
    nodes.append(helper.make_node(last, parts, ["fc_pred"]))
    graph = helper.make_graph(
        nodes,
        "torch_jit",
        inputs,
        [_value("fc_pred", batch, classes)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(notes or {}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path
