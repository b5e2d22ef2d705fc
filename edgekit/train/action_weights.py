"""Weight files of ActionRecognitionNet: checkpoints of this kit and of TAO, loaded by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from edgekit.errors import InputError
from edgekit.train.action_network import BACKBONES, CHANNELS, STEM, ActionNet, new_network, stem_channels
from edgekit.train.weights import is_state, load_by_name
from edgekit.train.weights import read_checkpoint as read_file

if TYPE_CHECKING:
    from edgekit.train.action_table import Model

#: Before the names of parameters: Lightning's module, DistributedDataParallel, torch.compile.
PREFIXES = ("model.", "module.", "_orig_mod.")
#: Owners of classes that a foreign Lightning checkpoint may keep beside its weights (TAO's settings).
FOREIGN = ("omegaconf.", "pytorch_lightning.", "lightning.", "nvidia_tao_", "eff.", "typing.", "enum.")
BUILTINS = ("int", "float", "str", "bool", "dict", "list", "tuple")


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        spec: the spec it was trained by, as `Spec.to_dict` gave it; None where the file has none.
        names: of the classes, or None.
        state: {name: tensor}, names as `ActionNet` has them.
    """

    spec: dict[str, Any] | None
    names: tuple[str, ...] | None
    state: dict[str, Tensor]


