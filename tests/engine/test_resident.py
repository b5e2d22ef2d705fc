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

    def __init__(self, gpu: GpuThread, inside: Resident, source: Path, wanted: bool = True) -> None:
        self.gpu, self.inside = gpu, inside
        self.kernels, self.marks = Kernels(source), Marks(3)
        self.replay, self.out, self.count = Replay(gpu, wanted), Room(), Buffer(gpu)
        self.picture = Buffer(gpu)
        self.frees = 0

    def __call__(self, x: np.ndarray, by: float) -> np.ndarray:
        stream = self.gpu.stream
        inputs = self.inside.place({"x": x.shape})
        self.picture.array(x.shape, x.dtype)
        np.copyto(self.picture.view(x.shape, x.dtype), x)

        def work() -> None:
            self.marks.mark(0, stream)
            self.picture.upload(x.nbytes, stream)
            n, blocks = np.int32(x.size), -(-x.size // 64)
            self.kernels("scale", blocks, 64, stream, self.picture.address, n, np.float32(by))
            self._copy(self.picture.array(x.shape, x.dtype), inputs["x"], stream)
            self.marks.mark(1, stream)
            y = self.inside.enqueue()["y"]
            self.marks.mark(2, stream)
            self.kernels("scale", blocks, 64, stream, y, n, np.float32(by))
            self._copy(y, self.count.array(y.shape, y.dtype), stream)
            self.count.download(y.nbytes, stream)
            self.marks.mark(3, stream)

        self.replay((x.shape, by, self.inside.version), work)
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
        tenant = Tenant(inside.gpu, lambda gpu: Step(gpu, inside, source, inside.recordable))
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
        quiet = Tenant(inside.gpu, lambda gpu: Step(gpu, inside, scale, wanted=False))
        assert "cannot be recorded" in quiet.held.replay.note
        quiet.close()


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


class Value:
    """An OrtValue on the double's memory."""

    def __init__(self, room: Room, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.array = room.array(shape, dtype)
        self.room = room

    def data_ptr(self) -> int:
        return self.array.address

    def shape(self) -> list[int]:
        return list(self.array.shape)

    def data_type(self) -> str:
        return {"float32": "tensor(float)"}[self.array.dtype.name]

    def __del__(self) -> None:
        self.room.free()


def test_onnx_runtime_is_bound_once_to_the_threads_stream(
    cuda_machine: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real session's tensors, with the CUDA provider's part played by the double."""
    real = onnxruntime.InferenceSession(net(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    asked: dict[str, str] = {}
    bound: list[str] = []

    class Binding:
        def __init__(self) -> None:
            self.inputs: dict[str, Value] = {}
            self.outputs: dict[str, Value | None] = {}

        def bind_ortvalue_input(self, name: str, value: Value) -> None:
            bound.append(f"input {name}")
            self.inputs[name] = value

        def bind_output(self, name: str, device: str) -> None:
            assert device == "cuda"
            self.outputs[name] = None

        def bind_ortvalue_output(self, name: str, value: Value) -> None:
            bound.append(f"output {name}")
            self.outputs[name] = value

        def get_outputs(self) -> list[Value | None]:
            return list(self.outputs.values())

    class Session:
        get_inputs, get_outputs = real.get_inputs, real.get_outputs
        io_binding = Binding

        def run_with_iobinding(self, binding: Binding, options: Any) -> None:
            x = binding.inputs["x"].array
            if binding.outputs["y"] is None:
                binding.outputs["y"] = Value(Room(), x.shape, x.dtype)
            y = binding.outputs["y"].array

            def run() -> None:
                seen = cuda_machine.view(x.address, x.nbytes).view(x.dtype).reshape(x.shape)
                found = real.run(None, {"x": seen})[0]
                cuda_machine.view(y.address, y.nbytes)[...] = found.ravel().view(np.uint8)

            inside.gpu.stream.add(run)

    def make(options: dict[str, str]) -> Session:
        asked.update(options)
        return Session()

    monkeypatch.setattr(
        onnxruntime.OrtValue,
        "ortvalue_from_shape_and_type",
        staticmethod(lambda shape, dtype, device, number: Value(Room(), tuple(shape), np.dtype(dtype))),
    )
    gpu = acquire()
    tenant = Tenant(gpu, lambda gpu: OrtCuda(gpu, make))
    gpu.release()
    inside = tenant.held
    assert isinstance(inside, Resident)

    def work(x: np.ndarray) -> np.ndarray:
        place = inside.place({"x": x.shape})["x"]
        cuda_machine.view(place.address, place.nbytes)[...] = x.ravel().view(np.uint8)
        y = inside.enqueue()["y"]
        inside.gpu.stream.synchronize()
        return cuda_machine.view(y.address, y.nbytes).view(np.float32).reshape(y.shape).copy()

    for shape in ((2, 3), (2, 3), (2, 3), (5, 3), (5, 3)):
        x = np.random.default_rng().normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(tenant.call(work, x), x + 1)
    assert bound == ["input x", "output y"] * 2
    assert inside.version == 2
    assert asked == {"user_compute_stream": str(tenant.call(lambda: inside.gpu.stream.handle))}
    with pytest.raises(InputError, match="inputs are x, not z"):
        tenant.call(inside.place, {"z": (2, 3)})
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
