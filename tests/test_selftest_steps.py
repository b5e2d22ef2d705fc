"""The steps of the self-test where they can run without a board: emulated ones, this CPU, stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from boards import make_board, make_pc

from edgekit import selftest_compare, selftest_engines, selftest_kernels, selftest_machine, selftest_tasks
from edgekit.device import describe
from edgekit.errors import EdgekitError, MissingError
from edgekit.results import Actions, Detections, Poses
from edgekit.selftest_compare import unlike
from edgekit.selftest_engines import TOLERANCE, compare, relative
from edgekit.selftest_worker import Case
from edgekit.telemetry.boards import BoardTree, find_board


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    describe.cache_clear()
    yield
    describe.cache_clear()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(True, Path("/"), "", tmp_path)


@pytest.fixture
def board(tmp_path: Path) -> tuple[Case, BoardTree]:
    """An Orin Nano with its power meters, and the case that looks at it."""
    root = make_board(tmp_path / "board", "orin-nano")
    tree = BoardTree(root, find_board("orin-nano"))
    return Case(True, root, "", tmp_path), tree


# --- the machine ---------------------------------------------------------------------------------


def test_the_meter_of_a_board(board: tuple[Case, BoardTree]) -> None:
    case, tree = board
    tree.set_rail("VDD_IN", 7350)
    words, figures = selftest_machine.meter(case, "sysfs")
    assert words.startswith("7.3 W of VDD_IN, ")
    assert figures["watts"][-1] == pytest.approx(7.35, abs=0.01)
    assert figures["temps_c"]["tj"] == pytest.approx(45)


@pytest.mark.parametrize(("milliwatts", "words"), [(7_350_000, "cannot be true"), (7, "cannot be true")])
def test_a_meter_in_the_wrong_unit_fails(board: tuple[Case, BoardTree], milliwatts: int, words: str) -> None:
    case, tree = board
    tree.set_rail("VDD_IN", milliwatts)
    with pytest.raises(EdgekitError, match=words):
        selftest_machine.meter(case, "sysfs")


def test_a_meter_that_is_not_here_is_no_failure(tmp_path: Path) -> None:
    case = Case(True, make_pc(tmp_path / "pc"), "", tmp_path)
    for name in ("sysfs", "jtop"):
        with pytest.raises(MissingError):
            selftest_machine.meter(case, name)
    with pytest.raises(MissingError, match="no sysfs"):
        selftest_machine.throttling(case)
    with pytest.raises(MissingError, match="no Jetson"):
        selftest_machine.power_mode(case)


def test_power_mode_throttling_and_what_is_left(board: tuple[Case, BoardTree]) -> None:
    case, tree = board
    tree.set_mode(0)
    words, figures = selftest_machine.power_mode(case)
    assert figures["mode"] == find_board("orin-nano").modes[0]
    assert "clocks" in words
    tree.set_oc(3, 5)
    words, figures = selftest_machine.throttling(case)
    assert figures["events"]["oc3"] == 5
    assert "by sysfs: none now" in words
    words, figures = selftest_machine.state(case)
    assert "GiB of disk free; cpu 45 °C" in words
    assert figures["memory_total"] == 7_802_000 * 1024
    (case.root / "var/lib/nvpmodel/status").unlink()
    with pytest.raises(EdgekitError, match="power mode is not told"):
        selftest_machine.power_mode(case)


def test_throttling_by_nvml_whose_reasons_are_readable_and_none_holds(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.telemetry.sample import Sample, boot_clock, wall_iso

    def read(missing: dict[str, str], **more: Any) -> Any:
        sample = Sample(
            boot_clock(), wall_iso(), "nvml", missing={"oc_events": "not a Jetson", **missing}, **more
        )
        return lambda name, case: sample if name == "nvml" else None

    monkeypatch.setattr(selftest_machine, "_read", read({}))
    assert selftest_machine.throttling(case)[0] == "by nvml: none now"
    monkeypatch.setattr(selftest_machine, "_read", read({}, throttle=("power cap",)))
    assert selftest_machine.throttling(case)[1]["now"] == ["power cap"]
    monkeypatch.setattr(selftest_machine, "_read", read({"throttle": "NVML: not supported"}))
    with pytest.raises(MissingError, match="nvml: NVML: not supported"):
        selftest_machine.throttling(case)


def test_the_doctor_here_and_on_a_board_of_another_python(case: Case, board: tuple[Case, BoardTree]) -> None:
    words, figures = selftest_machine.doctor(case)
    assert words.endswith(" 0 bad")
    assert {line["status"] for line in figures["lines"]} <= {"ok", "warning"}
    describe.cache_clear()
    with pytest.raises(EdgekitError, match=r"TensorRT: .*`edgekit doctor` names the cure"):
        selftest_machine.doctor(board[0])


# --- engines -------------------------------------------------------------------------------------


def test_how_far_two_outputs_are_apart() -> None:
    want = np.array([3.0, 4.0], np.float32)
    assert relative(want * np.float32(1.01), want) == pytest.approx(0.01, rel=1e-4)
    assert relative(want, want) == 0
    assert relative(np.array([3.0, np.nan], np.float32), want) == np.inf
    assert relative(np.zeros((1, 2), np.float32), want) == np.inf
    assert relative(np.zeros(2), np.zeros(2)) == 0
    assert relative(np.ones(2), np.zeros(2)) == np.inf


@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_tolerance_of_each_precision(precision: str) -> None:
    want = {"a": np.ones(9, np.float32), "b": np.arange(9.0, dtype=np.float32)}
    near = {name: value * np.float32(1 + TOLERANCE[precision] * 0.9) for name, value in want.items()}
    assert set(compare(near, want, precision)) == {"a", "b"}
    far = {**near, "b": want["b"] * np.float32(1 + TOLERANCE[precision] * 1.1)}
    with pytest.raises(EdgekitError, match=f"^b is off by .* in {precision}$"):
        compare(far, want, precision)


class Stand:
    """ONNX Runtime in the place of a plan; `twist` is what is wrong with it."""

    twist: Any = staticmethod(lambda name, array: array)
    opened: list[dict[str, Any]] = []  # noqa: RUF012 - the test empties it
    engine: Any = None

    def __init__(self, path: Any, **options: Any) -> None:
        self.options = options
        self.path, self.why = Path("edgekit-person.plan"), "a stand-in runs it."
        Stand.opened.append(options)

    def __getattr__(self, name: str) -> Any:
        return getattr(Stand.engine, name)

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def __call__(self, feeds: Any) -> Any:
        return {name: Stand.twist(self.options, array) for name, array in Stand.engine(feeds).items()}


@pytest.fixture(scope="module")
def person() -> Iterator[Any]:
    """The detector on ONNX Runtime, opened once."""
    from edgekit.engine.exact import open_exact

    with open_exact("edgekit-person", "fp32", "onnxruntime-cpu") as engine:
        yield engine


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, person: Any) -> list[dict[str, Any]]:
    """TensorRT is said to be here; a plan is ONNX Runtime."""
    from edgekit.engine import choose, exact, tensorrt

    real = exact.open_exact

    def opened(model: Any, precision: str, backend: str, **how: Any) -> Any:
        return (
            Stand(model, backend=backend) if backend == "tensorrt" else real(model, precision, backend, **how)
        )

    monkeypatch.setattr(choose, "tensorrt_missing", lambda: None)
    monkeypatch.setattr(exact, "open_exact", opened)
    monkeypatch.setattr(tensorrt, "TensorRTEngine", Stand)
    monkeypatch.setattr(selftest_engines, "CALLS", 1)
    monkeypatch.setattr(Stand, "twist", staticmethod(lambda options, array: array))
    monkeypatch.setattr(Stand, "engine", person)
    Stand.opened.clear()
    return Stand.opened


def test_a_plan_beside_onnxruntime(case: Case, plans: list, monkeypatch: pytest.MonkeyPatch) -> None:
    words, figures = selftest_engines.plan(case, "edgekit-person", "fp16")
    assert words.startswith("0 from ONNX Runtime's, ")
    assert figures["off"] == {"output0": 0.0}
    monkeypatch.setattr(Stand, "twist", staticmethod(lambda options, array: array * np.float32(1.05)))
    with pytest.raises(EdgekitError, match=r"output0 is off by 0\.05"):
        selftest_engines.plan(case, "edgekit-person", "fp16")
    assert selftest_engines.plan(case, "edgekit-person", "int8")[1]["off"]["output0"] == pytest.approx(0.05)


@pytest.mark.parametrize(("step", "option"), [("zero_copy", "zero_copy"), ("cuda_graph", "graph")])
def test_both_ways_must_be_equal_to_the_last_bit(
    case: Case, plans: list, monkeypatch: pytest.MonkeyPatch, step: str, option: str
) -> None:
    run = getattr(selftest_engines, step)
    words, _ = run(case)
    assert words.startswith("equal to the last bit; ")
    assert plans[1:] == [{option: False}, {option: True}]
    bit = np.float32(1 + 2**-23)
    twist = lambda options, array: array * (bit if options.get(option) else 1)  # noqa: E731
    monkeypatch.setattr(Stand, "twist", staticmethod(twist))
    with pytest.raises(EdgekitError, match="output0 is not the same"):
        run(case)


def test_a_graph_that_was_not_recorded_fails(
    case: Case, plans: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Stand.__init__

    def without(self: Stand, path: Any, **options: Any) -> None:
        made(self, path, **options)
        self.why = "tensorrt runs it. No CUDA graph: the driver is old."

    monkeypatch.setattr(Stand, "__init__", without)
    with pytest.raises(EdgekitError, match="the driver is old"):
        selftest_engines.cuda_graph(case)
    assert selftest_engines.zero_copy(case)


def test_without_a_gpu_what_needs_one_is_not_here(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    describe.cache_clear()
    for step in (selftest_engines.dla, selftest_engines.zero_copy, selftest_engines.cuda_graph):
        with pytest.raises(MissingError, match="no NVIDIA GPU"):
            step(case)
    with pytest.raises(MissingError, match="no NVIDIA GPU"):
        selftest_engines.plan(case, "edgekit-person", "fp16")
    with pytest.raises(MissingError, match="no NVIDIA GPU"):
        selftest_kernels.twin(case, "paf")


def test_a_kernel_beside_its_twin(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.ops import paf_cuda

    class Gpu(SimpleNamespace):
        released = 0

        def call(self, work: Any, *args: Any) -> Any:
            return work(*args)

        def release(self) -> None:
            Gpu.released += 1

    gpu = Gpu(name="Orin")
    monkeypatch.setattr(selftest_kernels, "describe", lambda: SimpleNamespace(gpu="Orin"))
    monkeypatch.setattr(selftest_kernels, "acquire", lambda: gpu)
    monkeypatch.setattr(selftest_kernels, "find_nvcc", lambda: "true")
    monkeypatch.setattr(paf_cuda, "check_twin", lambda it: f"{it.name}: equal", raising=False)
    assert selftest_kernels.twin(case, "paf") == ("Orin: equal (Orin)", {"gpu": "Orin"})

    def unequal(it: Any) -> str:
        raise AssertionError("2 peaks differ")

    monkeypatch.setattr(paf_cuda, "check_twin", unequal)
    with pytest.raises(AssertionError, match="2 peaks differ"):
        selftest_kernels.twin(case, "paf")
    assert Gpu.released == 2
    monkeypatch.setattr(selftest_kernels, "find_nvcc", lambda: "/nowhere/nvcc")
    with pytest.raises(MissingError, match="nvcc is not here"):
        selftest_kernels.twin(case, "paf")


# --- results -------------------------------------------------------------------------------------

BOXES = np.array([[10, 10, 50, 90], [60, 20, 80, 70], [5, 5, 9, 9]], np.float32)


def boxes(
    shift: float = 0.0, scores: tuple[float, ...] = (0.9, 0.8, 0.26), rows: slice = slice(None)
) -> Detections:
    score = np.array(scores, np.float32)
    return Detections(
        (BOXES + np.float32(shift))[rows], score[rows], np.zeros(3, np.int64)[rows], ("person",)
    )


def test_boxes_are_alike() -> None:
    assert unlike(boxes(), boxes(), 0.1, 0.002) == ""
    assert unlike(boxes(), boxes(0.09), 0.1, 0.002) == ""
    assert "0.5 pixels" in unlike(boxes(), boxes(0.5), 0.1, 0.002)
    assert "in score" in unlike(boxes(), boxes(scores=(0.9, 0.7, 0.26)), 0.1, 0.002)
    assert unlike(boxes(), boxes(rows=slice(2)), 0.1, 0.02, 0.25) == "", "the third lies at the threshold"
    assert unlike(boxes(), boxes(rows=slice(2)), 0.1, 0.02, 0.2)
    assert unlike(boxes(), boxes(rows=slice(1)), 0.1, 0.02, 0.25)
    assert unlike(boxes(rows=slice(0)), boxes(), 0.1, 0.002)
    assert unlike(boxes(rows=slice(0)), boxes(rows=slice(0)), 0.1, 0.002) == ""
    assert unlike(boxes()[np.array([2, 0, 1])], boxes(), 0.1, 0.002) == "", "their order is of no matter"
    other = Detections(BOXES, boxes().score, np.array([0, 1, 0]), ("person", "dog"))
    assert unlike(other, boxes(), 0.1, 0.002), "another class"


def test_poses_and_actions_are_alike() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0.3, 1, (2, 5, 3)).astype(np.float32) * [100, 100, 1]
    pose = lambda moved: Poses(moved, np.array([0.9, 0.8], np.float32))  # noqa: E731
    assert unlike(pose(points), pose(points), 0.1, 0.002) == ""
    moved = points.copy()
    moved[1, 3, 0] += 5
    assert "5 pixels" in unlike(pose(points), pose(moved), 0.1, 0.002)
    unsure = points.copy()
    unsure[1, 3, 2] = 0.1
    guess = unsure.copy()
    guess[1, 3, :2] += 40
    assert unlike(pose(unsure), pose(guess), 0.1, 0.002) == "", "a guess may lie anywhere"
    acts = lambda p: Actions(np.array([[p, 0.1]], np.float32), ("walk", "sit"))  # noqa: E731
    assert unlike(acts(0.8), acts(0.801), 0.1, 0.002) == ""
    assert unlike(acts(0.8), acts(0.7), 0.1, 0.002)
    assert unlike(boxes(), pose(points), 0.1, 0.002) == "Detections and Poses"
    assert selftest_compare.SURE == 0.2


# --- tasks ---------------------------------------------------------------------------------------


class Fixed:
    """A task whose results are given; the kernels' are shifted."""

    backend, precision, device, why = "onnxruntime-cpu", "fp32", "CPU", "a stand-in"

    def __init__(self, ops: str, shift: float) -> None:
        self.ops, self.ops_why, self.shift, self.times = ops, "asked for", shift, {}
        self.engine = self
        self.metadata: dict[str, str] = {}

    def __call__(self, frame: Any) -> Detections:
        return boxes(self.shift)

    def close(self) -> None: ...

    def __enter__(self) -> Fixed:
        return self

    def __exit__(self, *_: Any) -> None: ...


@pytest.mark.parametrize(("shift", "alike"), [(0.0, True), (0.05, True), (0.5, False)])
def test_a_task_by_kernels_beside_the_host(
    case: Case, monkeypatch: pytest.MonkeyPatch, shift: float, alike: bool
) -> None:
    def opener(model: str, backend: str, ops: str) -> Fixed:
        return Fixed(ops, shift if ops == "cuda" else 0.0)

    monkeypatch.setattr(selftest_tasks, "_opener", lambda name: opener)
    if alike:
        words, figures = selftest_tasks.task(case, "yolo", "cuda")
        assert "3 frames" in words
        assert figures["host"]["ops"] == "host"
    else:
        with pytest.raises(EdgekitError, match=r"frame 0 is not the host's: .* 0\.5 pixels"):
            selftest_tasks.task(case, "yolo", "cuda")


def test_a_task_that_takes_another_way_is_not_here(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        selftest_tasks, "_opener", lambda name: lambda model, backend, ops: Fixed("host", 0.0)
    )
    with pytest.raises(MissingError, match="its steps run on the host: asked for"):
        selftest_tasks.task(case, "yolo", "cuda")
