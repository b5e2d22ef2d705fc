"""Memory and CUDA graphs, for work on the GPU's owner thread (`edgekit.engine.gpu_thread`)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import EdgekitError

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING (cuda.h): no implicit wait on the legacy default stream
#: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL (cuda.h): other threads' CUDA calls do not spoil a capture.
THREAD_LOCAL = 1


class Buffer:
    """A pinned host array and the GPU memory behind it. Owner thread only.

    The host array is the one that is used: data is copied into it, results are views of it. It is only
    replaced when it must grow. With `mapped` the GPU works on the host memory itself (zero copy).
    """

    def __init__(self, gpu: GpuThread, mapped: bool | None = None) -> None:
        self.host: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.address = 0  # where the GPU finds it
        self._gpu = gpu
        self._mapped = gpu.mapped if mapped is None else mapped
        self._device: Any = None

    def grow(self, nbytes: int) -> bool:
        """Make room for `nbytes` (at least 1). True if the address changed; the contents are lost then."""
        if self.address and nbytes <= self.host.size:
            return False
        import pycuda.driver as drv

        self.free()  # first: two copies at once may not fit
        host = self._gpu.pinned(max(nbytes, 1))
        if self._mapped:
            self.address = int(host.base.get_device_pointer())  # type: ignore[union-attr]
        else:
            self._device = drv.mem_alloc(max(nbytes, 1))
            self.address = int(self._device)
        self.host = host
        return True

    def view(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        """The first bytes of the host array as an array of `shape` and `dtype`."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self.host[:nbytes].view(dtype).reshape(shape)

    def upload(self, nbytes: int, stream: Any) -> None:
        """Start the copy to the GPU; nothing to do where memory is mapped."""
        if nbytes and self._device is not None:
            import pycuda.driver as drv

            drv.memcpy_htod_async(self.address, self.host[:nbytes], stream)

    def download(self, nbytes: int, stream: Any) -> None:
        """Start the copy back."""
        if nbytes and self._device is not None:
            import pycuda.driver as drv

            drv.memcpy_dtoh_async(self.host[:nbytes], self.address, stream)

    def free(self) -> None:
        """Free the GPU's side now, and the host's side once nobody looks at it."""
        device, self._device = self._device, None
        self.address = 0
        self.host = np.empty(0, np.uint8)
        if device is not None:
            device.free()


class CaptureError(EdgekitError):
    """The work could not be recorded as a CUDA graph."""


class Graph:
    """Work recorded once on a stream and replayed in one launch. Owner thread only.

    pycuda has no capture, so this calls the driver (CUDA ≥ 11.4) by ctypes, on `stream.handle`. The
    stream must not be the default one, and the work must have been done once unrecorded.
    """

    def __init__(self, stream: int, work: Callable[[], None]) -> None:
        self._cuda = load_libcuda()
        self._exec = ctypes.c_void_p()
        handle, graph = ctypes.c_void_p(stream), ctypes.c_void_p()
        self._check("cuStreamBeginCapture_v2", handle, THREAD_LOCAL)
        try:
            work()
        except Exception as error:
            self._cuda.cuStreamEndCapture(handle, ctypes.byref(graph))  # or the stream records for ever
            if graph.value:
                self._cuda.cuGraphDestroy(graph)
            raise CaptureError(str(error)) from error
        self._check("cuStreamEndCapture", handle, ctypes.byref(graph))
        try:
            flags = ctypes.c_ulonglong(0)
            self._check("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), graph, flags)
        finally:
            self._cuda.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        self._check("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))

    def free(self) -> None:
        recorded, self._exec = self._exec, ctypes.c_void_p()
        if recorded.value:
            self._cuda.cuGraphExecDestroy(recorded)

    def _check(self, function: str, *args: Any) -> None:
        if code := getattr(self._cuda, function)(*args):
            raise CaptureError(f"{function} failed with CUDA error {code}")


def load_libcuda() -> Any:
    """The driver's own library, which pycuda has loaded already."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise CaptureError(f"libcuda.so.1 cannot be loaded: {error}") from error
