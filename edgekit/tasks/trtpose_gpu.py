"""TrtPose on the GPU: pictures are fitted there, and maps decoded where the engine leaves them.

    picture → upload → [fitted, normalised] → engine → [peaks, limbs] → peaks and scores → host

Kernels and the copy back are replayed as CUDA graphs (with the engine, one) while sizes, batch and threshold
stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import DeviceArray
from edgekit.engine.gpu_thread import GpuThread
from edgekit.engine.resident import Resident
from edgekit.ops.letterbox import PAD, Transform
from edgekit.ops.letterbox_cuda import CudaLetterbox
from edgekit.ops.paf_cuda import CudaParser, Found
from edgekit.tasks.around_gpu import PARTS, AroundEngine
from edgekit.tasks.trtpose_input import PoseInput


class TrtPoseOnGpu(AroundEngine):
    """A TrtPose's steps around an engine that keeps its tensors on the GPU. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        fill: how pictures are fitted, of which only the settings are used.
        entry, cmap, paf: the engine's tensors.
        links: int64 [L, 4], `Topology.links`.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(
        self,
        gpu: GpuThread,
        inside: Resident,
        fill: PoseInput,
        entry: TensorSpec,
        maps: tuple[TensorSpec, TensorSpec],
        links: NDArray[np.int64],
    ) -> None:
        self._fill, self._entry, self._links = fill, entry, links
        self._cmap, self._paf = (spec.name for spec in maps)
        super().__init__(gpu, inside)

    def open(self) -> None:
        """See `AroundEngine`."""
        self._letterbox = self.keep(CudaLetterbox(self.gpu, self._fill.tables))
        self._parser = self.keep(CudaParser(self.gpu, self._links))

    def run(
        self, images: Sequence[NDArray[np.uint8]], threshold: float
    ) -> tuple[list[Found], list[Transform], dict[str, float]]:
        """Peaks and scores of pictures uint8 [H, W, 3] BGR, how each was placed, and seconds by part.

        Args:
            images: no more than the engine's batch.
            threshold: smallest value of a peak.

        Raises:
            InputError: the engine's maps do not fit the topology.
        """
        transforms = [self._fill.place(image) for image in images]
        batch = self._fill.batch or len(images)
        into = self.inside.place({self._entry.name: (batch, 3, *self._fill.size)})[self._entry.name]
        self.begin()
        pictures = self.send(images)
        seconds = self.step(
            (into, tuple(pictures), threshold),
            lambda: self._before(pictures, transforms, into),
            lambda: self._after(len(pictures), threshold),
        )
        found = [self._parser.found(n) for n in range(len(images))]
        return found, transforms, dict(zip(PARTS, seconds, strict=True))

    def _before(
        self, pictures: Sequence[DeviceArray], transforms: Sequence[Transform], into: DeviceArray
    ) -> None:
        pad = PAD["ultralytics"]
        for n, (picture, to) in enumerate(zip(pictures, transforms, strict=True)):
            self._letterbox.fill(picture, to, into, n, pad)
        for n in range(len(pictures), into.shape[0]):
            self._letterbox.blank(into, n, pad)

    def _after(self, count: int, threshold: float) -> None:
        cmap, paf = self.output(self._cmap), self.output(self._paf)
        for n in range(count):
            self._parser.enqueue(cmap, paf, n, threshold)
