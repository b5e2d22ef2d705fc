"""A YOLO's whole step on the GPU: upload, letterbox, engine, decoding and NMS, some rows back.

    frames → pinned memory → letterbox kernel → the engine's input → its output → kernels → rows → host

Nothing waits before the rows are there. A step of the same shapes and settings is recorded as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import Buffer, DeviceArray
from edgekit.engine.gpu_thread import GpuThread
from edgekit.engine.resident import Resident
from edgekit.errors import MissingError
from edgekit.ops.letterbox import PAD, Letterboxer, Transform, byte_table, letterbox
from edgekit.ops.letterbox_cuda import STYLES, CudaLetterbox
from edgekit.ops.yolo_cuda import CudaYolo
from edgekit.tasks.around_gpu import AroundEngine
from edgekit.tasks.yolo_heads import Head, anchor_strides


@dataclass(frozen=True)
class Wanted:
    """The settings of one call, as of `Yolo`; `classes` by number."""

    score: float
    iou: float
    max_det: int
    classes: tuple[int, ...] | None
    agnostic: bool


@dataclass(frozen=True)
class Net:
    """What is known of a YOLO's network: its tensors, its head, and whether columns come before anchors."""

    input: TensorSpec
    output: TensorSpec
    head: Head
    first: bool


class YoloOnGpu(AroundEngine):
    """Frames in, rows of boxes out. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        net: what is known of the network.
        boxer: the host's letterbox: it says where pictures go, and does darknet's bicubic scaling.

    Attributes:
        pictures: the frames of the last call as they lie on the GPU, uint8 [H, W, 3]; until the next call.
            Of darknet's heads, letterboxed ones.

    Raises:
        MissingError: no nvcc, or an output of a type that the kernels do not read.
    """

    def __init__(self, gpu: GpuThread, inside: Resident, net: Net, boxer: Letterboxer) -> None:
        if net.output.dtype not in (np.float32, np.float16):
            raise MissingError(f"the kernels read float32 and float16, not {net.output}")
        self.pictures: list[DeviceArray] = []
        self._net, self._boxer = net, boxer
        self._shape = 0, 0, 6  # of the rows
        super().__init__(gpu, inside)

    def open(self) -> None:
        """See `AroundEngine`."""
        head = self._net.head
        table = byte_table(head.unit, self._net.input.dtype)
        self._letterbox = self.keep(CudaLetterbox(self.gpu, np.tile(table, (3, 1)), head.rgb))
        self._yolo = self.keep(CudaYolo(self.gpu, head.name, self._net.first, head.nms))
        self._rows = self.keep(Buffer(self.gpu))

    def run(
        self, images: Sequence[NDArray[np.uint8]], wanted: Wanted
    ) -> tuple[list[NDArray[np.float32]], list[Transform], list[float]]:
        """One batch.

        Args:
            images: BGR uint8 [H, W, 3], of any strides.
            wanted: the settings.

        Returns:
            Of each picture float32 [n, 6], (left, top, right, bottom, score, class) in pixels of the input,
            best first; how each was placed; seconds of "pre", "infer" and "post".

        Raises:
            InputError: more pictures than the engine takes, or a YOLOX output that does not fit its input.
        """
        batch, places = self._boxer.arrange(images)
        shape = (batch, 3, *places[0].canvas)
        into = self.inside.place({self._net.input.name: shape})[self._net.input.name]
        self.begin()
        fills = places
        if self._net.head.style not in STYLES:
            style = self._net.head.style
            images = [
                letterbox(one, to.canvas, style=style)[0] for one, to in zip(images, places, strict=True)
            ]
            fills = [Transform(to.canvas, to.canvas, to.canvas, 0, 0, 1.0, 1.0) for to in places]
        self.pictures = self.send(images)
        key = into, tuple(fills), tuple(self.pictures), wanted
        seconds = self.step(key, lambda: self._before(into, fills), lambda: self._after(fills, wanted))
        rows = self._rows.view(self._shape, np.dtype(np.float32))
        return [one[1 : 1 + int(one[0, 0])].copy() for one in rows], places, seconds

    def free(self) -> None:
        """See `AroundEngine`."""
        super().free()
        self.pictures = []

    def _before(self, into: DeviceArray, places: Sequence[Transform]) -> None:
        pad = PAD[self._net.head.style]
        for to, group in groupby(range(len(places)), places.__getitem__):
            alike = list(group)
            pictures = self.pictures[alike[0] : alike[-1] + 1]
            self._letterbox.fill_many(pictures, to, into, alike[0], pad)
        for n in range(len(places), into.shape[0]):
            self._letterbox.blank(into, n, pad)

    def _after(self, places: Sequence[Transform], wanted: Wanted) -> None:
        output = self.output(self._net.output.name)
        seen = DeviceArray(output.address, (len(places), *output.shape[1:]), output.dtype)
        canvas, anchors = places[0].canvas, self._yolo.anchors(seen)
        strides = anchor_strides(canvas, anchors) if self._net.head.name == "yolox" else ()
        self._shape = len(places), 1 + min(wanted.max_det, anchors), 6
        self._yolo.enqueue(
            seen,
            self._rows.array(self._shape, np.float32),
            canvas,
            score=wanted.score,
            iou=wanted.iou,
            classes=wanted.classes,
            agnostic=wanted.agnostic,
            strides=strides,
        )
        self._rows.fetch(self._shape, np.float32, self.gpu.stream)
