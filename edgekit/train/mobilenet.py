"""A MobileNetV2 backbone that begins with the weights of a MoveNet, read from its ONNX file.

"MobileNetV2" (Sandler et al., 2018), Table 2, at the widths the file has; batch norms are folded into the
convolutions, as they are in the file, so that an exported network's initializers are its parameters by name.
A convolution of stride 2 has a 4×4 kernel and padding 1: that holds TensorFlow's 3×3 with padding below and
at the right only, whose first row and column are then zeros that may learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import InputError, MissingError

STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)  # of the blocks 0..16
TAPS = (2, 5, 12)  # last blocks at stride 4, 8 and 16; the fourth map is the last block's, stride 32
#: MobileNetV2's own widths (stem, then blocks 0..16), for a network from nothing.
WIDTHS = (32, 16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
EXPAND = 6


def kernel(size: int, stride: int) -> dict[str, int]:
    """Kernel, stride and padding of a depthwise convolution or the stem."""
    return {"kernel_size": size + stride - 1, "stride": stride, "padding": size // 2}


class Block(nn.Module):
    """Inverted residual: 1×1 expand, depthwise, 1×1 project, identity where shapes allow. No norms."""

    def __init__(self, cin: int, cout: int, wide: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(cin, wide, 1) if wide != cin else None
        self.depth = nn.Conv2d(wide, wide, groups=wide, **kernel(3, stride))
        self.project = nn.Conv2d(wide, cout, 1)
        self.act = nn.ReLU6()
        self.identity = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.act(self.expand(x))
        y = self.project(self.act(self.depth(y)))
        return x + y if self.identity else y


class MobileNet(nn.Module):
    """`forward` takes [B, 3, H, W], H and W multiples of 32, and gives maps at strides 4, 8, 16 and 32.

    Args:
        widths: channels of the stem and of each block; blocks left out at the end make it smaller.
        taps: blocks whose maps come out, in their order, besides the last one's.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, taps: Sequence[int] = TAPS) -> None:
        super().__init__()
        if not TAPS[-1] + 2 < len(widths) <= len(STRIDES) + 1:
            raise InputError(f"{len(widths)} widths are not those of a MobileNetV2 with a map at stride 32.")
        self.widths, self.taps = tuple(int(w) for w in widths), tuple(taps)
        self.stem = nn.Conv2d(3, self.widths[0], **kernel(3, 2))
        self.act = nn.ReLU6()
        blocks = []
        for n, (cin, cout) in enumerate(zip(self.widths[:-1], self.widths[1:], strict=True)):
            blocks.append(Block(cin, cout, cin * EXPAND if n else cin, STRIDES[n]))
        self.blocks = nn.ModuleList(blocks)

    @property
    def channels(self) -> list[int]:
        return [self.widths[n + 1] for n in (*self.taps, len(self.blocks) - 1)]

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.act(self.stem(x)), []
        for n, block in enumerate(self.blocks):
            x = block(x)
            if n in self.taps:
                maps.append(x)
        return [*maps, x]


def widths_of(state: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    """The backbone's widths in a state dict."""
    names = [f"{prefix}stem.weight"]
    while (name := f"{prefix}blocks.{len(names) - 1}.project.weight") in state:
        names.append(name)
    return tuple(int(state[name].shape[0]) for name in names)


@dataclass(frozen=True)
class Stem:
    """How the pictures are prepared for a network: (RGB 0..1 − mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def movenet_backbone(file: Path | str, blocks: int, stem: Stem) -> MobileNet:
    """The first `blocks` blocks of a MoveNet's MobileNetV2 (Apache-2.0, Google), for our input.

    MoveNet sees x / 127.5 − 1; ours sees `stem`: the scale and shift go into the first convolution.

    Raises:
        InputError: the file is no such network.
    """
    rows = chain(convolutions(file), 3 * blocks)
    if not rows:
        raise InputError(f"{file} is no MoveNet: its first layers are not a MobileNetV2.")
    network = MobileNet([rows[0][0].shape[0], *(w.shape[0] for w, _ in rows[2::3])])
    layers: list[Any] = [network.stem]
    for block in network.blocks:
        layers += [layer for layer in (block.expand, block.depth, block.project) if layer is not None]
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, rows, strict=True):
            room = layer.weight.shape[-1] - weight.shape[-1]
            layer.weight.zero_()
            layer.weight[..., room:, room:] = torch.from_numpy(weight)
            layer.bias.copy_(torch.from_numpy(bias))
        mean, std = (torch.tensor(v)[:, None, None] for v in (stem.mean, stem.std))
        network.stem.bias += (network.stem.weight * (2 * mean - 1)).sum((1, 2, 3))
        network.stem.weight *= 2 * std
    return network


def chain(
    found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], count: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The first `count` convolutions that follow one another as in a MobileNetV2; others between are skipped.

    Stem; depthwise, project; then expand, depthwise, project … Empty where there are not so many.
    """
    rows: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for weight, bias in found:
        cout, cin, side, _ = weight.shape
        if not rows:
            fits = (cin, side) == (3, 3)
        else:
            last = rows[-1][0].shape[0]
            expand, depth = len(rows) % 3 == 0, len(rows) % 3 == 1
            if expand:
                fits = (cout, cin, side) == (EXPAND * last, last, 1)
            else:
                fits = (cout, cin, side) == (last, 1, 3) if depth else (cin, side) == (last, 1)
        if fits and len(rows) < count:
            rows.append((weight, bias))
    return rows if len(rows) == count else []


def convolutions(file: Path | str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights and biases (zeros where there are none) of an ONNX file's convolutions, in their order."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingError("The package onnx is missing: pip install 'edgekit[train]'.") from None
    if not Path(file).is_file():
        raise InputError(f"there is no file {file}; give a MoveNet as ONNX.")
    try:
        graph = onnx.load(str(file)).graph
    except Exception as error:
        raise InputError(f"{file} is no ONNX file ({type(error).__name__}).") from error
    values = {t.name: t for t in graph.initializer}
    rows = []
    for node in graph.node:
        if node.op_type == "Conv" and all(n in values for n in node.input[1:]):
            weight, *bias = (numpy_helper.to_array(values[n]).astype(np.float32) for n in node.input[1:])
            rows.append((weight.copy(), bias[0].copy() if bias else np.zeros(len(weight), np.float32)))
    return rows
