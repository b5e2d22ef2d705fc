"""A stand-in for the `tensorrt` module on a real GPU: its "plan" is a JSON note, its network a CUDA kernel.

All but TensorRT's own arithmetic is real then: pycuda, the context, pinned memory, copies, events and
graphs. The network computes `y[i] = x[i] * 2 + i` in float32 after spinning for some microseconds, so that
a missing synchronization shows; with `late` it also gives the places of the positive values, a number of
them that is known only once the data is.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import types
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = r"""
extern "C" __global__ void affine(const float *x, float *y, unsigned n, unsigned nanoseconds) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
    if (i < n) y[i] = x[i] * 2.0f + (float)i;
}
extern "C" __global__ void count(const float *x, unsigned long long *total, unsigned n) {
    unsigned long long found = 0;
    for (unsigned i = 0; i < n; i++) found += x[i] > 0.0f;
    *total = found;
}
extern "C" __global__ void places(const float *x, long long *where, unsigned n) {
    for (unsigned i = 0; i < n; i++) if (x[i] > 0.0f) *where++ = i;
}
"""


def compile_kernels(folder: Path, capability: tuple[int, int]) -> Path:
    """The kernels as a cubin for this GPU. Needs nvcc."""
    source, cubin = folder / "double.cu", folder / "double.cubin"
    source.write_text(SOURCE)
    arch = f"-arch=sm_{capability[0]}{capability[1]}"
    subprocess.run(
        ["nvcc", "-cubin", "-fmad=false", arch, "-o", str(cubin), str(source)], check=True, timeout=300
    )
    return cubin


def write_plan(
    path: Path,
    cubin: Path,
    shape: Sequence[int],
    limits: Sequence[Sequence[int]] | None = None,
    late: bool = False,
    nanoseconds: int = 20_000,
    address: int = 0,
) -> Path:
    """A "plan": its input shape (-1: dynamic, within `limits`); an `address` to write to makes it crash."""
    note = {"cubin": str(cubin), "shape": list(shape), "limits": limits, "late": late}
    path.write_text(json.dumps({**note, "nanoseconds": nanoseconds, "address": address}))
    return path


def reference(x: np.ndarray) -> np.ndarray:
    index = np.arange(x.size, dtype=np.float32).reshape(x.shape)
    return x * np.float32(2) + index


class TensorIOMode(Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(Enum):
    DEVICE, HOST = range(2)


class TensorFormat(Enum):
    LINEAR, CHW2 = range(2)


class DataType(Enum):
    FLOAT, HALF, INT64 = range(3)


class IOutputAllocator:
    def __init__(self) -> None:
        self.ready = True


class ILogger:
    class Severity(Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Runtime:
    num_DLA_cores = 0  # noqa: N815

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, blob: bytes) -> Engine | None:
        return Engine(json.loads(blob))


class Engine:
    def __init__(self, note: dict[str, Any]) -> None:
        self.note = note
        self.names = ["x", "y", *(["where"] if note["late"] else [])]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.INT64 if name == "where" else DataType.FLOAT

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.DEVICE

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat.LINEAR

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1] if name == "where" else self.note["shape"]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "x" else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[list[int]]:
        return self.note["limits"]

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.cuda = engine, ctypes.CDLL("libcuda.so.1")
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, Any] = {}
        self.module, self.total = ctypes.c_void_p(), ctypes.c_uint64()
        self._do("cuModuleLoad", ctypes.byref(self.module), engine.note["cubin"].encode())
        self._do("cuMemAlloc_v2", ctypes.byref(self.total), ctypes.c_size_t(8))

    def __del__(self) -> None:
        self.cuda.cuMemFree_v2(self.total)
        self.cuda.cuModuleUnload(self.module)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1,) if name == "where" else self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        self.allocators[name] = allocator
        return True

    def execute_async_v3(self, stream: int) -> bool:
        n = int(np.prod(self.shape))
        x, y = self.addresses["x"], self.engine.note["address"] or self.addresses["y"]
        spin = ctypes.c_uint(self.engine.note["nanoseconds"])
        self._launch(
            "affine", -(-n // 256), stream, ctypes.c_uint64(x), ctypes.c_uint64(y), ctypes.c_uint(n), spin
        )
        if "where" not in self.allocators:
            return True
        found = ctypes.c_uint64()
        self._launch("count", 1, stream, ctypes.c_uint64(x), self.total, ctypes.c_uint(n))
        self._do("cuStreamSynchronize", ctypes.c_void_p(stream))
        self._do("cuMemcpyDtoH_v2", ctypes.byref(found), self.total, ctypes.c_size_t(8))
        allocator = self.allocators["where"]
        where = allocator.reallocate_output_async("where", 0, 8 * found.value, 256, stream)
        if not where:
            return False
        self._launch("places", 1, stream, ctypes.c_uint64(x), ctypes.c_uint64(where), ctypes.c_uint(n))
        allocator.notify_shape("where", (found.value,))
        return True

    def _launch(self, kernel: str, blocks: int, stream: int, *values: Any) -> None:
        function = ctypes.c_void_p()
        self._do("cuModuleGetFunction", ctypes.byref(function), self.module, kernel.encode())
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        threads = 256 if kernel == "affine" else 1
        size = (blocks, 1, 1, threads, 1, 1, 0)
        self._do("cuLaunchKernel", function, *size, ctypes.c_void_p(stream), pointers, None)

    def _do(self, name: str, *args: Any) -> None:
        if code := getattr(self.cuda, name)(*args):
            raise RuntimeError(f"{name}: CUDA error {code}")


def kernel_module() -> types.ModuleType:
    """The stand-in as a module, for `sys.modules["tensorrt"]`."""
    module: Any = types.ModuleType("tensorrt")
    module.__version__ = "0 (a CUDA kernel)"
    for item in (TensorIOMode, TensorLocation, TensorFormat, DataType, IOutputAllocator, ILogger, Runtime):
        setattr(module, item.__name__, item)
    return module
