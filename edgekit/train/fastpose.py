"""Training a top-down pose network: heat maps of one person's crop, in FastPose's contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.topology import Topology
from edgekit.train.fastpose_network import FastPose
from edgekit.train.keypoints import read_keypoints
from edgekit.train.loop import seed_everything
from edgekit.train.mobilenet import movenet_backbone, widths_of
from edgekit.train.pose_augment import CROPS, NONE, PoseAugment, PoseBatch, PoseStrength
from edgekit.train.pose_data import make_plan, split_pictures
from edgekit.train.pose_module import PoseModule, fit, save_network
from edgekit.train.pose_networks import FASTPOSE_STEM, SmallFastPose
from edgekit.train.pose_start import read_weights, start_from
from edgekit.train.targets import heatmap_targets

STRIDE, SIGMA = 4, 2.0  # AlphaPose, configs/coco/resnet/256x192_res50_lr1e-3_1x.yaml
SIZE = (256, 192)
NETWORKS = ("edgekit-fastpose", "fastpose-res50")
OUTPUTS = {"conv_out": "keypoints"}
SMOOTH = PoseStrength(zoom=(-0.2, 0.2), p_plain=0.3, turn=25.0, p_blur=0.05, colour=0.4)
LOSS_SCALE = 100.0
DESCRIPTION = "Small top-down pose network: heat maps of the keypoints of one person's crop (256×192)."


class FastPoseRecipe:
    """One person's crop in, mean square error of the heat maps out, by how sure each keypoint is."""

    def __init__(self, name: str, strength: PoseStrength, focus: float = 0.0) -> None:
        self.name, self.strength, self.focus = name, strength, focus

    def batch(self, augment: PoseAugment, count: int, calm: bool) -> PoseBatch:
        return augment.people(count, SMOOTH if calm else self.strength)

    def held(self, augment: PoseAugment, count: int, number: int) -> PoseBatch:
        rows = torch.arange(number * count, (number + 1) * count) % len(augment.crops)
        return augment.people(0, NONE, rows.to(augment.device))

    def targets(self, batch: PoseBatch) -> tuple[Tensor, Tensor]:
        """Heat maps [B, K, h, w], empty for a keypoint out of the crop; how sure each is [B, K, 1, 1]."""
        points = batch.points[:, 0] * batch.points.new_tensor([1 / STRIDE, 1 / STRIDE, 1])
        shape = (batch.images.shape[2] // STRIDE, batch.images.shape[3] // STRIDE)
        return heatmap_targets(points, shape, SIGMA), points[..., 2, None, None]

    def loss(self, network: nn.Module, batch: PoseBatch) -> dict[str, Tensor]:
        target, sure = self.targets(batch)
        images = batch.images - batch.images.new_tensor(FASTPOSE_STEM.mean)[:, None, None]
        images = images.contiguous(memory_format=torch.channels_last)
        found, weight = network(images).float(), sure * (1 + self.focus * target)
        return {"heatmaps": (weight * (found - target).square()).mean() * LOSS_SCALE}


def make_network(
    name: str, topology: Topology, start: Path | str | None, backbone: Path | str | None
) -> nn.Module:
    """A network to train: of the shapes that `start` has, or with a MoveNet's backbone, or from nothing."""
    if name == NETWORKS[1]:
        return FastPose(len(topology))
    if name != NETWORKS[0]:
        raise InputError(f"There is no network {name!r}; there are {', '.join(NETWORKS)}.")
    if start:
        state, _ = read_weights(start)
        try:
            path = [state[f"side.{n}.conv.weight"].shape[0] for n in range(3)]
        except KeyError:
            raise InputError(f"{start} is no {name}; --start wants the same kind of network.") from None
        return SmallFastPose(topology, widths_of(state, "backbone."), path, norm=False)
    if not backbone:
        return SmallFastPose(topology)
    body = movenet_backbone(backbone, 15, FASTPOSE_STEM)
    network = SmallFastPose(topology, body.widths)
    network.backbone.load_state_dict(body.state_dict())
    return network


def train_fastpose(
    data: Path | str,
    out: Path | str,
    *,
    topology: str | Path | Topology | None = None,
    network: str = NETWORKS[0],
    size: tuple[int, int] = SIZE,
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
    """Train on keypoints in COCO's or AnimalPose's form; returns the checkpoint `out/fastpose.pt`.

    The arguments are those of `trtpose.train_trtpose`; an epoch is one pass over the people, and `size` is
    (height, width) of the crop.

    Raises:
        InputError: data, size, start or resume do not fit.
    """
    if min(size) < 32 or size[0] % 32 or size[1] % 32:
        raise InputError(f"size {size[0]}×{size[1]}: both must be multiples of 32.")
    found = read_keypoints(data, topology)
    taught, held = split_pictures(found, held_out, settings.get("long_side", 512))
    people = sum(len(p.keypoints) for p in taught.pictures)
    plan = make_plan(settings, size, steps, epochs, people, default=8000)
    seed_everything(plan.seed)
    net = make_network(network, found.topology, start, backbone)
    if start:
        fresh = start_from(net, start, found.topology, OUTPUTS)
        report(f"begun with {start}; {fresh} new output channels")
    report(f"{people} people in {len(taught.pictures)} pictures, {len(held.pictures)} pictures held out")
    recipe = FastPoseRecipe(network, strength or CROPS, plan.focus)
    module = PoseModule(net, recipe, plan, found.topology, taught, held)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    fit(module, out, device, devices, resume, seconds, stop, progress)
    small = network == NETWORKS[0]
    notes = {"license": "Apache-2.0", "description": DESCRIPTION if small else network}
    return save_network(module, out / "fastpose.pt", "topdown", notes)
