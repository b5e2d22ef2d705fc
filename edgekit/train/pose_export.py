"""From the weights of a pose network to the ONNX file the kit runs, or to a `.wts` file.

Upstream's state dicts are known by their names (`resnet18_baseline_att`, `densenet121_baseline_att`,
FastPose). A checkpoint of this kit says itself what it is, in plain values beside its weights:

    {"network": "…",              # a key of NETWORKS
     "weights": {name: tensor},
     "task": "trtpose",           # or "topdown"
     "topology": …,               # a COCO category, or its JSON text (`Topology.note()`)
     "imgsz": [H, W],
     "notes": {"license": …}}     # optional; written over the defaults in the file's metadata
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn

from edgekit.engine.network import PREPARED as TRTPOSE_INPUT
from edgekit.errors import InputError, MissingError
from edgekit.files import atomic_write
from edgekit.topology import COCO17, HUMAN18, Topology, read_topology
from edgekit.train.fastpose_network import fastpose_from, is_fastpose
from edgekit.train.trtpose_network import input_side, is_trtpose, trtpose_from
from edgekit.train.weights import is_state, read_checkpoint
from edgekit.wts import write_wts

OPSET, IR = 17, 9  # what onnxruntime 1.16 and TensorRT 8.5 read
#: checkpoint["network"] → a function of the whole checkpoint that gives the network with its weights in,
#: in evaluation mode; or "module:function", imported when it is used.
NETWORKS: dict[str, Callable[[dict[str, Any]], nn.Module] | str] = {
    "edgekit-trtpose": "edgekit.train.pose_networks:small_trtpose",
    "edgekit-fastpose": "edgekit.train.pose_networks:small_fastpose",
    "resnet18_baseline_att": lambda found: trtpose_from(found["weights"], "the checkpoint"),
    "densenet121_baseline_att": lambda found: trtpose_from(found["weights"], "the checkpoint"),
    "fastpose-res50": lambda found: fastpose_from(found["weights"], "the checkpoint"),
}
OUTPUTS = {"trtpose": ("cmap", "paf"), "topdown": ("heatmaps",)}
#: How pictures become the network's input: RGB 0..1, minus `mean`, over `std`. FastPose: AlphaPose's
#: `SimpleTransform`.
PREPARED: dict[str, dict[str, str]] = {
    "trtpose": TRTPOSE_INPUT,
    "topdown": {"mean": "[0.406, 0.457, 0.48]", "std": "[1, 1, 1]"},
}
TRT_POSE = {
    "license": "MIT",
    "author": "NVIDIA-AI-IOT/trt_pose",
    "description": "Bottom-up pose: confidence maps of the keypoints and part-affinity fields.",
}
ALPHAPOSE = {
    "license": "AlphaPose: non-commercial research only",
    "author": "MVIG-SJTU/AlphaPose",
    "description": "Top-down pose: heat maps of the keypoints of one person's crop.",
}


@dataclass(frozen=True)
class PoseNet:
    """A network with its weights, and what a file of it has to say.

    Attributes:
        network: in evaluation mode.
        task: "trtpose" or "topdown".
        topology: of its outputs.
        size: height and width of its input.
        notes: metadata of its file, {key: text}.
    """

    network: nn.Module
    task: str
    topology: Topology
    size: tuple[int, int]
    notes: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """The ONNX file's `metadata_props`."""
        own = {"task": self.task, "topology": self.topology.note(), "imgsz": json.dumps(list(self.size))}
        return {**own, **PREPARED[self.task], "author": "edgekit", **self.notes}


def load_pose(
    weights: Path | str, task: str, topology: str | Topology | None = None, size: int | None = None
) -> PoseNet:
    """The pose network of a weights file.

    Args:
        weights: a state dict of upstream, or a checkpoint of this kit.
        task: "trtpose" or "topdown".
        topology: a name, a COCO-category JSON or a topology; by default the checkpoint's, else the person
            of upstream where the counts of channels are his.
        size: side of a square input in pixels; by default what the network was trained with.

    Raises:
        InputError: the file holds another network, or the topology or size does not fit it.
    """
    found, file = read_checkpoint(weights), Path(weights).name
    given = read_topology(topology) if topology is not None else None
    read = _upstream if is_state(found) else _checkpoint
    net = read(found, task, given, file)
    if size is not None:
        net = PoseNet(net.network, net.task, net.topology, (size, size), net.notes)
    _check(net, file)
    return net


