"""What tasks keep on a GPU's owner thread around an engine: uploads, the recorded step, its times.

frames → upload → [before] → engine → [after] → host
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import Freeable, GpuThread
from edgekit.engine.resident import Replay, Resident
from edgekit.errors import InputError

F = TypeVar("F", bound=Freeable)
PARTS = ("pre", "infer", "post")


class AroundEngine:
    """The steps around an engine that keeps its tensors on the GPU. Owner thread only.

    A class that builds on it sets what it is told, calls this constructor, and makes its kernels in `open`.

    Args:
        gpu: the thread.
        inside: the engine's inside.

    Attributes:
        outputs: of the engine, where they lie, once it was started.
        note: why steps are not recorded as a CUDA graph; "" where they are.
    """

    def __init__(self, gpu: GpuThread, inside: Resident) -> None:
        self.gpu, self.inside = gpu, inside
        self.outputs: dict[str, DeviceArray] = {}
        self._uploads: list[Buffer] = []
        self._held: list[Freeable] = []
        try:
            self.open()
            self._marks = self.keep(Marks(len(PARTS)))
            self._replay = self.keep(Replay(gpu))
        except BaseException:
            self.free()
            raise

    def open(self) -> None:
        """Make the kernels."""
        raise NotImplementedError

    @property
    def note(self) -> str:
        return self._replay.note

    def keep(self, held: F) -> F:
        """Free it with the others, last first."""
        self._held.append(held)
        return held

    def begin(self) -> None:
        """The first part begins: what is sent from now on counts."""
        self._marks.mark(0, self.gpu.stream)

    def send(self, images: Sequence[NDArray[np.uint8]]) -> list[DeviceArray]:
        """Upload pictures, uint8 [H, W, 3]; those of one size come to lie side by side."""
        alike = len({image.shape for image in images}) == 1
        while len(self._uploads) < (1 if alike else len(images)):
            self._uploads.append(self.keep(Buffer(self.gpu)))
        if alike:
            return self._uploads[0].put_many(images, self.gpu.stream)
        return [one.put(image, self.gpu.stream) for one, image in zip(self._uploads, images, strict=False)]

    def step(self, key: Hashable, before: Callable[[], Any], after: Callable[[], Any]) -> list[float]:
        """Kernels before the engine, the engine, kernels after it; waits for the end.

        Args:
            key: all that those kernels are given by value, and the addresses they work on.
            before, after: start them on the stream.

        Returns:
            Seconds of the GPU, of `PARTS`.
        """
        stream = self.gpu.stream

        def first() -> None:
            before()
            self._marks.mark(1, stream)

        def last() -> None:
            self._marks.mark(2, stream)
            after()
            self._marks.mark(3, stream)

        key = self.inside.version, key
        self._replay(key, (first, True), (self._infer, self.inside.recordable), (last, True))
        stream.synchronize()
        return self._marks.seconds()

    def output(self, name: str) -> DeviceArray:
        """One output of the engine.

        Raises:
            InputError: it has none of this name.
        """
        if name not in self.outputs:
            raise InputError(f"the outputs {list(self.outputs)} lack {name!r}.")
        return self.outputs[name]

    def free(self) -> None:
        """Free all but the engine."""
        while self._held:
            self._held.pop().free()
        self._uploads.clear()

    def _infer(self) -> None:
        self.outputs = self.inside.enqueue()
