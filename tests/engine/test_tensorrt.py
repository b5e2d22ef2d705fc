"""TensorRTEngine's whole logic on a CPU, against doubles that are strict: see trt_double and cuda_double."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorrt_rtx
from cuda_double import FakeCuda
from onnx import TensorProto, helper
from trt_double import FakeTensorRT, signatures, strict
from trt_plans import check, fixed_feeds, images, info, reference, save

from edgekit.engine import Engine, trt_module
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.engine.tensorrt import TensorRTEngine
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.tasks.topdown import TopDown


def module() -> FakeTensorRT:
    return sys.modules["tensorrt"]  # type: ignore[return-value]


def test_fixed_shapes_equal_the_reference_and_replay_a_graph(machine: FakeCuda, fixed: Path) -> None:
    with TensorRTEngine(fixed, precision="fp16", why="asked for") as engine:
        assert isinstance(engine, Engine)
        assert [str(spec) for spec in engine.inputs] == ["pixels 1×3×5×7 uint8", "bias 3×5×7 float16"]
        assert [str(spec) for spec in engine.outputs] == [
            "total scalar float16",
            "best 1×5×7 int64",
            "more 1×3×5×7 bool",
        ]
        allocated = machine.allocated
        for seed in range(5):
            check(engine, fixed, fixed_feeds(seed))
            assert set(engine.times) == {"upload", "infer", "download"}
            assert all(seconds > 0 for seconds in engine.times.values())
        assert module().enqueues == 2  # the first call and the recording; replays need none
        assert machine.steps.count("graph launch") == 4
        assert machine.allocated == allocated
        assert ("upload" in machine.steps) != machine.integrated  # zero copy moves nothing
        assert (engine.backend, engine.precision, engine.device) == ("tensorrt", "fp16", "Fake GPU")
        assert engine.why == "asked for; tensorrt 10.3.0 runs fixed.plan."
    freed = [kind for kind in machine.freed if kind not in ("graph", "event", "device", "mapped")]
    assert freed == ["graph exec", "context", "engine", "runtime", "stream"]
    order = [machine.freed.index(kind) for kind in ("runtime", "mapped", "event", "stream")]
    assert order == sorted(order)


def test_strided_inputs_and_results_are_views_of_the_same_pinned_memory(
    machine: FakeCuda, fixed: Path
) -> None:
    feeds = fixed_feeds()
    feeds["pixels"] = np.ascontiguousarray(feeds["pixels"].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not feeds["pixels"].flags.c_contiguous
    with TensorRTEngine(fixed) as engine:
        check(engine, fixed, feeds)
        first = engine(feeds)["best"]
        kept = first.copy()
        second = engine(fixed_feeds(7))["best"]
        assert np.shares_memory(first, second)
        assert not np.array_equal(first, kept)


def test_results_outlive_the_engine(machine: FakeCuda, fixed: Path) -> None:
    feeds = fixed_feeds()
    with TensorRTEngine(fixed) as engine:
        best = engine(feeds)["best"]
    part = best[0, 1:]
    del best
    np.testing.assert_array_equal(part, reference(fixed, feeds)["best"][0, 1:])
    assert [kind for kind, _ in machine.live.values()] == ["mapped"]
    with TensorRTEngine(fixed) as engine:  # the thread that lingers serves again
        check(engine, fixed, feeds)
    threads = [thread for thread in threading.enumerate() if thread.name == "edgekit-gpu0"]
    assert len(threads) == 1
    del part
    threads[0].join(5)  # the last view is gone: so are the memory, the context and the thread


def test_dynamic_shapes_reuse_buffers(machine: FakeCuda, dynamic: Path) -> None:
    with TensorRTEngine(dynamic) as engine:
        assert str(engine.inputs[0]) == "images ?×3×?×? float32"
        assert (engine.inputs[0].most, engine.inputs[0].batch_limit) == ((4, 3, 16, 16), 4)
        check(engine, dynamic, images(2, 3, 8, 8))
        assert module().enqueues == 1
        after_first = machine.allocated
        check(engine, dynamic, images(1, 3, 4, 16))  # smaller: same buffers
        check(engine, dynamic, images(2, 3, 8, 8))
        assert machine.allocated == after_first
        check(engine, dynamic, images(4, 3, 16, 16))  # the greatest of the range
        after_last = machine.allocated
        assert after_last > after_first
        for shape in ((1, 3, 4, 4), (3, 3, 7, 9), (3, 3, 7, 9), (3, 3, 7, 9), (4, 3, 16, 16)):
            check(engine, dynamic, images(*shape))
        assert machine.allocated == after_last
        assert machine.steps.count("instantiate") == 1  # only where a shape came twice running
        assert machine.steps.count("graph launch") == 2


@pytest.mark.parametrize("shape", [(5, 3, 8, 8), (1, 3, 3, 8), (1, 3, 8, 17)])
def test_a_shape_outside_the_range_is_refused_by_name(
    machine: FakeCuda, dynamic: Path, shape: tuple[int, ...]
) -> None:
    with TensorRTEngine(dynamic) as engine:
        with pytest.raises(InputError) as caught:
            engine(images(*shape))
        for part in ("'images'", str(list(shape)), "[1, 3, 4, 4]", "[4, 3, 16, 16]"):
            assert part in str(caught.value)
        check(engine, dynamic, images(1, 3, 4, 4))  # and the engine still works


@pytest.mark.parametrize("flip", [False, True])
def test_a_top_down_task_splits_at_the_plans_most(machine: FakeCuda, tmp_path: Path, flip: bool) -> None:
    """Its crops and results must not live in the pinned buffers, which the next call writes over."""
    shapes = [[n, 3, 256, 192] for n in (1, 2, 4)]
    plan = save(
        tmp_path / "pose.plan",
        [
            helper.make_node("AveragePool", ["images"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["small", "w"], ["heatmaps"]),
        ],
        [info("images", ["batch", 3, 256, 192])],
        [info("heatmaps", ["batch", 17, 64, 48])],
        (helper.make_tensor("w", TensorProto.FLOAT, [17, 3, 1, 1], np.linspace(-1, 1, 51)),),
        images=shapes,
    )
    rng = np.random.default_rng(5)
    image = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    low = rng.uniform(0, 80, (9, 2))
    people = np.concatenate([low, low + rng.uniform(10, 60, (9, 2))], 1)
    with TopDown(OnnxRuntimeEngine(plan), flip=flip) as task:
        wanted = task(image, people)
        assert task.calls == 1 + flip
    with TopDown(TensorRTEngine(plan), flip=flip, ops="host") as task:
        for _ in range(2):
            np.testing.assert_allclose(task(image, people), wanted, atol=1e-4)
            assert task.calls == 3 * (1 + flip)


@pytest.mark.parametrize("old", [False, True], ids=["async", "8.5"])
def test_data_dependent_outputs_grow(machine: FakeCuda, data_dependent: Path, old: bool) -> None:
    module().old = old
    rng = np.random.default_rng(1)
    with TensorRTEngine(data_dependent) as engine:
        for density in (0.0, 0.3, 1.0, 0.2, 0.0, 0.9):
            check(engine, data_dependent, {"x": (rng.random((4, 6)) < density).astype(np.float32)})
        assert "No CUDA graph: the shape of 'where' depends on the data." in engine.why
        assert "begin capture" not in machine.steps


def test_each_failure_tells_its_own_reason(machine: FakeCuda, data_dependent: Path) -> None:
    few, many = ({"x": np.full((4, 6), value, np.float32)} for value in (0, 1))
    with TensorRTEngine(data_dependent) as engine:
        check(engine, data_dependent, few)
        machine.fail_at(None)
        check(engine, data_dependent, few)
        enqueue = machine.steps.index("enqueue")
        machine.fail_at(enqueue + 1)  # the allocation that TensorRT asks for during the enqueue
        with pytest.raises(EdgekitError, match="no memory left"):
            engine(many)
        machine.fail_at(enqueue)
        with pytest.raises(EdgekitError, match="the enqueue fails on purpose"):
            engine(many)
        machine.fail_at(None)
        check(engine, data_dependent, many)


def test_wrong_feeds_are_refused_and_never_cast(machine: FakeCuda, fixed: Path) -> None:
    feeds = fixed_feeds()
    with TensorRTEngine(fixed) as engine:
        with pytest.raises(InputError, match="'bias' is float32"):
            engine({**feeds, "bias": feeds["bias"].astype(np.float32)})
        with pytest.raises(InputError, match="'pixels' is missing"):
            engine({"bias": feeds["bias"]})
        with pytest.raises(InputError, match="no input 'more'"):
            engine({**feeds, "more": feeds["bias"]})


def test_sidecar_gives_precision_metadata_and_hash(machine: FakeCuda, fixed: Path) -> None:
    sidecar = Path(f"{fixed}.json")
    notes = {"precision": "int8", "metadata": {"stride": "32"}, "tensorrt": "10.3.0", "gpu": "Orin"}
    notes["plan_sha256"] = hashlib.sha256(fixed.read_bytes()).hexdigest()
    sidecar.write_text(json.dumps(notes))
    with TensorRTEngine(fixed, precision="fp16") as engine:
        assert engine.precision == "int8"
        assert engine.metadata == {"stride": "32"}
    fixed.write_bytes(fixed.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"fixed\.plan is damaged.*edgekit build"):
        TensorRTEngine(fixed)
    assert machine.steps.count("runtime") == 1  # not even tried
    del notes["plan_sha256"]
    sidecar.write_text(json.dumps(notes))
    with pytest.raises(
        InputError, match=r"10\.3\.0 on Fake GPU cannot load .*fixed\.plan .made with 10\.3\.0, Orin"
    ):
        TensorRTEngine(fixed)
    sidecar.write_text("{")
    with pytest.raises(InputError, match=r"fixed\.plan\.json cannot be read"):
        TensorRTEngine(fixed)
    sidecar.write_text("[]")
    with pytest.raises(InputError, match=r"fixed\.plan\.json does not describe"):
        TensorRTEngine(fixed)


def test_unusable_plans_name_the_file_and_the_cure(machine: FakeCuda, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.plan cannot be read \(No such file"):
        TensorRTEngine(tmp_path / "none.plan")
    (tmp_path / "empty.plan").touch()
    with pytest.raises(InputError, match=r"empty\.plan is empty.*edgekit build"):
        TensorRTEngine(tmp_path / "empty.plan")
    (tmp_path / "noise.plan").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"noise\.plan: Error Code 1: Serialization.*edgekit build"):
        TensorRTEngine(tmp_path / "noise.plan")


def test_tensors_that_numpy_or_the_kit_cannot_hold_are_refused(machine: FakeCuda, tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)]
    plan = save(tmp_path / "b.plan", nodes, [info("x", [2])], [info("y", [2], TensorProto.BFLOAT16)])
    with pytest.raises(InputError, match="'y' is BF16"):
        TensorRTEngine(plan)
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    plan = save(tmp_path / "n.plan", nodes, [info("x", [2])], [info("y", [2])])
    module().spoil = {"get_tensor_location": tensorrt_rtx.TensorLocation.HOST}
    with pytest.raises(InputError, match="'x' holds a shape"):
        TensorRTEngine(plan)
    module().spoil = {"get_tensor_format": tensorrt_rtx.TensorFormat.CHW32}
    with pytest.raises(InputError, match=r"'x' of .* packed layout"):
        TensorRTEngine(plan)


def test_dla(machine: FakeCuda, fixed: Path) -> None:
    with pytest.raises(InputError, match="no DLA core 0: Fake GPU has 0"):
        TensorRTEngine(fixed, dla_core=0)
    Path(f"{fixed}.json").write_text(json.dumps({"dla": 1}))  # as the build noted it
    with pytest.raises(InputError, match="no DLA core 1"):
        TensorRTEngine(fixed)
    module().dla_cores = 2
    with TensorRTEngine(fixed) as engine:
        for seed in range(3):
            check(engine, fixed, fixed_feeds(seed))
        assert "accelerator cannot be recorded" in engine.why
        assert "begin capture" not in machine.steps


@pytest.mark.parametrize("step", ["begin capture", "end capture", "instantiate", "enqueue"])
def test_a_graph_that_cannot_be_recorded_is_done_without_and_said(
    machine: FakeCuda, fixed: Path, step: str
) -> None:
    with TensorRTEngine(fixed) as engine:
        check(engine, fixed, fixed_feeds(0))
        machine.fail_at(None)
        check(engine, fixed, fixed_feeds(1))
        index = machine.steps.index(step)
    with TensorRTEngine(fixed) as engine:
        check(engine, fixed, fixed_feeds(0))
        machine.fail_at(index)
        for seed in range(1, 4):
            check(engine, fixed, fixed_feeds(seed))
        assert engine.why.endswith("on purpose.") or "failed with CUDA error" in engine.why
        assert "No CUDA graph: " in engine.why
        assert "graph launch" not in machine.steps
    with TensorRTEngine(fixed, graph=False) as engine:
        check(engine, fixed, fixed_feeds(0))
        assert "No CUDA graph: switched off." in engine.why


def every_failure(
    machine: FakeCuda, plan: Path, feeds: Callable[[int], dict[str, np.ndarray]]
) -> list[tuple[str, str]]:
    """Open, call three times and close, with each step failing in turn; what was said at which step."""

    def work() -> None:
        with TensorRTEngine(plan) as engine:
            for index in range(3):
                check(engine, plan, feeds(index))

    machine.fail_at(None)
    work()
    steps, said = list(machine.steps), []
    for index, step in enumerate(steps):
        machine.fail_at(index)
        try:
            work()
        except EdgekitError as error:
            said.append((step, str(error)))
        else:
            assert step in ("begin capture", "end capture", "instantiate", "enqueue"), step
        machine.assert_clean()
    return said


@pytest.mark.parametrize("kind", ["fixed", "dynamic", "data_dependent"])
def test_a_failure_at_any_step_leaves_nothing_allocated(
    machine: FakeCuda, kind: str, request: pytest.FixtureRequest
) -> None:
    plan: Path = request.getfixturevalue(kind)
    rng = np.random.default_rng(2)
    feeds = {
        "fixed": fixed_feeds,
        "dynamic": lambda i: images(1 + i, 3, 8, 8),
        "data_dependent": lambda i: {"x": (rng.random((4, 6)) < i / 2).astype(np.float32)},
    }[kind]
    said = every_failure(machine, plan, feeds)
    assert len({step for step, _ in said}) >= 14
    for step, message in said:
        if step in ("mem_alloc", "pagelocked_empty"):
            assert "no memory left" in message
        assert message.endswith(("again.", "programs.", "missing.", ".", "purpose"))


def test_errors_of_two_threads_are_kept_apart(machine: FakeCuda) -> None:
    logger = trt_module.logger_for(module())
    logger.log(tensorrt_rtx.ILogger.Severity.ERROR, "mine")
    other = threading.Thread(
        target=lambda: (logger.log(tensorrt_rtx.ILogger.Severity.ERROR, "other's"), logger.errors.clear())
    )
    other.start()
    other.join()
    assert list(logger.errors) == ["mine"]


def test_no_tensorrt_is_said(machine: FakeCuda, fixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trt_module.load_tensorrt().__name__ == "tensorrt"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert trt_module.load_tensorrt() is tensorrt_rtx
    with pytest.raises(MissingError, match="pip install tensorrt"):
        trt_module.load_tensorrt(fallback=False)
    with pytest.raises(InputError, match="no TensorRT module 'torch'"):
        trt_module.load_tensorrt("torch")
    Path(f"{fixed}.json").write_text(json.dumps({"module": "tensorrt"}))
    with pytest.raises(MissingError, match="tensorrt cannot be loaded"):
        TensorRTEngine(fixed)  # made with the full TensorRT: RTX would not do
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/etc/nv_tegra_release")
    with pytest.raises(MissingError, match="--system-site-packages"):
        trt_module.load_tensorrt(fallback=False)


def test_tensorrt_warnings_are_logged(machine: FakeCuda, caplog: pytest.LogCaptureFixture) -> None:
    logger = trt_module.logger_for(module())
    severity = tensorrt_rtx.ILogger.Severity
    logger.log(severity.WARNING, "mind the gap")
    logger.log(severity.INFO, "chatter")
    logger.log(severity.INTERNAL_ERROR, "broken")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["mind the gap"]
    assert list(logger.errors) == ["broken"]


def test_the_double_is_strict() -> None:
    with pytest.raises(AssertionError, match="has no enqueue_v9"):
        strict(tensorrt_rtx.IExecutionContext)(type("Double", (), {"enqueue_v9": lambda self: True}))
    double = type("Double", (), {"set_input_shape": lambda self, name, shape: True})
    context = strict(tensorrt_rtx.IExecutionContext)(double)()
    assert context.set_input_shape("x", (1,))
    for wrong in (("x",), ("x", (1,), 2), (1, (1,))):
        with pytest.raises(TypeError, match="set_input_shape takes"):
            context.set_input_shape(*wrong)
    with pytest.raises(AttributeError):
        context.binding = 1
    assert signatures(tensorrt_rtx.ICudaEngine.get_tensor_name) == [[("index", "typing.SupportsInt", False)]]
