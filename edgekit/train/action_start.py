"""What an ActionRecognitionNet begins with: checkpoints, and ImageNet ResNets of torchvision's naming.

From 2-d to 3-d as in I3D (Carreira and Zisserman 2017, "Quo Vadis, Action Recognition?", bootstrapping 3-d
filters from 2-d ones): a kernel is repeated over time and divided by its length, so that a clip of one still
picture gives what the picture gave. A first convolution of another number of channels follows the same rule;
of colours it takes the mean for optical flow (Wang et al. 2016, "Temporal Segment Networks", cross-modality
pre-training). TAO spreads that mean over all channels and divides by nothing, which its batch norm evens out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.action_network import CHANNELS, ActionNet, new_network
from edgekit.train.action_weights import load_state, read_checkpoint, settings_of, stream_of

if TYPE_CHECKING:
    from edgekit.train.action_table import Model


def begin_with(network: ActionNet, model: Model) -> list[str]:
    """Load the files that a spec's `*_pretrained_model_path` name. Says what began with what.

    `joint_pretrained_model_path` counts before those of the streams. A stream's file is read with a head of
    `*_pretrained_num_classes`, which a new one replaces, as TAO does; 0 keeps the file's head. ImageNet's
    (torchvision's `fc`) is always replaced. Of a joint network's checkpoint, its stream counts.

    Args:
        network: gets the weights.
        model: the part `model` of the spec that made it.

    Raises:
        InputError: a file is none, or does not fit. The network may have got part of the weights.
    """
    if network.model_type == "joint" and model.joint_pretrained_model_path:
        path = Path(model.joint_pretrained_model_path)
        state = read_checkpoint(path).state
        classes = settings_of(state).get("classes", network.classes)
        if classes != network.classes:
            raise InputError(
                f"{path.name} is of {classes} classes, and {network.classes} are wanted: give it as both "
                "model.rgb_pretrained_model_path and model.of_pretrained_model_path, with "
                f"model.rgb_pretrained_num_classes={classes} and model.of_pretrained_num_classes={classes}."
            )
        loaded = load_state(lambda: new_network(model, network.classes), state, path.name)
        network.load_state_dict(loaded.state_dict())
        return [f"begun with {path.name}"]
    said = []
    for stream in network.streams:
        given = getattr(model, f"{stream}_pretrained_model_path")
        if given:
            count = getattr(model, f"{stream}_pretrained_num_classes")
            part = getattr(network, f"model_{stream}") if network.model_type == "joint" else network
            said.append(_begin(part, network, stream, Path(given), count))
    return said


def _begin(part: nn.Module, network: ActionNet, stream: str, path: Path, count: int) -> str:
    state = stream_of(read_checkpoint(path).state, stream)
    own = part.state_dict()
    said = [f"{stream}: begun with {path.name}"]
    anew = bool(count)
    if "fc.weight" in state:  # ImageNet's
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        anew = True
    elif "fc_cls.weight" in state:
        classes, wanted = int(state["fc_cls.weight"].shape[0]), count or network.classes
        if classes != wanted:
            raise InputError(
                f"{path.name} has a head of {classes} classes, and {wanted} are wanted: set "
                f"model.{stream}_pretrained_num_classes={classes}, so that a new head replaces it."
            )
    if anew:
        state |= {name: own[name] for name in ("fc_cls.weight", "fc_cls.bias")}
        said.append("the head begins anew")
    if "conv1.weight" in state and state["conv1.weight"].shape != own["conv1.weight"].shape:
        given = state["conv1.weight"]
        state["conv1.weight"] = first_convolution(given, own["conv1.weight"].shape, CHANNELS[stream])
        if given.shape[1] != own["conv1.weight"].shape[1]:
            said.append(f"the first convolution's {given.shape[1]} channels are spread")
    if network.input_type == "3d" and any(value.ndim == 4 for value in state.values()):
        said.append("2-d kernels are inflated")
    for name, value in state.items():
        if value.ndim == 4 and name in own and own[name].ndim == 5:
            state[name] = inflate(value, own[name].shape[2])
    settings: dict[str, Any] = {
        "model_type": stream,
        "backbone": network.backbone,
        "input_type": network.input_type,
        "classes": network.classes,
        "rgb_seq_length": network.lengths["rgb"],
        "of_seq_length": network.lengths["of"],
        "width": network.width,
    }
    loaded = load_state(lambda: ActionNet(**settings), state, path.name)
    part.load_state_dict(loaded.state_dict())
    return "; ".join(said)


def inflate(weight: Tensor, length: int) -> Tensor:
    """A 2-d kernel [O, I, H, W] as a 3-d one [O, I, length, H, W]: the same over time, of the same sum."""
    return weight.unsqueeze(2).repeat(1, 1, length, 1, 1) / length


def first_convolution(weight: Tensor, shape: torch.Size, channels: int) -> Tensor:
    """The first convolution for other channels; a still clip of grey gives what it gave.

    Args:
        weight: [O, n, 7, 7] or [O, n, T, 7, 7]; n is 3 (colours) or `channels` × frames, channel first.
        shape: wanted, of the same kind for `channels` × frames.
        channels: of the stream: 3 or 2.

    Returns:
        the weights; of another shape where the file's don't tell what they are of.
    """
    if weight.ndim == 4 and weight.shape[1] != 3 and weight.shape[1] % channels == 0:
        weight = weight.unflatten(1, (channels, -1)).sum(2)
    if weight.shape[1] == 3 and channels == 2:
        weight = weight.sum(1, keepdim=True).repeat_interleave(2, 1) / 2
    if weight.ndim == 4 and len(shape) == 5:
        weight = inflate(weight, shape[2])
    if weight.shape[1] == channels and shape[1] % channels == 0:
        frames = shape[1] // channels
        weight = weight.repeat_interleave(frames, 1) / frames
    return weight
