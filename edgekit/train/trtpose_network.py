"""TrtPose's networks: resnet18_baseline_att and densenet121_baseline_att.

Backbone → two branches of three ×2 transposed convolutions, each weighted by an attention map of its own
→ confidence maps (cmap) and part-affinity fields (paf) at a quarter of the input. The modules are named
as in NVIDIA-AI-IOT/trt_pose (`trt_pose/models`) and in torchvision, which it takes its backbones from:
the state dicts of its release load by name. ResNet-18 is Table 1 of "Deep Residual Learning" (He et al.,
2015), DenseNet-121 Table 1 of "Densely Connected Convolutional Networks" (Huang et al., 2016).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.weights import load_by_name

CLASSES = 1000  # of the ImageNet classifier that the state dicts still hold
UPSAMPLES = 3  # /32 → /4
GROWTH, BOTTLENECK = 32, 4  # DenseNet-121: new channels a layer; width of its 1×1 in units of it
DENSE_BLOCKS = (6, 12, 24, 16)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride > 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """ResNet-18 with torchvision's names; `forward` gives the last map [N, 512, H/32, W/32].

    `fc` is not used: it is there because the state dicts hold it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class DenseLayer(nn.Module):
    """Norm, ReLU, 1×1, norm, ReLU, 3×3: adds `GROWTH` channels to those it was given."""

    def __init__(self, cin: int) -> None:
        super().__init__()
        wide = BOTTLENECK * GROWTH
        self.norm1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, wide, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, GROWTH, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(torch.relu(self.norm1(x)))
        new = self.conv2(torch.relu(self.norm2(new)))
        return torch.cat([x, new], 1)


class DenseNet121(nn.Module):
    """DenseNet-121 with torchvision's names; `forward` gives the last norm's map [N, 1024, H/32, W/32].

    `classifier` is not used: it is there because the state dicts hold it.
    """

    def __init__(self) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(64),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        channels = 64
        for number, count in enumerate(DENSE_BLOCKS, 1):
            layers = {f"denselayer{i + 1}": DenseLayer(channels + i * GROWTH) for i in range(count)}
            parts[f"denseblock{number}"] = nn.Sequential(OrderedDict(layers))
            channels += count * GROWTH
            if number < len(DENSE_BLOCKS):
                parts[f"transition{number}"] = nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(channels),
                        relu=nn.ReLU(inplace=True),
                        conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
                        pool=nn.AvgPool2d(2, 2),
                    )
                )
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class ResNetBackbone(nn.Module):
    """Carries the name `resnet`."""

    channels = 512

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()

    def forward(self, x: Tensor) -> Tensor:
        return self.resnet(x)


class DenseNetBackbone(nn.Module):
    """Carries the name `densenet`."""

    channels = 1024

    def __init__(self) -> None:
        super().__init__()
        self.densenet = DenseNet121()

    def forward(self, x: Tensor) -> Tensor:
        return self.densenet(x)


class UpsampleCBR(nn.Sequential):
    """`count` times a transposed convolution 4×4 of stride 2, batch norm and ReLU."""

    def __init__(self, cin: int, cout: int, count: int = UPSAMPLES) -> None:
        layers: list[nn.Module] = []
        for i in range(count):
            layers += [
                nn.ConvTranspose2d(cout if i else cin, cout, 4, 2, 1),
                nn.BatchNorm2d(cout),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class CmapPafHeadAttention(nn.Module):
    """Features [N, C, h, w] → cmap [N, K, 8h, 8w], paf [N, 2L, 8h, 8w], both of any sign and scale."""

    def __init__(self, cin: int, cmap: int, paf: int, width: int = 256) -> None:
        super().__init__()
        self.cmap_up = UpsampleCBR(cin, width)
        self.paf_up = UpsampleCBR(cin, width)
        self.cmap_att = nn.Conv2d(width, width, 3, 1, 1)
        self.paf_att = nn.Conv2d(width, width, 3, 1, 1)
        self.cmap_conv = nn.Conv2d(width, cmap, 1)
        self.paf_conv = nn.Conv2d(width, paf, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cmap, paf = self.cmap_up(x), self.paf_up(x)
        cmap = cmap * torch.sigmoid(self.cmap_att(cmap))
        paf = paf * torch.tanh(self.paf_att(paf))
        return self.cmap_conv(cmap), self.paf_conv(paf)


class TrtPose(nn.Sequential):
    """Backbone and head.

    `forward` takes float [N, 3, H, W], RGB normalised as ImageNet (mean .485 .456 .406, std .229 .224
    .225), H and W multiples of 32, and gives cmap [N, K, H/4, W/4] and paf [N, 2L, H/4, W/4].
    """

    def __init__(self, backbone: ResNetBackbone | DenseNetBackbone, cmap: int, paf: int, width: int) -> None:
        super().__init__(backbone, CmapPafHeadAttention(backbone.channels, cmap, paf, width))


def resnet18_baseline_att(cmap: int = 18, paf: int = 42, width: int = 256) -> TrtPose:
    """TrtPose on ResNet-18, made for 224×224. K = `cmap` keypoints, 2L = `paf` channels."""
    return TrtPose(ResNetBackbone(), cmap, paf, width)


def densenet121_baseline_att(cmap: int = 18, paf: int = 42, width: int = 256) -> TrtPose:
    """TrtPose on DenseNet-121, made for 256×256. K = `cmap` keypoints, 2L = `paf` channels."""
    return TrtPose(DenseNetBackbone(), cmap, paf, width)


#: By the first weight of its state dict: the network and the side of its input.
KINDS = {
    "0.resnet.conv1.weight": (resnet18_baseline_att, 224),
    "0.densenet.features.conv0.weight": (densenet121_baseline_att, 256),
}


def is_trtpose(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is one of TrtPose's, by its names."""
    return "1.cmap_att.weight" in state and any(name in state for name in KINDS)


def input_side(state: Mapping[str, Tensor]) -> int:
    """Side in pixels of the square input that upstream trains this network with."""
    return next(side for name, (_, side) in KINDS.items() if name in state)


def trtpose_from(state: Mapping[str, Tensor], file: Path | str = "the state dict") -> TrtPose:
    """The network of a state dict, in evaluation mode; K, L and width by the shapes of the weights.

    Raises:
        InputError: it is of another network, or incomplete; names what is wrong.
    """
    if not is_trtpose(state):
        raise InputError(
            f"{Path(file).name} is no resnet18_baseline_att or densenet121_baseline_att of TrtPose: it has "
            f"neither {' nor '.join(KINDS)} beside 1.cmap_att.weight."
        )
    make = next(make for name, (make, _) in KINDS.items() if name in state)
    sizes = {}
    for name in ("1.cmap_conv.weight", "1.paf_conv.weight"):
        if name not in state or state[name].ndim != 4:
            raise InputError(f"{Path(file).name} lacks {name}, a 1×1 convolution [channels, width, 1, 1].")
        sizes[name] = state[name].shape
    (cmap, width), (paf, _) = (shape[:2] for shape in sizes.values())
    return load_by_name(lambda: make(cmap, paf, width), state, file)
