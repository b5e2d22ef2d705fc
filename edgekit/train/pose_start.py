"""Beginning a pose training with weights that exist, also for other keypoints than they know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.topology import Topology, noted_topology
from edgekit.train.prune import narrow
from edgekit.train.weights import is_state, read_checkpoint


def read_weights(file: Path | str) -> tuple[dict[str, Tensor], Topology | None]:
    """Weights by name, and the topology of their outputs where the file notes it.

    From a checkpoint of this kit, a state dict, or an ONNX file that this kit wrote.
    """
    file = Path(file)
    if file.suffix != ".onnx":
        found = read_checkpoint(file)
        if is_state(found):
            return found, None
        if "weights" not in found:
            raise InputError(f"{file} is no checkpoint of a pose network of this kit.")
        return found["weights"], Topology.from_category(json.loads(found["topology"]), str(file))
    import onnx
    from onnx import numpy_helper

    if not file.is_file():
        raise InputError(f"there is no file {file} to start from.")
    model = onnx.load(str(file))
    state = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    return state, noted_topology({p.key: p.value for p in model.metadata_props})


def start_from(network: nn.Module, file: Path | str, topology: Topology, outputs: Mapping[str, str]) -> int:
    """Begin with the weights of `file`; the number of output channels that it did not have.

    `outputs` maps the name of a last layer to what its channels are: "keypoints" or "links". Channels of
    keypoints and limbs that the file knows by name are taken over; new ones keep their random weights.

    Raises:
        InputError: it is a network of another kind.
    """
    state, known = read_weights(file)
    narrow(network, state)  # a pruned one has fewer inner channels
    return take_over(network, state, known, topology, outputs, file)


def take_over(
    network: nn.Module,
    state: Mapping[str, Tensor],
    known: Topology | None,
    topology: Topology,
    outputs: Mapping[str, str],
    file: Path | str,
) -> int:
    """Give a network for `topology` the weights `state` of one for `known`; as `start_from`."""
    own, fresh = network.state_dict(), dict.fromkeys(outputs.values(), 0)
    for name, value in own.items():
        if name not in state:
            raise InputError(f"{file} lacks {name}: it is another network; give one of the same kind.")
        layer = name.rsplit(".", 1)[0]
        if layer in outputs and known is not None:
            to, source, sign = channels(topology, known, outputs[layer])
            value[to] = state[name][source].to(value.dtype) * sign.reshape(-1, *[1] * (value.ndim - 1))
            fresh[outputs[layer]] = len(value) - len(to)
        elif value.shape == state[name].shape:
            value.copy_(state[name])
        else:
            raise InputError(f"{file} has {name} {list(state[name].shape)}, not {list(value.shape)}.")
    network.load_state_dict(own)
    return sum(fresh.values())


def channels(new: Topology, old: Topology, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Which channels of `new` are which of `old`, and their signs (a limb turned round: −1)."""
    rows: list[tuple[int, int, float]] = []
    if kind == "keypoints":
        rows = [(k, old.keypoints.index(n), 1.0) for k, n in enumerate(new.keypoints) if n in old.keypoints]
    else:
        ends = {(old.keypoints[a], old.keypoints[b]): k for k, (a, b) in enumerate(old.skeleton)}
        for k, (a, b) in enumerate(new.skeleton):
            pair = new.keypoints[a], new.keypoints[b]
            for ask, sign in ((pair, 1.0), (pair[::-1], -1.0)):
                if ask in ends:
                    rows += [(2 * k + axis, 2 * ends[ask] + axis, sign) for axis in (0, 1)]
                    break
    table = np.array(rows, np.float32).reshape(-1, 3)
    to, source = (torch.from_numpy(table[:, i].astype(np.int64)) for i in (0, 1))
    return to, source, torch.from_numpy(table[:, 2])
