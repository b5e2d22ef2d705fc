"""Top-down networks and AlphaPose with their steps on the GPU: the keypoints that they find on the host."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import ResidentEngine
from pose_nets import dots_net
from test_topdown import COLOURS, THREE, drawing, people

from edgekit.camera import open_source
from edgekit.engine import gpu_thread
from edgekit.engine.cuda import Buffer
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.errors import EdgekitError, MissingError
from edgekit.models import find
from edgekit.results import Poses
from edgekit.tasks.alphapose import AlphaPose, alphapose_on, open_alphapose
from edgekit.tasks.topdown import TopDown, open_topdown
from edgekit.tasks.yolo import Yolo

#: The double as a discrete GPU only, where a test takes seconds.
DISCRETE = pytest.mark.parametrize("cuda_machine", [False], indirect=True, ids=["discrete"])
#: Keypoints may be as far off, in pixels of crops that are half as large as people: OpenCV before 4.12 has
#: warps in steps of 1/32 pixel, and a heat map's highest cell may become its neighbour's.
LOOSE = 4.0
NEW = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 12)


def same(found: np.ndarray, wanted: np.ndarray, pixels: float = 0.0) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found[..., :2], wanted[..., :2], atol=pixels)
    np.testing.assert_allclose(found[..., 2], wanted[..., 2], atol=1e-5 if NEW and not pixels else 0.05)


def pair(fake: FakeCuda, path: Path, **settings: Any) -> tuple[TopDown, TopDown]:
    return TopDown(ResidentEngine(fake, path), **settings), TopDown(OnnxRuntimeEngine(path), **settings)


@pytest.mark.compiler
@DISCRETE
@pytest.mark.parametrize(("batch", "most"), [("batch", 64), ("batch", 3), (4, 64)])
def test_as_on_the_host(cuda_machine: FakeCuda, tmp_path: Path, batch: int | str, most: int) -> None:
    """One picture and several, people outside of it and none at all, more of them than a call takes."""
    seed = secrets.randbelow(10**6)
    print("seed", seed)  # noqa: T201
    rng = np.random.default_rng(seed)
    path = dots_net(tmp_path / "pose.onnx", COLOURS, batch, task="topdown", topology=THREE.note())
    task, host = pair(cuda_machine, path, max_batch=most)
    boxes = people(5) + rng.uniform(-3, 3, (5, 4)).astype(np.float32)
    strange = np.array([[-60, -80, 40, 90], [600, 400, 700, 520], [9000, 9000, 9100, 9200], [50, 60, 50, 60]])
    picture, other = drawing(boxes), drawing(boxes)[:401, 5:520]
    with task, host:
        assert (task.ops, host.ops) == ("cuda", "host")
        assert task.ops_why == "the engine's tensors are on the GPU"
        for given in (boxes, strange, boxes[:1], boxes[:0], boxes[:2], boxes[:2] + 3, boxes[:2] + 5):
            same(task(picture, given), host(picture, given), 0 if NEW else LOOSE)
            assert task.calls == host.calls
        pictures, all_boxes = [picture, other, other, picture], [boxes[:2], boxes[:0], boxes, strange[:1]]
        found, wanted = (one.many(pictures, all_boxes) for one in (task, host))
        assert [len(one) for one in found] == [2, 0, 5, 1]
        for one, another in zip(found, wanted, strict=True):
            same(one, another, 0 if NEW else LOOSE)
        assert set(task.times) == {"pre", "infer", "post"}
        assert min(task.times.values()) > 0
        host_alone = TopDown(task.engine, max_batch=most, ops="host")
        same(host_alone(picture, boxes), host(picture, boxes))


@pytest.mark.compiler
def test_as_many_people_are_one_recording(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path = dots_net(tmp_path / "pose.onnx", COLOURS, 4, task="topdown", topology=THREE.note())
    task, host = pair(cuda_machine, path)
    boxes = people(3)
    picture = drawing(boxes)
    with task, host:
        cuda_machine.fail_at(None)
        for shift in range(4):
            same(task(picture, boxes + shift), host(picture, boxes + shift), 0 if NEW else LOOSE)
        assert cuda_machine.steps.count("graph launch") == 3
        assert cuda_machine.steps.count("synchronize") == 4, "one a picture"
        same(task(picture, boxes[:2]), host(picture, boxes[:2]), 0 if NEW else LOOSE)
        assert cuda_machine.steps.count("graph launch") == 3


@pytest.mark.compiler
def test_what_stays_on_the_host(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path = dots_net(tmp_path / "pose.onnx", COLOURS, task="topdown", topology=THREE.note())
    with TopDown(ResidentEngine(cuda_machine, path), flip=True) as task:
        assert task.ops == "host"
        assert "mirrored on the host" in task.ops_why
    with (
        ResidentEngine(cuda_machine, path) as engine,
        pytest.raises(MissingError, match="flip=False"),
    ):
        TopDown(engine, flip=True, ops="cuda")
    with (
        OnnxRuntimeEngine(path) as plain,
        pytest.raises(MissingError, match="keeps its tensors on the host"),
    ):
        TopDown(plain, ops="cuda")


def no_crash(fake: FakeCuda, work: Callable[[int | None], list[str]]) -> None:
    """Whichever CUDA call fails, the error is one of the kit's, or the task does without a recording."""
    steps = work(None)
    recording = range(steps.index("begin capture"), steps.index("graph launch"))
    for number, step in enumerate(steps):
        assert bool(work(number)) == (number in recording), step
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        fake.assert_clean()


