"""Weights that a training begins with: upstream's files, checkpoints of the kit, its ONNX exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.slowfast_network import SlowFast
from edgekit.train.slowfast_weights import start_from


def begin_with(network: SlowFast, path: Path | str) -> str:
    """Load what fits by name and shape; a head for other classes begins anew. Says what did.

    Args:
        network: gets the weights.
        path: upstream's .pkl or .pyth, a checkpoint of this training, or form "whole" of its export.

    Raises:
        InputError: it is none of these, or not of this configuration.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        state = onnx_state(path, network)
        own = network.state_dict()
        anew = [name for name, value in state.items() if value.shape != own[name].shape]
        if any(not name.startswith("head.") for name in anew):
            raise InputError(f"{path.name} has other shapes: --config must be the file's.")
        network.load_state_dict({name: state[name] for name in state.keys() - set(anew)}, strict=False)
    else:
        anew = start_from(network, path)
    return f"begun with {path.name}" + ("; the head begins anew" if anew else "")


def onnx_state(path: Path, network: SlowFast) -> dict[str, Tensor]:
    """The state of an export, whose batch norms are part of its convolutions and become the identity.

    Convolutions stand in the file in the order in which the network runs them.
    """
    import onnx

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:
        raise InputError(f"{path} is no ONNX file ({type(error).__name__}).") from error
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convs = [[values.get(name) for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    heads = [node for node in graph.node if node.op_type == "Gemm"]
    order = executed(network)
    if len(convs) != sum(isinstance(part, nn.Conv3d) for _, part in order) or len(heads) != 1:
        raise InputError(f"{path.name} is not an export of this network: --config must be the file's.")
    state: dict[str, Tensor] = {}
    given = iter(convs)
    for at, (name, part) in enumerate(order):
        if not isinstance(part, nn.Conv3d):
            continue
        weight, *bias = next(given)
        state[f"{name}.weight"] = tensor(weight)
        after, norm = order[at + 1] if at + 1 < len(order) else ("", None)
        if isinstance(norm, nn.BatchNorm3d) and bias:
            state |= {f"{after}.weight": torch.ones(norm.num_features), f"{after}.bias": tensor(bias[0])}
            state[f"{after}.running_mean"] = torch.zeros(norm.num_features)
            state[f"{after}.running_var"] = torch.full((norm.num_features,), 1 - norm.eps)
        elif bias:
            state[f"{name}.bias"] = tensor(bias[0])
    weight, bias_ = (values[name] for name in heads[0].input[1:])
    return state | {"head.projection.weight": tensor(weight), "head.projection.bias": tensor(bias_)}


def tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.array(value, np.float32))


@torch.no_grad()
def executed(network: SlowFast) -> list[tuple[str, nn.Module]]:
    """Convolutions and batch norms of the body with their names, in the order in which they run."""
    seen: list[tuple[str, nn.Module]] = []
    hooks = []
    for name, part in network.named_modules():
        if isinstance(part, (nn.Conv3d, nn.BatchNorm3d)):
            note: Any = lambda part, inputs, name=name: seen.append((name, part))  # noqa: E731
            hooks.append(part.register_forward_pre_hook(note))
    c, training = network.config, network.training
    try:
        clips = (torch.zeros(1, 3, c.frames // c.alpha, 32, 32), torch.zeros(1, 3, c.frames, 32, 32))
        network.eval().body(*clips)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return seen
