"""Structured pruning: whole inner channels of the inverted residuals go, and the network is a smaller one.

A block widens its input (1×1), filters every channel by itself (depthwise) and narrows it again (1×1). An
inner channel touches nothing outside of its block, so that it can go without any other layer noticing.

With pictures, those go that change the block's output the least: a channel's mean goes into the bias,
and what is lost is its variance times the square of its weights. Without, those whose three filters are the
smallest: the product of their L1 norms ("Pruning Filters for Efficient ConvNets", Li et al., 2017, for the
three layers of a channel at once).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Activity:
    """What the inner channels of a block do on pictures: float64 [C] mean and variance."""

    mean: Tensor
    variance: Tensor


def importance(state: Mapping[str, Tensor], block: str, activity: Activity | None = None) -> Tensor:
    """float64 [C]: how much each of a block's inner channels counts; see the module."""
    project = state[f"{block}.{PROJECT}.weight"].double().flatten(1)
    if activity is not None:
        return activity.variance * project.square().sum(0)
    expand, depth = (state[f"{block}.{layer}.weight"].double().abs() for layer in (EXPAND, DEPTH))
    return expand.flatten(1).sum(1) * depth.flatten(1).sum(1) * project.abs().sum(0)


def kept_channels(
    state: Mapping[str, Tensor], share: float, active: Mapping[str, Activity] | None = None
) -> dict[str, Tensor]:
    """{block: int64 indices of the inner channels that stay, in their order}.

    Args:
        state: weights of a network with `mobilenet.Block`s, by name.
        share: of each block's inner channels that goes, over 0 and under 1; as many stay as make a multiple
            of `STEP`, at least one such.
        active: of `activity`.

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
        counts = importance(state, block, (active or {}).get(block))
        kept[block] = counts.topk(count).indices.sort().values
    return kept


def pruned(state: Mapping[str, Tensor], share: float, active: Mapping[str, Activity] | None = None) -> State:
    """The weights without the least important inner channels; arguments and errors as `kept_channels`."""
    made = dict(state)
    for block, rows in kept_channels(state, share, active).items():
        for layer in (EXPAND, DEPTH):
            for part in ("weight", "bias"):
                made[f"{block}.{layer}.{part}"] = state[f"{block}.{layer}.{part}"][rows].clone()
        name, bias = f"{block}.{PROJECT}.weight", f"{block}.{PROJECT}.bias"
        made[name] = state[name][:, rows].clone()
        if active is not None:
            mean = active[block].mean.clone()
            mean[rows] = 0
            lost = state[name].double().flatten(1) @ mean
            made[bias] = (state[bias].double() + lost).to(state[bias].dtype)
    return made


@torch.no_grad()
def activity(network: nn.Module, inputs: Iterable[Tensor]) -> dict[str, Activity]:
    """{block: what its inner channels do} of a network on inputs [N, 3, H, W]."""
    sums: dict[str, list[Tensor]] = {}
    handles = []

    def watch(name: str) -> Any:
        def seen(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            x = given[0].double().transpose(0, 1).flatten(1)
            count = torch.tensor(float(x.shape[1]), dtype=torch.float64)
            new = [count, x.sum(1), x.square().sum(1)]
            sums[name] = [a + b for a, b in zip(sums.get(name, [0, 0, 0]), new, strict=True)]

        return seen

    for name, block in network.named_modules():
        if isinstance(block, Block) and block.expand is not None:
            handles.append(block.project.register_forward_pre_hook(watch(name)))
    try:
        for x in inputs:
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        found[name] = Activity(mean, (squares / count - mean.square()).clamp(min=0))
    return found


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


def prune_file(
    source: Path | str,
    share: float,
    out: Path | str,
    dynamic: bool = False,
    pictures: Path | str | None = None,
) -> Path:
    """Prune a demo pose network's checkpoint or its ONNX file; write a checkpoint (.pt) or ONNX.

    A checkpoint can be trained on: `edgekit train fastpose --start pruned.pt`.

    Args:
        share: as of `kept_channels`.
        dynamic: leave the batch size of an ONNX file open.
        pictures: folder of pictures with people, by which channels are chosen; None: by their weights.

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
        active = None if pictures is None else activity(*_on_pictures(found, Path(pictures)))
        weights = pruned(found["weights"], share, active)
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


def _on_pictures(found: dict[str, Any], folder: Path) -> tuple[nn.Module, Iterator[Tensor]]:
    """The network of a checkpoint, and its input of each picture; of each person for a top-down one."""
    import cv2

    from edgekit.engine import calibration as cal
    from edgekit.engine.pose_inputs import crop_input, people_in
    from edgekit.tasks.trtpose_input import PoseInput
    from edgekit.train.pose_networks import small_fastpose, small_trtpose

    height, width = (int(side) for side in found["imgsz"])
    if found["task"] == "topdown":
        folder, network = people_in(folder, (height, width)), small_fastpose(found)
        prepare: Any = crop_input(found.get("notes", {}))
    else:
        network = small_trtpose(found)
        fill = PoseInput((height, width), found.get("notes", {}).get("fit") or "stretch")

        def prepare(images: list[Any]) -> Any:
            return fill(images)[0]

    def inputs() -> Iterator[Tensor]:
        for file in cal.pictures(folder):
            if (image := cv2.imread(str(file))) is not None:
                yield torch.from_numpy(prepare([image]).copy())

    return network, inputs()


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
