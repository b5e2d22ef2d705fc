"""What a builder makes of a network's layers: the list before, and the list after fusion.

Fusion is doing several layers in one go (a convolution and the activation behind it), so that what lies
between them never travels to memory and back.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.engine.onnx_file import load_model

#: They compute nothing when the network runs.
IDLE = ("Constant", "Identity")


@dataclass(frozen=True)
class Layer:
    """One step of a network, as it runs.

    Attributes:
        kind: the operator ("Conv") or the engine's own word ("correlation").
        name: its name.
        members: the ONNX layers that it does; empty for what the builder added (waits, copies).
    """

    kind: str
    name: str
    members: tuple[str, ...] = ()


def onnx_layers(path: Path | str) -> list[Layer]:
    """The layers of an ONNX file that compute something, in its order.

    Raises:
        InputError: the file cannot be read.
    """
    nodes = load_model(Path(path)).graph.node
    return [Layer(node.op_type, node.name, (node.name,)) for node in nodes if node.op_type not in IDLE]


def plan_layers(found: Mapping[str, Any]) -> list[Layer]:
    """The layers of a plan, from `Plan.layers()`, each with the ONNX layers fused into it."""
    return [Layer(layer["type"], layer["name"], _members(layer)) for layer in found["layers"]]


def _members(layer: Mapping[str, Any]) -> tuple[str, ...]:
    """The builder's log lists them; the inspector has them in "Metadata", in the same brackets."""
    if "onnx" in layer:
        return tuple(layer["onnx"])
    noted = str(dict(layer.get("detail") or {}).get("Metadata", ""))
    return tuple(re.findall(r"\[ONNX Layer: ([^\]]+)\]", noted))


def runtime_layers(path: Path | str) -> list[Layer]:
    """The layers that ONNX Runtime makes of a file on this CPU; what it fused is named by the kind alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that such a file fits this machine only, which is the point
    with tempfile.TemporaryDirectory(prefix="edgekit-layers-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx_layers(options.optimized_model_filepath)
