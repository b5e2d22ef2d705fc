"""Training a top-down pose network: heat maps of one person's crop, in FastPose's contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.topology import Topology
from edgekit.train.fastpose_network import FastPose
from edgekit.train.mobilenet import movenet_backbone
from edgekit.train.pose_augment import CROPS, NONE, PoseAugment, PoseBatch, PoseStrength
from edgekit.train.pose_data import PoseSettings
from edgekit.train.pose_networks import FASTPOSE_STEM, SmallFastPose
from edgekit.train.pose_training import Kind, train_pose
from edgekit.train.targets import heatmap_targets

STRIDE, SIGMA = 4, 2.0  # AlphaPose, configs/coco/resnet/256x192_res50_lr1e-3_1x.yaml
SIZE = (256, 192)
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


def begun(file: Path | str, topology: Topology) -> SmallFastPose:
    """The demo network with the first layers of a MoveNet."""
    body = movenet_backbone(file, 15, FASTPOSE_STEM)
    network = SmallFastPose(topology, body.widths)
    network.backbone.load_state_dict(body.state_dict())
    return network


def _recipe(
    name: str, topology: Topology, strength: PoseStrength | None, plan: PoseSettings
) -> FastPoseRecipe:
    return FastPoseRecipe(name, strength or CROPS, plan.focus)


FASTPOSE = Kind(
    name="edgekit-fastpose",
    task="topdown",
    file="fastpose.pt",
    make=SmallFastPose,
    begun=begun,
    upstream={"fastpose-res50": lambda topology: FastPose(len(topology))},
    outputs={"conv_out": "keypoints"},
    recipe=_recipe,
    count=lambda taught: sum(len(p.keypoints) for p in taught.pictures),
    notes={"license": "Apache-2.0", "description": DESCRIPTION},
)


def train_fastpose(
    data: Path | str, out: Path | str, *, size: int | tuple[int, int] = SIZE, **given: Any
) -> Path:
    """Train a top-down network; returns the checkpoint `out/fastpose.pt`.

    An epoch is one pass over the people, and `size` that of a person's crop. The rest is as of `train_pose`.
    """
    return train_pose(FASTPOSE, data, out, size=size, **given)