@pytest.mark.compiler
@DISCRETE
def test_nothing_is_left_after_a_failure(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path = dots_net(tmp_path / "pose.onnx", COLOURS, task="topdown", topology=THREE.note())
    boxes = people(1)
    picture = drawing(boxes)

    def work(failing: int | None) -> list[str]:
        with ResidentEngine(cuda_machine, path) as engine:
            cuda_machine.fail_at(failing)
            try:
                with TopDown(engine, ops="cuda") as task:
                    assert len(task(picture, boxes)) == len(task(picture, boxes)) == 1
                return list(cuda_machine.steps)
            except EdgekitError:
                return []
            finally:
                cuda_machine.fail_at(None)

    no_crash(cuda_machine, work)


# AlphaPose, with the networks that ship.


@pytest.fixture
def sample() -> Iterator[np.ndarray]:
    with open_source("sample-picture") as source:
        yield next(iter(source)).image


def alike(found: Poses, wanted: Poses, pixels: float) -> None:
    assert len(found) == len(wanted)
    same(found.keypoints, wanted.keypoints, pixels)
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-4 if NEW and not pixels else 0.1)
    np.testing.assert_allclose(found.xyxy, wanted.xyxy, atol=pixels)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.compiler
@DISCRETE
def test_the_shipped_models(
    cuda_machine: FakeCuda, sample: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector's upload is the pose network's picture; a picture of nobody asks nothing of that."""
    detector, pose = find("edgekit-person"), find("edgekit-fastpose")
    sent: list[tuple[int, ...]] = []
    put = Buffer.put_many

    def counted(self: Buffer, arrays: Sequence[np.ndarray], stream: Any) -> Any:
        sent.extend(array.shape for array in arrays)
        return put(self, arrays, stream)

    monkeypatch.setattr(Buffer, "put_many", counted)
    with alphapose_on(
        ResidentEngine(cuda_machine, pose), pose, detector=Yolo(ResidentEngine(cuda_machine, detector))
    ) as task:
        assert (task.ops, task.detector.ops) == ("cuda", "cuda")
        sent.clear()
        found = task(sample)
        assert sent.count(sample.shape) == 1
        assert len(task(np.zeros((60, 80, 3), np.uint8))) == 0
    with open_alphapose(backend="onnxruntime-cpu") as host:
        wanted = host(sample)
    assert len(wanted) >= 3
    alike(found, wanted, 0.0 if NEW else LOOSE)


@pytest.mark.compiler
@DISCRETE
def test_detector_and_pose_network_each_where_it_is(cuda_machine: FakeCuda, sample: np.ndarray) -> None:
    """A detector of the host beside a pose network on the GPU, and the other way round, say so."""
    picture = cv2.resize(sample, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    paths = find("edgekit-person"), find("edgekit-fastpose")
    on_host = AlphaPose(*(kind(OnnxRuntimeEngine(p)) for kind, p in zip((Yolo, TopDown), paths, strict=True)))
    with on_host as host:
        wanted = host(picture)
        assert (host.ops, host.ops_why) == ("host", host.pose.ops_why)
    mixed = AlphaPose(Yolo(OnnxRuntimeEngine(paths[0])), TopDown(ResidentEngine(cuda_machine, paths[1])))
    with mixed as task:
        assert task.ops == "cuda"
        assert "the detector's are on host: onnxruntime-cpu keeps its tensors on the host" in task.ops_why
        alike(task(picture), wanted, 0.0 if NEW else LOOSE)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_shipped_models_on_a_gpu(real_memory: None, sample: np.ndarray, precision: str) -> None:
    """The same engines with their steps on the GPU and on the host, in pictures of several sizes.

    A heat map's highest cell may be its equal neighbour: a cell is a fortieth of a person.
    """
    with (
        open_alphapose("edgekit-fastpose", precision, "onnxruntime-cuda", ops="cuda") as task,
        open_alphapose("edgekit-fastpose", precision, "onnxruntime-cuda", ops="host") as host,
        open_topdown("edgekit-fastpose", precision, "onnxruntime-cuda", max_batch=3, ops="cuda") as pose,
    ):
        assert (task.ops, task.detector.ops, host.ops, pose.ops) == ("cuda", "cuda", "host", "cuda")
        for size in (sample.shape[1::-1], (333, 187), (801, 603)):
            picture = cv2.resize(sample, size, interpolation=cv2.INTER_AREA)
            wanted = host(picture)
            for _ in range(4):
                found = task(picture)
                assert len(found) == len(wanted)
                apart = np.abs(found.keypoints - wanted.keypoints)[..., :2]
                assert np.median(apart) < 0.05
                assert apart.max() < size[1] / 40
            boxes = host.detector(picture).xyxy
            apart = np.abs(pose(picture, boxes) - host.pose(picture, boxes))[..., :2]
            assert apart.max() < size[1] / 40
        assert len(task(np.zeros((60, 80, 3), np.uint8))) == 0
