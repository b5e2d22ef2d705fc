"""The two demo networks: edgekit-trtpose (bottom-up) and edgekit-fastpose (top-down), on one small backbone.

Only Conv, ConvTranspose, ReLU6 (Clip), Sigmoid, Tanh, Mul, Add and DepthToSpace: what TensorRT fuses and int8
keeps. Checkpoints and exported files have no batch norms: those of the training are folded into the
convolutions, so a file's initializers are the parameters by name, and training can begin with it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.topology import COCO17, HUMAN18, Topology
from edgekit.train.mobilenet import WIDTHS, MobileNet, Stem, widths_of
from edgekit.train.prune import narrow

#: TrtPose's preparation (ImageNet's mean and deviation) and FastPose's (AlphaPose's SimpleTransform).
TRTPOSE_STEM = Stem((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FASTPOSE_STEM = Stem((0.406, 0.457, 0.480), (1.0, 1.0, 1.0))
TRTPOSE_PATH = (64, 80, 112, 176)  # channels of the way back up, at strides 4, 8, 16 and 32
FASTPOSE_PATH = (56, 72, 96)  # at strides 4, 8 and 16


class Unit(nn.Module):
    """A convolution and, while it is trained from nothing, a batch norm; `fold` makes one of both."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, norm: bool) -> None:
        super().__init__()
        self.conv = layer
        self.norm: nn.Module = nn.BatchNorm2d(layer.out_channels, momentum=0.03) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    @torch.no_grad()
    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
            transposed = isinstance(self.conv, nn.ConvTranspose2d)
            self.conv.weight *= scale[None, :, None, None] if transposed else scale[:, None, None, None]
            self.conv.bias.copy_((self.conv.bias - self.norm.running_mean) * scale + self.norm.bias)
            self.norm = nn.Identity()


class Mix(nn.Module):
    """A residual 5×5 depthwise convolution and a 1×1: a wide view for few weights."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 5, 1, 2, groups=width)
        self.point = Unit(nn.Conv2d(width, width, 1), norm)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.point(self.depth(x)))


class Attention(nn.Module):
    """A 3×3 convolution, weighted by a map of its own (TrtPose's attention), then 1×1 to the channels."""

    def __init__(self, cin: int, cout: int, bend: nn.Module, norm: bool) -> None:
        super().__init__()
        self.body = Unit(nn.Conv2d(cin, cin, 3, 1, 1), norm)
        self.att = nn.Conv2d(cin, cin, 3, 1, 1)
        self.act, self.bend = nn.ReLU6(), bend
        self.out = nn.Conv2d(cin, cout, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.body(x))
        return self.out(x * self.bend(self.att(x)))


class SmallTrtPose(nn.Module):
    """MobileNetV2, a way back up with shortcuts, and TrtPose's two branches with attention.

    `forward` takes float [B, 3, H, W], RGB normalised as ImageNet, H and W multiples of 32, and gives cmap
    [B, K, H/4, W/4] and paf [B, 2L, H/4, W/4].

    Args:
        topology: K keypoints, L limbs.
        widths: of the backbone.
        path: channels of the way back up, at strides 4, 8, 16 and 32.
        norm: with batch norms outside the backbone, to train it from nothing.
    """

    def __init__(
        self,
        topology: Topology = HUMAN18,
        widths: Sequence[int] = WIDTHS,
        path: Sequence[int] = TRTPOSE_PATH,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = MobileNet(widths)
        taps = zip(self.backbone.channels, path, strict=True)
        self.side = nn.ModuleList(Unit(nn.Conv2d(c, p, 1), norm) for c, p in taps)
        self.up = nn.ModuleList(
            Unit(nn.ConvTranspose2d(high, low, 4, 2, 1), norm) for low, high in pairwise(path)
        )
        self.mix = nn.ModuleList(Mix(p, norm) for p in path)
        self.act = nn.ReLU6()
        self.cmap = Attention(path[0], len(topology), nn.Sigmoid(), norm)
        self.paf = Attention(path[0], 2 * len(topology.skeleton), nn.Tanh(), norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.backbone(x)
        x = self.mix[3](self.act(self.side[3](maps[3])))
        for n in (2, 1, 0):
            x = self.mix[n](self.act(self.up[n](x) + self.side[n](maps[n])))
        return self.cmap(x), self.paf(x)


class SmallFastPose(nn.Module):
    """MobileNetV2, PixelShuffle and two DUC steps (a 3×3 convolution, then PixelShuffle), with shortcuts.

    `forward` takes float [B, 3, 256, 192], RGB minus AlphaPose's mean, and gives heat maps [B, K, 64, 48].
    The arguments are those of `SmallTrtPose`; `path` has the channels at strides 4, 8 and 16.
    """

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
        self.conv_out = nn.Conv2d(p4, len(topology), 3, 1, 1)
        nn.init.normal_(self.conv_out.weight, std=0.01)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        *maps, x = self.backbone(x)
        for n in (2, 1, 0):
            x = self.mix[n](self.act(self.shuffle(self.up[n](x)) + self.side[n](maps[n])))
        return self.conv_out(x)


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose batch norms are in the convolutions; upstream's stay as they are."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, Unit):
            module.fold()
    return network


def small_trtpose(checkpoint: Mapping[str, Any]) -> SmallTrtPose:
    """The network of a checkpoint of `edgekit train trtpose`, weights in (for `edgekit export`)."""
    state = checkpoint["weights"]
    path = [state[f"side.{n}.conv.weight"].shape[0] for n in range(4)]
    return filled(SmallTrtPose, state, path, ("cmap.out.weight", "paf.out.weight"))


def small_fastpose(checkpoint: Mapping[str, Any]) -> SmallFastPose:
    """The network of a checkpoint of `edgekit train fastpose`, weights in."""
    state = checkpoint["weights"]
    path = [state[f"side.{n}.conv.weight"].shape[0] for n in range(3)]
    return filled(SmallFastPose, state, path, ("conv_out.weight",))


def filled(kind: Any, state: Mapping[str, Tensor], path: Sequence[int], outputs: Sequence[str]) -> Any:
    """A network of the shapes that `state` has, with its values."""
    counts = [int(state[name].shape[0]) for name in outputs]
    limbs = tuple((0, 1) for _ in range(counts[1] // 2)) if len(counts) > 1 else ()
    shape = Topology("shape", tuple(map(str, range(max(counts[0], 2)))), limbs)
    network = kind(shape, widths_of(state, "backbone."), path, norm=False)
    narrow(network, state)  # a pruned one has fewer inner channels
    network.load_state_dict({name: torch.as_tensor(value).float() for name, value in state.items()})
    return network.eval()
