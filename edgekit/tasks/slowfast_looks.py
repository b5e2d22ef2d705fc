"""Looks of SlowFast's networks on the GPU: boxes in, scores out, features and people never on the host.

All of it is the thread's that the engines belong to (`edgekit.tasks.slowfast_gpu` asks it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import GpuThread, load_driver
from edgekit.engine.resident import Replay, resident
from edgekit.errors import MissingError
from edgekit.ops.roi_align_cuda import CudaRoiAlign
from edgekit.tasks.clip_buffer import Size
from edgekit.tasks.slowfast_nets import FEATURE_STRIDE, Net, Split, Whole

PARTS = ("body", "roi", "head")
FLOAT32 = np.dtype(np.float32)


def look_of(gpu: GpuThread, net: Net) -> Look:
    """What looks with a network of this form. Owner thread only.

    Raises:
        MissingError: an engine keeps its tensors on the host, body and head have different threads, or no
            file says how many channels the features have.
    """
    kind = SplitLook if isinstance(net, Split) else WholeLook if isinstance(net, Whole) else Look
    return kind(gpu, net)


class Look:
    """Looks of a network for whole clips, one after the other. What it has is the engines' thread's.

    The forms that look at people build on it: they have rows, `rows` of which the engine takes in one call.
    """

    rows: TensorSpec | None = None

    def __init__(self, gpu: GpuThread, net: Net) -> None:
        self._gpu, self._net, self._drv = gpu, net, load_driver()
        self._body = resident(net.engine)
        self._held: list[Any] = []
        self._step = 1  # rows of a call
        self._inputs: dict[str, DeviceArray] = {}
        self._given: DeviceArray | None = None  # the scores of the last call
        self._key: tuple[Any, ...] = ()
        try:
            self._boxes: Buffer = self._keep(Buffer(gpu))
            self._scores: Buffer = self._keep(Buffer(gpu))
            self._marks: Marks = self._keep(Marks(len(PARTS)))
            self._recordable = self._body.recordable
            self.open()
            self._replay: Replay = self._keep(Replay(gpu))
        except BaseException:
            self.free()
            raise

    def place(self, frames: tuple[int, int], canvas: Size, people: int) -> tuple[DeviceArray, DeviceArray]:
        """Where the clips of a look at so many people go, slow and fast; the engines get ready for it."""
        if self.rows is not None:
            limit = self.rows.batch_limit or people
            self._step = min(limit, people) if self.rows.shape[0] is None else limit
        slow, fast = self._net.slow.name, self._net.fast.name
        shapes = {name: (1, 3, count, *canvas) for name, count in zip((slow, fast), frames, strict=True)}
        self._inputs = self._body.place({**shapes, **self.others()})
        self._key = (canvas, self._step, self.version)
        return self._inputs[slow], self._inputs[fast]

    def run(self, boxes: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, float]]:
        """The scores, float32 [N, C], of people at `boxes`, and the seconds of the parts."""
        count = len(boxes) if self.rows is not None else 1
        calls = -(-count // self._step)
        asked = self.ask(boxes, calls * self._step)
        self._replay((*self._key, calls), (lambda: self.work(asked, calls), self._recordable))
        self._gpu.stream.synchronize()
        assert self._given is not None
        shape = calls * self._step, self._given.shape[1]
        scores = np.array(self._scores.view(shape, self._given.dtype)[:count], np.float32)
        return scores, dict(zip(PARTS, self._marks.seconds(), strict=True))

    @property
    def version(self) -> tuple[int, ...]:
        """Counts when the addresses of the engines change."""
        return (self._body.version,)

    def open(self) -> None:
        """Make what this form needs besides."""

    def others(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the body's other inputs."""
        return {}

    def ask(self, boxes: NDArray[np.float32], rows: int, columns: int = 4) -> DeviceArray:
        """The boxes in pinned memory, filled up with zeros, in front too where there are more columns."""
        asked = self._boxes.array((rows, columns), FLOAT32)
        into = self._boxes.view(asked.shape, FLOAT32)
        into[...] = 0
        into[: len(boxes), columns - 4 :] = boxes
        return asked

    def work(self, asked: DeviceArray, calls: int) -> None:
        """Start a look: nothing waits, and all addresses are those of the look before, if that was alike."""
        for number in range(1 + len(PARTS)):
            if number == 1:
                self.fetch(self._body.enqueue(), 0, calls)
            self._marks.mark(number, self._gpu.stream)

    def fetch(self, outputs: Mapping[str, DeviceArray], call: int, calls: int) -> None:
        """Start the scores of a call on their way to the host."""
        given = self._given = outputs[self._net.scores]
        self._scores.array((calls * self._step, given.shape[1]), given.dtype)
        rows = self._scores.view((calls, given.nbytes), np.dtype(np.uint8))[call]
        self._drv.memcpy_dtoh_async(rows, given.address, self._gpu.stream)

    def free(self) -> None:
        """Free all but the engines."""
        while self._held:
            self._held.pop().free()

    def _keep(self, one: Any) -> Any:
        self._held.append(one)
        return one


