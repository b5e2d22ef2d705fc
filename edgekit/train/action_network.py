"""ActionRecognitionNet: a ResNet over a clip, of pictures, of optical flow, or of both.

The networks of NVIDIA TAO's action_recognition with the names of their parameters, so that its checkpoints
load by name; `width` makes narrow ones for boards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.train.action_table import Model

#: Blocks of layer1 to layer4, and convolutions of a block (He et al., "Deep Residual Learning", table 1).
BACKBONES: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "resnet18": ((2, 2, 2, 2), 2),
    "resnet34": ((3, 4, 6, 3), 2),
    "resnet50": ((3, 4, 6, 3), 3),
    "resnet101": ((3, 4, 23, 3), 3),
}
CHANNELS = {"rgb": 3, "of": 2}  # of a picture, of a flow field (its x and its y)
STREAMS = {"rgb": ("rgb",), "of": ("of",), "joint": ("rgb", "of")}
STEM = 64  # channels of the first convolution at width 1; of layer4 there are eight times as many
EXPANSION = 4  # output channels of a block of three convolutions for each inner one


def _conv(inputs: int, outputs: int, size: int, stride: int, deep: bool) -> nn.Module:
    """A convolution without bias. A 3-d one is as long in time as it is wide, and never strides in time."""
    if deep:
        return nn.Conv3d(inputs, outputs, size, (1, stride, stride), size // 2, bias=False)
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _norm(channels: int, deep: bool) -> nn.Module:
    return nn.BatchNorm3d(channels) if deep else nn.BatchNorm2d(channels)


def stem_channels(width: float) -> int:
    """Of the first convolution: a multiple of 8, which GPUs are fast with."""
    return max(8, 8 * round(STEM * width / 8))


class Block(nn.Module):
    """Convolutions beside a shortcut: two of 3×3, or 1×1, 3×3, 1×1. The first 3×3 strides.

    Args:
        inputs: channels that come in.
        planes: inner channels.
        convs: 2 or 3 convolutions.
        stride: in height and width.
        deep: 3-d.
    """

    def __init__(self, inputs: int, planes: int, convs: int, stride: int, deep: bool) -> None:
        super().__init__()
        outputs = planes if convs == 2 else planes * EXPANSION
        rows = [(3, stride), (3, 1)] if convs == 2 else [(1, 1), (3, stride), (1, 1)]
        channels = [inputs, *[planes] * (convs - 1), outputs]
        self.convs = convs
        for n, (size, step) in enumerate(rows):
            self.add_module(f"conv{n + 1}", _conv(channels[n], channels[n + 1], size, step, deep))
            self.add_module(f"bn{n + 1}", _norm(channels[n + 1], deep))
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride, deep), _norm(outputs, deep))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for n in range(1, self.convs + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            if n < self.convs:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """One stream: a clip → logits [N, classes].

    2-d takes float [N, channels, H, W] (the frames of a clip are channels), 3-d [N, channels, D, H, W]. The
    3-d stem sees 5 frames; it and the pooling behind it each halve the time, nothing after them does.

    Args:
        backbone: a key of `BACKBONES`.
        deep: 3-d.
        channels: of the input.
        classes: outputs.
        dropout: before the last layer, in training.
        width: share of the channels.
    """

    def __init__(
        self, backbone: str, deep: bool, channels: int, classes: int, dropout: float, width: float
    ) -> None:
        super().__init__()
        depth, convs = BACKBONES[backbone]
        planes = stem_channels(width)
        if deep:
            self.conv1: nn.Module = nn.Conv3d(channels, planes, (5, 7, 7), 2, (2, 3, 3), bias=False)
            self.maxpool: nn.Module = nn.MaxPool3d((1, 3, 3), 2, (0, 1, 1))
        else:
            self.conv1 = nn.Conv2d(channels, planes, 7, 2, 3, bias=False)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.bn1 = _norm(planes, deep)
        inputs = planes
        for n, count in enumerate(depth):
            blocks = []
            for k in range(count):
                blocks.append(Block(inputs, planes, convs, 2 if n and not k else 1, deep))
                inputs = planes if convs == 2 else planes * EXPANSION
            self.add_module(f"layer{n + 1}", nn.Sequential(*blocks))
            planes *= 2
        self.avg_pool = nn.AdaptiveAvgPool3d(1) if deep else nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(inputs, classes)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return _classify(self, x)


def _classify(parts: Any, x: Tensor) -> Tensor:
    """A clip through the parts of a `ResNet`, whoever owns them."""
    x = parts.maxpool(F.relu(parts.bn1(parts.conv1(x))))
    for n in range(1, 5):
        x = getattr(parts, f"layer{n}")(x)
    return parts.fc_cls(parts.dropout(parts.avg_pool(x).flatten(1)))


class ActionNet(nn.Module):
    """ActionRecognitionNet with TAO's parameter names and defaults.

    One stream is one `ResNet`. "joint" has two, `model_rgb` and `model_of`; their logits, side by side, go
    through a layer of `num_fc` and ReLU to the classes.

    Args:
        model_type: "rgb", "of" (optical flow) or "joint".
        backbone: "resnet18", "resnet34", "resnet50" or "resnet101".
        input_type: "2d" or "3d".
        classes: outputs.
        rgb_seq_length: pictures of a clip.
        of_seq_length: flow fields of a clip.
        num_fc: hidden units of the fusion head.
        dropout_ratio: of what the classifier sees, in training.
        width: share of the ResNet's channels, rounded to multiples of 8; TAO's is 1.

    Raises:
        InputError: a setting is none of these.
    """

    def __init__(
        self,
        model_type: str = "rgb",
        backbone: str = "resnet18",
        input_type: str = "3d",
        classes: int = 5,
        rgb_seq_length: int = 3,
        of_seq_length: int = 10,
        num_fc: int = 64,
        dropout_ratio: float = 0.5,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        backbone = backbone.replace("_", "")  # TAO's own code says resnet_18
        for name, value, known in (
            ("model_type", model_type, STREAMS),
            ("backbone", backbone, BACKBONES),
            ("input_type", input_type, ("2d", "3d")),
        ):
            if value not in known:
                raise InputError(f"model.{name} is {value!r}; it can be {', '.join(known)}.")
        for name, count in (("rgb_seq_length", rgb_seq_length), ("of_seq_length", of_seq_length)):
            if count < 1:
                raise InputError(f"model.{name} is {count}; at least one frame is needed.")
        if not 0 < width <= 4:
            raise InputError(f"model.width is {width}; a share above 0, at most 4, is wanted.")
        self.model_type, self.backbone, self.input_type = model_type, backbone, input_type
        self.classes, self.num_fc, self.width = classes, num_fc, width
        self.lengths = {"rgb": rgb_seq_length, "of": of_seq_length}
        deep = input_type == "3d"
        parts = {
            name: ResNet(
                backbone,
                deep,
                CHANNELS[name] * (1 if deep else self.lengths[name]),
                classes,
                dropout_ratio,
                width,
            )
            for name in self.streams
        }
        if model_type == "joint":
            self.model_rgb, self.model_of = parts["rgb"], parts["of"]
            self.fc1 = nn.Linear(2 * classes, num_fc)
            self.fc2 = nn.Linear(num_fc, classes)
        else:  # its parameters' names have no prefix
            for name, part in parts[model_type].named_children():
                self.add_module(name, part)

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs it takes, of "rgb" and "of"."""
        return STREAMS[self.model_type]

    def shape(self, stream: str, size: tuple[int, int]) -> tuple[int, ...]:
        """Of one clip of a stream, without the batch: [C, D, H, W] for 3-d, [C·D, H, W] for 2-d."""
        frames, channels = self.lengths[stream], CHANNELS[stream]
        return (channels, frames, *size) if self.input_type == "3d" else (channels * frames, *size)

    def forward(self, rgb: Tensor | None = None, of: Tensor | None = None) -> Tensor:
        """Logits, float [N, classes].

        Args:
            rgb: float [N, 3, D, H, W] for 3-d, [N, 3·D, H, W] for 2-d; of "rgb" and "joint".
            of: float [N, 2, D, H, W] for 3-d, [N, 2·D, H, W] for 2-d; of "of" and "joint".

        Raises:
            InputError: a stream is missing.
        """
        given = {"rgb": rgb, "of": of}
        missing = [name for name in self.streams if given[name] is None]
        if missing:
            raise InputError(f"a {self.model_type} network needs the input {' and '.join(missing)}.")
        if self.model_type != "joint":
            return _classify(self, given[self.model_type])
        both = torch.cat([self.model_rgb(rgb), self.model_of(of)], 1)
        return self.fc2(F.relu(self.fc1(both)))


def new_network(model: Model, classes: int) -> ActionNet:
    """The network that the part `model` of a spec describes, with first values."""
    return ActionNet(
        model.model_type,
        model.backbone,
        model.input_type,
        classes,
        model.rgb_seq_length,
        model.of_seq_length,
        model.num_fc,
        model.dropout_ratio,
        model.width,
    )


def network_of(model: Model, classes: int) -> ActionNet:
    """The network of a spec with the weights of its `*_pretrained_model_path`, where it names any.

    Raises:
        InputError: a setting or a file does not fit.
    """
    from edgekit.train.action_start import begin_with

    network = new_network(model, classes)
    begin_with(network, model)
    return network
