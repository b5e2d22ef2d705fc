"""A YOLO on the GPU gives the host's Detections: the shipped detector, and made networks of all heads.

The networks run on the CPU in both ways, so that only the steps around them can differ.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from cuda_double import FakeCuda
from cuda_machine import ResidentEngine
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine import gpu_thread
from edgekit.engine.cuda import DeviceArray, Graph
from edgekit.engine.resident import resident
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.models import model as shelf_model
from edgekit.ops import yolo_cuda
from edgekit.results import Detections
from edgekit.tasks.yolo import Yolo, open_yolo, yolo_on
from edgekit.tasks.yolo_heads import HEADS

SAMPLE = Path(__file__).parents[2] / "edgekit" / "samples" / "people.jpg"
CLASSES = 3


@pytest.fixture
def random() -> np.random.Generator:
    """Fresh numbers each time; the seed is shown where a test fails."""
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed)


def make_network(
    path: Path, random: np.random.Generator, head: str, batch: int | None = None, half: bool = False
) -> Path:
    """A network of one convolution a stride: what it finds is nonsense, but of the picture."""
    columns = {"yolov8": 4, "end2end": 6}.get(head, 5) + (0 if head == "end2end" else CLASSES)
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    box = np.ones((1, columns, 1), np.float32)
    box[:, :4] = 1 if head == "yolox" else 40
    weights, nodes, flat = [numpy_helper.from_array(box, "box")], [], []
    if half:
        nodes.append(helper.make_node("Cast", ["images"], ["pictures"], to=TensorProto.FLOAT))
    for stride in (8, 16, 32):
        weight = random.normal(0, 9 / stride, (columns, 3, stride, stride)) / (255 if head == "yolox" else 1)
        weight -= weight.mean(axis=(1, 2, 3), keepdims=True)  # what is grey all over has equal scores
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{stride}"))
        nodes += [
            helper.make_node(
                "Conv", ["pictures" if half else "images", f"w{stride}"], [f"c{stride}"], strides=[stride] * 2
            ),
            helper.make_node("Reshape", [f"c{stride}", "flat"], [f"f{stride}"]),
        ]
        flat.append(f"f{stride}")
    weights.append(numpy_helper.from_array(np.array([0, columns, -1]), "flat"))
    nodes += [
        helper.make_node("Concat", flat, ["raw"], axis=2),
        helper.make_node("Sigmoid", ["raw"], ["shares"]),
        helper.make_node("Mul", ["shares", "box"], ["scaled"]),
    ]
    last = "scaled"
    if head != "yolov8":
        nodes.append(helper.make_node("Transpose", [last], ["turned"], perm=[0, 2, 1]))
        last = "turned"
    nodes.append(helper.make_node("Cast", [last], ["output0"], to=kind))
    shape = [batch or "n", 3, "h", "w"]
    out = [batch or "n", columns, "a"] if head == "yolov8" else [batch or "n", "a", columns]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("output0", kind, out)],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return path


def same(found: Detections, wanted: Detections, atol: float = 0) -> None:
    np.testing.assert_array_equal(found.label, wanted.label)
    np.testing.assert_array_equal(found.score, wanted.score)
    np.testing.assert_allclose(found.xyxy, wanted.xyxy, rtol=0, atol=atol)
    for name in ("xyxy", "score", "label"):
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
        assert getattr(found, name).flags.owndata or getattr(found, name).base.flags.owndata


def both(fake: FakeCuda, model: Path, **settings: Any) -> tuple[Yolo, Yolo]:
    """The same network with its steps on the double's GPU, and on the host."""
    one = Yolo(ResidentEngine(fake, model), ops="cuda", **settings)
    assert one.ops == "cuda"
    assert one.ops_why.startswith("asked for")
    assert ("OpenCV" in one.ops_why) == (settings["head"] == "darknet")
    other = Yolo(ResidentEngine(fake, model), ops="host", **settings)
    assert other.ops == "host"
    return one, other


