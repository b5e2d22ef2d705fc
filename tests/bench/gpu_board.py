"""What a case of bench_ops_gpu.py is, and the tensors that it works on.

The tensors are PyTorch's; our kernels work on the same memory, on the same stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.engine.cuda import DeviceArray
from edgekit.engine.gpu_thread import GpuThread

Work = Callable[[], Any]
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Case:
    """A step.

    Attributes:
        op, what: its name, and on what.
        moved: bytes that it must read and write at least; `counted` says which.
        ours: starts it on the stream.
        theirs: the same with PyTorch; given `torch.compile` or what changes nothing, which it applies to
            what of it can be compiled.
        check: (what theirs gave) → how far apart the two are, in words; AssertionError where too far.
        recordable, torch_recordable: nothing in `ours`, in `theirs` waits, so that it can be a CUDA graph.
        link: what the bytes go through, "memory" or "host to device".
    """

    op: str
    what: str
    moved: int
    counted: str
    ours: Work
    theirs: Callable[[Wrap], Work]
    check: Callable[[Any], str]
    recordable: bool = True
    torch_recordable: bool = True
    link: str = "memory"


class Board:
    """Random tensors on the GPU (or the CPU, for a try), and the kernels' view of them."""

    def __init__(self, gpu: GpuThread, device: str, small: bool) -> None:
        self.gpu, self.device, self.small = gpu, device, small
        self.numpy = np.random.default_rng(8)
        self.random = torch.Generator(device).manual_seed(8)

    def bytes(self, *shape: int) -> Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8, device=self.device, generator=self.random)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device, generator=self.random)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def up(self, array: Any) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device)

    def sync(self) -> None:
        self.gpu.stream.synchronize()
        if self.device != "cpu":
            torch.cuda.synchronize()


def seen(tensor: Tensor) -> DeviceArray:
    """Where a tensor lies."""
    assert tensor.is_contiguous()
    return DeviceArray(tensor.data_ptr(), tuple(tensor.shape), np.dtype(kind_of(tensor.dtype)))


def kind_of(dtype: torch.dtype) -> str:
    """The name of a type, as NumPy has it."""
    return str(dtype).removeprefix("torch.")


def apart(found: Any, wanted: Any, most: float, unit: str = "") -> str:
    """How far two arrays are apart, in words; AssertionError beyond `most`."""
    one, other = (torch.as_tensor(x).cpu().double() for x in (found, wanted))
    assert one.shape == other.shape, f"{list(one.shape)} is not {list(other.shape)}"
    worst = float((one - other).abs().max()) if one.numel() else 0.0
    assert worst <= most, f"{worst:.3g}{unit} apart, more than {most:.3g}"
    return f"≤ {worst:.2g}{unit}"
