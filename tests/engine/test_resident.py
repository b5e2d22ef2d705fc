"""Tensors that stay on the GPU: whose they are, in which order things run, and that nothing is left."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench, ResidentEngine
from onnx import TensorProto, helper
from trt_plans import data_dependent

from edgekit.engine import cuda, gpu_thread, open_engine
from edgekit.engine.cuda import Buffer, DeviceArray, Kernels, Marks, Room
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.ort_cuda import OrtCuda
from edgekit.engine.resident import Replay, Resident, Tenant, choose_ops, resident
from edgekit.engine.tensorrt import TensorRTEngine
from edgekit.errors import EdgekitError, InputError, MissingError

SCALE = """extern "C" __global__ void scale(float *x, int n, float by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= by;
}"""


def net(path: Path) -> Path:
    """y = x + 1."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def scale(tmp_path: Path) -> Path:
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    return path


class Step:
    """Upload, a kernel, an engine, a kernel on its output, download: what a task does."""

    def __init__(self, gpu: GpuThread, inside: Resident, source: Path) -> None:
        self.gpu, self.inside = gpu, inside
        self.kernels, self.marks = Kernels(source), Marks(3)
        self.replay, self.out, self.count = Replay(gpu), Room(), Buffer(gpu)
        self.picture = Buffer(gpu)
        self.frees = 0

    def __call__(self, x: np.ndarray, by: float) -> np.ndarray:
        stream = self.gpu.stream
        inputs = self.inside.place({"x": x.shape})
        self.picture.array(x.shape, x.dtype)
        np.copyto(self.picture.view(x.shape, x.dtype), x)

        n, blocks = np.int32(x.size), -(-x.size // 64)

        def before() -> None:
            self.marks.mark(0, stream)
            self.picture.upload(x.nbytes, stream)
            self.kernels("scale", blocks, 64, stream, self.picture.address, n, np.float32(by))
            self._copy(self.picture.array(x.shape, x.dtype), inputs["x"], stream)
            self.marks.mark(1, stream)

        def infer() -> None:
            self.y = self.inside.enqueue()["y"]

        def after() -> None:
            y = self.y
            self.marks.mark(2, stream)
            self.kernels("scale", blocks, 64, stream, y, n, np.float32(by))
            self._copy(y, self.count.array(y.shape, y.dtype), stream)
            self.count.download(y.nbytes, stream)
            self.marks.mark(3, stream)

        key = x.shape, by, self.inside.version
        self.replay(key, (before, True), (infer, self.inside.recordable), (after, True))
        stream.synchronize()
        return self.count.view(x.shape, x.dtype).copy()

    def _copy(self, source: DeviceArray, target: DeviceArray, stream: Any) -> None:
        from pycuda.driver import memcpy_dtod_async

        memcpy_dtod_async(target.address, source.address, source.nbytes, stream)

    def free(self) -> None:
        self.frees += 1
        for one in (self.replay, self.marks, self.out, self.count, self.picture, self.kernels):
            one.free()


def check_step(open_net: Callable[[], Any], source: Path) -> list[int]:
    """Run the step with changing shapes and settings; how often kernels were started for each call."""
    rng = np.random.default_rng()
    with open_net() as engine:
        inside = resident(engine)
        assert isinstance(inside, Resident)
        tenant = Tenant(inside.gpu, lambda gpu: Step(gpu, inside, source))
        for shape, by in [((2, 3), 2.0)] * 4 + [((5, 3), 2.0)] * 3 + [((5, 3), 3.0)] * 3 + [((2, 3), 3.0)]:
            x = rng.normal(size=shape).astype(np.float32)
            y = tenant.call(tenant.held, x, by)
            np.testing.assert_array_equal(y, (x * np.float32(by) + np.float32(1)) * np.float32(by))
            parts = tenant.call(tenant.held.marks.seconds)
            assert len(parts) == 3
            assert all(seconds > 0 for seconds in parts)
            plain = engine({"x": x})["y"]  # somebody else calls the engine between two steps
            np.testing.assert_array_equal(plain, x + 1)
        assert tenant.held.replay.note == ""
        tenant.close()
        tenant.close()
        assert tenant.held.frees == 1
        with pytest.raises(EdgekitError, match="closed"):
            tenant.call(int)


@pytest.mark.compiler
def test_a_step_is_recorded_and_replayed(cuda_machine: FakeCuda, tmp_path: Path, scale: Path) -> None:
    check_step(lambda: ResidentEngine(cuda_machine, net(tmp_path / "net.onnx")), scale)
    assert cuda_machine.steps.count("instantiate") == 3  # where shape and settings came twice running
    assert cuda_machine.steps.count("graph launch") == 3 + 2 + 2


@pytest.mark.gpu
def test_a_step_of_onnx_runtime_on_a_gpu(real_gpu: None, tmp_path: Path, scale: Path) -> None:
    check_step(lambda: open_engine(net(tmp_path / "net.onnx"), "fp32", "onnxruntime-cuda"), scale)


@pytest.mark.compiler
def test_without_recording_the_step_still_runs(
    cuda_machine: FakeCuda, tmp_path: Path, scale: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(stream: Any, graph: Any) -> int:
        cuda_machine.libcuda._stream(stream).recording = None
        return 901

    monkeypatch.setattr(cuda_machine.libcuda, "cuStreamEndCapture", spoilt)
    x = np.ones((2, 3), np.float32)
    with ResidentEngine(cuda_machine, net(tmp_path / "net.onnx")) as engine:
        inside = resident(engine)
        tenant = Tenant(inside.gpu, lambda gpu: Step(gpu, inside, scale))
        for _ in range(4):
            np.testing.assert_array_equal(tenant.call(tenant.held, x, 2.0), np.full((2, 3), 6, np.float32))
        assert "901" in tenant.held.replay.note
        tenant.close()


@pytest.mark.compiler
def test_around_an_engine_that_cannot_be_recorded_there_are_two_graphs(
    cuda_machine: FakeCuda, tmp_path: Path, scale: Path
) -> None:
    def opened() -> ResidentEngine:
        engine = ResidentEngine(cuda_machine, net(tmp_path / "net.onnx"))
        engine.inside.held.recordable = False
        return engine

    check_step(opened, scale)
    assert cuda_machine.steps.count("instantiate") == 2 * 3
    assert cuda_machine.steps.count("graph launch") == 2 * (3 + 2 + 2)


@pytest.mark.compiler
def test_nothing_is_left_after_a_failure(cuda_machine: FakeCuda, tmp_path: Path, scale: Path) -> None:
    """Whichever CUDA call fails, the error is one of the kit's, and everything is given back."""
    path = net(tmp_path / "net.onnx")
    x = np.ones((2, 3), np.float32)

    def work() -> None:
        with ResidentEngine(cuda_machine, path) as engine:
            inside = resident(engine)
            tenant = Tenant(inside.gpu, lambda gpu: Step(gpu, inside, scale))
            try:
                for _ in range(3):
                    tenant.call(tenant.held, x, 2.0)
            finally:
                tenant.close()

    work()
    steps = list(cuda_machine.steps)
    assert len(steps) > 35
    recorded = range(steps.index("begin capture"), steps.index("instantiate") + 1)
    for number in range(len(steps)):
        cuda_machine.fail_at(number)
        if number in recorded:
            work()  # goes on without a graph
        else:
            with pytest.raises(EdgekitError):
                work()
        cuda_machine.fail_at(None)
        gc.collect()
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        cuda_machine.assert_clean()


def test_a_dropped_tenant_is_freed_by_the_thread(cuda_machine: FakeCuda) -> None:
    freed: list[str] = []

    class Held:
        def free(self) -> None:
            freed.append(threading.current_thread().name)

    gpu = acquire()
    tenant = Tenant(gpu, lambda _: Held())
    gpu.release()
    del tenant
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("edgekit-gpu"):
            thread.join(5)
    assert freed == ["edgekit-gpu0"]


def test_a_tenant_that_cannot_be_made_leaves_nothing(cuda_machine: FakeCuda) -> None:
    gpu = acquire()
    with pytest.raises(InputError, match="not this one"):
        Tenant(gpu, lambda _: (_ for _ in ()).throw(InputError("not this one")))
    gpu.release()
    assert gpu_thread._THREADS == {}


# --- which ops ---


def test_ops_on_a_gpu(cuda_machine: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ResidentEngine(cuda_machine, net(tmp_path / "net.onnx")) as engine:
        assert choose_ops("auto", engine) == ("cuda", "the engine's tensors are on the GPU")
        assert choose_ops("cuda", engine) == ("cuda", "asked for")
        assert choose_ops("host", engine) == ("host", "asked for")
        assert choose_ops("graft", engine)[0] == "graft"
        with pytest.raises(InputError, match=r"ops='gpu'.*auto, host, graft, cuda"):
            choose_ops("gpu", engine)
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        ops, why = choose_ops("auto", engine)
        assert ops == "host"
        assert "nvcc" in why
        with pytest.raises(MissingError, match=r'nvcc.*ops="host"'):
            choose_ops("cuda", engine)


def test_ops_on_a_cpu(tmp_path: Path) -> None:
    with open_engine(net(tmp_path / "net.onnx"), "fp32", "onnxruntime-cpu") as engine:
        assert choose_ops("auto", engine) == ("host", "onnxruntime-cpu keeps its tensors on the host")
        with pytest.raises(MissingError, match="onnxruntime-cpu"):
            choose_ops("cuda", engine)


# --- back ends ---


@pytest.mark.compiler
def test_a_plan_stays_on_the_gpu(machine: FakeCuda, dynamic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng().normal(size=(2, 3, 8, 8)).astype(np.float32)
    with TensorRTEngine(dynamic) as engine:
        inside = resident(engine)

        def work() -> np.ndarray:
            place = inside.place({"images": x.shape})["images"]
            assert place == inside.place({"images": x.shape})["images"]
            machine.view(place.address, place.nbytes)[...] = x.ravel().view(np.uint8)
            y = inside.enqueue()["output0"]
            assert not machine.steps.count("download")
            inside.gpu.stream.synchronize()
            return machine.view(y.address, y.nbytes).view(np.float32).reshape(y.shape).copy()

        found = inside.gpu.call(work)
        np.testing.assert_array_equal(found, engine({"images": x})["output0"])
        version = inside.version
        with pytest.raises(InputError, match="images"):
            inside.gpu.call(inside.place, {"images": (9, 3, 8, 8)})
        engine({"images": x[:1]})
        assert inside.version > version
    with pytest.raises(EdgekitError, match="closed"):
        resident(engine)


def test_a_plan_whose_outputs_the_data_sizes_is_refused(machine: FakeCuda, tmp_path: Path) -> None:
    with TensorRTEngine(data_dependent(tmp_path)) as engine:
        with pytest.raises(MissingError, match="'where' depends on the data"):
            resident(engine)
        assert choose_ops("auto", engine)[0] == "host"


class OrtDouble:
    """The CUDA provider's part of ONNX Runtime on the double's memory; the arithmetic is the real one's."""

    def __init__(self, fake: FakeCuda, path: Path, gpu: GpuThread) -> None:
        self.real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.get_inputs, self.get_outputs = self.real.get_inputs, self.real.get_outputs
        self.fake, self.gpu = fake, gpu
        self.bound: list[str] = []
        self.graphs: list[str] = []
        self.own: list[Room] = []  # its allocator

    def io_binding(self) -> Any:
        return OrtBinding(self)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.graphs.append(options.get_run_config_entry("gpu_graph_id"))
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        x = binding.arrays["x"]
        if binding.arrays["y"] is None:
            self.own.append(Room())
            binding.arrays["y"] = self.own[-1].array(x.shape, x.dtype)
        y = binding.arrays["y"]

        def run() -> None:
            seen = self.fake.view(x.address, x.nbytes).view(x.dtype).reshape(x.shape)
            self.fake.view(y.address, y.nbytes)[...] = (
                self.real.run(None, {"x": seen})[0].ravel().view(np.uint8)
            )

        self.gpu.stream.add(run)


class OrtBinding:
    def __init__(self, session: OrtDouble) -> None:
        self.session = session
        self.arrays: dict[str, DeviceArray | None] = {}

    def bind_input(self, name: str, device: str, number: int, dtype: Any, shape: Any, address: int) -> None:
        self.bind_output(name, device, number, dtype, shape, address)

    def bind_output(self, name: str, device: str, number: int = 0, dtype: Any = None, *place: Any) -> None:
        assert (device, number) == ("cuda", 0)
        self.session.bound.append(f"{name}{'' if place else ' anywhere'}")
        self.arrays[name] = DeviceArray(place[1], tuple(place[0]), np.dtype(dtype)) if place else None

    def get_outputs(self) -> list[Any]:
        class Value:
            data_ptr = staticmethod(lambda: self.arrays["y"].address)  # type: ignore[union-attr]
            shape = staticmethod(lambda: list(self.arrays["y"].shape))  # type: ignore[union-attr]
            data_type = staticmethod(lambda: "tensor(float)")

        return [Value]


def test_onnx_runtime_is_bound_to_memory_that_stays(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path, asked = net(tmp_path / "net.onnx"), []
    gpu = acquire()

    def make(options: dict[str, str]) -> OrtDouble:
        asked.append(options)
        return OrtDouble(cuda_machine, path, gpu)

    tenant = Tenant(gpu, lambda gpu: OrtCuda(gpu, make))
    gpu.release()
    inside = tenant.held
    session: OrtDouble = inside.session
    assert isinstance(inside, Resident)
    assert not inside.recordable
    handle = str(tenant.call(lambda: inside.gpu.stream.handle))
    assert asked == [{"user_compute_stream": handle, "enable_cuda_graph": "1"}]

    def work(x: np.ndarray) -> np.ndarray:
        place = inside.place({"x": x.shape})["x"]
        cuda_machine.view(place.address, place.nbytes)[...] = x.ravel().view(np.uint8)
        y = inside.enqueue()["y"]
        inside.gpu.stream.synchronize()
        return cuda_machine.view(y.address, y.nbytes).view(np.float32).reshape(y.shape).copy()

    def call(rows: int) -> int:
        x = np.random.default_rng().normal(size=(rows, 3)).astype(np.float32)
        np.testing.assert_array_equal(tenant.call(work, x), x + 1)
        return inside.version

    assert [call(2) for _ in range(3)] == [1, 1, 1]
    assert session.bound == ["x", "y anywhere", "y"]  # from the second run on the output stays too
    assert [call(1) for _ in range(2)] == [2, 2]
    assert call(2) == 1  # known shapes are not bound again
    assert len(session.bound) == 6
    assert call(5) == 3  # more than there was room for: what was bound before is stale
    assert [call(1), call(2), call(5), call(5)] == [4, 5, 3, 3]
    assert call(2) == 6  # the output moved, with the second run of 5
    first = "-1"  # not recorded: its outputs are not where they stay
    assert session.graphs == [first, "1", "1", first, "2", "1", first, first, first, "3", "3", first]
    with pytest.raises(InputError, match="inputs are x, not z"):
        tenant.call(inside.place, {"z": (2, 3)})
    for room in session.own:
        tenant.call(room.free)
    tenant.close()


def test_onnx_runtime_without_graphs(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path, asked = net(tmp_path / "net.onnx"), []
    gpu = acquire()

    def make(options: dict[str, str]) -> OrtDouble:
        asked.append(sorted(options))
        if "enable_cuda_graph" in options:
            raise InputError("not all nodes are on CUDA")
        return OrtDouble(cuda_machine, path, gpu)

    tenant = Tenant(gpu, lambda gpu: OrtCuda(gpu, make))
    gpu.release()
    assert asked == [["enable_cuda_graph", "user_compute_stream"], ["user_compute_stream"]]
    session = tenant.held.session
    with pytest.raises(EdgekitError, match="does not know the shapes"):
        tenant.call(tenant.held.enqueue)
    tenant.call(tenant.held.place, {"x": (2, 3)})
    for _ in range(3):
        tenant.call(tenant.held.enqueue)
    assert session.graphs == ["-1"] * 3
    tenant.call(tenant.held.gpu.stream.synchronize)
    for room in session.own:
        tenant.call(room.free)
    tenant.close()


def test_device_memory(cuda_machine: FakeCuda) -> None:
    def work(gpu: Bench) -> None:
        room = Room()
        first = room.array((4, 5), np.float32)
        assert room.array((2, 5), np.float16).address == first.address
        assert first.row(2) == DeviceArray(first.address + 40, (5,), np.dtype(np.float32))
        assert first.nbytes == 80
        room.array((4, 6), np.float32)
        assert room.array((0,), np.float32).nbytes == 0
        room.free()
        room.free()
        buffer = Buffer(gpu.thread)
        array = np.arange(24, dtype=np.int32).reshape(4, 6)[:, ::2]
        assert buffer.put(array, gpu.stream).shape == (4, 3)
        found = buffer.fetch((4, 3), np.int32, gpu.stream)
        gpu.stream.synchronize()
        np.testing.assert_array_equal(found, array)
        buffer.free()

    with Bench() as gpu:
        gpu(work)


def test_where_nvcc_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert cuda.find_nvcc() == "/usr/local/cuda/bin/nvcc"


def test_a_pycuda_without_its_compiler_leaves_the_host(
    cuda_machine: FakeCuda, tmp_path: Path, scale: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.compiler", None)
    with Bench() as gpu, pytest.raises(MissingError, match="pycuda cannot compile"):
        gpu(lambda _: Kernels(scale))