@pytest.mark.compiler
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_as_the_host(
    cuda_machine: FakeCuda, random: np.random.Generator, tmp_path: Path, head: str, half: bool
) -> None:
    """Pictures of many sizes, one by one and together, over and over: plainly, recorded, replayed."""
    net = make_network(tmp_path / "net.onnx", random, head, half=half)
    settings: dict[str, Any] = {"head": head, "names": ["a", "b", "c"], "size": (64, 96), "score": 0.2}
    if head == "yolox":
        settings["iou"] = 1.0  # its boxes differ in the last place; none may drop another because of that
    ours, host = both(cuda_machine, net, **settings)
    atol = 1e-3 if head == "yolox" else 0
    pictures = [random.integers(0, 256, (*size, 3), np.uint8) for size in ((50, 70), (61, 33), (1, 1))]
    with ours, host:
        for image in (*[pictures[0]] * 4, *pictures, pictures[0][::2, ::-1]):
            same(ours(image), host(image), atol)
        for found, wanted in zip(ours(pictures), host(pictures), strict=True):
            same(found, wanted, atol)
        assert sum(map(len, host(pictures))) > 3
        assert list(ours.times) == ["pre", "infer", "post"]
        assert min(ours.times.values()) >= 0
        assert ours([]) == []


@pytest.mark.compiler
def test_the_shipped_detector(cuda_machine: FakeCuda) -> None:
    path = shelf_model("edgekit-person").path
    image = cv2.imread(str(SAMPLE))
    ours = yolo_on(ResidentEngine(cuda_machine, path), "edgekit-person")
    assert (ours.ops, ours.ops_why) == ("cuda", "the engine's tensors are on the GPU")
    with ours, open_yolo("edgekit-person", "fp32", "onnxruntime-cpu") as host:
        assert host.ops == "host"
        assert "keeps its tensors on the host" in host.ops_why
        found = ours(image)
        same(found, host(image))
        assert len(found) >= 2
        assert ours.on_gpu is not None
        assert ours.on_gpu.held.pictures[0].shape == image.shape


@pytest.mark.compiler
def test_settings_take_effect_at_the_next_frame(
    cuda_machine: FakeCuda, random: np.random.Generator, tmp_path: Path
) -> None:
    net = make_network(tmp_path / "net.onnx", random, "yolov8")
    ours, host = both(cuda_machine, net, head="yolov8", names=["a", "b", "c"], size=(64, 64))
    image = random.integers(0, 256, (90, 120, 3), np.uint8)
    counts = set()
    with ours, host:
        for changes in (
            {},
            {"score": 0.5},
            {"iou": 0.05},
            {"agnostic": True},
            {"classes": ["b"]},
            {"classes": [0, 2]},
            {"max_det": 2},
            {"classes": None, "score": 0.25, "iou": 0.45},
            {"score": 1.0},
        ):
            for name, value in changes.items():
                setattr(ours, name, value)
                setattr(host, name, value)
            for _ in range(3):
                found = ours(image)
                same(found, host(image))
            counts.add(len(found))
    assert len(counts) > 3


@pytest.mark.compiler
def test_auto_and_full_batches(cuda_machine: FakeCuda, random: np.random.Generator, tmp_path: Path) -> None:
    """The smaller input of `auto`; an engine of fixed batch with places left over."""
    pictures = [random.integers(0, 256, (40, 70 + 7 * n, 3), np.uint8) for n in range(5)]
    for batch, settings in ((None, {"auto": True}), (2, {})):
        net = make_network(tmp_path / f"net{batch}.onnx", random, "yolov8", batch)
        how = {"head": "yolov8", "names": ["a", "b", "c"], "size": (96, 96), **settings}
        ours, host = both(cuda_machine, net, **how)
        with ours, host:
            for given in (pictures, [pictures[0]] * 2, pictures[:1], pictures):
                for found, wanted in zip(ours(given), host(given), strict=True):
                    same(found, wanted)


