"""Weights of SlowFast: upstream's `.pkl` and `.pyth` files and checkpoints of this kit, loaded by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.action_names import AVA80, KINETICS400
from edgekit.errors import InputError
from edgekit.train.slowfast_network import CONFIGS, SFConfig, SlowFast, config_named
from edgekit.train.slowfast_pickle import read_pkl
from edgekit.train.weights import SHOWN, is_state, load_by_name, read_checkpoint

#: Names of the classes where a file has none, by head and count.
NAMES = {("ava", 80): AVA80, ("clip", 400): KINETICS400}
UPSTREAM = {
    "license": "Apache-2.0",
    "author": "facebookresearch/SlowFast",
    "description": "SlowFast: actions of people in video.",
}
#: What Caffe2 calls the parts of a layer, and what PyTorch does.
PARTS = {
    "w": "weight",
    "b": "bias",
    "bn_s": "bn.weight",
    "bn_b": "bn.bias",
    "bn_rm": "bn.running_mean",
    "bn_riv": "bn.running_var",
}
_PART = r"(w|b|bn_s|bn_b|bn_rm|bn_riv)"
#: Of the training, not of the network: momenta, learning rate, count of steps.
TRAINING = re.compile(r".*_momentum|lr|model_iter|.*_lr")


def torch_name(blob: str) -> str | None:
    """The parameter that a Caffe2 blob of upstream's release holds, or None.

    `t_` marks the fast pathway, `res4_5_branch2c` the layer c of block 5 of res4; a lateral connection is
    called a subsampling of the layer it starts from.
    """
    path = "pathway1" if blob.startswith("t_") else "pathway0"
    bare = blob.removeprefix("t_")
    if found := re.fullmatch(rf"pred_{_PART}", blob):
        return f"head.projection.{PARTS[found[1]]}"
    if found := re.fullmatch(r"nonlocal_conv(\d+)_(\d+)_(theta|phi|g|out)_(w|b)", blob):
        return f"s{found[1]}.pathway0_nonlocal{found[2]}.conv_{found[3]}.{PARTS[found[4]]}"
    if found := re.fullmatch(r"nonlocal_conv(\d+)_(\d+)_(bn_\w+)", blob):
        part = PARTS.get(found[3])
        return part and f"s{found[1]}.pathway0_nonlocal{found[2]}.{part}"
    if found := re.fullmatch(rf"t_(?:pool(1)|res(\d+)_\d+_branch2c_bn)_subsample_{_PART}", blob):
        part = PARTS[found[3]]
        return f"s{found[1] or found[2]}_fuse.{part if part.startswith('bn.') else f'conv_f2s.{part}'}"
    if bare == "conv1_w":
        return f"s1.{path}_stem.conv.weight"
    if found := re.fullmatch(r"res_conv1_(bn_\w+)", bare):
        part = PARTS.get(found[1])
        return part and f"s1.{path}_stem.{part}"
    if found := re.fullmatch(rf"res(\d+)_(\d+)_branch(1|2[abc])_{_PART}", bare):
        part = PARTS[found[4]]
        layer = "branch1" if found[3] == "1" else f"branch2.{found[3][1]}"
        joint = "_" if part.startswith("bn.") else "."  # branch1_bn.weight, but branch1.weight
        return f"s{found[1]}.{path}_res{found[2]}.{layer}{joint}{part}"
    return None


def state_of_blobs(blobs: Mapping[str, np.ndarray], file: str) -> dict[str, Tensor]:
    """A state dict of Caffe2's blobs; what only the training needs is left out.

    Raises:
        InputError: a blob has no place in SlowFast.
    """
    state, unknown = {}, []
    for blob, value in blobs.items():
        if TRAINING.fullmatch(blob):
            continue
        name = torch_name(blob)
        if name is None:
            unknown.append(blob)
        else:
            state[name] = torch.from_numpy(np.array(value, np.float32))
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise InputError(
            f"{file} is not a SlowFast: it has the unknown {', '.join(unknown[:SHOWN])}{more}. "
            "Give the checkpoint of a SlowFast network."
        )
    return state


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        state: {name: tensor}.
        config: of a checkpoint of this kit; None where the file does not say.
        names: of the classes, or None.
        notes: for the metadata of an ONNX file.
        size: height and width that a checkpoint wants to be exported with, or None.
    """

    state: dict[str, Tensor]
    config: SFConfig | None = None
    names: tuple[str, ...] | None = None
    notes: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None


