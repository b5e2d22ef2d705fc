"""Training a bottom-up pose network: confidence maps and part-affinity fields of whole scenes.

train_trtpose("labels.json", "run", steps=300, size=192, batch=8)   # then: edgekit export trtpose run/…
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.topology import Topology
from edgekit.train.keypoints import read_keypoints
from edgekit.train.loop import seed_everything
from edgekit.train.mobilenet import movenet_backbone, widths_of
from edgekit.train.pose_augment import NONE, PoseAugment, PoseBatch, PoseStrength
from edgekit.train.pose_data import make_plan, split_pictures
from edgekit.train.pose_module import PoseModule, fit, save_network
from edgekit.train.pose_networks import TRTPOSE_STEM, SmallTrtPose
from edgekit.train.pose_start import read_weights, start_from
from edgekit.train.targets import cmap_targets, masks, paf_targets
from edgekit.train.trtpose_network import densenet121_baseline_att, resnet18_baseline_att

STRIDE = 4  # input pixels to a cell of the maps
#: Of the targets, in cells: TrtPose's 0.025 of its 56 cells, and a window of five of them
#: (tasks/human_pose/experiments/resnet18_baseline_att_224x224_A.json; trt_pose/coco.py).
STDEV, WINDOW = 1.4, 7
UPSTREAM = {
    "resnet18_baseline_att": resnet18_baseline_att,
    "densenet121_baseline_att": densenet121_baseline_att,
}
NETWORKS = ("edgekit-trtpose", *UPSTREAM)
OUTPUTS = {
    **{"cmap.out": "keypoints", "paf.out": "links"},  # edgekit-trtpose
    **{"1.cmap_conv": "keypoints", "1.paf_conv": "links"},  # upstream's
}
SMOOTH = PoseStrength(zoom=(-0.5, 0.5), p_plain=0.5, turn=10.0, p_blur=0.05, colour=0.4)
DESCRIPTION = (
    "Small bottom-up pose network: confidence maps of the keypoints and part-affinity fields; the picture "
    "letterboxed with grey 114."
)
LOSS_SCALE = 100.0  # the mean square of maps that are nearly all zero is tiny; the scale suits clipping


class TrtPoseRecipe:
    """Scenes in, masked mean square error of cmap and paf out."""

    def __init__(self, name: str, topology: Topology, strength: PoseStrength, focus: float = 0.0) -> None:
        self.name, self.strength, self.focus = name, strength, focus
        self.links = torch.from_numpy(topology.links)

    def batch(self, augment: PoseAugment, count: int, calm: bool) -> PoseBatch:
        return augment.scenes(count, SMOOTH if calm else self.strength)

    def held(self, augment: PoseAugment, count: int, number: int) -> PoseBatch:
        rows = torch.arange(number * count, min((number + 1) * count, len(augment.poses)))
        return augment.scenes(0, NONE, rows.to(augment.device))

    def targets(self, batch: PoseBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """cmap, paf and their masks for the pixels of `batch`."""
        links = self.links.to(batch.points.device)
        scale = batch.points.new_tensor([1 / STRIDE, 1 / STRIDE, 1])
        points, boxes, ignore = batch.points * scale, batch.boxes / STRIDE, batch.ignore / STRIDE
        shape = (batch.images.shape[2] // STRIDE, batch.images.shape[3] // STRIDE)
        cmap = cmap_targets(points, shape, STDEV, WINDOW)
        paf = paf_targets(points, links, shape, STDEV)
        return cmap, paf, *masks(points, boxes, ignore, links, cmap, paf)

    def loss(self, network: nn.Module, batch: PoseBatch) -> dict[str, Tensor]:
        cmap, paf, cmask, pmask = self.targets(batch)
        mean, std = (batch.images.new_tensor(v)[:, None, None] for v in (TRTPOSE_STEM.mean, TRTPOSE_STEM.std))
        images = (batch.images - mean) / std
        images = images.contiguous(memory_format=torch.channels_last)
        cmap_, paf_ = network(images)
        return {
            "cmap": self.error(cmap_, cmap, cmask),
            "paf": self.error(paf_, paf, pmask),
        }

    def error(self, found: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        weight = mask * (1 + self.focus * target.abs())
        return (weight * (found.float() - target).square()).mean() * LOSS_SCALE


def make_network(
    name: str, topology: Topology, start: Path | str | None, backbone: Path | str | None
) -> nn.Module:
    """A network to train: of the shapes that `start` has, or with a MoveNet's backbone, or from nothing."""
    if name in UPSTREAM:
        return UPSTREAM[name](len(topology), 2 * len(topology.skeleton))
    if name != NETWORKS[0]:
        raise InputError(f"There is no network {name!r}; there are {', '.join(NETWORKS)}.")
    if start:
        state, _ = read_weights(start)
        try:
            path = [state[f"side.{n}.conv.weight"].shape[0] for n in range(4)]
        except KeyError:
            raise InputError(f"{start} is no {name}; --start wants the same kind of network.") from None
        return SmallTrtPose(topology, widths_of(state, "backbone."), path, norm=False)
    if not backbone:
        return SmallTrtPose(topology)
    body = movenet_backbone(backbone, 16, TRTPOSE_STEM)
    network = SmallTrtPose(topology, body.widths)
    network.backbone.load_state_dict(body.state_dict())
    return network


def train_trtpose(
    data: Path | str,
    out: Path | str,
    *,
    topology: str | Path | Topology | None = None,
    network: str = NETWORKS[0],
    size: int | tuple[int, int] = 320,
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
    """Train on keypoints in COCO's or AnimalPose's form; returns the checkpoint `out/trtpose.pt`.

    Args:
        data: annotation file, or a folder with one.
        topology: what to learn ("human18", a COCO-category JSON …); by default the file's own category.
        network: edgekit-trtpose, or one of upstream's (resnet18_baseline_att, densenet121_baseline_att).
        size: side of the square input, or (height, width); multiples of 32.
        steps, epochs: how long; 8000 steps by default.
        start: weights to begin with: a checkpoint, an ONNX file this kit exported (the shipped one), or
            upstream's state dict. New keypoints and limbs get new output channels.
        backbone: a MoveNet as ONNX whose first layers become the backbone (without `start`).
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
    if not found.topology.skeleton:
        raise InputError(
            f"the topology {found.topology.name!r} joins no keypoints; TrtPose learns its limbs."
        )
    taught, held = split_pictures(found, held_out, settings.get("long_side", 512))
    plan = make_plan(settings, (height, width), steps, epochs, len(taught.pictures), default=8000)
    seed_everything(plan.seed)
    net = make_network(network, found.topology, start, backbone)
    if start:
        fresh = start_from(net, start, found.topology, OUTPUTS)
        report(f"begun with {start}; {fresh} new output channels")
    report(
        f"{len(taught.pictures)} pictures to learn from, {len(held.pictures)} held out, {found.people} people"
    )
    recipe = TrtPoseRecipe(network, found.topology, strength or PoseStrength(), plan.focus)
    module = PoseModule(net, recipe, plan, found.topology, taught, held)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    fit(module, out, device, devices, resume, seconds, stop, progress)
    small = network == NETWORKS[0]
    notes = {"fit": "letterbox", "license": "Apache-2.0", "description": DESCRIPTION if small else network}
    return save_network(module, out / "trtpose.pt", "trtpose", notes)
