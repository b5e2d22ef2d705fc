"""Memory, kernels, events and CUDA graphs, for the GPU's owner thread (`edgekit.engine.gpu_thread`)."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import EdgekitError, InputError, MissingError

#: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL (cuda.h): other threads' CUDA calls do not spoil a capture.
THREAD_LOCAL = 1
#: CU_EVENT_RECORD_EXTERNAL (cuda.h): a recorded event is one of the graph, stamped at each replay.
EXTERNAL = 1
#: Bytes from which CUDA copies pageable memory piece by piece, and returns when it has read it all (CUDA
#: driver API, "API synchronization behavior"): quicker than to copy it into pinned memory first.
STAGED = 1 << 16
NVCC = Path("/usr/local/cuda/bin/nvcc")  # where JetPack has it, though not on PATH


@dataclass(frozen=True)
class DeviceArray:
    """Where an array lies on the GPU, C-contiguous. It says nothing of who frees it."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def row(self, n: int) -> DeviceArray:
        """`self[n]`."""
        inner = DeviceArray(self.address, self.shape[1:], self.dtype)
        return DeviceArray(self.address + n * inner.nbytes, inner.shape, inner.dtype)


class Room:
    """GPU memory that grows and is kept. Owner thread only."""

    def __init__(self) -> None:
        self.address = self.size = 0
        self._device: Any = None

    def array(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """Room for an array; what was in it is lost where it must grow, and its address changes."""
        found = DeviceArray(self.address, shape, np.dtype(dtype))
        return DeviceArray(self.address, shape, found.dtype) if self.grow(found.nbytes) else found

    def grow(self, nbytes: int) -> bool:
        """Make room for `nbytes` (at least 1). True if the address changed; the contents are lost then."""
        if self.address and nbytes <= self.size:
            return False
        import pycuda.driver as drv

        self.free()  # first: two copies at once may not fit
        self._device = drv.mem_alloc(max(nbytes, 1))
        self.address, self.size = int(self._device), max(nbytes, 1)
        return True

    def free(self) -> None:
        device, self._device = self._device, None
        self.address = self.size = 0
        if device is not None:
            device.free()


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

    def array(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """Room for an array on both sides; what was in it is lost where it must grow."""
        found = DeviceArray(self.address, shape, np.dtype(dtype))
        return DeviceArray(self.address, shape, found.dtype) if self.grow(found.nbytes) else found

    def put(self, array: NDArray, stream: Any) -> DeviceArray:
        """Start an array's way to the GPU. It may be of any strides, and written to once this returns."""
        return self.put_many([array], stream)[0]

    def put_many(self, arrays: Sequence[NDArray], stream: Any) -> list[DeviceArray]:
        """`put` of one or more arrays of one shape and type, which come to lie one behind the other."""
        shape, dtype = arrays[0].shape, arrays[0].dtype
        found = self.array((len(arrays), *shape), dtype)
        rows = [found.row(n) for n in range(len(arrays))]
        for n, (array, row) in enumerate(zip(arrays, rows, strict=True)):
            source = array
            if self._device is None or row.nbytes < STAGED or not array.flags.c_contiguous:
                source = self.host[n * row.nbytes :][: row.nbytes]
                np.copyto(source.view(dtype).reshape(shape), array)
            if self._device is not None and row.nbytes:
                import pycuda.driver as drv

                drv.memcpy_htod_async(row.address, source, stream)
        return rows

    def fetch(self, shape: tuple[int, ...], dtype: Any, stream: Any) -> NDArray:
        """Start the copy back: a view that holds it once the stream is synchronized."""
        found = DeviceArray(self.address, shape, np.dtype(dtype))
        self.download(found.nbytes, stream)
        return self.view(shape, found.dtype)

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
        _check(self._cuda, function, *args)


class Marks:
    """Points on a stream between which time is measured, also in recorded work. Owner thread only."""

    def __init__(self, parts: int) -> None:
        self._cuda = load_libcuda()
        self._events: list[ctypes.c_void_p] = []
        try:
            for _ in range(parts + 1):
                event = ctypes.c_void_p()
                _check(self._cuda, "cuEventCreate", ctypes.byref(event), 0)
                self._events.append(event)
        except BaseException:
            self.free()
            raise

    def mark(self, number: int, stream: Any) -> None:
        """Note when the stream gets here: the end of part `number - 1`, the beginning of part `number`."""
        handle, recording = ctypes.c_void_p(stream.handle), ctypes.c_int()
        _check(self._cuda, "cuStreamIsCapturing", handle, ctypes.byref(recording))
        flags = EXTERNAL if recording.value else 0
        _check(self._cuda, "cuEventRecordWithFlags", self._events[number], handle, flags)

    def seconds(self) -> list[float]:
        """What each part took on the GPU the last time. The stream must have been synchronized."""
        took = []
        for begun, ended in zip(self._events, self._events[1:], strict=False):
            milliseconds = ctypes.c_float()
            _check(self._cuda, "cuEventElapsedTime", ctypes.byref(milliseconds), begun, ended)
            took.append(milliseconds.value / 1e3)
        return took

    def free(self) -> None:
        while self._events:
            self._cuda.cuEventDestroy_v2(self._events.pop())


class Kernels:
    """The kernels of a .cu file, compiled by nvcc for this thread's GPU; pycuda keeps what it compiled.

    Without fused multiply-add: a product is rounded before it is added to, as NumPy does it.

    Raises:
        MissingError: nvcc cannot be run.
        InputError: it does not compile.
    """

    def __init__(self, source: Path) -> None:
        try:
            from pycuda.compiler import SourceModule
            from pycuda.driver import CompileError
        except ImportError as error:
            raise MissingError(f"pycuda cannot compile kernels ({error}); install it again.") from error

        self._functions: dict[str, Any] = {}
        self._types: dict[str, str] = {}
        text = source.read_text(encoding="utf-8")
        try:
            self._module: Any = SourceModule(
                text, nvcc=find_nvcc(), options=["-O3", "--fmad=false"], no_extern_c=True
            )
        except OSError as error:
            raise MissingError(
                f"{source.name} is compiled by nvcc, which cannot be run ({error}); put the CUDA toolkit's "
                'bin on PATH, or take ops="host".'
            ) from error
        except CompileError as error:
            raise InputError(f"nvcc does not compile {source.name}: {error}") from error

    def __call__(self, name: str, grid: int | tuple[int, ...], block: int, stream: Any, *args: Any) -> None:
        """Start a kernel; nothing waits for it.

        Args:
            name: of the kernel.
            grid: blocks, along one axis or up to three. Nothing is started where there are none.
            block: threads of a block.
            stream: of the owner thread.
            args: arrays (`DeviceArray`), addresses (whole numbers of Python), and NumPy scalars by value.
        """
        blocks = (grid, 1, 1) if isinstance(grid, int) else (*grid, 1, 1)[:3]
        if 0 in blocks:
            return
        values = [value.address if isinstance(value, DeviceArray) else value for value in args]
        types = "".join("P" if isinstance(value, int) else value.dtype.char for value in values)
        if self._types.get(name) != types:
            self._functions[name] = self._module.get_function(name)
            self._functions[name].prepare(types)
            self._types[name] = types
        self._functions[name].prepared_async_call(blocks, (block, 1, 1), stream, *values)

    def free(self) -> None:
        self._functions.clear()
        self._module = None


def find_nvcc() -> str:
    """nvcc of PATH, else where JetPack puts it; it may not be there."""
    return shutil.which("nvcc") or str(NVCC)


def _check(cuda: Any, function: str, *args: Any) -> None:
    if code := getattr(cuda, function)(*args):
        raise CaptureError(f"{function} failed with CUDA error {code}")


def load_libcuda() -> Any:
    """The driver's own library, which pycuda has loaded already."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise CaptureError(f"libcuda.so.1 cannot be loaded: {error}") from error
