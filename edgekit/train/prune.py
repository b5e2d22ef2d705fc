"""Structured pruning: whole inner channels of the inverted residuals go, and the network is a smaller one.

A block widens its input (1×1), filters every channel by itself (depthwise) and narrows it again (1×1). An
inner channel touches nothing outside of its block, so that it can go without any other layer noticing. Those
go whose three filters are the smallest: the product of their L1 norms ("Pruning Filters for Efficient
ConvNets", Li et al., 2017, for the three layers of a channel at once).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.loop import save_checkpoint
from edgekit.train.mobilenet import Block
from edgekit.train.weights import is_state, read_checkpoint

#: Channels left are a multiple of this: GPUs compute that many at once.
STEP = 8
#: The demo network of each task; an ONNX file notes its task.
NETWORKS = {"trtpose": "edgekit-trtpose", "topdown": "edgekit-fastpose"}
EXPAND, DEPTH, PROJECT = "expand", "depth", "project"
State = dict[str, Tensor]


def importance(state: Mapping[str, Tensor], block: str) -> Tensor:
    """float64 [C] of a block's inner channels: the product of the L1 norms of their filters."""
    expand, depth = (state[f"{block}.{layer}.weight"].double().abs() for layer in (EXPAND, DEPTH))
    project = state[f"{block}.{PROJECT}.weight"].double().abs()
    return expand.flatten(1).sum(1) * depth.flatten(1).sum(1) * project.flatten(2).sum((0, 2))


def kept_channels(state: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """{block: int64 indices of the inner channels that stay, in their order}.

    Args:
        state: weights of a network with `mobilenet.Block`s, by name.
        share: of each block's inner channels that goes, over 0 and under 1; as many stay as make a multiple
            of `STEP`, at least one such.

    Raises:
        InputError: the share makes no sense, or there is no such block.
    """
    if not 0 < share < 1:
        raise InputError(f"share {share:g} must be over 0 and under 1.")
    ending = f".{EXPAND}.weight"
    blocks = [name.removesuffix(ending) for name in state if name.endswith(ending)]
    if not blocks:
        raise InputError("it has no inverted residuals with inner channels to prune.")
    kept = {}
    for block in blocks:
        wide = len(state[f"{block}.{EXPAND}.weight"])
        count = min(wide, max(STEP, round(wide * (1 - share) / STEP) * STEP))
        kept[block] = importance(state, block).topk(count).indices.sort().values
    return kept


def pruned(state: Mapping[str, Tensor], share: float) -> State:
    """The weights without the least important inner channels; arguments and errors as `kept_channels`."""
    made = dict(state)
    for block, rows in kept_channels(state, share).items():
        for layer in (EXPAND, DEPTH):
            for part in ("weight", "bias"):
                made[f"{block}.{layer}.{part}"] = state[f"{block}.{layer}.{part}"][rows].clone()
        name = f"{block}.{PROJECT}.weight"
        made[name] = state[name][:, rows].clone()
    return made


def narrow(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network's blocks as many inner channels as `state` has, so that it can be loaded."""
    for name, block in network.named_modules():
        weight = state.get(f"{name}.{EXPAND}.weight")
        if not isinstance(block, Block) or weight is None or block.expand is None:
            continue
        wide = len(weight)
        if wide != block.expand.out_channels:
            old = block.depth
            how: dict[str, Any] = {"stride": old.stride, "padding": old.padding, "groups": wide}
            block.expand = nn.Conv2d(block.expand.in_channels, wide, 1)
            block.depth = nn.Conv2d(wide, wide, old.kernel_size, **how)
            block.project = nn.Conv2d(wide, block.project.out_channels, 1)


def prune_file(source: Path | str, share: float, out: Path | str, dynamic: bool = False) -> Path:
    """Prune a demo pose network's checkpoint or its ONNX file; write a checkpoint (.pt) or ONNX.

    A checkpoint can be trained on: `edgekit train fastpose --start pruned.pt`.

    Args:
        share: as of `kept_channels`.
        dynamic: leave the batch size of an ONNX file open.

    Raises:
        InputError: the file holds no such network, or `out` ends otherwise.
    """
    out = Path(out)
    if out.suffix not in (".pt", ".onnx"):
        raise InputError(f"{out.name}: the file to write must end in .pt or .onnx.")
    found = _from_onnx(Path(source)) if Path(source).suffix == ".onnx" else read_checkpoint(source)
    if is_state(found) or "weights" not in found or found.get("network") not in NETWORKS.values():
        raise InputError(
            f"{source} is no {' or '.join(NETWORKS.values())} of this kit; other networks cannot be pruned."
        )
    try:
        weights = pruned(found["weights"], share)
    except KeyError as error:
        raise InputError(f"{source} lacks {error}: it cannot be pruned.") from error
    notes = {**found.get("notes", {}), "pruned": f"{share:g} of the inner channels"}
    keys = ("network", "task", "topology", "imgsz")
    made = {**{key: found[key] for key in keys}, "notes": notes, "weights": weights}
    if out.suffix == ".pt":
        out.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(out, **made)
        return out
    from edgekit.train.pose_export import export_pose, load_pose

    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "pruned.pt", **made)
        return export_pose(load_pose(Path(folder) / "pruned.pt", found["task"]), out, dynamic)


def _from_onnx(file: Path) -> dict[str, Any]:
    """A demo network's ONNX file as a checkpoint: its initializers are the parameters by name."""
    from onnx import numpy_helper

    from edgekit.engine.onnx_file import load_model

    model = load_model(file)
    notes = {p.key: p.value for p in model.metadata_props}
    own = ("license", "author", "description")
    try:
        return {
            "network": NETWORKS[notes["task"]],
            "task": notes["task"],
            "topology": notes["topology"],
            "imgsz": json.loads(notes["imgsz"]),
            "notes": {key: notes[key] for key in (*own, "fit", "mean", "std") if key in notes},
            "weights": {
                t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer
            },
        }
    except KeyError as error:
        raise InputError(f"{file} does not note {error}: it is no pose network of this kit.") from error
