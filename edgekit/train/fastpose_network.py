"""AlphaPose's FastPose: SE-ResNet-50, PixelShuffle, two DUC blocks, a 3×3 convolution to heat maps.

The modules are named as in MVIG-SJTU/AlphaPose (`alphapose/models`), so that `fast_res50_256x192.pth`
(configs/coco/resnet/256x192_res50_lr1e-3_1x.yaml) loads by name; 101 and 152 layers do too. Squeeze and
excitation: "Squeeze-and-Excitation Networks" (Hu et al., 2017), without reduction, in the first block of
each stage only. DUC: "Understanding Convolution for Semantic Segmentation" (Wang et al., 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.weights import load_by_name

RES50 = (3, 4, 6, 3)  # blocks of each stage
EXPANSION = 4


class SELayer(nn.Module):
    """Each channel times a weight that is made of the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 and a shortcut; the first of a stage has squeeze and excitation, and may halve."""

    def __init__(self, cin: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        cout = width * EXPANSION
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.se = self.downsample = None
        if first:
            self.se = SELayer(cout)
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        if self.se is not None:
            x = self.se(x)
        return torch.relu(x + shortcut)


class SEResNet(nn.Module):
    """[N, 3, H, W] → [N, 2048, H/32, W/32]."""

    def __init__(self, blocks: Sequence[int] = RES50) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(64, 64, blocks[0], 1)
        self.layer2 = stage(256, 128, blocks[1], 2)
        self.layer3 = stage(512, 256, blocks[2], 2)
        self.layer4 = stage(1024, 512, blocks[3], 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def stage(cin: int, width: int, count: int, stride: int) -> nn.Sequential:
    """`count` bottlenecks, the first with `stride`."""
    rest = [Bottleneck(width * EXPANSION, width, 1, first=False) for _ in range(count - 1)]
    return nn.Sequential(Bottleneck(cin, width, stride, first=True), *rest)


class DUC(nn.Module):
    """Dense upsampling convolution: 3×3 to `cout` channels, of which four make a 2×2 patch of one."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.pixel_shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pixel_shuffle(torch.relu(self.bn(self.conv(x))))


class FastPose(nn.Module):
    """Heat maps of one person's keypoints.

    `forward` takes float [N, 3, H, W] (256×192: RGB 0..1 minus .406 .457 .480) with H and W multiples of
    32 and gives [N, K, H/4, W/4].

    Args:
        keypoints: K.
        blocks: bottlenecks of the four stages.
        width: channels before the last convolution, 128 or 256 (`CONV_DIM` of the configuration).
    """

    def __init__(self, keypoints: int = 17, blocks: Sequence[int] = RES50, width: int = 128) -> None:
        super().__init__()
        self.preact = SEResNet(blocks)
        self.suffle1 = nn.PixelShuffle(2)
        self.duc1 = DUC(512, 1024)
        self.duc2 = DUC(256, 4 * width)
        self.conv_out = nn.Conv2d(width, keypoints, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.duc2(self.duc1(self.suffle1(self.preact(x)))))


def is_fastpose(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is one of FastPose's, by its names."""
    return {"preact.conv1.weight", "duc1.conv.weight", "conv_out.weight"} <= set(state)


def fastpose_from(state: Mapping[str, Tensor], file: Path | str = "the state dict") -> FastPose:
    """The network of a state dict, in evaluation mode; K, depth and width by its names and shapes.

    Raises:
        InputError: it is of another network (deformable convolutions, an 18-layer backbone), or
            incomplete; names what is wrong.
    """
    if not is_fastpose(state):
        raise InputError(
            f"{Path(file).name} is no FastPose: it lacks preact.conv1.weight, duc1.conv.weight or "
            "conv_out.weight."
        )
    out = state["conv_out.weight"].shape
    counts = []
    for number in range(1, 5):
        prefix = f"preact.layer{number}."
        blocks = {name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)}
        counts.append(max(1, len(blocks)))
    return load_by_name(lambda: FastPose(int(out[0]), counts, int(out[1])), state, file)
