"""On a real GPU: everything of TensorRTEngine but TensorRT's arithmetic, which a CUDA kernel stands for."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_double import compile_kernels, kernel_module, reference, write_plan

from edgekit.engine import gpu_thread, trt_module
from edgekit.engine.cuda import Buffer, CaptureError, Graph
from edgekit.engine.gpu_thread import NON_BLOCKING, GpuThread, acquire
from edgekit.engine.tensorrt import TensorRTEngine
from edgekit.errors import EdgekitError, MissingError

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu() -> Iterator[GpuThread]:
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        pytest.skip("no NVIDIA driver")
    if libcuda.cuInit(0):
        pytest.skip("no NVIDIA GPU")
    gpu = acquire()  # with a GPU, a pycuda that does not load is a failure, not a skip
    yield gpu
    gpu.release()
    gc.collect()
    assert gpu_thread._THREADS == {}


@pytest.fixture(scope="module")
def cubin(gpu: GpuThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_kernels(tmp_path_factory.mktemp("kernels"), gpu.capability)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", kernel_module())
    monkeypatch.setattr(trt_module, "_loggers", {})
    monkeypatch.setattr(trt_module, "_allocators", {})


@pytest.fixture(params=[False, True], ids=["copies", "mapped"])
def zero_copy(request: pytest.FixtureRequest) -> bool:
    return request.param


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def check(engine: TensorRTEngine, x: np.ndarray) -> dict[str, np.ndarray]:
    got = engine({"x": x})
    np.testing.assert_array_equal(got["y"], reference(x))
    return got


def free_bytes(gpu: GpuThread) -> int:
    import pycuda.driver as drv

    return gpu.call(drv.mem_get_info)[0]


def current_context() -> Any:
    context = ctypes.c_void_p()
    assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context)) == 0
    return context.value


def test_the_primary_context_is_current_on_the_owner_thread_alone(gpu: GpuThread) -> None:
    libcuda, primary = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    assert libcuda.cuDevicePrimaryCtxRetain(ctypes.byref(primary), 0) == 0
    try:
        assert current_context() is None
        assert gpu.call(current_context) == primary.value
        assert gpu.name
        assert gpu.capability >= (5, 0)
    finally:
        libcuda.cuDevicePrimaryCtxRelease_v2(0)


def test_fixed_shapes_replay_a_graph(cubin: Path, tmp_path: Path, zero_copy: bool) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (1, 3, 64, 64), nanoseconds=300_000)
    with TensorRTEngine(plan, zero_copy=zero_copy) as engine:
        for step in range(20):
            check(engine, noise(1, 3, 64, 64) + np.float32(step))
            assert engine.times["infer"] >= 250e-6
            assert engine.times["upload"] > 0
            assert engine.times["download"] > 0
        assert engine._session._graph is not None
        assert "No CUDA graph" not in engine.why


def test_buffers_grow_and_are_kept(cubin: Path, tmp_path: Path, zero_copy: bool) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (-1, 8), [[1, 8], [4, 8], [100_000, 8]])
    with TensorRTEngine(plan, zero_copy=zero_copy) as engine:
        check(engine, noise(1000, 8))
        address = engine._session.sources[0].buffer.address
        check(engine, noise(10, 8))
        assert engine._session.sources[0].buffer.address == address
        for rows in (100_000, 7, 7, 7, 100_000, 100_000, 50_000, 50_000):
            check(engine, noise(rows, 8))


def test_late_outputs_grow(cubin: Path, tmp_path: Path, zero_copy: bool) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (500,), late=True)
    with TensorRTEngine(plan, zero_copy=zero_copy) as engine:
        for density in (0.0, 0.2, 1.0, 0.1, 0.0):
            x = (np.random.default_rng(5).random(500) < density).astype(np.float32)
            np.testing.assert_array_equal(check(engine, x)["where"], np.flatnonzero(x))


def test_results_outlive_the_engine(cubin: Path, tmp_path: Path, zero_copy: bool) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (1000,))
    x = noise(1000)
    with TensorRTEngine(plan, zero_copy=zero_copy) as engine:
        y = engine({"x": x})["y"]
    np.testing.assert_array_equal(y, reference(x))


def test_nothing_leaks(gpu: GpuThread, cubin: Path, tmp_path: Path, zero_copy: bool) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (1 << 20,), nanoseconds=0)
    x = noise(1 << 20)
    after_first = 0
    for cycle in range(30):
        with TensorRTEngine(plan, zero_copy=zero_copy) as engine:
            for _ in range(3):
                check(engine, x)
        after_first = after_first or free_bytes(gpu)
        assert gpu._pins == {}, cycle
    assert after_first - free_bytes(gpu) < 4 << 20  # less than one of the 60 pairs of buffers


def test_threads_take_turns(cubin: Path, tmp_path: Path) -> None:
    wrong: list[BaseException] = []

    def work(size: int) -> None:
        try:
            plan = write_plan(tmp_path / f"{size}.plan", cubin, (size,))
            with TensorRTEngine(plan) as engine:
                for _ in range(20):
                    check(engine, noise(size))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@pytest.mark.parametrize("beside", [True, False])
def test_nobody_waits_for_an_engine_that_runs_beside(cubin: Path, tmp_path: Path, beside: bool) -> None:
    """One call of the large engine spins for half a second; the loop's engine answers all the while."""
    large_plan = write_plan(tmp_path / "large.plan", cubin, (1000,), nanoseconds=500_000_000)
    plan = write_plan(tmp_path / "loop.plan", cubin, (1 << 16,), nanoseconds=100_000)
    with TensorRTEngine(plan) as loop, TensorRTEngine(large_plan, beside=beside) as large:
        for _ in range(3):  # record both graphs
            check(loop, noise(1 << 16))
            check(large, noise(1000))
        began = threading.Event()
        got: list[dict[str, np.ndarray]] = []

        def look() -> None:
            large._gpu.post(began.set)  # its thread is at the door
            got.append(large({"x": noise(1000)}))

        caller = threading.Thread(target=look)
        caller.start()
        assert began.wait(10)
        frames = 0
        while not got:
            check(loop, noise(1 << 16))
            frames += 1
        caller.join(10)
        np.testing.assert_array_equal(got[0]["y"], reference(noise(1000)))
    if beside:
        assert frames > 20
    else:
        assert frames <= 3  # so the test can tell


