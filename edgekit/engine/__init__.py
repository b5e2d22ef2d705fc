"""Engines: functions of named tensors, `engine({"images": x}) -> {"output0": y}`.

An engine knows nothing of pictures. Three back ends stand behind one protocol: TensorRT
(a plan run with pycuda), ONNX Runtime (CPU or CUDA) and PyTorch (to be measured against).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

PRECISIONS = ("fp32", "fp16", "int8")
#: Where pre- and postprocessing run: by NumPy and OpenCV, inside the network's graph, or as CUDA kernels.
OPS = ("auto", "host", "graft", "cuda")
Shape = tuple[int, ...]
#: Shapes of a dynamic input: {"images": ((1,3,416,416), (4,3,416,416), (8,3,416,416))} = min, opt, max.
ShapeRanges = Mapping[str, tuple[Shape, Shape, Shape]]


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one input or output; `None` marks a dynamic axis.

    `most` is the greatest shape of a dynamic input, where the engine has one (a TensorRT plan has).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    most: Shape | None = field(default=None, compare=False)

    @property
    def batch_limit(self) -> int | None:
        """Rows of the first axis at most: its fixed size, else the plan's greatest, else None."""
        return self.shape[0] or (self.most[0] if self.most else None)

    def __str__(self) -> str:
        axes = "×".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} {axes or 'scalar'} {self.dtype}"


@runtime_checkable
class Engine(Protocol):
    """What every back end offers.

    Attributes:
        backend: "tensorrt", "onnxruntime-cpu", "onnxruntime-cuda" or "pytorch".
        precision: the precision the arithmetic really runs in ("fp32", "fp16", "int8").
        device: the device in words, as in a table ("Orin Nano", "x86-64 CPU, 2 threads").
        why: one sentence: what was chosen and for which reason.
        metadata: the ONNX file's own key-value notes (class names, stride, task), empty if it has none.
        times: seconds the last call spent in "upload", "infer" and "download".
    """

    backend: str
    precision: str
    device: str
    why: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    times: dict[str, float]

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once. The arrays returned stay valid until the next call: copy what you keep.

        Raises:
            InputError: an input is missing, unknown, or of the wrong shape or dtype.
        """
        ...

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, NDArray]) -> None:
    """Refuse feeds that do not fit `inputs`, naming the tensor and what it wants.

    Raises:
        InputError: a name is missing or unknown, or a shape or dtype does not fit.
    """
    wanted = {spec.name: spec for spec in inputs}
    if unknown := sorted(set(feeds) - set(wanted)):
        raise InputError(f"the engine has no input {unknown[0]!r}; its inputs are {', '.join(wanted)}.")
    for name, spec in wanted.items():
        if name not in feeds:
            raise InputError(f"input {name!r} is missing; the engine wants {spec}.")
        given = feeds[name]
        fits = len(given.shape) == len(spec.shape) and all(
            want is None or want == got for want, got in zip(spec.shape, given.shape, strict=True)
        )
        if not fits or given.dtype != spec.dtype:
            raise InputError(f"input {name!r} is {given.dtype} {list(given.shape)}; the engine wants {spec}.")


def open_engine(
    model: str | Path,
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    beside: bool = False,
) -> Engine:
    """Open a model from the shelf, an ONNX file or a plan as an `Engine`.

    Args:
        model: a name of `edgekit models`, a path to `.onnx`, or a path to a plan (`.plan`, `.engine`).
        precision: "fp32", "fp16" or "int8". A back end that cannot run it says so in `why`.
        backend: "auto", "tensorrt", "onnxruntime" (CUDA if it is there), "onnxruntime-cpu",
            "onnxruntime-cuda" or "pytorch". "auto" takes TensorRT where it and a GPU are found, ONNX Runtime
            otherwise, and never PyTorch, which is there to be measured against.
        shapes: min, opt and max shape of each dynamic input, for a plan that must be built.
        beside: it runs beside a loop, whose engines are not to wait for its calls (on a GPU; on the CPU
            nobody waits).

    Raises:
        InputError: the model or a setting cannot be used.
        MissingError: the back end asked for is not on this machine.
    """
    from edgekit.engine.choose import choose_engine

    return choose_engine(model, precision, backend, shapes, beside)