@pytest.mark.compiler
def test_a_step_is_one_graph(
    cuda_machine: FakeCuda, random: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third frame of a size on: one launch, one synchronization, and no kernel started by itself."""
    launches = []
    launch = Graph.launch
    monkeypatch.setattr(Graph, "launch", lambda self, stream: launches.append(1) or launch(self, stream))
    net = make_network(tmp_path / "net.onnx", random, "yolov8")
    image = random.integers(0, 256, (50, 70, 3), np.uint8)
    with Yolo(ResidentEngine(cuda_machine, net), head="yolov8", names=["a", "b", "c"], size=(64, 64)) as ours:
        for _ in range(2):
            ours(image)
        cuda_machine.steps.clear()
        launches.clear()
        ours(image)
        assert launches == [1]
        assert cuda_machine.steps.count("graph launch") == 1
        assert cuda_machine.steps.count("synchronize") == 1
        assert "launch" not in cuda_machine.steps
        assert "mem_alloc" not in cuda_machine.steps
        assert ours.on_gpu is not None
        assert ours.on_gpu.held.note == ""


@pytest.mark.compiler
def test_nothing_is_left_after_a_failure(
    cuda_machine: FakeCuda, random: np.random.Generator, tmp_path: Path
) -> None:
    """Whichever CUDA call fails, the error is the kit's, and closing the task frees everything."""
    net = make_network(tmp_path / "net.onnx", random, "yolov8")
    image = random.integers(0, 256, (20, 30, 3), np.uint8)

    def work() -> None:
        engine = ResidentEngine(cuda_machine, net)
        try:
            with Yolo(engine, ops="cuda", head="yolov8", names=["a", "b", "c"], size=(32, 32)) as ours:
                for _ in range(3):
                    ours(image)
        finally:
            engine.close()

    cuda_machine.fail_at(None)
    work()
    steps = len(cuda_machine.steps)
    assert steps > 40
    for step in range(int(random.integers(4)), steps, 4):
        cuda_machine.fail_at(step)
        with suppress(EdgekitError):  # what cannot be recorded goes on without
            work()
        cuda_machine.fail_at(None)
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        cuda_machine.assert_clean()


@pytest.mark.compiler
def test_where_the_kernels_cannot_be_made(
    cuda_machine: FakeCuda, tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make_network(tmp_path / "net.onnx", random, "yolov8")
    how: dict[str, Any] = {"head": "yolov8", "names": ["a", "b", "c"], "size": (32, 32)}

    def refuse(*_: Any) -> None:
        raise MissingError("yolo_cuda.cu is compiled by nvcc, which cannot be run.")

    monkeypatch.setattr(yolo_cuda, "Kernels", refuse)
    engine = ResidentEngine(cuda_machine, net)
    with pytest.raises(MissingError, match="which cannot be run"):
        Yolo(engine, ops="cuda", **how)
    with Yolo(engine, **how) as task:
        assert (task.ops, task.on_gpu) == ("host", None)
        assert "which cannot be run" in task.ops_why
        task(random.integers(0, 256, (20, 30, 3), np.uint8))
    with pytest.raises(InputError, match="ops='gpu' is unknown"):
        Yolo(engine, ops="gpu", **how)


def by_hand(task: Yolo, image: np.ndarray) -> tuple[np.ndarray, Detections]:
    """The input that lies on the GPU, and what the host makes of the engine's own output."""
    assert task.on_gpu is not None
    inside, entry = resident(task.engine), task.engine.inputs[0].name
    feeds, transforms = task.preprocess([image])

    def work() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        import pycuda.driver as drv

        def down(array: DeviceArray) -> np.ndarray:
            host = np.empty(array.shape, array.dtype)
            drv.memcpy_dtoh(host, array.address)
            return host

        seen = down(inside.place({entry: feeds[entry].shape})[entry])
        outputs = inside.enqueue()
        inside.gpu.stream.synchronize()
        return seen, {name: down(one) for name, one in outputs.items()}

    seen, outputs = task.on_gpu.call(work)
    np.testing.assert_array_equal(seen, feeds[entry])
    return seen, task.postprocess(outputs, transforms)[0]


@pytest.mark.gpu
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_made_networks_on_a_gpu(
    real_gpu: None, random: np.random.Generator, tmp_path: Path, head: str, half: bool
) -> None:
    net = make_network(tmp_path / "net.onnx", random, head, half=half)
    how: dict[str, Any] = {"head": head, "names": ["a", "b", "c"], "size": (320, 416), "score": 0.2}
    if head == "yolox":
        how["iou"] = 1.0
    found = 0
    with open_yolo(net, "fp32", "onnxruntime-cuda", ops="cuda", **how) as task:
        for size in [(200, 300)] * 5 + [(1080, 1920), (33, 711), (1, 1), (200, 300)]:
            image = random.integers(0, 256, (*size, 3), np.uint8)
            ours = task(image)
            same(ours, by_hand(task, image)[1], 1e-2 if head == "yolox" else 0)
            found += len(ours)
        assert found > 10
        assert task.on_gpu is not None
        assert task.on_gpu.held.note == ""


@pytest.mark.gpu
def test_the_shipped_detector_on_a_gpu(real_gpu: None) -> None:
    image = cv2.imread(str(SAMPLE))
    with open_yolo("edgekit-person", "fp32", "onnxruntime-cuda", ops="cuda") as task:
        for _ in range(5):
            ours = task(image)
            assert len(ours) >= 2
            same(ours, by_hand(task, image)[1])
        assert all(took > 0 for took in task.times.values())
        assert task.on_gpu is not None
        assert task.on_gpu.held.note == ""