def read_weights(path: Path | str) -> Weights:
    """Read a `.pkl` of Caffe2, a `.pyth` of upstream or a checkpoint of this kit; none can run anything.

    Raises:
        InputError: it is none of these.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        return Weights(state_of_blobs(read_pkl(path), path.name), notes=UPSTREAM)
    found = read_checkpoint(path)
    if "model_state" in found:  # upstream's training checkpoint
        return Weights(_bare(found["model_state"], path.name), notes=UPSTREAM)
    if is_state(found):
        return Weights(_bare(found, path.name), notes=UPSTREAM)
    if found.get("network") != "slowfast":
        raise InputError(
            f"{path.name} is no SlowFast: neither a state dict, nor a checkpoint of upstream "
            f'(its "model_state") or of this kit (its network is {found.get("network")!r}).'
        )
    try:
        config = _config(found["config"])
        names = tuple(str(name) for name in found["names"])
        notes = {str(key): str(value) for key, value in found.get("notes", {}).items()}
        size = tuple(int(side) for side in found["size"]) if found.get("size") else None
        state = _bare(found["weights"], path.name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path.name} is an incomplete checkpoint of SlowFast: {error!r}.") from error
    if size is not None and len(size) != 2:
        raise InputError(f"{path.name} has the size {list(size)}; height and width are wanted.")
    return Weights(state, replace(config, classes=len(names)), names, notes, size)


def _config(given: Any) -> SFConfig:
    """A configuration by its name, or of the values that `dataclasses.asdict` gave."""
    if isinstance(given, str):
        return config_named(given)
    frozen = {key: _frozen(value) for key, value in given.items()}
    return SFConfig(**frozen)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _bare(state: Any, file: str) -> dict[str, Tensor]:
    """The state dict without `module.`, which DistributedDataParallel puts before each name."""
    if not isinstance(state, Mapping) or not state or not is_state(state):
        raise InputError(f"{file} has a {type(state).__name__} in place of a state dict of weights.")
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}


@cache
def shapes_of(config: SFConfig) -> dict[str, torch.Size]:
    """Of the parameters and buffers of a network, by name."""
    with torch.device("meta"):
        network = SlowFast(config)
    return {name: value.shape for name, value in network.state_dict().items()}


def fitted(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """`state` in these shapes: Caffe2 leaves trailing ones and batch norms' counters out."""
    made = dict(state)
    for name, own in shapes.items():
        if name not in made:
            if name.endswith("num_batches_tracked"):
                made[name] = torch.zeros((), dtype=torch.long)
            continue
        shape = made[name].shape
        if shape != own and shape == own[: len(shape)] and set(own[len(shape) :]) == {1}:
            made[name] = made[name].reshape(own)
    return made


def find_config(state: Mapping[str, Tensor], file: str) -> tuple[str, SFConfig]:
    """The first configuration of upstream or of the kit that the weights' names and shapes fit.

    What shapes don't show (alpha, the span, how RoIAlign aligns) is the configuration's: where several fit,
    those with the file's count of classes go first, in the order of `CONFIGS`.

    Raises:
        InputError: none fits.
    """
    head = state.get("head.projection.weight")
    if head is None:
        raise InputError(f"{file} has no head.projection.weight: it is no SlowFast with a head.")
    classes = int(head.shape[0])
    for name, config in sorted(CONFIGS.items(), key=lambda item: item[1].classes != classes):
        own = shapes_of(config)
        own = {n: torch.Size((classes, *s[1:])) if n.startswith("head.") else s for n, s in own.items()}
        if own == {n: value.shape for n, value in fitted(state, own).items()}:
            return name, replace(config, classes=classes)
    raise InputError(
        f"{file} fits none of the SlowFast configurations {', '.join(CONFIGS)}: name the nearest with "
        "--config to see what differs."
    )


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, in evaluation mode, and what a file of it says.

    Attributes:
        network: with `config`.
        names: of the classes, or None.
        notes: metadata of its file.
        size: height and width of its picture.
    """

    network: SlowFast
    names: tuple[str, ...] | None
    notes: dict[str, str]
    size: tuple[int, int]

    def metadata(self) -> dict[str, str]:
        """The ONNX file's `metadata_props`."""
        c = self.network.config
        names = self.names or NAMES.get((c.head, c.classes)) or tuple(map(str, range(c.classes)))
        own = {
            "task": "slowfast",
            "names": json.dumps(list(names), ensure_ascii=False),
            "head": c.head,
            "frames": str(c.frames),
            "alpha": str(c.alpha),
            "span": str(c.span),
            "stride": "2",
            "short_side": str(c.short_side),
            "mean": "[0.45, 0.45, 0.45]",
            "std": "[0.225, 0.225, 0.225]",
            "threshold": "0.3",
            "activation": "sigmoid" if c.head == "ava" else "softmax",
            "aligned": str(c.aligned).lower(),
            "author": "edgekit",
        }
        return {**own, **self.notes}


def load_slowfast(path: Path | str, config: SFConfig | str | None = None) -> Loaded:
    """The network of a weights file.

    Args:
        path: `.pkl` of upstream's Caffe2 releases, `.pyth` of its PyTorch, or a checkpoint of this kit.
        config: what it is; by default what the file says, else what its shapes say (`find_config`).

    Raises:
        InputError: names or shapes differ (it says which), or the file holds something else.
    """
    file, found = Path(path).name, read_weights(path)
    if config is None:
        made = found.config or find_config(found.state, file)[1]
    else:
        made = config_named(config) if isinstance(config, str) else config
        head = found.state.get("head.projection.weight")
        made = replace(made, classes=int(head.shape[0])) if head is not None else made
    network = load_by_name(lambda: SlowFast(made), fitted(found.state, shapes_of(made)), file)
    return Loaded(network, found.names, found.notes, found.size or made.size)


def start_from(network: SlowFast, path: Path | str) -> list[str]:
    """Put the weights of a file into a network to be trained on; its head is left alone if it differs.

    Returns:
        names of the parameters that kept their first values.

    Raises:
        InputError: anything but the head differs.
    """
    file, found = Path(path).name, read_weights(path)
    own = network.state_dict()
    state = fitted(found.state, {name: value.shape for name, value in own.items()})
    kept = [
        name
        for name, value in own.items()
        if name.startswith("head.") and (name not in state or state[name].shape != value.shape)
    ]
    state.update({name: own[name] for name in kept})
    loaded = load_by_name(lambda: SlowFast(network.config), state, file)
    network.load_state_dict(loaded.state_dict())
    return kept
