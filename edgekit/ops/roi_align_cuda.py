"""RoIAlign on the GPU: the CUDA twin of `edgekit.ops.roi_align`, for features that are there already.

Weights are those of the NumPy function, sample by sample; the products are summed in another order, by rows,
so that the two differ by `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels, Room
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.roi_align import roi_align

SOURCE = Path(__file__).with_name("roi_align_cuda.cu")
THREADS = 128  # a block
MOST_BLOCKS = 65535  # along a grid's second axis (CUDA's limit)
#: Difference from the NumPy function, as a share of the greatest feature: float32 sums in another order.
TOLERANCE = 1e-5
#: float16 features or results: half a step of its 11 bits besides.
TOLERANCE_HALF = 1e-3
WORDS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}


class CudaRoiAlign:
    """The features under boxes. Owner thread only; nothing waits.

    Args:
        gpu: the thread.
        output_size, spatial_scale, sampling_ratio, aligned: as of `edgekit.ops.roi_align.roi_align`.

    Raises:
        MissingError: no nvcc.
        InputError: a setting does not fit.
    """

    def __init__(
        self,
        gpu: GpuThread,
        *,
        output_size: int = 7,
        spatial_scale: float = 1 / 16,
        sampling_ratio: int = 0,
        aligned: bool = False,
    ) -> None:
        if output_size < 1 or sampling_ratio < 0 or spatial_scale <= 0:
            raise InputError("output_size must be 1 or more, sampling_ratio 0 or more, spatial_scale over 0.")
        self.cells = output_size
        self._how = (
            np.float32(spatial_scale),
            np.float32(0.5 if aligned else 0.0),
            np.int32(sampling_ratio),
            np.int32(aligned),
        )
        self._gpu, self._kernels = gpu, Kernels(SOURCE)
        self._weights, self._spans = Room(), Room()

    def enqueue(self, boxes: DeviceArray, maps: Sequence[tuple[DeviceArray, DeviceArray]]) -> None:
        """Write the features under each box.

        Args:
            boxes: float32 [N, 4] left, top, right, bottom, in pixels of the picture; one that is not finite
                gives zeros.
            maps: pairs of features, [C, H, W] or [1, C, H, W], and where they go, [N, C, cells, cells]; both
                float32 or float16, channels and sizes as they like.

        Raises:
            InputError: a shape or a dtype does not fit.
        """
        count, stream = boxes.shape[0], self._gpu.stream
        if len(boxes.shape) != 2 or boxes.shape[1] != 4 or boxes.dtype != np.float32:
            raise InputError(f"boxes must be float32 [N, 4], not {boxes.dtype} {list(boxes.shape)}.")
        weighed: tuple[int, int] | None = None
        for features, out in maps:
            channels, height, width = self._check(features, out, count)
            most = max(height, width)
            shape = (count, 2, self.cells)
            spans = self._spans.array((*shape, 2), np.int32)
            weights = self._weights.array((*shape, most), np.float32)
            sides = (np.int32(self.cells), np.int32(most))
            if weighed != (height, width):  # one box touches the same of all maps of one size
                weighed = (height, width)
                size = (np.int32(width), np.int32(height))
                grid = -(-count * 2 * self.cells // THREADS)
                given = (boxes, np.int32(count), *self._how, *size, *sides, spans, weights)
                self._kernels("roi_weights", grid, THREADS, stream, *given)
            name = f"roi_means_{WORDS[features.dtype]}_{WORDS[out.dtype]}"
            blocks = -(-channels * self.cells * self.cells // THREADS), min(count, MOST_BLOCKS)
            under = (features, np.int32(channels), np.int32(height), np.int32(width), spans, weights)
            self._kernels(name, blocks, THREADS, stream, *under, np.int32(count), *sides, out)

    def _check(self, features: DeviceArray, out: DeviceArray, count: int) -> tuple[int, int, int]:
        """Channels, height and width of features that fit."""
        shape = features.shape[1:] if len(features.shape) == 4 and features.shape[0] == 1 else features.shape
        if len(shape) != 3 or out.shape != (count, shape[0], self.cells, self.cells):
            raise InputError(
                f"features {list(features.shape)} under {count} boxes do not become {list(out.shape)}."
            )
        if features.dtype not in WORDS or out.dtype not in WORDS:
            raise InputError(
                f"features are float32 or float16, not {features.dtype}, and become {out.dtype}."
            )
        return shape[0], shape[1], shape[2]

    def free(self) -> None:
        """Free memory and kernels."""
        self._weights.free()
        self._spans.free()
        self._kernels.free()


def check_twin(gpu: GpuThread) -> str:
    """Compare with the NumPy function on random boxes and features. Owner thread only.

    Raises:
        AssertionError: they differ by more than the tolerance.
    """
    rng, checked = np.random.default_rng(), 0
    for aligned, ratio, half in ((False, 0, False), (True, 2, False), (False, 0, True)):
        features = rng.normal(size=(37, 16, 29)).astype(np.float16 if half else np.float32)
        boxes = rng.uniform(-90, 500, (9, 4)).astype(np.float32)
        twin = CudaRoiAlign(gpu, sampling_ratio=ratio, aligned=aligned)
        boxed, seen, given = buffers = [Buffer(gpu) for _ in range(3)]
        try:
            out = given.array((9, 37, 7, 7), np.float32)
            there = boxed.put(boxes, gpu.stream), seen.put(features, gpu.stream)
            twin.enqueue(there[0], [(there[1], out)])
            found = given.fetch(out.shape, out.dtype, gpu.stream)
            gpu.stream.synchronize()
            wanted = roi_align(features, boxes, sampling_ratio=ratio, aligned=aligned)
            apart = float(np.abs(found - wanted).max() / np.abs(features).max())
        finally:
            twin.free()
            for buffer in buffers:
                buffer.free()
        assert apart <= TOLERANCE, f"{aligned=} {ratio=} {half=}: {apart:.1e} of the greatest feature apart"
        checked += len(boxes)
    return f"{checked} boxes, within {TOLERANCE:g} of the greatest feature"
