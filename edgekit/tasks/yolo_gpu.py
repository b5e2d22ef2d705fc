"""A YOLO's whole step on the GPU: upload, letterbox, engine, decoding and NMS, some rows back.

    frames → pinned memory → letterbox kernel → the engine's input → its output → kernels → rows → host

Nothing waits before the rows are there. A step of the same shapes and settings is recorded as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import Freeable, GpuThread
from edgekit.engine.resident import Replay, Resident
from edgekit.errors import MissingError
from edgekit.ops.letterbox import PAD, Letterboxer, Transform, byte_table, letterbox
from edgekit.ops.letterbox_cuda import STYLES, CudaLetterbox
from edgekit.ops.yolo_cuda import CudaYolo
from edgekit.tasks.yolo_heads import Head, anchor_strides

F = TypeVar("F", bound=Freeable)


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


class YoloOnGpu:
    """Frames in, rows of boxes out. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        net: what is known of the network.
        boxer: the host's letterbox: it says where pictures go, and does darknet's bicubic scaling.

    Attributes:
        pictures: the frames of the last call as they lie on the GPU, uint8 [H, W, 3]; until the next call.
            Of darknet's heads, letterboxed ones.
        note: why steps are not recorded as a CUDA graph; "" where they are.

    Raises:
        MissingError: no nvcc, or an output of a type that the kernels do not read.
    """

    def __init__(self, gpu: GpuThread, inside: Resident, net: Net, boxer: Letterboxer) -> None:
        if net.output.dtype not in (np.float32, np.float16):
            raise MissingError(f"the kernels read float32 and float16, not {net.output}")
        self.pictures: list[DeviceArray] = []
        self._gpu, self._inside, self._net, self._boxer = gpu, inside, net, boxer
        self._uploads: list[Buffer] = []
        self._shape = 0, 0, 6  # of the rows
        self._outputs: dict[str, DeviceArray] = {}
        self._held: list[Freeable] = []
        table = byte_table(net.head.unit, net.input.dtype)
        try:
            self._letterbox = self._keep(CudaLetterbox(gpu, np.tile(table, (3, 1)), net.head.rgb))
            self._yolo = self._keep(CudaYolo(gpu, net.head.name, net.first, net.head.nms))
            self._rows = self._keep(Buffer(gpu))
            self._marks = self._keep(Marks(3))
            self._replay = self._keep(Replay(gpu))
        except BaseException:
            self.free()
            raise

    @property
    def note(self) -> str:
        return self._replay.note

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
        stream = self._gpu.stream
        batch, places = self._boxer.arrange(images)
        shape = (batch, 3, *places[0].canvas)
        into = self._inside.place({self._net.input.name: shape})[self._net.input.name]
        self._marks.mark(0, stream)
        fills = places
        if self._net.head.style not in STYLES:
            style = self._net.head.style
            images = [
                letterbox(one, to.canvas, style=style)[0] for one, to in zip(images, places, strict=True)
            ]
            fills = [Transform(to.canvas, to.canvas, to.canvas, 0, 0, 1.0, 1.0) for to in places]
        self.pictures = self._upload(images)
        key = self._inside.version, into, tuple(fills), tuple(self.pictures), wanted
        self._replay(
            key,
            (lambda: self._before(into, fills), True),
            (self._infer, self._inside.recordable),
            (lambda: self._after(fills, wanted), True),
        )
        stream.synchronize()
        rows = self._rows.view(self._shape, np.dtype(np.float32))
        return [one[1 : 1 + int(one[0, 0])].copy() for one in rows], places, self._marks.seconds()

    def free(self) -> None:
        while self._held:
            self._held.pop().free()
        self._uploads.clear()
        self.pictures = []

    def _keep(self, held: F) -> F:
        """Free it with the others, last first."""
        self._held.append(held)
        return held

    def _upload(self, images: Sequence[NDArray[np.uint8]]) -> list[DeviceArray]:
        """Pictures of one size lie side by side, so that they are scaled together."""
        alike = len({image.shape for image in images}) == 1
        while len(self._uploads) < (1 if alike else len(images)):
            self._uploads.append(self._keep(Buffer(self._gpu)))
        if alike:
            return self._uploads[0].put_many(images, self._gpu.stream)
        return [
            buffer.put(image, self._gpu.stream) for buffer, image in zip(self._uploads, images, strict=False)
        ]

    def _before(self, into: DeviceArray, places: Sequence[Transform]) -> None:
        pad = PAD[self._net.head.style]
        for to, group in groupby(range(len(places)), places.__getitem__):
            alike = list(group)
            pictures = self.pictures[alike[0] : alike[-1] + 1]
            self._letterbox.fill_many(pictures, to, into, alike[0], pad)
        for n in range(len(places), into.shape[0]):
            self._letterbox.blank(into, n, pad)
        self._marks.mark(1, self._gpu.stream)

    def _infer(self) -> None:
        self._outputs = self._inside.enqueue()

    def _after(self, places: Sequence[Transform], wanted: Wanted) -> None:
        stream, output = self._gpu.stream, self._outputs[self._net.output.name]
        self._marks.mark(2, stream)
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
        self._rows.fetch(self._shape, np.float32, stream)
        self._marks.mark(3, stream)
