"""Reading PyTorch weight files and putting them into a network by name, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgekit.errors import InputError

Network = TypeVar("Network", bound=nn.Module)
SHOWN = 4  # of the names in a message


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """What a `.pth` or `.pt` file holds: a state dict, or a checkpoint around one.

    Only tensors and plain values are read (`weights_only`): nothing in the file is run.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no weights file {path}.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own
        raise InputError(
            f"{path} is not a PyTorch weights file, is cut short, or holds more than weights "
            f"({type(error).__name__})."
        ) from error
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{path} holds a {type(found).__name__}, not a state dict of weights.")
    return dict(found)


def is_state(found: Mapping[str, Any]) -> bool:
    """Whether it is a bare state dict: names and tensors, nothing else."""
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items())


def load_by_name(make: Callable[[], Network], state: Mapping[str, Tensor], file: Path | str) -> Network:
    """The network that `make` makes, in evaluation mode, with every tensor of `state` under its own name.

    It is made without memory for weights and takes the tensors as they are, floats as float32.

    Raises:
        InputError: names or shapes differ; says which.
    """
    with torch.device("meta"):
        network = make()
    own = network.state_dict()
    faults = [
        *_named("lacks", [name for name in own if name not in state]),
        *_named("has the unknown", [name for name in state if name not in own]),
    ]
    shapes = [
        f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults += _named("has of another shape", shapes)
    if faults:
        raise InputError(
            f"{Path(file).name} does not fit {type(network).__name__}: it {'; it '.join(faults)}. "
            "Give the weights of this network."
        )
    network.load_state_dict(dict(state), strict=True, assign=True)
    return network.float().eval()


def _named(verb: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{verb} {', '.join(names[:SHOWN])}{more}"]
