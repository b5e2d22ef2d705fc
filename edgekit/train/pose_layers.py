"""Layers of the demo pose networks.

Checkpoints and exported files have no batch norms: those of the training are folded into the convolutions, so
a file's initializers are the parameters by name, and training can begin with it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


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
        self.out = last(cin, cout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.body(x))
        return self.out(x * self.bend(self.att(x)))


def last(cin: int, cout: int, side: int = 1, bias: float = 0.0) -> nn.Conv2d:
    """A last convolution, which begins by answering next to nothing but `bias`."""
    layer = nn.Conv2d(cin, cout, side, 1, side // 2)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, bias)
    return layer


def fold(network: nn.Module) -> None:
    """Put the batch norms of all `Unit`s into their convolutions; other norms stay."""
    for module in network.modules():
        if isinstance(module, Unit):
            module.fold()


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose batch norms are in the convolutions; upstream's stay as they are."""
    network = copy.deepcopy(network).eval()
    fold(network)
    return network
