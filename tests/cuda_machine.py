"""A machine with a GPU that is none: pycuda's double, whose kernels g++ compiles from the kit's .cu files.

The fixture `cuda_machine` stands in for pycuda, as a discrete and as an integrated GPU; with `real_gpu` the
same test functions run on a real one. `HostResident` is an engine's inside whose network ONNX Runtime runs
on the CPU, at the time when a GPU would: when the stream is synchronized.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda

from edgekit.engine import cuda, gpu_thread
from edgekit.engine.cuda import Buffer, DeviceArray, Room
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.engine.resident import Tenant

HEADER = Path(__file__).with_name("cuda_emulation.h")
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)'
)
WAITS = re.compile(r"__(sync|shfl|ballot|any_sync|all_sync)")
#: What the header stands for.
INCLUDES = re.compile(r"^\s*#include\s*<(cuda\w*|stdint|cstdint)\.?h?>.*$", re.MULTILINE)
C_TYPES = {"P": ctypes.c_void_p, "f": ctypes.c_float, "d": ctypes.c_double}
C_TYPES |= {"i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_int64, "L": ctypes.c_uint64}
_LIBRARIES: dict[str, tuple[ctypes.CDLL, dict[str, list[str]]]] = {}


def compiled(text: str) -> tuple[ctypes.CDLL, dict[str, list[str]]]:
    """The kernels of a .cu file's text as a library, with the C types of their arguments."""
    digest = hashlib.sha256(text.encode() + HEADER.read_bytes()).hexdigest()[:16]
    if digest in _LIBRARIES:
        return _LIBRARIES[digest]
    kernels = {name: [one.strip() for one in args.split(",")] for name, args in KERNEL.findall(text)}
    assert kernels, "no kernel is declared as the tests can read it"
    waits = "true" if WAITS.search(text) else "false"
    wrapped = "".join(_wrapper(name, args, waits) for name, args in kernels.items())
    folder = Path(tempfile.mkdtemp(prefix="edgekit-kernels-"))
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(f'#include "{HEADER}"\n' + INCLUDES.sub("", text) + wrapped)
    flags = [
        "-std=c++17",
        "-O2",
        "-ffp-contract=off",
        "-Wall",
        "-Werror",
        "-Wno-unused",
        "-Wno-unknown-pragmas",
    ]
    flags += ["-fno-strict-aliasing"]  # kernels read four bytes as one word
    built = subprocess.run(
        ["g++", *flags, "-shared", "-fPIC", "-o", str(library), str(source)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[:4000]
    types_of = {name: [_c_type(one) for one in args] for name, args in kernels.items()}
    _LIBRARIES[digest] = ctypes.CDLL(str(library)), types_of
    return _LIBRARIES[digest]


def _wrapper(name: str, args: list[str], waits: str) -> str:
    """`run_NAME(grid, block, arguments…)`, which C can call."""
    names = [re.search(r"(\w+)\s*$", one).group(1) for one in args]  # type: ignore[union-attr]
    fields = "".join(f"{one}; " for one in args)
    fields = re.sub(r"\b(__restrict__|__restrict)\b", "", fields)
    passed = ", ".join(f"a->{one}" for one in names)
    return (
        f"\nstruct {name}_args {{ {fields}}};\n"
        f"static void call_{name}(void *given) {{ auto *a = ({name}_args *)given; {name}({passed}); }}\n"
        f'extern "C" void run_{name}(const unsigned *grid, const unsigned *block, {", ".join(args)}) {{\n'
        f"    {name}_args a = {{{', '.join(names)}}};\n"
        f"    emulation::launch(call_{name}, &a, grid, block, {waits});\n}}\n"
    )


def _c_type(declared: str) -> str:
    """The letter of an argument's type, as `struct` and pycuda's `prepare` have it."""
    if "*" in declared:
        return "P"
    words = set(declared.replace("const", "").split()[:-1])
    if "float" in words or "double" in words:
        return "f" if "float" in words else "d"
    long = "long" in words or words & {"int64_t", "uint64_t", "size_t"}
    unsigned = "unsigned" in words or words & {"uint64_t", "size_t", "uint32_t"}
    return ("L" if unsigned else "l") if long else ("I" if unsigned else "i")


def source_module(fake: FakeCuda) -> type:
    """A stand-in for `pycuda.compiler.SourceModule`: a launch waits on its stream like a copy."""

    class Function:
        def __init__(self, name: str, library: ctypes.CDLL, types_of: list[str]) -> None:
            self._run, self._name, self._wanted = getattr(library, f"run_{name}"), name, types_of

        def prepare(self, given: str) -> None:
            # numpy's "l" and "q" are both 8 bytes
            assert given.replace("q", "l").replace("Q", "L") == "".join(self._wanted), (self._name, given)

        def prepared_async_call(
            self, grid: tuple[int, ...], block: tuple[int, ...], stream: Any, *args: Any
        ) -> None:
            fake.must("launch")
            assert 0 < np.prod(block) <= 1024, "threads of a block"
            assert all(0 < n < 65536 for n in grid[1:]), "blocks along y and z"
            typed = zip(self._wanted, args, strict=True)
            values = [C_TYPES[t](float(v) if t in "fd" else int(v)) for t, v in typed]
            sides = [(ctypes.c_uint * 3)(*(int(n) for n in side)) for side in (grid, block)]
            stream.add(lambda: self._run(*sides, *values))

    class SourceModule:
        def __init__(self, text: str, nvcc: str, options: list[str], no_extern_c: bool) -> None:
            fake.must("compile")
            assert "--fmad=false" in options
            assert no_extern_c
            self._library, self._types = compiled(text)

        def get_function(self, name: str) -> Function:
            return Function(name, self._library, self._types[name])

    return SourceModule


def stand_in(fake: FakeCuda, set_module: Callable[[str, Any], None]) -> None:
    """Put the double in pycuda's place."""
    package, compiler = types.ModuleType("pycuda"), types.ModuleType("pycuda.compiler")
    package.driver, package.compiler = fake.driver, compiler  # type: ignore[attr-defined]
    compiler.SourceModule = source_module(fake)  # type: ignore[attr-defined]
    for name, module in (("pycuda", package), ("pycuda.driver", fake.driver), ("pycuda.compiler", compiler)):
        set_module(name, module)


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def cuda_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """The double, discrete and integrated. At the end nothing may be left on the GPU."""
    fake = FakeCuda(integrated=request.param)
    stand_in(fake, lambda name, module: monkeypatch.setitem(sys.modules, name, module))
    monkeypatch.setattr(cuda, "load_libcuda", lambda: fake.libcuda)
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *a, **k: name if name.endswith("nvcc") else which(name, *a, **k)
    )
    yield fake
    fake.fail_at(None)
    gc.collect()
    for thread in list(gpu_thread._THREADS.values()):
        thread.end()
    fake.assert_clean()


@pytest.fixture
def real_gpu() -> Iterator[None]:
    """A real GPU; at the end no thread may be left."""
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        pytest.skip("no NVIDIA driver")
    if libcuda.cuInit(0):
        pytest.skip("no NVIDIA GPU")
    yield
    gc.collect()
    assert gpu_thread._THREADS == {}


@pytest.fixture(params=[False, True], ids=["copies", "mapped"])
def real_memory(request: pytest.FixtureRequest, real_gpu: None) -> Iterator[None]:
    """A real GPU whose buffers are copied, and one that works on the host's memory, as integrated ones do."""
    gpu = acquire()
    gpu.mapped = request.param
    yield
    gpu.release()


class Bench:
    """NumPy arrays to and from the owner thread, for tests of a twin: `with Bench() as gpu:`.

    `gpu(work)` runs `work(gpu)` there; `gpu.up(array)` gives a DeviceArray, `gpu.down(array)` an array.
    """

    def __init__(self) -> None:
        self.thread = acquire()
        self._buffers: list[Buffer] = []

    def __call__(self, work: Callable[[Bench], Any]) -> Any:
        return self.thread.call(work, self)

    def up(self, array: np.ndarray) -> DeviceArray:
        buffer = Buffer(self.thread)
        self._buffers.append(buffer)
        return buffer.put(array, self.stream)

    def room(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """Room that holds poison."""
        poison = b"\xee" * (int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return self.up(np.frombuffer(poison, dtype).reshape(shape))

    def down(self, array: DeviceArray) -> np.ndarray:
        from pycuda.driver import memcpy_dtoh_async

        host = self.thread.pinned(max(array.nbytes, 1))
        if array.nbytes:
            memcpy_dtoh_async(host[: array.nbytes], array.address, self.stream)
        self.stream.synchronize()
        return host[: array.nbytes].view(array.dtype).reshape(array.shape).copy()

    @property
    def stream(self) -> Any:
        return self.thread.stream

    def _free(self) -> None:
        self.stream.synchronize()
        for buffer in self._buffers:
            buffer.free()
        self._buffers.clear()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self.thread.call(self._free)
        finally:
            self.thread.release()


class HostResident:
    """The inside of an engine whose network ONNX Runtime runs on the CPU, on the double's memory."""

    recordable = True

    def __init__(self, gpu: GpuThread, fake: FakeCuda, session: Any) -> None:
        self.gpu, self._fake, self._session = gpu, fake, session
        self._in = {node.name: Room() for node in session.get_inputs()}
        self._out = {node.name: Room() for node in session.get_outputs()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._inputs: dict[str, DeviceArray] = {}
        self._outputs: dict[str, DeviceArray] = {}
        self.ran = self.version = 0

    def place(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, DeviceArray]:
        if dict(shapes) == self._shapes:
            return self._inputs
        self._shapes = dict(shapes)
        self.version += 1
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
        kinds |= {"tensor(int32)": np.int32}
        typed = {node.name: np.dtype(kinds[node.type]) for node in self._session.get_inputs()}
        zeros = {name: np.zeros(shape, typed[name]) for name, shape in shapes.items()}
        found = dict(zip(self._out, self._session.run(None, zeros), strict=True))
        self._inputs = {name: self._in[name].array(zeros[name].shape, typed[name]) for name in shapes}
        self._outputs = {name: self._out[name].array(one.shape, one.dtype) for name, one in found.items()}
        return self._inputs

    def enqueue(self) -> dict[str, DeviceArray]:
        self.gpu.stream.add(self._run)
        return self._outputs

    def _run(self) -> None:
        self.ran += 1
        found = self._session.run(None, {name: self._seen(one) for name, one in self._inputs.items()})
        for name, one in zip(self._outputs, found, strict=True):
            self._seen(self._outputs[name])[...] = one

    def _seen(self, array: DeviceArray) -> np.ndarray:
        return self._fake.view(array.address, array.nbytes).view(array.dtype).reshape(array.shape)

    def free(self) -> None:
        for room in (*self._in.values(), *self._out.values()):
            room.free()


class ResidentEngine(OnnxRuntimeEngine):
    """ONNX Runtime on the CPU as an engine that keeps its tensors on the double's GPU."""

    def __init__(self, fake: FakeCuda, model: str | Path, beside: bool = False) -> None:
        super().__init__(model)
        gpu = acquire(0, beside)
        try:
            self.inside = Tenant(gpu, lambda gpu: HostResident(gpu, fake, self._session))
        finally:
            gpu.release()

    def resident(self) -> Any:
        return self.inside.held

    def close(self) -> None:
        self.inside.close()
        super().close()
