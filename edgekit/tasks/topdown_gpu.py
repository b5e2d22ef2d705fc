"""Top-down networks on the GPU: people are cropped there, out of pictures that are uploaded once.

    picture → upload → [crops of all people] → engine → [points of the heat maps] → points → host

Kernels and the copy back are replayed as CUDA graphs (with the engine, one) while as many people are in the
same places of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import Freeable, GpuThread
from edgekit.engine.resident import Replay, Resident
from edgekit.errors import InputError
from edgekit.ops.crops_cuda import CudaCrops
from edgekit.ops.heatmaps_cuda import CudaPoints
from edgekit.tasks.topdown_heads import HeatmapHead

F = TypeVar("F", bound=Freeable)
PARTS = ("pre", "infer", "post")
NOBODY = np.zeros((0, 0, 3), np.float32)
Spans = tuple[tuple[DeviceArray, int, int], ...]  # whose people are which rows


class TopDownOnGpu:
    """A heat-map network's steps around an engine that keeps its tensors on the GPU. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        head: of the task.

    Attributes:
        note: why steps are not recorded as a CUDA graph; "" where they are.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, inside: Resident, head: HeatmapHead) -> None:
        self._gpu, self._inside, self._head = gpu, inside, head
        self._uploads: list[Buffer] = []
        self._outputs: dict[str, DeviceArray] = {}
        self._points = NOBODY  # of the last step, the kernels' own
        self._cells = 1, 1  # (height, width) of a heat map
        self._held: list[Freeable] = []
        try:
            self._crops = self._keep(CudaCrops(gpu, head.crops))
            self._decode = self._keep(CudaPoints(gpu))
            self._marks = self._keep(Marks(len(PARTS)))
            self._replay = self._keep(Replay(gpu))
        except BaseException:
            self.free()
            raise

    @property
    def note(self) -> str:
        return self._replay.note

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
        while len(self._uploads) < len(images):
            self._uploads.append(self._keep(Buffer(self._gpu)))
        found, seconds = [], []
        self._marks.mark(0, self._gpu.stream)
        pictures = uploaded or [
            one.put(image, self._gpu.stream) for one, image in zip(self._uploads, images, strict=False)
        ]
        ends = np.cumsum(people).tolist()
        for start in range(0, ends[-1], step):
            stop = min(start + step, ends[-1])
            spans = tuple(
                (picture, max(end - count, start) - start, min(end, stop) - start)
                for picture, count, end in zip(pictures, people, ends, strict=True)
                if max(end - count, start) < min(end, stop)
            )
            if start:
                self._marks.mark(0, self._gpu.stream)
            found.append(self._call(spans, matrices[start:stop], step))
            seconds.append(self._marks.seconds())
        return np.concatenate(found), self._cells, np.array(seconds)

    def free(self) -> None:
        """Free all but the engine."""
        while self._held:
            self._held.pop().free()
        self._uploads.clear()
        self._points = NOBODY  # else its memory stays as long as this

    def _call(self, spans: Spans, matrices: Sequence[NDArray[np.float64]], most: int) -> NDArray[np.float32]:
        """One engine call, of `most` rows at most."""
        crops, name = self._head.crops, self._head.input.name
        rows = crops.batch or self._rows(len(matrices), most)
        into = self._inside.place({name: (rows, 3, *crops.size)})[name]
        self._crops.put(matrices, rows)
        self._replay(
            (self._inside.version, into, spans),
            (lambda: self._before(spans, into), True),
            (self._infer, self._inside.recordable),
            (lambda: self._after(spans[-1][2]), True),
        )
        self._gpu.stream.synchronize()
        return self._points.copy()

    def _rows(self, people: int, most: int) -> int:
        """Rows for so many people, the last ones empty: ONNX Runtime takes seconds for each new number."""
        return people if self._inside.recordable else min(1 << (people - 1).bit_length(), most)

    def _before(self, spans: Spans, into: DeviceArray) -> None:
        count = spans[-1][2]
        for picture, start, stop in spans:
            self._crops.fill(picture, into, start, stop, into.shape[0] if stop == count else stop)
        self._marks.mark(1, self._gpu.stream)

    def _infer(self) -> None:
        self._outputs = self._inside.enqueue()

    def _after(self, count: int) -> None:
        stream, outputs = self._gpu.stream, self._outputs
        self._marks.mark(2, stream)
        name = self._head.output.name
        if name not in outputs:
            raise InputError(f"the outputs {list(outputs)} lack {name!r}.")
        self._points = self._decode.enqueue(outputs[name], count)
        self._cells = outputs[name].shape[2], outputs[name].shape[3]
        self._marks.mark(3, stream)

    def _keep(self, held: F) -> F:
        """Free it with the others, last first."""
        self._held.append(held)
        return held
