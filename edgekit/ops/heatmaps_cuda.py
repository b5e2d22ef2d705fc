"""Heat maps to points on the GPU: the CUDA twin of `edgekit.ops.heatmaps.decode`, equal to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.heatmaps import decode

SOURCE = Path(__file__).with_name("heatmaps_cuda.cu")
THREADS = 128  # of a block, which has one map
KERNELS = {"float32": "points_f32", "float16": "points_f16"}


class CudaPoints:
    """Reads heat maps where they lie. Owner thread only; nothing waits.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread) -> None:
        self._gpu = gpu
        self._kernels = Kernels(SOURCE)
        self._points = Buffer(gpu)

    def enqueue(self, heatmaps: DeviceArray, count: int | None = None) -> NDArray[np.float32]:
        """Start to find the points of the first `count` people, and their way to the host.

        Args:
            heatmaps: [N, K, h, w] float32 or float16.

        Returns:
            float32 [count, K, 3] as of `decode`: a view that holds it once the stream is synchronized, and
            that the next call overwrites.

        Raises:
            InputError: `heatmaps` is something else.
        """
        if heatmaps.dtype.name not in KERNELS or len(heatmaps.shape) != 4:
            raise InputError(f"{heatmaps.dtype} {list(heatmaps.shape)} are no heat maps [N, K, h, w].")
        people, keypoints, height, width = heatmaps.shape
        people = people if count is None else min(count, people)
        shape = people, keypoints, 3
        out = self._points.array(shape, np.float32)
        if not height * width:
            raise InputError(f"heat maps of {width}×{height} have no cells.")
        size = np.int32(height), np.int32(width)
        kernel = KERNELS[heatmaps.dtype.name]
        self._kernels(kernel, people * keypoints, THREADS, self._gpu.stream, heatmaps, *size, out)
        found: NDArray[np.float32] = self._points.fetch(shape, np.float32, self._gpu.stream)
        return found

    def free(self) -> None:
        self._points.free()
        self._kernels.free()


def check_twin(gpu: GpuThread) -> str:
    """Points of random maps by both. Owner thread only; AssertionError where they differ."""
    rng = np.random.default_rng()
    twin, buffer = CudaPoints(gpu), Buffer(gpu)
    try:
        for dtype, size in ((np.float32, (64, 48)), (np.float16, (13, 17))):
            maps = np.round(rng.normal(0, 0.4, (3, 17, *size)), 1).astype(dtype)  # with equal maxima
            found = twin.enqueue(buffer.put(maps, gpu.stream))
            gpu.stream.synchronize()
            wanted = decode(maps)
            apart = np.abs(found - wanted).max()
            assert np.array_equal(found, wanted), f"points differ by up to {apart} cells"
    finally:
        buffer.free()
        twin.free()
    return "102 heat maps of float32 and float16, equal to the last bit"