class WholeLook(Look):
    """One graph: the boxes are sent to its input."""

    def open(self) -> None:
        assert isinstance(self._net, Whole)
        self.rows = self._net.boxes
        self._columns = self.rows.shape[1] or 4

    def others(self) -> dict[str, tuple[int, ...]]:
        assert self.rows is not None
        return {self.rows.name: (self._step, self._columns)}

    def ask(self, boxes: NDArray[np.float32], rows: int, columns: int = 4) -> DeviceArray:
        return super().ask(boxes, rows, self._columns)  # of 5, the first is the picture's number: 0

    def work(self, asked: DeviceArray, calls: int) -> None:
        assert self.rows is not None
        stream = self._gpu.stream
        rows = self._boxes.view((calls, asked.nbytes // calls), np.dtype(np.uint8))
        self._marks.mark(0, stream)
        for call, part in enumerate(rows):
            self._drv.memcpy_htod_async(self._inputs[self.rows.name].address, part, stream)
            self.fetch(self._body.enqueue(), call, calls)
        for number in range(len(PARTS)):
            self._marks.mark(1 + number, stream)


class SplitLook(Look):
    """Body and head, RoIAlign between them."""

    def open(self) -> None:
        net = self._net
        assert isinstance(net, Split)
        self._split, self._head = net, resident(net.head)
        self.rows = net.rois[0]
        if self._head.gpu is not self._gpu:
            raise MissingError("body and head are on different threads of the GPU")
        channels = [count for count in net.channels if count is not None]
        if len(channels) < len(net.rois):
            raise MissingError("body and head do not say how many channels the features have")
        self._cells = [(count, net.cells, net.cells) for count in channels]
        scale = 1 / FEATURE_STRIDE
        self._align: CudaRoiAlign = self._keep(
            CudaRoiAlign(self._gpu, output_size=net.cells, spatial_scale=scale, aligned=net.aligned)
        )
        self._recordable = self._recordable and self._head.recordable

    def others(self) -> dict[str, tuple[int, ...]]:
        shapes = zip(self._split.rois, self._cells, strict=True)
        self._under = self._head.place({roi.name: (self._step, *shape) for roi, shape in shapes})
        return {}

    @property
    def version(self) -> tuple[int, ...]:
        return self._body.version, self._head.version

    def work(self, asked: DeviceArray, calls: int) -> None:
        stream, net = self._gpu.stream, self._split
        self._boxes.upload(asked.nbytes, stream)
        self._marks.mark(0, stream)
        features = self._body.enqueue()
        self._marks.mark(1, stream)
        maps = [
            (features[name], self._under[roi.name]) for name, roi in zip(net.features, net.rois, strict=True)
        ]
        for call in range(calls):
            first = asked.row(call * self._step).address
            self._align.enqueue(DeviceArray(first, (self._step, 4), asked.dtype), maps)
            self._marks.mark(2, stream)  # of more calls than one the last counts
            self.fetch(self._head.enqueue(), call, calls)
        self._marks.mark(3, stream)
