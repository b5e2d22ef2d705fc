"""Pictures scaled into a network's input on the GPU: the CUDA twin of `edgekit.ops.letterbox`.

One kernel, one launch for pictures of one size: bilinear scaling, the border, the bytes' values (÷ 255, mean
and deviation, float16: whatever a table says), BGR or RGB planes. It has no state of a picture's size, so it
can be recorded at once. Equal to OpenCV's resize on x86 to the last bit; elsewhere OpenCV itself may differ
by a grey level.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.letterbox import PAD, Letterboxer, Transform

SOURCE = Path(__file__).with_name("letterbox_cuda.cu")
THREADS, COLUMNS, ROWS = 256, 64, 16  # as in the kernel
KERNELS = {"float32": "fill_f32", "uint16": "fill_f16", "uint8": "fill_u8"}
#: Letterbox styles that are bilinear; darknet's bicubic is OpenCV's alone.
STYLES = ("ultralytics", "yolox")


class CudaLetterbox:
    """Scales pictures into places of a tensor. Owner thread only; nothing waits.

    Args:
        gpu: the thread.
        tables: [3, 256], what a byte becomes in each plane of the tensor: float32, uint16 (the bits of
            float16) or uint8. `byte_table` makes the usual ones.
        rgb: the first plane is the picture's last channel, red of BGR; otherwise planes are as channels.

    Raises:
        InputError: `tables` have another shape or dtype.
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, tables: NDArray, rgb: bool = True) -> None:
        if tables.shape != (3, 256) or tables.dtype.name not in KERNELS:
            raise InputError(f"the byte tables are {tables.dtype} {list(tables.shape)}; give [3, 256].")
        self._gpu, self._rgb = gpu, rgb
        self._dtype = np.dtype(np.float16) if tables.dtype == np.uint16 else tables.dtype
        self._kernel = KERNELS[tables.dtype.name]
        self._kernels = Kernels(SOURCE)
        self._buffer = Buffer(gpu)
        try:
            self._tables = self._buffer.put(tables, gpu.stream)
        except BaseException:
            self.free()
            raise

    def fill(
        self,
        picture: DeviceArray,
        to: Transform,
        out: DeviceArray,
        n: int = 0,
        pad: int | None = None,
        pitch: int | None = None,
    ) -> None:
        """Start scaling a picture into `out[n]`; arguments and errors as of `fill_many`."""
        self.fill_many([picture], to, out, n, pad, pitch)

    def fill_many(
        self,
        pictures: Sequence[DeviceArray],
        to: Transform,
        out: DeviceArray,
        n: int = 0,
        pad: int | None = None,
        pitch: int | None = None,
    ) -> None:
        """Start scaling pictures of one size into `out[n]` and the places after it.

        One launch where they lie equally far apart, else one each.

        Args:
            pictures: uint8 [H, W, 3].
            to: where they go; `place` gives it. A stretched picture fills the whole canvas.
            out: [N, 3, h, w] of the tables' type, h and w those of `to.canvas`.
            n: the first one's place.
            pad: grey of the border, 0 to 255; None: the border stays as it is.
            pitch: bytes from a row of a picture to the next, 3·W or more; None: 3·W.

        Raises:
            InputError: the arrays do not fit each other.
        """
        height, width = to.source
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.shape != (height, width, 3):
                raise InputError(f"{picture.dtype} {list(picture.shape)} is no picture of {width}×{height}.")
        if out.shape[2:] != to.canvas:
            raise InputError(f"a picture for {to.canvas} does not fit a tensor of {list(out.shape)}.")
        step = 3 * width if pitch is None else pitch
        if step < 3 * width:
            raise InputError(f"pitch={step} is less than a row of {width} pixels, {3 * width} bytes.")
        apart = np.diff([picture.address for picture in pictures]).tolist()
        whole = len(set(apart)) <= 1
        size = max(len(pictures), 1) if whole else 1
        for first in range(0, len(pictures), size):
            distance = apart[0] if whole and apart else 0
            self._start(pictures[first].address, size, distance, step, to, out, n + first, pad)

    def blank(self, out: DeviceArray, n: int, pad: int) -> None:
        """Start filling `out[n]`, a place without a picture, with the grey `pad`."""
        self._start(0, 1, 0, 0, Transform((1, 1), (0, 0), (0, 0), 0, 0, 1.0, 1.0), out, n, pad)

    def free(self) -> None:
        self._buffer.free()
        self._kernels.free()

    def _start(
        self,
        address: int,
        count: int,
        apart: int,
        pitch: int,
        to: Transform,
        out: DeviceArray,
        n: int,
        pad: int | None,
    ) -> None:
        if out.dtype != self._dtype or len(out.shape) != 4 or out.shape[1] != 3:
            raise InputError(f"{out.dtype} {list(out.shape)} is no tensor for tables of {self._dtype}.")
        if not 0 <= n <= out.shape[0] - count:
            raise InputError(f"place {n + count - 1} is not in a tensor of {list(out.shape)}.")
        height, width = out.shape[2:]
        # as OpenCV makes it of the sizes: 1 / (to / from) is not always from / to
        scale = [1.0 / (b / a) if b else 0.0 for a, b in zip(to.source, to.content, strict=True)]
        self._kernels(
            self._kernel,
            (-(-width // COLUMNS), -(-height // ROWS), count),
            THREADS,
            self._gpu.stream,
            address,
            np.int64(apart),
            np.int64(pitch),
            *map(np.int32, to.source),
            *map(np.float64, scale),
            *map(np.int32, (to.top, to.left, *to.content)),
            out.row(n),
            np.int32(height),
            np.int32(width),
            self._tables,
            np.int32(self._rgb),
            np.int32(-1 if pad is None else pad),
        )


def check_twin(gpu: GpuThread) -> str:
    """Compare the kernel with `Letterboxer` on fresh random pictures; owner thread only.

    Raises:
        AssertionError: they differ.
    """
    random = np.random.default_rng()
    worst, sizes = 0, [(1, 1), (97, 203), (480, 640), (719, 53)]
    pictures, tensor = Buffer(gpu), Buffer(gpu)
    table = np.broadcast_to(np.arange(256, dtype=np.float32), (3, 256))
    boxer = CudaLetterbox(gpu, np.ascontiguousarray(table))
    try:
        for size in sizes:
            picture = random.integers(0, 256, (*size, 3), np.uint8)
            (wanted,), (to,) = Letterboxer((320, 416), unit=False)([picture])
            out = tensor.array((1, *wanted.shape), np.float32)
            boxer.fill(pictures.put(picture, gpu.stream), to, out, pad=PAD["ultralytics"])
            found = tensor.fetch(out.shape, out.dtype, gpu.stream)
            gpu.stream.synchronize()
            worst = max(worst, int(np.abs(found[0] - wanted).max()))
    finally:
        for held in (boxer, pictures, tensor):
            held.free()
    assert worst <= 1, f"the letterbox kernel differs from OpenCV by {worst} grey levels."
    how = "to the last bit" if worst == 0 else "within 1 grey level"
    return f"{len(sizes)} pictures, equal to OpenCV {how}"
