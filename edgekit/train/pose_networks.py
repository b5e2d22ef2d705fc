"""The two demo networks: edgekit-trtpose (bottom-up) and edgekit-fastpose (top-down), on one small backbone.

Only Conv, ConvTranspose, ReLU, ReLU6 (Clip), Sigmoid, Tanh, Mul, Add, Resize and DepthToSpace: what TensorRT
fuses and int8 keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.topology import COCO17, HUMAN18, Topology
from edgekit.train import multipose
from edgekit.train.mobilenet import TAPS, WIDTHS, MobileNet, Stem, widths_of
from edgekit.train.pose_layers import Attention, Mix, Unit, last
from edgekit.train.prune import narrow

#: TrtPose's preparation (ImageNet's mean and deviation) and FastPose's (AlphaPose's SimpleTransform).
TRTPOSE_STEM = Stem((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FASTPOSE_STEM = Stem((0.406, 0.457, 0.480), (1.0, 1.0, 1.0))
TRTPOSE_PATH = (80, 96, 128, 192)  # channels of the fields' way up, at strides 4, 8, 16 and 32
MIXES = 2  # of each of its steps
FASTPOSE_PATH = (56, 72, 96)  # at strides 4, 8 and 16


class SmallTrtPose(nn.Module):
    """MobileNetV2 with two ways up: MoveNet MultiPose's for confidence maps, and a wider one for the fields.

    `forward` takes float [B, 3, H, W], RGB normalised as ImageNet, H and W multiples of 32, and gives cmap
    [B, K, H/4, W/4], 0 to 1, and paf [B, 2L, H/4, W/4]. The fields have TrtPose's attention and see what the
    confidence maps are made of; their way up adds what MultiPose does not know, such as the neck.

    Args:
        topology: K keypoints, L limbs.
        widths: of the backbone.
        path: channels of the fields' way up, at strides 4, 8, 16 and 32.
        norm: with batch norms outside the backbone, to train it from nothing.
    """

    PATH = TRTPOSE_PATH

    def __init__(
        self,
        topology: Topology = HUMAN18,
        widths: Sequence[int] = WIDTHS,
        path: Sequence[int] = TRTPOSE_PATH,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = MobileNet(widths, sorted({*TAPS, *multipose.TAPS}))
        c4, c8, early, c16, c32 = self.backbone.channels
        self.pyramid = multipose.Pyramid((c32, early, c8, c4), norm)
        self.cmap = last(multipose.HIDDEN, len(topology), bias=-4.0)
        taps = zip((c4, c8, c16, c32), path, strict=True)
        self.side = nn.ModuleList(Unit(nn.Conv2d(c, p, 1), norm) for c, p in taps)
        self.up = nn.ModuleList(
            Unit(nn.ConvTranspose2d(high, low, 4, 2, 1), norm) for low, high in pairwise(path)
        )
        self.mix = nn.ModuleList(nn.Sequential(*(Mix(p, norm) for _ in range(MIXES))) for p in path)
        self.act = nn.ReLU6()
        self.seen = Unit(nn.Conv2d(multipose.HIDDEN, path[0], 1), norm)
        self.paf = Attention(path[0], 2 * len(topology.skeleton), nn.Tanh(), norm)
        self.more = nn.Sequential(Mix(path[0], norm), nn.Conv2d(path[0], len(topology), 1))
        nn.init.zeros_(self.more[1].weight)
        nn.init.zeros_(self.more[1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        m4, m8, early, m16, m32 = self.backbone(x)
        points = self.pyramid((m32, early, m8, m4))
        x = self.mix[3](self.act(self.side[3](m32)))
        for n, lower in ((2, m16), (1, m8), (0, m4)):
            x = self.up[n](x) + self.side[n](lower)
            x = self.mix[n](self.act(x if n else x + self.seen(points)))
        return (self.cmap(points) + self.more(x)).sigmoid(), self.paf(x)


class SmallFastPose(nn.Module):
    """MobileNetV2, PixelShuffle and two DUC steps (a 3×3 convolution, then PixelShuffle), with shortcuts.

    `forward` takes float [B, 3, 256, 192], RGB minus AlphaPose's mean, and gives heat maps [B, K, 64, 48].
    The arguments are those of `SmallTrtPose`; `path` has the channels at strides 4, 8 and 16.
    """

    PATH = FASTPOSE_PATH

    def __init__(
        self,
        topology: Topology = COCO17,
        widths: Sequence[int] = WIDTHS,
        path: Sequence[int] = FASTPOSE_PATH,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = MobileNet(widths)
        c4, c8, c16, c32 = self.backbone.channels
        p4, p8, p16 = path
        sides = ((c4, p4, 1), (c8, p8, 1), (c16, p16, 1))
        ups = ((p8, 4 * p4, 3), (p16, 4 * p8, 3), (c32, 4 * p16, 1))
        self.side = nn.ModuleList(Unit(nn.Conv2d(a, b, k, 1, k // 2), norm) for a, b, k in sides)
        self.up = nn.ModuleList(Unit(nn.Conv2d(a, b, k, 1, k // 2), norm) for a, b, k in ups)
        self.mix = nn.ModuleList(Mix(p, norm) for p in path)
        self.act, self.shuffle = nn.ReLU6(), nn.PixelShuffle(2)
        self.conv_out = last(p4, len(topology), 3)

    def forward(self, x: Tensor) -> Tensor:
        *maps, x = self.backbone(x)
        for n in (2, 1, 0):
            x = self.mix[n](self.act(self.shuffle(self.up[n](x)) + self.side[n](maps[n])))
        return self.conv_out(x)


def small_trtpose(checkpoint: Mapping[str, Any]) -> SmallTrtPose:
    """The network of a checkpoint of `edgekit train trtpose`, weights in (for `edgekit export`)."""
    return filled(SmallTrtPose, checkpoint["weights"], ("cmap.weight", "paf.out.weight"))


def small_fastpose(checkpoint: Mapping[str, Any]) -> SmallFastPose:
    """The network of a checkpoint of `edgekit train fastpose`, weights in."""
    return filled(SmallFastPose, checkpoint["weights"], ("conv_out.weight",))


def filled(kind: Any, state: Mapping[str, Tensor], outputs: Sequence[str]) -> Any:
    """A network of the shapes that `state` has, with its values; `outputs` are its last layers."""
    counts = [int(state[name].shape[0]) for name in outputs]
    limbs = tuple((0, 1) for _ in range(counts[1] // 2)) if len(counts) > 1 else ()
    network = shaped_like(kind, state, Topology("shape", tuple(map(str, range(max(counts[0], 2)))), limbs))
    network.load_state_dict({name: torch.as_tensor(value).float() for name, value in state.items()})
    return network.eval()


def shaped_like(kind: Any, state: Mapping[str, Tensor], topology: Topology) -> Any:
    """A network for `topology`, without norms, whose inner widths are those of the weights `state`.

    Raises:
        KeyError: `state` is of another network.
    """
    path = [int(state[f"side.{n}.conv.weight"].shape[0]) for n in range(len(kind.PATH))]
    network = kind(topology, widths_of(state, "backbone."), path, norm=False)
    narrow(network, state)  # a pruned one has fewer inner channels
    return network
