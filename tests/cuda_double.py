"""A strict double of pycuda's driver and of libcuda's graph calls, on host memory.

Copies and kernels wait on their stream until somebody synchronizes, as on a GPU: a missing
synchronization gives wrong numbers. Every call needs a context pushed on the calling thread. Everything
allocated is on a ledger, `live`; what is freed is on `freed`, in order; what is done wrong where nothing
can be raised (in a destructor) is on `faults`. `fail_at(n)` makes the n-th step fail.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

CAPTURE_INVALIDATED = 901  # CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
INVALID_HANDLE = 400
NOT_READY = 600
GUARD = 256  # bytes before and after each allocation; CUDA's are aligned to as much


class CudaError(Exception):
    pass


class CudaLogicError(CudaError):
    pass


class CudaMemoryError(CudaError):
    pass


class FakeCuda:
    """One fake GPU: `driver` stands for `pycuda.driver`, `libcuda` for the ctypes library."""

    def __init__(self, integrated: bool = False) -> None:
        self.integrated = integrated
        self.live: dict[int, tuple[str, int]] = {}  # address or handle: kind, bytes
        self.freed: list[str] = []
        self.faults: list[str] = []
        self.steps: list[str] = []
        self.pushed: dict[int, list[Any]] = {}
        self.retained = 0
        self.allocated = 0  # how often device or pinned memory was asked for
        self.streams: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._failing: int | None = None
        self._memory: dict[
            int, ctypes.Array
        ] = {}  # never given back: stale pointers read poison, not garbage
        self._handles = itertools.count(0x1000)
        self.driver = _driver(self)
        self.libcuda = _LibCuda(self)

    def fail_at(self, index: int | None) -> None:
        self.steps.clear()
        self._failing = index

    def step(self, name: str) -> bool:
        """Count a step of the program; False if this is the one that shall fail."""
        self.steps.append(name)
        return len(self.steps) - 1 != self._failing

    def must(self, name: str, error: type[Exception] = CudaLogicError) -> None:
        self.here(name)
        if not self.step(name):
            raise error(f"{name} fails on purpose")

    def here(self, name: str) -> None:
        if not self.pushed.get(threading.get_ident()):
            raise CudaLogicError(f"{name}: invalid device context on this thread")

    def new(self, kind: str, nbytes: int = 0) -> int:
        if nbytes:
            memory = ctypes.create_string_buffer(nbytes + 2 * GUARD)
            ctypes.memset(
                memory, 0xC5, nbytes + 2 * GUARD
            )  # a kernel that writes outside leaves its mark here
            handle = ctypes.addressof(memory) + GUARD
            ctypes.memset(handle, 0xEE, nbytes)  # fresh memory is not zero
            self._memory[handle] = memory
            self.allocated += 1
        else:
            handle = next(self._handles)
        self.live[handle] = (kind, nbytes)
        return handle

    def drop(self, handle: int, kind: str) -> None:
        """Take something off the ledger; what is wrong about it becomes a fault."""
        if not self.pushed.get(threading.get_ident()):
            self.faults.append(f"{kind} freed on a thread without a context")
        if self.live.get(handle, ("nothing", 0))[0] != kind:
            self.faults.append(f"{kind} freed twice or never made")
            return
        _, nbytes = self.live.pop(handle)
        if nbytes:
            around = ctypes.string_at(handle - GUARD, GUARD) + ctypes.string_at(handle + nbytes, GUARD)
            if around != b"\xc5" * (2 * GUARD):
                self.faults.append(f"something wrote outside of {kind} memory of {nbytes} bytes")
            ctypes.memset(handle, 0xDD, nbytes)
        self.freed.append(kind)

    def view(self, address: int, nbytes: int) -> np.ndarray:
        """Memory as the GPU sees it; an address that is not live is an error."""
        for start, (kind, size) in self.live.items():
            if kind in ("device", "mapped") and start <= address and address + nbytes <= start + size:
                return np.frombuffer(self._memory[start], np.uint8, nbytes, GUARD + address - start)
        raise CudaLogicError(f"illegal address {address:#x} (+{nbytes})")

    def assert_clean(self) -> None:
        """Nothing is left, nothing was done wrong, and each push has had its pop."""
        assert self.faults == [], self.faults
        assert self.live == {}, self.live
        assert [stack for stack in self.pushed.values() if stack] == []
        assert self.retained == 0


class _LibCuda:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self._work: dict[int, list[Callable[[], None]]] = {}
        self._stamps: dict[int | None, int] = {}
        self._clock = itertools.count()

    def _stream(self, handle: ctypes.c_void_p) -> Any:
        return self._cuda.streams[handle.value or 0]

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:  # noqa: N802
        self._cuda.here("capture")
        assert mode == 1
        if not self._cuda.step("begin capture") or self._stream(stream).recording is not None:
            return CAPTURE_INVALIDATED
        self._stream(stream).recording = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802
        recorded, self._stream(stream).recording = self._stream(stream).recording, None
        if not self._cuda.step("end capture") or recorded is None:
            return CAPTURE_INVALIDATED
        graph._obj.value = self._cuda.new("graph")
        self._work[graph._obj.value] = recorded
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: Any) -> int:  # noqa: N802
        if not self._cuda.step("instantiate"):
            return INVALID_HANDLE
        executable._obj.value = self._cuda.new("graph exec")
        self._work[executable._obj.value] = self._work[graph.value]
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802
        self._cuda.here("graph launch")
        if not self._cuda.step("graph launch") or executable.value not in self._cuda.live:
            return INVALID_HANDLE
        for work in self._work[executable.value]:
            self._stream(stream).add(work)
        return 0

    def cuStreamIsCapturing(self, stream: ctypes.c_void_p, status: Any) -> int:  # noqa: N802
        self._cuda.here("capture status")
        status._obj.value = int(self._stream(stream).recording is not None)
        return 0

    def cuEventCreate(self, event: Any, flags: int) -> int:  # noqa: N802
        self._cuda.here("event")
        if not self._cuda.step("event"):
            return INVALID_HANDLE
        event._obj.value = self._cuda.new("event")
        return 0

    def cuEventRecordWithFlags(self, event: ctypes.c_void_p, stream: ctypes.c_void_p, flags: int) -> int:  # noqa: N802
        self._cuda.here("record")
        recording = self._stream(stream).recording is not None
        if not self._cuda.step("record") or flags != int(recording) or event.value not in self._cuda.live:
            return INVALID_HANDLE
        self._stamps.pop(event.value, None)

        def stamp() -> None:
            self._stamps[event.value] = next(self._clock)

        self._stream(stream).add(stamp)
        return 0

    def cuEventElapsedTime(self, milliseconds: Any, begun: ctypes.c_void_p, ended: ctypes.c_void_p) -> int:  # noqa: N802
        self._cuda.here("elapsed")
        if begun.value not in self._stamps or ended.value not in self._stamps:
            return NOT_READY
        milliseconds._obj.value = float(self._stamps[ended.value] - self._stamps[begun.value])
        return 0

    def cuEventDestroy_v2(self, event: ctypes.c_void_p) -> int:  # noqa: N802
        self._stamps.pop(event.value, None)
        self._cuda.drop(event.value or 0, "event")
        return 0

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802
        self._work.pop(graph.value or 0, None)
        self._cuda.drop(graph.value or 0, "graph")
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:  # noqa: N802
        self._work.pop(executable.value or 0, None)
        self._cuda.drop(executable.value or 0, "graph exec")
        return 0


def _driver(cuda: FakeCuda) -> types.ModuleType:
    """A module with the names of `pycuda.driver` that the kit uses, and no others."""
    module: Any = types.ModuleType("pycuda.driver")

    class Context:
        def __init__(self) -> None:
            self.valid = True
            cuda.retained += 1

        def push(self) -> None:
            if not cuda.step("push"):
                raise CudaLogicError("push fails on purpose")
            cuda.pushed.setdefault(threading.get_ident(), []).append(self)

        @staticmethod
        def pop() -> None:
            cuda.here("pop")
            cuda.pushed[threading.get_ident()].pop()

        def detach(self) -> None:
            if not self.valid:
                raise CudaLogicError("cannot detach from invalid context")
            self.valid = False
            cuda.retained -= 1
            if cuda.retained == 0 and cuda.live:
                cuda.faults.append(f"context released while {list(cuda.live.values())} live")

    class Device:
        def __init__(self, ordinal: int) -> None:
            if not cuda.step("device") or ordinal != 0:
                raise CudaLogicError("invalid device ordinal")

        def name(self) -> str:
            return "Fake GPU"

        def compute_capability(self) -> tuple[int, int]:
            return (8, 7)

        def get_attribute(self, attribute: str) -> int:
            return {"INTEGRATED": int(cuda.integrated), "CAN_MAP_HOST_MEMORY": 1}[attribute]

        def retain_primary_context(self) -> Context:
            if not cuda.step("retain"):
                raise CudaLogicError("retain fails on purpose")
            return Context()

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            cuda.must("stream")
            assert flags == 1, "a stream that waits for the legacy default stream cannot be recorded"
            self.handle = cuda.new("stream")
            self.pending: list[Callable[[], None]] = []
            self.recording: list[Callable[[], None]] | None = None
            cuda.streams[self.handle] = self

        def add(self, work: Callable[[], None]) -> None:
            (self.pending if self.recording is None else self.recording).append(work)

        def synchronize(self) -> None:
            cuda.must("synchronize")
            if self.recording is not None:
                raise CudaLogicError("synchronize while recording")
            pending, self.pending = self.pending, []
            for work in pending:
                work()

        def __del__(self) -> None:
            if hasattr(self, "handle"):
                cuda.drop(self.handle, "stream")

    class Event:
        clock = itertools.count()

        def __init__(self) -> None:
            cuda.must("event")
            self.handle = cuda.new("event")
            self.at: int | None = None

        def record(self, stream: Stream) -> None:
            cuda.must("record")
            self.at = None

            def stamp() -> None:
                self.at = next(self.clock)

            stream.add(stamp)

        def time_since(self, other: Event) -> float:
            cuda.must("time")
            if self.at is None or other.at is None:
                raise CudaLogicError("device not ready")
            return float(self.at - other.at)

        def __del__(self) -> None:
            if hasattr(self, "handle"):
                cuda.drop(self.handle, "event")

    class DeviceAllocation:
        def __init__(self, nbytes: int) -> None:
            cuda.must("mem_alloc", CudaMemoryError)
            assert nbytes > 0
            self.address = cuda.new("device", nbytes)

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            cuda.drop(self.address, "device")

    class HostAllocation:
        def __init__(self, nbytes: int, flags: int) -> None:
            cuda.must("pagelocked_empty", CudaMemoryError)
            self.kind = "mapped" if flags & 2 else "pinned"
            self.address = cuda.new(self.kind, nbytes)
            self.__array_interface__ = {
                "data": (self.address, False),
                "shape": (nbytes,),
                "typestr": "|u1",
                "version": 3,
            }

        def get_device_pointer(self) -> int:
            cuda.must("get_device_pointer")
            return self.address

        def free(self) -> None:
            cuda.drop(self.address, self.kind)

    def init() -> None:
        if not cuda.step("init"):
            raise CudaLogicError("no CUDA-capable device is detected")

    def pagelocked_empty(shape: int, dtype: Any, mem_flags: int = 0) -> np.ndarray:
        assert np.dtype(dtype) == np.uint8
        return np.asarray(HostAllocation(shape, mem_flags))

    def memcpy_htod_async(dest: int, src: np.ndarray, stream: Stream) -> None:
        cuda.must("upload")
        assert src.flags.c_contiguous
        cuda.view(dest, src.nbytes)
        read = src.reshape(-1).view(np.uint8)
        if not any(start <= src.ctypes.data < start + size for start, (_, size) in cuda.live.items()):
            read = read.copy()  # pageable memory is read before the call returns
        stream.add(lambda: np.copyto(cuda.view(dest, src.nbytes), read))

    def memcpy_dtoh_async(dest: np.ndarray, src: int, stream: Stream) -> None:
        cuda.must("download")
        assert dest.flags.c_contiguous
        assert dest.flags.writeable
        cuda.view(src, dest.nbytes)
        stream.add(lambda: np.copyto(dest, cuda.view(src, dest.nbytes)))

    def memcpy_dtod_async(dest: int, src: int, nbytes: int, stream: Stream) -> None:
        cuda.must("copy on the GPU")
        cuda.view(src, nbytes), cuda.view(dest, nbytes)
        stream.add(lambda: np.copyto(cuda.view(dest, nbytes), cuda.view(src, nbytes)))

    module.memcpy_dtod_async = memcpy_dtod_async
    module.Error, module.LogicError, module.MemoryError = CudaError, CudaLogicError, CudaMemoryError
    module.CompileError = type("CompileError", (CudaError,), {})
    module.device_attribute = types.SimpleNamespace(
        INTEGRATED="INTEGRATED", CAN_MAP_HOST_MEMORY="CAN_MAP_HOST_MEMORY"
    )
    module.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
    module.Device, module.Stream, module.Event = Device, Stream, Event
    module.mem_alloc, module.pagelocked_empty, module.init = DeviceAllocation, pagelocked_empty, init
    module.memcpy_htod_async, module.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    return module
