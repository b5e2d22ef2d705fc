"""Crops of people on the GPU: the CUDA twin of `edgekit.ops.crops.Crops`.

All people of a picture are one launch. The places in the picture are found as OpenCV's warpAffine finds them
from 4.12 on: equal to it to the last bit on CPUs with fused multiply-add (AVX2, NEON). Within one grey level
of bilinear weights in float64. Older OpenCVs cut the weights to steps of 1/32 pixel: beside those a crop is
as far off as they are from float64, at most 1/64 pixel × the picture's slope along each axis (4.10 on noise
of all grey levels: 5 levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels, Room
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.crops import Crops

SOURCE = Path(__file__).with_name("crops_cuda.cu")
THREADS, PIXELS = 256, 4  # of a block; pixels of a crop a thread, as in the kernel


class CudaCrops:
    """Crops people of pictures into rows of a tensor. Owner thread only; nothing waits.

    Args:
        gpu: the thread.
        crops: its twin on the host, which says size, growth, mean and deviation.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, crops: Crops) -> None:
        self._gpu, self._size, self._dtype = gpu, crops.size, crops.dtype
        self._kernels = Kernels(SOURCE)
        self._kept, self._placed, self._words = Buffer(gpu), Buffer(gpu), Room()
        self._matrices = DeviceArray(0, (0, 6), np.dtype(np.float32))
        self._seen = DeviceArray(0, (0,), np.dtype(np.uint32))
        try:
            self._tables = self._kept.put(crops.tables, gpu.stream)
        except BaseException:
            self.free()
            raise

    def put(self, matrices: Sequence[NDArray[np.float64]], rows: int) -> None:
        """Start the upload of where people stand: matrices of `Crops.place`, for a tensor of `rows`."""
        if self._seen.shape[0] < rows:
            self._seen = self._words.array((rows,), np.uint32)
            blocks = -(-rows // THREADS)
            self._kernels("clear", blocks, THREADS, self._gpu.stream, self._seen, np.int32(rows))
        inverse = np.zeros((rows, 6), np.float32)
        inverse[: len(matrices)] = inverted(matrices)
        self._matrices = self._placed.put(inverse, self._gpu.stream)

    def fill(
        self,
        picture: DeviceArray,
        out: DeviceArray,
        start: int,
        stop: int,
        end: int | None = None,
        pitch: int | None = None,
    ) -> None:
        """Start cropping the people `start` to `stop` of those `put` into the same rows of `out`.

        Args:
            picture: uint8 [H, W, 3] BGR.
            out: [N, 3, h, w] of the twin's size and dtype.
            end: the rows from `stop` to `end` become 0.
            pitch: bytes from a row of the picture to the next, 3·W or more; None: 3·W.

        Raises:
            InputError: the arrays do not fit each other.
        """
        end = stop if end is None else end
        if picture.dtype != np.uint8 or len(picture.shape) != 3 or picture.shape[2] != 3:
            raise InputError(f"{picture.dtype} {list(picture.shape)} is no picture [H, W, 3] of bytes.")
        if out.dtype != self._dtype or out.shape[1:] != (3, *self._size):
            raise InputError(
                f"crops of {self._dtype} {[3, *self._size]} do not fit {out.dtype} {list(out.shape)}."
            )
        if not 0 <= start <= stop <= end <= min(out.shape[0], self._matrices.shape[0]):
            raise InputError(f"rows {start} to {end} are not those of the people who were put.")
        height, width = picture.shape[:2]
        high, wide = self._size
        self._kernels(
            f"crop_people_{self._dtype.itemsize}",
            (-(-high * wide // (THREADS * PIXELS)), end - start),
            THREADS,
            self._gpu.stream,
            picture,
            *map(np.int32, (3 * width if pitch is None else pitch, height, width)),
            self._matrices.row(start),
            np.int32(stop - start),
            self._tables,
            out.row(start),
            *map(np.int32, self._size),
            self._seen.row(start),
        )

    def free(self) -> None:
        for one in (self._kept, self._placed, self._words, self._kernels):
            one.free()


def inverted(matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """The way back of 2×3 matrices, float32 [N, 6], computed in float64 as OpenCV's warpAffine does."""
    a, b, x, c, d, y = np.asarray(matrices, np.float64).reshape(-1, 6).T
    determinant = a * d - b * c
    with np.errstate(divide="ignore"):
        scale = np.where(determinant != 0, 1 / determinant, 0.0)
    a, b, c, d = d * scale, b * -scale, c * -scale, a * scale
    return np.stack([a, b, -a * x - b * y, c, d, -c * x - d * y], 1).astype(np.float32)


def check_twin(gpu: GpuThread) -> str:
    """Crops of a random picture by both. Owner thread only; AssertionError where they differ by more."""
    rng = np.random.default_rng()
    image = rng.integers(0, 256, (241, 323, 3), np.uint8)
    corner = rng.uniform(-60, 260, (5, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(1, 200, (5, 2))], 1)
    host = Crops(mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))
    wanted, _ = host([image] * 5, xyxy)
    twin, buffers = CudaCrops(gpu, host), [Buffer(gpu), Buffer(gpu)]
    try:
        twin.put(host.place(xyxy)[0], 5)
        out = buffers[1].array(wanted.shape, wanted.dtype)
        twin.fill(buffers[0].put(image, gpu.stream), out, 0, 5)
        found = buffers[1].fetch(wanted.shape, wanted.dtype, gpu.stream)
        gpu.stream.synchronize()
        apart = np.abs(found - wanted)
    finally:
        for buffer in buffers:
            buffer.free()
        twin.free()
    # OpenCV before 4.12 has weights in steps of 1/32: on noise up to 2 × 255 / 64 levels.
    assert apart.max() <= 9, f"crops differ from OpenCV's by {apart.max():.1f} grey levels"
    share, most = (apart > 0.5).mean(), apart.max()
    return f"5 crops, {share:.2%} of values differ from OpenCV's, by {most:.0f} levels at most"