class _Absent:
    """Stands in for a class of another program: takes anything, keeps and does nothing."""

    def __new__(cls, *given: object) -> _Absent:
        return super().__new__(cls)

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _mapping(*given: object) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _stand_ins(path: Path) -> Any:
    """A context in which `torch.load` takes the settings in a checkpoint of TAO for nothing.

    Its restricted reader runs nothing of a file; classes that it doesn't know it refuses. Those of `FOREIGN`
    become `_Absent`; all others stay refused.
    """
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # before torch 2.6
        return nullcontext()
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # no file, or not of this form: reading it says so
        return nullcontext()
    kinds = {f"{owner}.{kind}" for owner in ("builtins", "__builtin__") for kind in BUILTINS}
    known: list[Any] = []
    for name in names:
        if name == "collections.defaultdict":
            known.append((_mapping, name))
        elif name.endswith(".AttributeDict"):
            known.append((OrderedDict, name))
        elif name.startswith(FOREIGN) or name in kinds:
            known.append((_Absent, name))
    return torch.serialization.safe_globals(known)


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint of this kit, of TAO (Lightning's `.pth` or `.ckpt`), or a plain state dict.

    Nothing in the file is run. Prefixes of the names (`PREFIXES`) go, and what stands beside the network.

    Raises:
        InputError: there is no such file, it is encrypted, or it holds something else.
    """
    path = Path(path)
    encrypted = InputError(
        f"{path.name} is encrypted by TAO and can't be read without NVIDIA's tools: train or export there "
        "without encryption_key, and give the .pth."
    )
    if path.suffix == ".etlt" and path.is_file():
        raise encrypted
    try:
        with _stand_ins(path):
            found = read_file(path)
    except InputError:
        if path.suffix == ".tlt" and path.is_file():
            raise encrypted from None
        raise
    if found.get("state_dict_encrypted"):
        raise encrypted
    state = found.get("state_dict", found)
    if not isinstance(state, Mapping) or not state or not is_state(state):
        raise InputError(
            f'{path.name} has no weights under "state_dict" and is no state dict itself: give a checkpoint '
            "of ActionRecognitionNet (model_epoch_….pth, ar_model_latest.pth)."
        )
    try:
        spec = dict(found["spec"]) if "spec" in found else None
        names = tuple(str(name) for name in found["names"]) if found.get("names") else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path.name} is an incomplete checkpoint of this kit: {error!r}.") from error
    return Checkpoint(spec, names, _bare(state))


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without prefixes, and without metrics that a Lightning module keeps beside its `model`."""
    bare = dict(state)
    while prefix := next((p for p in PREFIXES if any(name.startswith(p) for name in bare)), None):
        bare = {name.removeprefix(prefix): v for name, v in bare.items() if name.startswith(prefix)}
    return bare


def settings_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What names and shapes tell of a network: settings of a spec's `model`, and "classes".

    Empty for what is no ActionRecognitionNet. Whether the channels of a 2-d stream are pictures or flow
    does not show, nor does the length of a 3-d clip.
    """
    joint = "model_rgb.conv1.weight" in state
    part = stream_of(state, "rgb")
    first, head = part.get("conv1.weight"), state.get("fc2.weight" if joint else "fc_cls.weight")
    if first is None or head is None or first.ndim not in (4, 5):
        return {}
    convs = 3 if "layer1.0.conv3.weight" in part else 2
    depth = tuple(len({n.split(".")[1] for n in part if n.startswith(f"layer{k}.")}) for k in range(1, 5))
    found: dict[str, Any] = {
        "backbone": next((name for name, made in BACKBONES.items() if made == (depth, convs)), None),
        "input_type": "3d" if first.ndim == 5 else "2d",
        "width": first.shape[0] / STEM,
        "classes": int(head.shape[0]),
    }
    if joint:
        found |= {"model_type": "joint", "num_fc": int(head.shape[1])}
        if first.ndim == 4:
            for name, channels in CHANNELS.items():
                if (own := state.get(f"model_{name}.conv1.weight")) is not None:
                    found[f"{name}_seq_length"] = int(own.shape[1]) // channels
    elif first.ndim == 5:
        found["model_type"] = {v: k for k, v in CHANNELS.items()}.get(int(first.shape[1]))
    return {name: value for name, value in found.items() if value is not None}


def load_actions(path: Path | str, model: Model) -> tuple[ActionNet, tuple[str, ...] | None]:
    """The network of a checkpoint, in evaluation mode, and the names of its classes (None: it has none).

    Args:
        path: as `read_checkpoint` takes it.
        model: the part `model` of a spec, which says what the network is; the classes are the file's.

    Raises:
        InputError: the file is none, or its tensors are not those of this network.
    """
    found = read_checkpoint(path)
    classes = settings_of(found.state).get("classes") or 1
    network = load_state(lambda: new_network(model, classes), found.state, Path(path).name)
    if found.names is not None and len(found.names) != classes:
        raise InputError(f"{Path(path).name} has {len(found.names)} names for {classes} classes.")
    return network, found.names


def load_state(make: Callable[[], ActionNet], state: Mapping[str, Tensor], file: str) -> ActionNet:
    """The network that `make` makes with `state` by name, in evaluation mode.

    Counters of batch norms may be missing, as in older files.

    Raises:
        InputError: names or shapes differ; says which, and the settings that would fit.
    """
    with torch.device("meta"):
        made = make()
    counters = [name for name in made.state_dict() if name.endswith("num_batches_tracked")]
    whole = {**{name: torch.zeros((), dtype=torch.long) for name in counters}, **state}
    try:
        return load_by_name(make, whole, file)
    except InputError as error:
        cure = [f"model.{name}={value}" for name, value in _differences(made, settings_of(state))]
        raise InputError(f"{error} Set {' '.join(cure)}." if cure else str(error)) from None


def _differences(network: ActionNet, found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Settings of a file that the network has otherwise."""
    own = {
        "model_type": network.model_type,
        "backbone": network.backbone,
        "input_type": network.input_type,
        "num_fc": network.num_fc,
        "rgb_seq_length": network.lengths["rgb"],
        "of_seq_length": network.lengths["of"],
    }
    differ = [(name, found[name]) for name, value in own.items() if found.get(name, value) != value]
    if found and stem_channels(found["width"]) != stem_channels(network.width):
        differ.append(("width", found["width"]))
    return differ


def stream_of(state: Mapping[str, Tensor], stream: str) -> dict[str, Tensor]:
    """One stream of a joint network's state; any other state as it is."""
    prefix = f"model_{stream}."
    own = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    return own or dict(state)
