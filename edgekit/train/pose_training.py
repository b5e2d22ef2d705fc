"""What `edgekit train trtpose` and `edgekit train fastpose` share: arguments, checks, the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from edgekit.errors import InputError
from edgekit.topology import Topology
from edgekit.train.keypoints import read_keypoints
from edgekit.train.loop import seed_everything
from edgekit.train.pose_augment import PoseStrength
from edgekit.train.pose_data import PoseSettings, Some, make_plan, split_pictures
from edgekit.train.pose_module import PoseModule, Recipe, fit, save_network
from edgekit.train.pose_networks import shaped_like
from edgekit.train.pose_start import read_weights, start_from


@dataclass(frozen=True)
class Kind:
    """What differs between the two trainings.

    Attributes:
        name: of the demo network.
        task, file: what a checkpoint is for, and its name.
        make: the demo network's class.
        begun: a demo network that begins with the layers of a MoveNet's ONNX file.
        upstream: {name: upstream's network for a topology}.
        outputs: last layers and what their channels are, for `start_from`.
        recipe: (network's name, topology, augmentation, settings) → `Recipe`.
        count: what one epoch passes over.
        notes: of the demo network's file.
        joined: whether the topology must have limbs.
    """

    name: str
    task: str
    file: str
    make: Any
    begun: Callable[[Path | str, Topology], nn.Module]
    upstream: Mapping[str, Callable[[Topology], nn.Module]]
    outputs: Mapping[str, str]
    recipe: Callable[[str, Topology, PoseStrength | None, PoseSettings], Recipe]
    count: Callable[[Some], int]
    notes: Mapping[str, str]
    joined: bool = False


def train_pose(
    kind: Kind,
    data: Path | str,
    out: Path | str,
    *,
    size: int | tuple[int, int],
    topology: str | Path | Topology | None = None,
    network: str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    start: Path | str | None = None,
    backbone: Path | str | None = None,
    held_out: float | Path | str = 0.1,
    strength: PoseStrength | None = None,
    device: str | None = None,
    devices: int = 1,
    resume: Path | str | None = None,
    seconds: float | None = None,
    stop: int | None = None,
    progress: bool = False,
    report: Callable[[str], Any] = lambda line: None,
    **settings: Any,
) -> Path:
    """Train on keypoints in COCO's or AnimalPose's form; returns the checkpoint in `out`.

    Args:
        data: annotation file, or a folder with one.
        size: side of the square input, or (height, width); multiples of 32.
        topology: what to learn ("human18", a COCO-category JSON …); by default the file's own category.
        network: the demo network, or one of upstream's.
        steps, epochs: how long; 8000 steps by default.
        start: weights to begin with: a checkpoint, an ONNX file this kit exported (the shipped one), or
            upstream's state dict. New keypoints and limbs get new output channels.
        backbone: a MoveNet as ONNX whose layers the demo network begins with (without `start`).
        held_out: share of the pictures kept apart, by likeness, for the curve of the held-out loss; or a
            split.json whose "held_out" names them.
        device: "cuda" or "cpu"; devices: how many, by Lightning's DDP.
        resume: `last.ckpt` of an unfinished run, which goes on where it stopped.
        seconds, stop: stop after this time or this step, to be resumed.
        settings: fields of `PoseSettings`: batch, rate, slow, average, seed …

    Raises:
        InputError: data, size, start or resume do not fit.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 32 or height % 32 or width % 32:
        raise InputError(f"size {height}×{width}: both must be multiples of 32.")
    found = read_keypoints(data, topology)
    if kind.joined and not found.topology.skeleton:
        raise InputError(
            f"the topology {found.topology.name!r} joins no keypoints; {kind.name} learns its limbs."
        )
    taught, held = split_pictures(found, held_out, settings.get("long_side", 512))
    plan = make_plan(settings, (height, width), steps, epochs, kind.count(taught), default=8000)
    seed_everything(plan.seed)
    name = network or kind.name
    net = make_network(kind, name, found.topology, start, backbone)
    if start:
        fresh = start_from(net, start, found.topology, kind.outputs)
        report(f"begun with {start}; {fresh} new output channels")
    if plan.batch == 1 and any(isinstance(part, nn.BatchNorm2d) for part in net.modules()):
        raise InputError(
            f"{name} begins with batch norms, which one picture at a time cannot teach: --batch 2."
        )
    people = sum(len(p.keypoints) for p in taught.pictures)
    report(f"{people} people in {len(taught.pictures)} pictures, {len(held.pictures)} pictures held out")
    recipe = kind.recipe(name, found.topology, strength, plan)
    module = PoseModule(net, recipe, plan, found.topology, taught, held)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    fit(module, out, device, devices, resume, seconds, stop, progress)
    notes = {**kind.notes, **({} if name == kind.name else {"description": name})}
    return save_network(module, out / kind.file, kind.task, notes)


def make_network(
    kind: Kind, name: str, topology: Topology, start: Path | str | None, backbone: Path | str | None
) -> nn.Module:
    """A network to train: of the shapes that `start` has, or with a MoveNet's layers, or from nothing."""
    if name in kind.upstream:
        return kind.upstream[name](topology)
    if name != kind.name:
        raise InputError(f"There is no network {name!r}; there are {', '.join((kind.name, *kind.upstream))}.")
    if start:
        state, _ = read_weights(start)
        try:
            return shaped_like(kind.make, state, topology)
        except KeyError:
            raise InputError(f"{start} is no {name}; --start wants the same kind of network.") from None
    return kind.begun(backbone, topology) if backbone else kind.make(topology)
