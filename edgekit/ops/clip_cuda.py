"""The last frames of a video on the GPU, and a network's clips of them, written where it reads them.

The CUDA twin of `edgekit.tasks.clip_buffer.ClipBuffer`, and of the rows of `edgekit.tasks.action_tape.Tape`,
equal to them to the last bit. A frame is sent and scaled once, when it comes, and kept as bytes: a window is
gathered, looked up and written by one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels, Room
from edgekit.engine.gpu_thread import GpuThread, load_driver
from edgekit.errors import InputError
from edgekit.ops.letterbox import Transform
from edgekit.ops.letterbox_cuda import CudaLetterbox

SOURCE = Path(__file__).with_name("clip_cuda.cu")
THREADS = 256  # a block, as in clip_cuda.cu
ROUNDS = 4  # packs a thread, so that a block's table serves more than one
PACK = 16  # bytes that a thread writes at once
WORDS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
Size = tuple[int, int]


class CudaClip:
    """A ring of `span` frames and clips of it. Owner thread only; `add` alone waits, for the frame before.

    Args:
        gpu: the thread.
        tables: float32 [256], one a channel: the value of each byte.
        span: frames that are kept.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, tables: Sequence[NDArray[np.float32]], span: int) -> None:
        self.span = span
        self._gpu, self._values = gpu, np.stack(tables)
        self._kernels = Kernels(SOURCE)
        self._scaler: CudaLetterbox | None = None
        self._ring, self._frame, self._numbers = Room(), Buffer(gpu), Buffer(gpu)
        self._tables = {dtype: Buffer(gpu) for dtype in WORDS}
        self._sent: dict[np.dtype, DeviceArray] = {}
        self._seen = np.empty((2, 0), np.int32)
        self._canvas: Size = (0, 0)
        self._content: Size = (0, 0)

    def open(self, canvas: Size, content: Size | None = None) -> None:
        """Make room for frames of another size; those that were there are lost.

        Args:
            canvas: (height, width) of the clips.
            content: of the picture in their upper left, beside which there are zeros; default: all of them.
        """
        self._canvas, self._content = canvas, content or canvas

    def add(self, image: NDArray[np.uint8], place: int) -> None:
        """Send a frame, uint8 [H, W, 3] BGR, and scale it to the content; `place`: where in the ring."""
        self._gpu.stream.synchronize()  # the frame before has left the pinned memory long since
        self.scale(self._frame.put(image, self._gpu.stream), place)

    def scale(self, picture: DeviceArray, place: int) -> None:
        """Scale a frame that is on the GPU, uint8 [H, W, 3] BGR."""
        if self._scaler is None:
            same = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
            self._scaler = CudaLetterbox(self._gpu, same)
        source = picture.shape[0], picture.shape[1]
        scale = self._content[0] / source[0], self._content[1] / source[1]
        to = Transform(source, self._content, self._canvas, 0, 0, scale[1], scale[0])
        self._scaler.fill(picture, to, self._planes(), place)

    def add_planes(self, planes: Sequence[NDArray[np.uint8]], place: int) -> None:
        """Send a frame that has the clips' size: for each channel uint8 [H, W]."""
        self._gpu.stream.synchronize()
        row = self._planes().row(place)
        self._frame.array(row.shape, row.dtype)
        for into, plane in zip(self._frame.view(row.shape, row.dtype), planes, strict=True):
            np.copyto(into, plane)
        load_driver().memcpy_htod_async(row.address, self._frame.host[: row.nbytes], self._gpu.stream)

    def gather(
        self,
        frames: NDArray[np.integer],
        first: int,
        fast: DeviceArray,
        slow: DeviceArray | None = None,
        every: NDArray[np.integer] | None = None,
    ) -> None:
        """Write a clip, and its slow path, in one go.

        Args:
            frames: whole numbers [T], the clip's frames, counted from `first`.
            first: number of the window's first frame; frame n lies at place n % span, and frame 0 stands in
                for those before it.
            fast: the clip, as [C, T, H, W] lies in memory; float32 or float16.
            slow: its slow path, of the same dtype.
            every: whole numbers [S], places in the clip of the frames that the slow path has, each once.

        Raises:
            InputError: a clip has another size or dtype.
        """
        channels, length, few = len(self._values), len(frames), 0 if every is None else len(every)
        plane = self._canvas[0] * self._canvas[1]
        for clip, count in [(fast, length), *([] if slow is None else [(slow, few)])]:
            if clip.dtype not in WORDS or clip.nbytes != channels * count * plane * clip.dtype.itemsize:
                raise InputError(
                    f"a clip of {channels} × {count} pictures of {self._canvas} does not lie in "
                    f"{clip.dtype} {list(clip.shape)}."
                )
        numbers = np.full((2, length), -1, np.int32)
        numbers[0] = frames
        if every is not None and slow is not None:
            numbers[1, every] = np.arange(few)
        ring, pack = self._planes(), PACK // fast.dtype.itemsize
        slow = fast if slow is None else slow
        packed = not (plane % pack or any(one.address % PACK for one in (ring, fast, slow)))
        blocks = -(-plane // (THREADS * ROUNDS * (pack if packed else 1)))
        given = (self.span, channels, self._canvas[1], plane, *self._content)
        self._kernels(
            f"gather_{WORDS[fast.dtype]}",
            (blocks, channels * length),
            THREADS,
            self._gpu.stream,
            ring,
            *map(np.int32, given),
            self._order(numbers),
            *map(np.int32, (length, first, few)),
            self._table(fast.dtype),
            fast,
            slow,
            np.int32(packed),
        )

    def free(self) -> None:
        """Free memory and kernels, once the last frame is no longer on its way."""
        with suppress(load_driver().Error):
            self._gpu.stream.synchronize()
        self._ring.free()
        for buffer in (self._frame, self._numbers, *self._tables.values()):
            buffer.free()
        if self._scaler is not None:
            self._scaler.free()
        self._kernels.free()

    def _planes(self) -> DeviceArray:
        return self._ring.array((self.span, len(self._values), *self._canvas), np.uint8)

    def _order(self, numbers: NDArray[np.int32]) -> DeviceArray:
        """The clip's frames on the GPU; as a rule those of the clip before, which are there."""
        if not np.array_equal(numbers, self._seen):
            self._gpu.stream.synchronize()
            self._numbers.put(numbers, self._gpu.stream)
            self._seen = numbers
        return self._numbers.array(numbers.shape, np.int32)

    def _table(self, dtype: np.dtype) -> DeviceArray:
        buffer, shape = self._tables[dtype], self._values.shape
        if dtype not in self._sent:
            self._sent[dtype] = buffer.put(self._values.astype(dtype), self._gpu.stream)
        return buffer.array(shape, dtype)


def check_twin(gpu: GpuThread) -> str:
    """Compare with `ClipBuffer` on random pictures, one size odd. Owner thread only.

    Raises:
        AssertionError: they differ.
    """
    from edgekit.tasks.clip_buffer import ClipBuffer

    rng, checked = np.random.default_rng(), 0
    for height, width in ((72, 96), (61, 97)):
        host = ClipBuffer(span=8, frames=4, alpha=2, short_side=48)
        twin, outs = CudaClip(gpu, host.tables, host.span), (Buffer(gpu), Buffer(gpu))
        try:
            for number in range(11):
                image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                if host.add(image):
                    assert host.fit is not None
                    twin.open(host.fit.canvas, host.fit.content)
                twin.add(image, number % host.span)
            wanted = host.window()
            slow, fast = (out.array(one.shape, one.dtype) for out, one in zip(outs, wanted, strict=True))
            twin.gather(host.fast_frames, host.count - host.span, fast, slow, host.every)
            found = [o.fetch(w.shape, w.dtype, gpu.stream) for o, w in zip(outs, wanted, strict=True)]
            gpu.stream.synchronize()
            apart = max(float(np.abs(f - w).max()) for f, w in zip(found, wanted, strict=True))
            assert apart == 0, f"a window of {width}×{height} pixels is {apart:.1e} apart"
            checked += 1
        finally:
            twin.free()
            for out in outs:
                out.free()
    return f"{checked} windows, equal to the last bit"