def _upstream(state: dict[str, Any], task: str, topology: Topology | None, file: str) -> PoseNet:
    if task == "trtpose":
        if is_fastpose(state):
            raise InputError(f"{file} is a FastPose: use `edgekit export fastpose`.")
        side = input_side(state) if is_trtpose(state) else 0
        network: nn.Module = trtpose_from(state, file)
        return PoseNet(network, task, topology or HUMAN18, (side, side), TRT_POSE)
    if is_trtpose(state):
        raise InputError(f"{file} is a TrtPose: use `edgekit export trtpose`.")
    network = fastpose_from(state, file)
    return PoseNet(network, task, topology or COCO17, (256, 192), ALPHAPOSE)


def _checkpoint(found: dict[str, Any], task: str, topology: Topology | None, file: str) -> PoseNet:
    name = found.get("network")
    if name not in NETWORKS:
        known = ", ".join(sorted(NETWORKS)) or "none"
        raise InputError(
            f"{file} is neither a state dict of TrtPose or FastPose nor a checkpoint of a known network "
            f"(its network is {name!r}; known: {known})."
        )
    if found.get("task") != task:
        raise InputError(f"{file} is a network for {found.get('task')!r}, not for {task!r}.")
    make = NETWORKS[name]
    try:
        height, width = (int(side) for side in found["imgsz"])
        noted = found.get("topology")
        category = json.loads(noted) if isinstance(noted, str) else noted
        topology = topology or Topology.from_category(category or {}, f"the topology of {file}")
        notes = {str(key): str(value) for key, value in found.get("notes", {}).items()}
        network = (resolve_name(make) if isinstance(make, str) else make)(found)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{file} is an incomplete checkpoint of {name}: {error!r}.") from error
    return PoseNet(network.eval(), task, topology, (height, width), notes)


def _check(net: PoseNet, file: str) -> None:
    """InputError unless the outputs have the shapes that the topology and the input size ask for."""
    height, width = net.size
    if min(net.size) < 32 or height % 32 or width % 32:
        raise InputError(f"the input {height}×{width} must have sides that are multiples of 32.")
    with torch.no_grad():
        maps = net.network(torch.zeros(1, 3, height, width))
    shapes = [tuple(m.shape[1:]) for m in ((maps,) if torch.is_tensor(maps) else maps)]
    channels = [shape[0] for shape in shapes]
    if any(shape[1:] != (height // 4, width // 4) for shape in shapes):
        raise InputError(f"{file} gives maps {shapes}; they must be a quarter of the input {height}×{width}.")
    wanted = [len(net.topology), 2 * len(net.topology.skeleton)][: len(OUTPUTS[net.task])]
    if channels != wanted:
        raise InputError(
            f"{file} gives {' and '.join(map(str, channels))} channels, but the topology "
            f"{net.topology.name!r} with {len(net.topology)} keypoints and {len(net.topology.skeleton)} "
            f"limbs has {' and '.join(map(str, wanted))}: name the right one with --topology."
        )


def export_pose(net: PoseNet, out: Path | str, dynamic: bool = False) -> Path:
    """Write ONNX (opset 17, IR 9, float32) or, where `out` ends in `.wts`, the weights alone.

    ONNX: `images` [N, 3, H, W] → `cmap` [N, K, H/4, W/4] and `paf` [N, 2L, H/4, W/4], or `heatmaps`
    [N, K, H/4, W/4]. N is 1, or open with `dynamic`.

    Raises:
        MissingError: the package onnx is not installed.
        InputError: `out` has another ending.
    """
    out = Path(out)
    if out.suffix == ".wts":
        return write_wts(out, weights_of(net.network))
    if out.suffix != ".onnx":
        raise InputError(f"{out.name}: the file to write must end in .onnx or .wts.")
    try:
        import onnx
    except ImportError:
        raise MissingError("The package onnx is missing: pip install 'edgekit[train]'.") from None
    names = ["images", *OUTPUTS[net.task]]
    with atomic_write(out) as scratch:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that this exporter is the older one
            torch.onnx.export(
                net.network,
                (torch.zeros(1, 3, *net.size),),
                str(scratch),
                opset_version=OPSET,
                dynamo=False,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "batch"} for name in names} if dynamic else None,
            )
        model = onnx.load(str(scratch))
        _unshare(model.graph)
        model.ir_version = IR
        model.producer_name, model.producer_version = "edgekit", ""
        onnx.helper.set_model_props(model, net.metadata())
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(scratch))
    return out


def _unshare(graph: Any) -> None:
    """Give each layer weights of its own: the exporter passes equal ones on by Identity nodes.

    TensorRT then takes them for weights, not for tensors of the network, and other readers find them.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    passing = [node for node in graph.node if node.op_type == "Identity" and node.input[0] in weights]
    for node in passing:
        graph.initializer.add().CopyFrom(weights[node.input[0]])
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def weights_of(network: nn.Module) -> Mapping[str, Any]:
    """{name: float32 array} of a network, without the counters `num_batches_tracked`."""
    return {
        name: value.detach().cpu().float().numpy()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
