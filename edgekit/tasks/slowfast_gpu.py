"""SlowFast on the GPU: frames kept there, clips written where the body reads them, people cut out there.

    frame → upload → [scaled into the ring] ..... [clips] → body → [RoIAlign] → head → scores → host

The ring belongs to the loop's thread of the GPU: a frame costs an upload and one kernel. Where the networks
run beside the loop they have a thread of their own, with the same memory. A window is written into the body's
inputs by the loop's thread, which waits for that, and only while the body has nothing to do; everything else
is the other thread's, without a host in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import DeviceArray
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.resident import Tenant, resident
from edgekit.errors import MissingError
from edgekit.ops.clip_cuda import CudaClip
from edgekit.tasks.clip_buffer import Fit, Frames
from edgekit.tasks.slowfast_looks import PARTS, look_of
from edgekit.tasks.slowfast_nets import Net
from edgekit.tasks.windowed import window_ops
from edgekit.tasks.yolo import Yolo


def open_gpu(ops: str, net: Net, settings: dict[str, Any]) -> tuple[str, str, SlowFastGpu | None]:
    """Where what is round the networks runs: "host" or "cuda", why, and for "cuda" what does it.

    Args:
        ops: one of `edgekit.engine.OPS`.
        settings: of `Frames`.

    Raises:
        InputError: `ops` is unknown.
        MissingError: "cuda" was asked for and cannot be.
    """
    chosen, why = window_ops(ops, net.engine)
    if chosen == "host":
        return chosen, why, None
    try:
        return chosen, why, SlowFastGpu(net, **settings)
    except MissingError as error:
        if ops == "cuda":
            raise MissingError(f'ops="cuda" cannot be: {error}. Take ops="host".') from error
        return "host", str(error), None


class GpuClips(Frames):
    """The ring of `edgekit.tasks.clip_buffer` on the GPU.

    Args:
        gpu: the thread that takes the frames.
        settings: of `Frames`.

    Attributes:
        detector: what has just looked at the frame that comes next, where somebody has; if it sent that frame
            to the same thread's GPU, it is not sent again.
    """

    def __init__(self, gpu: GpuThread, **settings: Any) -> None:
        super().__init__(**settings)
        self.detector: Yolo | None = None
        self._ring = Tenant(gpu, lambda gpu: CudaClip(gpu, self.tables, self.span))

    def make(self, fit: Fit) -> None:
        """See `Frames`."""
        self._ring.call(self._ring.held.open, fit.canvas, fit.content)

    def keep(self, image: NDArray[np.uint8], fit: Fit, place: int) -> None:
        """See `Frames`. It waits until the frame is copied, not until it is there."""
        self._ring.call(self._add, image, place)

    def window(self, slow: DeviceArray, fast: DeviceArray) -> None:
        """Write the two inputs for the last `span` frames; when this returns they are there.

        Raises:
            InputError: there is no window yet.
        """
        self._ring.call(self._write, self.first, slow, fast)

    def _add(self, image: NDArray[np.uint8], place: int) -> None:
        ring, gpu = self._ring.held, self._ring.gpu
        seen = None if self.detector is None else self.detector.on_gpu
        pictures = seen.held.pictures if seen is not None and seen.gpu is gpu else []
        if len(pictures) != 1 or pictures[0].shape != image.shape:
            ring.add(image, place)
            return
        ring.scale(pictures[0], place)
        if gpu.mapped:  # the detector writes the next frame into the memory that is read here
            gpu.stream.synchronize()

    def _write(self, first: int, slow: DeviceArray, fast: DeviceArray) -> None:
        self._ring.held.gather(self.fast_frames, first, fast, slow, self.every)
        self._ring.gpu.stream.synchronize()

    def close(self) -> None:
        """Free the ring."""
        self._ring.close()


class SlowFastGpu:
    """A network's `Net` and a `GpuClips` together.

    Args:
        net: its engines keep their tensors on the GPU; they stay open.
        settings: of `Frames`.

    Attributes:
        clips: takes the frames.
        parts: seconds of the GPU of the last look, by part.

    Raises:
        MissingError: as of `look_of`.
    """

    def __init__(self, net: Net, **settings: Any) -> None:
        self.parts = dict.fromkeys(PARTS, 0.0)
        self._look = Tenant(resident(net.engine).gpu, lambda gpu: look_of(gpu, net))
        try:
            loop = acquire(self._look.gpu.key[0])
            try:
                self.clips = GpuClips(loop, **settings)
            finally:
                loop.release()
        except BaseException:
            self._look.close()
            raise

    def window(self, people: int) -> tuple[DeviceArray, DeviceArray]:
        """The newest window where the body reads it, for a call with so many people: slow, fast.

        The body must have nothing to do, as where no call is under way.
        """
        fit = self.clips.fit
        assert fit is not None
        frames = len(self.clips.every), len(self.clips.fast_frames)
        slow, fast = self._look.call(self._look.held.place, frames, fit.canvas, people)
        self.clips.window(slow, fast)
        return slow, fast

    def __call__(
        self, slow: DeviceArray, fast: DeviceArray, boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """As of `Net`, in the window that `window` wrote last, which gave these addresses."""
        scores, self.parts = self._look.call(self._look.held.run, boxes)
        return scores

    def close(self) -> None:
        """Free what is the task's own."""
        self.clips.close()
        self._look.close()