def test_what_cannot_be_recorded_leaves_the_stream_usable(gpu: GpuThread) -> None:
    import pycuda.driver as drv

    def work() -> None:
        stream = drv.Stream(NON_BLOCKING)
        buffer = Buffer(gpu, mapped=False)
        try:
            with pytest.raises(CaptureError):
                Graph(stream.handle, stream.synchronize)
            buffer.grow(4)
            buffer.host[:] = (1, 2, 3, 4)
            buffer.upload(4, stream)
            stream.synchronize()
            buffer.host[:] = 0
            buffer.download(4, stream)
            stream.synchronize()
            assert buffer.host.tolist() == [1, 2, 3, 4]
        finally:
            buffer.free()

    gpu.call(work)


def test_too_much_memory_is_said_and_survived(cubin: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "a.plan", cubin, (-1,), [[1], [8], [1 << 50]])
    with TensorRTEngine(plan) as engine:
        check(engine, noise(8))
        with pytest.raises(EdgekitError, match="no memory left"):
            engine({"x": np.broadcast_to(np.float32(0), (1 << 46,))})
        check(engine, noise(8))


def test_no_such_gpu(cubin: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="GPU 99"):
        TensorRTEngine(write_plan(tmp_path / "a.plan", cubin, (8,)), device=99)


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from kernel_double import kernel_module
sys.modules["tensorrt"] = kernel_module()
from edgekit.engine.tensorrt import TensorRTEngine
from edgekit.errors import EdgekitError
engine = TensorRTEngine(sys.argv[1])
try:
    for _ in range(3):
        y = engine({"x": np.ones(8, np.float32)})["y"]
    print(y[1])
except EdgekitError as error:
    print(error)
"""


@pytest.mark.parametrize(("address", "said"), [(0, "3.0\n"), (64, "CUDA failed while working on")])
def test_the_interpreter_ends_quietly(cubin: Path, tmp_path: Path, address: int, said: str) -> None:
    """With an engine and a view open, and after a kernel that wrote where it must not."""
    plan = write_plan(tmp_path / "a.plan", cubin, (8,), address=address)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(plan)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(said)
    if address == 0:
        assert ended.stderr == ""
