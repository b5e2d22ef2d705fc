"""Top-down networks on the GPU: people are cropped there, out of pictures that are uploaded once.

    picture → upload → [crops of all people] → engine → [points of the heat maps] → points → host

Kernels and the copy back are replayed as CUDA graphs (with the engine, one) while as many people are in the
same places of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import DeviceArray
from edgekit.engine.gpu_thread import GpuThread
from edgekit.engine.resident import Resident
from edgekit.ops.crops_cuda import CudaCrops
from edgekit.ops.heatmaps_cuda import CudaPoints
from edgekit.tasks.around_gpu import AroundEngine
from edgekit.tasks.topdown_heads import HeatmapHead

NOBODY = np.zeros((0, 0, 3), np.float32)
Spans = tuple[tuple[DeviceArray, int, int], ...]  # whose people are which rows


class TopDownOnGpu(AroundEngine):
    """A heat-map network's steps around an engine that keeps its tensors on the GPU. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        head: of the task.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, inside: Resident, head: HeatmapHead) -> None:
        self._head = head
        self._points = NOBODY  # of the last step, the kernels' own
        self._cells = 1, 1  # (height, width) of a heat map
        super().__init__(gpu, inside)

    def open(self) -> None:
        """See `AroundEngine`."""
        self._crops = self.keep(CudaCrops(self.gpu, self._head.crops))
        self._decode = self.keep(CudaPoints(self.gpu))

    def run(
        self,
        images: Sequence[NDArray[np.uint8]],
        people: Sequence[int],
        matrices: Sequence[NDArray[np.float64]],
        uploaded: Sequence[DeviceArray],
        step: int,
    ) -> tuple[NDArray[np.float32], tuple[int, int], NDArray[np.float64]]:
        """Points of people in pictures.

        Args:
            images: uint8 [H, W, 3] BGR.
            people: how many each of them has, one or more.
            matrices: of `Crops.place`, one a person, picture by picture.
            uploaded: the same pictures where they are on the GPU already; [] where they are not.
            step: people in one engine call at most.

        Returns:
            float32 [N, K, 3] in cells, as of `edgekit.ops.heatmaps.decode`; (height, width) of a heat map;
            and float64 [calls, 3]: seconds of `PARTS`.

        Raises:
            InputError: the engine's output is no heat maps.
        """
        found, seconds = [], []
        self.begin()
        pictures = uploaded or self.send(images)
        ends = np.cumsum(people).tolist()
        for start in range(0, ends[-1], step):
            stop = min(start + step, ends[-1])
            spans = tuple(
                (picture, max(end - count, start) - start, min(end, stop) - start)
                for picture, count, end in zip(pictures, people, ends, strict=True)
                if max(end - count, start) < min(end, stop)
            )
            if start:
                self.begin()
            seconds.append(self._call(spans, matrices[start:stop], step))
            found.append(self._points.copy())
        return np.concatenate(found), self._cells, np.array(seconds)

    def free(self) -> None:
        """See `AroundEngine`."""
        super().free()
        self._points = NOBODY  # else its memory stays as long as this

    def _call(self, spans: Spans, matrices: Sequence[NDArray[np.float64]], most: int) -> list[float]:
        """One engine call, of `most` rows at most; its seconds."""
        crops, name = self._head.crops, self._head.input.name
        rows = crops.batch or self._rows(len(matrices), most)
        into = self.inside.place({name: (rows, 3, *crops.size)})[name]
        self._crops.put(matrices, rows)
        key = into, spans
        return self.step(key, lambda: self._before(spans, into), lambda: self._after(spans[-1][2]))

    def _rows(self, people: int, most: int) -> int:
        """Rows for so many people, the last ones empty: ONNX Runtime takes seconds for each new number."""
        return people if self.inside.recordable else min(1 << (people - 1).bit_length(), most)

    def _before(self, spans: Spans, into: DeviceArray) -> None:
        count = spans[-1][2]
        for picture, start, stop in spans:
            self._crops.fill(picture, into, start, stop, into.shape[0] if stop == count else stop)

    def _after(self, count: int) -> None:
        heatmaps = self.output(self._head.output.name)
        self._points = self._decode.enqueue(heatmaps, count)
        self._cells = heatmaps.shape[2], heatmaps.shape[3]
