"""TrtPose on the GPU: pictures are fitted there, and maps decoded where the engine leaves them.

    picture → upload → [fitted, normalised] → engine → [peaks, limbs] → peaks and scores → host

Kernels and the copy back are replayed as CUDA graphs (with the engine, one) while sizes, batch and threshold
stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import Freeable, GpuThread
from edgekit.engine.resident import Replay, Resident
from edgekit.errors import InputError
from edgekit.ops.letterbox import PAD, Transform
from edgekit.ops.letterbox_cuda import CudaLetterbox
from edgekit.ops.paf_cuda import CudaParser, Found
from edgekit.tasks.trtpose_input import PoseInput

F = TypeVar("F", bound=Freeable)
PARTS = ("pre", "infer", "post")


class TrtPoseOnGpu:
    """A TrtPose's steps around an engine that keeps its tensors on the GPU. Owner thread only.

    Args:
        gpu: the thread.
        inside: the engine's inside.
        fill: how pictures are fitted, of which only the settings are used.
        entry, cmap, paf: the engine's tensors.
        links: int64 [L, 4], `Topology.links`.

    Attributes:
        note: why steps are not recorded as a CUDA graph; "" where they are.

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
        self._gpu, self._inside, self._fill, self._entry = gpu, inside, fill, entry
        self._cmap, self._paf = (spec.name for spec in maps)
        self._uploads: list[Buffer] = []
        self._outputs: dict[str, DeviceArray] = {}
        self._held: list[Freeable] = []
        try:
            self._letterbox = self._keep(CudaLetterbox(gpu, fill.tables))
            self._parser = self._keep(CudaParser(gpu, links))
            self._marks = self._keep(Marks(len(PARTS)))
            self._replay = self._keep(Replay(gpu))
        except BaseException:
            self.free()
            raise

    @property
    def note(self) -> str:
        return self._replay.note

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
        into = self._inside.place({self._entry.name: (batch, 3, *self._fill.size)})[self._entry.name]
        while len(self._uploads) < len(images):
            self._uploads.append(self._keep(Buffer(self._gpu)))
        stream = self._gpu.stream
        self._marks.mark(0, stream)
        pictures = [one.put(image, stream) for one, image in zip(self._uploads, images, strict=False)]
        key = self._inside.version, into, tuple(pictures), threshold
        self._replay(
            key,
            (lambda: self._before(pictures, transforms, into), True),
            (self._infer, self._inside.recordable),
            (lambda: self._after(len(pictures), threshold), True),
        )
        stream.synchronize()
        found = [self._parser.found(n) for n in range(len(images))]
        return found, transforms, dict(zip(PARTS, self._marks.seconds(), strict=True))

    def _before(
        self, pictures: Sequence[DeviceArray], transforms: Sequence[Transform], into: DeviceArray
    ) -> None:
        pad = PAD["ultralytics"]
        for n, (picture, to) in enumerate(zip(pictures, transforms, strict=True)):
            self._letterbox.fill(picture, to, into, n, pad)
        for n in range(len(pictures), into.shape[0]):
            self._letterbox.blank(into, n, pad)
        self._marks.mark(1, self._gpu.stream)

    def _infer(self) -> None:
        self._outputs = self._inside.enqueue()

    def _after(self, count: int, threshold: float) -> None:
        stream, outputs = self._gpu.stream, self._outputs
        self._marks.mark(2, stream)
        for name in (self._cmap, self._paf):
            if name not in outputs:
                raise InputError(f"the outputs {list(outputs)} lack {name!r}.")
        for n in range(count):
            self._parser.enqueue(outputs[self._cmap], outputs[self._paf], n, threshold)
        self._marks.mark(3, stream)

    def free(self) -> None:
        """Free all but the engine."""
        while self._held:
            self._held.pop().free()
        self._uploads.clear()

    def _keep(self, held: F) -> F:
        """Free it with the others, last first."""
        self._held.append(held)
        return held
