"""Parts of SlowFast, named as in facebookresearch/SlowFast so that its checkpoints load by name.

Sources: Feichtenhofer et al., "SlowFast Networks for Video Recognition" (2019); Wang et al., "Non-local
Neural Networks" (2018). Tensors are float [B, C, T, H, W]; pathway 0 is the slow one, pathway 1 the fast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]
Kernel = tuple[int, int, int]  # T, H, W


def conv(inputs: int, outputs: int, kernel: Kernel, stride: int = 1, hole: int = 1) -> nn.Conv3d:
    """A convolution of odd kernel (T, H, W) that keeps the size, or steps by `stride` in height and width."""
    padding = tuple(k // 2 * d for k, d in zip(kernel, (1, hole, hole), strict=True))
    return nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, (1, hole, hole), bias=False)


class Stem(nn.Module):
    """A convolution of stride 2, then max pooling: a quarter of the picture's size."""

    def __init__(self, outputs: int, kernel: Kernel) -> None:
        super().__init__()
        self.conv = conv(3, outputs, kernel, stride=2)
        self.bn = nn.BatchNorm3d(outputs)
        self.pool_layer = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool_layer(self.bn(self.conv(x)).relu())


class Stems(nn.Module):
    """The stems of the slow and of the fast pathway, with their widths and kernels."""

    def __init__(self, widths: tuple[int, int], kernels: tuple[Kernel, Kernel]) -> None:
        super().__init__()
        self.pathway0_stem = Stem(widths[0], kernels[0])
        self.pathway1_stem = Stem(widths[1], kernels[1])

    def forward(self, slow: Tensor, fast: Tensor) -> Pair:
        return self.pathway0_stem(slow), self.pathway1_stem(fast)


class Fuse(nn.Module):
    """The lateral connection: fast features, one in `alpha` frames of them, beside the slow ones."""

    def __init__(self, inputs: int, outputs: int, kernel: int, alpha: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(
            inputs, outputs, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, slow: Tensor, fast: Tensor) -> Pair:
        return torch.cat([slow, self.bn(self.conv_f2s(fast)).relu()], 1), fast


class Bottleneck(nn.Module):
    """T×1×1, 1×3×3 (which has the stride and the dilation), 1×1×1."""

    def __init__(self, inputs: int, inner: int, outputs: int, frames: int, stride: int, hole: int) -> None:
        super().__init__()
        self.a = conv(inputs, inner, (frames, 1, 1))
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = conv(inner, inner, (1, 3, 3), stride, hole)
        self.b_bn = nn.BatchNorm3d(inner)
        self.c = conv(inner, outputs, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a_bn(self.a(x)).relu()
        x = self.b_bn(self.b(x)).relu()
        return self.c_bn(self.c(x))


class Block(nn.Module):
    """A bottleneck with its shortcut, projected where the size changes."""

    def __init__(self, inputs: int, inner: int, outputs: int, frames: int, stride: int, hole: int) -> None:
        super().__init__()
        self.projects = inputs != outputs or stride != 1
        if self.projects:
            self.branch1 = conv(inputs, outputs, (1, 1, 1), stride)
            self.branch1_bn = nn.BatchNorm3d(outputs)
        self.branch2 = Bottleneck(inputs, inner, outputs, frames, stride, hole)

    def forward(self, x: Tensor) -> Tensor:
        side = self.branch1_bn(self.branch1(x)) if self.projects else x
        return (side + self.branch2(x)).relu()


class NonLocal(nn.Module):
    """Each place in space and time sees every other, which are pooled to be fewer.

    Args:
        channels: of the input and output; half as many inside.
        pool: kernel and stride (T, H, W) of the places that are seen.
        kind: how affinities are weighed: "dot_product" (divided by the count of places) or "softmax"
            (scaled by 1/√inner first).
    """

    def __init__(self, channels: int, pool: Kernel, kind: str) -> None:
        super().__init__()
        inner = channels // 2
        self.kind, self.scale = kind, inner**-0.5
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d(pool) if max(pool) > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        theta, seen = self.conv_theta(x), self.pool(x)
        phi, g = self.conv_phi(seen).flatten(2), self.conv_g(seen).flatten(2)
        # scaled before the sum over channels, which float16 might not hold
        phi = phi * self.scale if self.kind == "softmax" else phi / phi.shape[2]
        affinity = theta.flatten(2).transpose(1, 2) @ phi  # [B, places, places seen]
        if self.kind == "softmax":
            affinity = affinity.softmax(2)
        found = (g @ affinity.transpose(1, 2)).reshape(theta.shape)
        return x + self.bn(self.conv_out(found))


class Stage(nn.Module):
    """One residual stage (res2 … res5) of both pathways.

    Args:
        inputs, outputs: channels of (slow, fast).
        inner: channels inside the bottlenecks of (slow, fast).
        depth: count of blocks.
        frames: kernel in time of the first convolution of each block, of (slow, fast).
        timed: how many of the blocks have it; the rest see one frame.
        stride: of the first block, in height and width.
        hole: dilation of every 3×3.
        nonlocals: after which of the slow pathway's blocks a non-local block follows.
        pool, kind: of the non-local blocks.
    """

    def __init__(
        self,
        inputs: tuple[int, int],
        inner: tuple[int, int],
        outputs: tuple[int, int],
        *,
        depth: int,
        frames: tuple[int, int],
        timed: int,
        stride: int,
        hole: int,
        nonlocals: Sequence[int] = (),
        pool: Kernel = (1, 2, 2),
        kind: str = "dot_product",
    ) -> None:
        super().__init__()
        self.paths: tuple[list[str], list[str]] = ([], [])
        for path, names in enumerate(self.paths):
            for n in range(depth):
                block = Block(
                    outputs[path] if n else inputs[path],
                    inner[path],
                    outputs[path],
                    frames[path] if n < timed else 1,
                    1 if n else stride,
                    hole,
                )
                names.append(f"pathway{path}_res{n}")
                self.add_module(names[-1], block)
                if path == 0 and n in nonlocals:
                    names.append(f"pathway0_nonlocal{n}")
                    self.add_module(names[-1], NonLocal(outputs[0], pool, kind))

    def forward(self, slow: Tensor, fast: Tensor) -> Pair:
        for name in self.paths[0]:
            slow = getattr(self, name)(slow)
        for name in self.paths[1]:
            fast = getattr(self, name)(fast)
        return slow, fast
