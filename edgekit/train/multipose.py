"""The heat maps of MoveNet MultiPose: its way up from the backbone, and its weights out of its ONNX file.

MoveNet MultiPose (Google, Apache-2.0) is a MobileNetV2 of 1.5 times the width, a feature pyramid of few
channels and a head for each question; only the head with the keypoints' heat maps is made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.files import sha256
from edgekit.topology import COCO17
from edgekit.train.mobilenet import Stem, convolutions, movenet_backbone
from edgekit.train.pose_layers import Unit

#: The file whose layers are known: TensorFlow Hub's movenet/multipose/lightning/1 as ONNX.
SHA256 = "d7c95a3954d3ea3bd57339dc25ae4c9bbefa65dd1679324e8786d43b977d0f9b"
BLOCKS = 17  # of its backbone
TAPS = (9, 5, 2)  # blocks whose maps, at strides 16, 8 and 4, join the last one's on the way up
TOP, WIDTHS, HIDDEN = 1280, (64, 64, 32, 24), 96  # channels before the way up, on it, and of the head
#: Each layer's number among the convolutions of the file.
NUMBERS = {
    "pyramid.top.conv": 51,
    **{f"pyramid.side.{n}.conv": 52 + n for n in range(4)},
    **{f"pyramid.mix.{n}.depth": 56 + 2 * n for n in range(3)},
    **{f"pyramid.mix.{n}.point.conv": 57 + 2 * n for n in range(3)},
    **{"pyramid.head.depth": 68, "pyramid.head.point.conv": 69, "cmap": 70},
}
KNOWN = COCO17  # whose keypoints its heat maps are


class Separable(nn.Module):
    """A 3×3 depthwise convolution and a 1×1, as Keras's SeparableConv2D, and ReLU."""

    def __init__(self, cin: int, cout: int, norm: bool) -> None:
        super().__init__()
        self.depth = nn.Conv2d(cin, cin, 3, 1, 1, groups=cin, bias=False)
        self.point = Unit(nn.Conv2d(cin, cout, 1), norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.point(self.depth(x)))


class Pyramid(nn.Module):
    """MultiPose's way up. `forward` takes maps at strides 32, 16, 8 and 4 and gives [B, HIDDEN, H/4, W/4].

    Args:
        channels: of the maps, in that order.
        norm: with batch norms, to train it from nothing.
    """

    def __init__(self, channels: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.top = Unit(nn.Conv2d(channels[0], TOP, 1), norm)
        sides = zip((TOP, *channels[1:]), WIDTHS, strict=True)
        self.side = nn.ModuleList(Unit(nn.Conv2d(c, w, 1), norm) for c, w in sides)
        self.mix = nn.ModuleList(Separable(a, b, norm) for a, b in pairwise((*WIDTHS[1:], WIDTHS[-1])))
        self.head = Separable(WIDTHS[-1], HIDDEN, norm)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        x = self.side[0](F.relu6(self.top(maps[0])))
        for side, mix, lower in zip(self.side[1:], self.mix, maps[1:], strict=True):
            x = mix(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + side(lower))
        return self.head(x)


def is_multipose(file: Path | str) -> bool:
    """Whether it is the very file whose layers are known here."""
    return Path(file).is_file() and sha256(Path(file)) == SHA256


def read_multipose(file: Path | str, stem: Stem) -> dict[str, Tensor]:
    """Weights by the names of `SmallTrtPose`: `backbone`, `pyramid`, and `cmap` with `KNOWN` keypoints."""
    rows = convolutions(file)
    state = {f"backbone.{k}": v for k, v in movenet_backbone(file, BLOCKS, stem).state_dict().items()}
    for name, number in NUMBERS.items():
        weight, bias = rows[number]
        state[f"{name}.weight"] = torch.from_numpy(weight)
        if not name.endswith("depth"):
            state[f"{name}.bias"] = torch.from_numpy(bias)
    return state
