"""Layer information of a plan, from the best of three places.

1. the engine inspector: needs the engine deserialised, thus a GPU and its driver;
2. the builder's own log, where TensorRT-RTX prints the finished engine's layers: no GPU needed;
3. the network as the ONNX parser made it, before the builder fused it.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TENSOR = re.compile(r"\{ Name: ([^,]+), Dimensions: \[([^\]]*)\].*?Datatype: (\w+)")
_HEAD = re.compile(r"Name: (?P<name>.*?), LayerType: (?P<type>\w+), Inputs: \[(?P<rest>.*)", re.DOTALL)
WHAT = {
    "inspector": "the finished engine's layers, from TensorRT's engine inspector",
    "builder log": "the finished engine's layers, as the builder logged them",
    "network": "the parsed network's layers, before fusion: the engine's own are shown on its GPU only",
}


def from_inspector(trt: Any, logger: Any, plan: Any) -> dict[str, Any] | None:
    """Ask the engine inspector; None if the plan cannot be deserialised here."""
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return None
    inspector = engine.create_engine_inspector()
    found = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    layers = [_renamed(layer) for layer in found.get("Layers", [])]
    return {"kind": "inspector", "what": WHAT["inspector"], "layers": layers}


def _renamed(layer: Any) -> dict[str, Any]:
    if isinstance(layer, str):  # names only
        return {"name": layer, "type": ""}
    return {"name": layer.get("Name", ""), "type": layer.get("LayerType", ""), "detail": layer}


def from_log(text: str) -> dict[str, Any] | None:
    """Read the "Layers:" message that the builder logs with detailed profiling verbosity."""
    layers = []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            inputs, _, outputs = head["rest"].partition("], Outputs: [")
            inputs = inputs.partition("], Constants: [")[0]
            outputs = outputs.partition("], TacticName")[0]
            layers.append(
                {
                    "name": head["name"],
                    "type": head["type"],
                    "inputs": _tensors(inputs),
                    "outputs": _tensors(outputs),
                    "onnx": re.findall(r"\[ONNX Layer: ([^\]]+)\]", line),
                }
            )
    return {"kind": "builder log", "what": WHAT["builder log"], "layers": layers} if layers else None


def _tensors(text: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [int(n) for n in sizes.split(",") if n.strip()], "dtype": dtype}
        for name, sizes, dtype in _TENSOR.findall(text)
    ]


def from_network(network: Any) -> dict[str, Any]:
    """The layers of the parsed network."""
    layers = []
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        layers.append(
            {
                "name": layer.name,
                "type": layer.type.name,
                "inputs": [_tensor(layer.get_input(k)) for k in range(layer.num_inputs)],
                "outputs": [_tensor(layer.get_output(k)) for k in range(layer.num_outputs)],
            }
        )
    return {"kind": "network", "what": WHAT["network"], "layers": layers}


def _tensor(tensor: Any) -> dict[str, Any] | None:
    if tensor is None:  # an optional input that is not given
        return None
    try:
        shape = [int(n) for n in tensor.shape]
    except ValueError:  # its rank is known at run time only
        shape = None
    return {"name": tensor.name, "shape": shape, "dtype": tensor.dtype.name}
