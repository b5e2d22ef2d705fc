"""SlowFast on the GPU: frames kept there, clips written where the body reads them, people cut out there.

    frame → upload → [scaled into the ring] ..... [clips] → body → [RoIAlign] → head → scores → host

The ring belongs to the loop's thread of the GPU: a frame costs an upload and one kernel. Where the networks
run beside the loop they have a thread of their own, with the same memory. A window is written into the body's
inputs by the loop's thread, which waits for that, and only while the body has nothing to do; everything else
is the other thread's, without a host in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import GpuThread, acquire, load_driver
from edgekit.engine.resident import Replay, Tenant, choose_ops, resident
from edgekit.errors import MissingError
from edgekit.ops.clip_cuda import CudaClip
from edgekit.ops.roi_align_cuda import CudaRoiAlign
from edgekit.tasks.clip_buffer import Fit, Frames, Size
from edgekit.tasks.slowfast_nets import FEATURE_STRIDE, Net, Split, Whole

PARTS = ("body", "roi", "head")
FLOAT32 = np.dtype(np.float32)


def open_gpu(ops: str, net: Net, settings: dict[str, Any]) -> tuple[str, str, SlowFastGpu | None]:
    """Where what is round the networks runs: "host" or "cuda", why, and for "cuda" what does it.

    Args:
        ops: one of `edgekit.engine.resident.OPS`; "graft" is the host's here, as the steps are of frames that
            come one by one, and of boxes that a tracker finds.
        settings: of `Frames`.

    Raises:
        InputError: `ops` is unknown.
        MissingError: "cuda" was asked for and cannot be.
    """
    chosen, why = choose_ops(ops, net.engine)
    if chosen == "graft":
        return "host", "a network that looks at windows has no steps in its graph", None
    if chosen == "host":
        return chosen, why, None
    try:
        return chosen, why, SlowFastGpu(net, **settings)
    except MissingError as error:
        if ops == "cuda":
            raise MissingError(f'ops="cuda" cannot be: {error}. Take ops="host".') from error
        return "host", str(error), None


class GpuClips(Frames):
    """The ring of `edgekit.tasks.clip_buffer` on the GPU.

    Args:
        gpu: the thread that takes the frames.
        settings: of `Frames`.
    """

    def __init__(self, gpu: GpuThread, **settings: Any) -> None:
        super().__init__(**settings)
        self._ring = Tenant(gpu, lambda gpu: CudaClip(gpu, self.tables, self.span))

    def make(self, fit: Fit) -> None:
        """See `Frames`."""
        self._ring.call(self._ring.held.open, fit.canvas, fit.content)

    def keep(self, image: NDArray[np.uint8], fit: Fit, place: int) -> None:
        """See `Frames`. It waits until the frame is copied, not until it is there."""
        self._ring.call(self._ring.held.add, image, place)

    def window(self, slow: DeviceArray, fast: DeviceArray) -> None:
        """Write the two inputs for the last `span` frames; when this returns they are there.

        Raises:
            InputError: there is no window yet.
        """
        self._ring.call(self._write, self.first, slow, fast)

    def _write(self, first: int, slow: DeviceArray, fast: DeviceArray) -> None:
        self._ring.held.gather(self.fast_frames, first, fast, slow, self.every)
        self._ring.gpu.stream.synchronize()

    def close(self) -> None:
        """Free the ring."""
        self._ring.close()


class SlowFastGpu:
    """A network's `Net` and a `GpuClips` together.

    Args:
        net: its engines keep their tensors on the GPU; they stay open.
        settings: of `Frames`.

    Attributes:
        clips: takes the frames.
        parts: seconds of the GPU of the last look, by part.

    Raises:
        MissingError: an engine keeps its tensors on the host, body and head have different threads, or a file
            does not say how many channels the features have.
    """

    def __init__(self, net: Net, **settings: Any) -> None:
        self._few = len(Frames(**settings).every)
        self.parts = dict.fromkeys(PARTS, 0.0)
        kind = _SplitLook if isinstance(net, Split) else _WholeLook if isinstance(net, Whole) else _Look
        self._look = Tenant(resident(net.engine).gpu, lambda gpu: kind(gpu, net))
        try:
            loop = acquire(self._look.gpu.key[0])
            try:
                self.clips = GpuClips(loop, **settings)
            finally:
                loop.release()
        except BaseException:
            self._look.close()
            raise

    def window(self, people: int) -> tuple[DeviceArray, DeviceArray]:
        """The newest window where the body reads it, for a call with so many people: slow, fast.

        The body must have nothing to do, as where no call is under way.
        """
        fit = self.clips.fit
        assert fit is not None
        frames = self._few, len(self.clips.fast_frames)
        slow, fast = self._look.call(self._look.held.place, frames, fit.canvas, people)
        self.clips.window(slow, fast)
        return slow, fast

    def __call__(
        self, slow: DeviceArray, fast: DeviceArray, boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """As of `Net`, in the window that `window` wrote last, which gave these addresses."""
        scores, self.parts = self._look.call(self._look.held.run, boxes)
        return scores

    def close(self) -> None:
        """Free what is the task's own."""
        self.clips.close()
        self._look.close()


class _Look:
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
            self._replay: Replay = self._keep(Replay(gpu, self._recordable))
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
        self._key = (canvas, self._step, *(one.address for one in self._inputs.values()))
        return self._inputs[slow], self._inputs[fast]

    def run(self, boxes: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, float]]:
        """The scores, float32 [N, C], of people at `boxes`, and the seconds of the parts."""
        count = len(boxes) if self.rows is not None else 1
        calls = -(-count // self._step)
        asked = self.ask(boxes, calls * self._step)
        self._replay((*self._key, calls), lambda: self.work(asked, calls))
        self._gpu.stream.synchronize()
        assert self._given is not None
        shape = calls * self._step, self._given.shape[1]
        scores = np.array(self._scores.view(shape, self._given.dtype)[:count], np.float32)
        return scores, dict(zip(PARTS, self._marks.seconds(), strict=True))

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


class _WholeLook(_Look):
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


class _SplitLook(_Look):
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
