"""Training a bottom-up pose network: confidence maps and part-affinity fields of whole scenes.

train_trtpose("labels.json", "run", steps=300, size=192, batch=8)   # then: edgekit export trtpose run/…
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.topology import Topology
from edgekit.train.mobilenet import movenet_backbone, widths_of
from edgekit.train.multipose import KNOWN, is_multipose, read_multipose
from edgekit.train.pose_augment import NONE, PoseAugment, PoseBatch, PoseStrength
from edgekit.train.pose_data import PoseSettings
from edgekit.train.pose_layers import fold
from edgekit.train.pose_module import FROZEN
from edgekit.train.pose_networks import TRTPOSE_STEM, SmallTrtPose
from edgekit.train.pose_start import take_over
from edgekit.train.pose_training import Kind, train_pose
from edgekit.train.targets import cmap_targets, masks, paf_targets
from edgekit.train.trtpose_network import densenet121_baseline_att, resnet18_baseline_att

STRIDE = 4  # input pixels to a cell of the maps
#: Of the targets, in cells: TrtPose's 0.025 of its 56 cells, and a window of five of them
#: (tasks/human_pose/experiments/resnet18_baseline_att_224x224_A.json; trt_pose/coco.py).
STDEV, WINDOW = 1.4, 7
SMOOTH = PoseStrength(zoom=(-0.5, 0.5), p_plain=0.5, turn=10.0, p_blur=0.05, colour=0.4)
DESCRIPTION = (
    "Small bottom-up pose network: confidence maps of the keypoints and part-affinity fields; the picture "
    "letterboxed with grey 114."
)
LOSS_SCALE = 100.0  # the mean square of maps that are nearly all zero is tiny; the scale suits clipping


def _of(make: Callable[[int, int], nn.Module]) -> Callable[[Topology], nn.Module]:
    return lambda topology: make(len(topology), 2 * len(topology.skeleton))


class TrtPoseRecipe:
    """Scenes in, masked mean square error of cmap and paf out."""

    def __init__(
        self,
        name: str,
        topology: Topology,
        strength: PoseStrength,
        focus: float = 0.0,
        kept: Sequence[str] = (),
    ) -> None:
        """`kept` names keypoints whose confidence maps are not learnt."""
        self.name, self.strength, self.focus = name, strength, focus
        self.links = torch.from_numpy(topology.links)
        self.learnt = torch.tensor([float(name not in kept) for name in topology.keypoints])

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
            "cmap": self.error(cmap_, cmap, cmask * self.learnt.to(cmask.device)[:, None, None]),
            "paf": self.error(paf_, paf, pmask),
        }

    def error(self, found: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        weight = mask * (1 + self.focus * target.abs())
        return (weight * (found.float() - target).square()).mean() * LOSS_SCALE


def begun(file: Path | str, topology: Topology) -> SmallTrtPose:
    """The demo network with a MoveNet's layers: MultiPose's backbone and heat maps, or a backbone alone."""
    if is_multipose(file):
        state = read_multipose(file, TRTPOSE_STEM)
        network = SmallTrtPose(topology, widths_of(state, "backbone."))
        fold(network.pyramid)
        take_over(network, {**network.state_dict(), **state}, KNOWN, topology, {"cmap": "keypoints"}, file)
        return network
    body = movenet_backbone(file, 16, TRTPOSE_STEM)
    network = SmallTrtPose(topology, body.widths)
    network.backbone.load_state_dict(body.state_dict())
    return network


def _recipe(
    name: str, topology: Topology, strength: PoseStrength | None, plan: PoseSettings
) -> TrtPoseRecipe:
    kept = KNOWN.keypoints if name == TRTPOSE.name and plan.freeze >= FROZEN.index(".cmap.") else ()
    return TrtPoseRecipe(name, topology, strength or PoseStrength(), plan.focus, kept)


TRTPOSE = Kind(
    name="edgekit-trtpose",
    task="trtpose",
    file="trtpose.pt",
    make=SmallTrtPose,
    begun=begun,
    upstream={make.__name__: _of(make) for make in (resnet18_baseline_att, densenet121_baseline_att)},
    outputs={
        **{"cmap": "keypoints", "more.1": "keypoints", "paf.out": "links"},  # edgekit-trtpose
        **{"1.cmap_conv": "keypoints", "1.paf_conv": "links"},  # upstream's
    },
    recipe=_recipe,
    count=lambda taught: len(taught.pictures),
    notes={"fit": "letterbox", "license": "Apache-2.0", "description": DESCRIPTION},
    joined=True,
)


def train_trtpose(
    data: Path | str, out: Path | str, *, size: int | tuple[int, int] = 320, **given: Any
) -> Path:
    """Train a bottom-up network; returns the checkpoint `out/trtpose.pt`. The rest is as of `train_pose`."""
    return train_pose(TRTPOSE, data, out, size=size, **given)
