"""TrtPose with its steps on the GPU finds the very people that it finds with them on the host."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import ResidentEngine
from test_trtpose import dots, dots_net

from edgekit.camera import open_source
from edgekit.engine import gpu_thread
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.errors import EdgekitError, MissingError
from edgekit.models import find
from edgekit.results import Frame, Poses
from edgekit.tasks.trtpose import TrtPose, open_trtpose, trtpose_on


def same(found: Poses, wanted: Poses, pixels: float = 0.0) -> None:
    """Equal; on other CPUs than x86 OpenCV's own resize may be a grey level off, and a keypoint with it."""
    assert found.keypoints.shape == wanted.keypoints.shape
    np.testing.assert_allclose(found.keypoints[:, :, :2], wanted.keypoints[:, :, :2], atol=pixels)
    np.testing.assert_allclose(found.score, wanted.score, atol=pixels / 100)


@pytest.fixture
def sample() -> Iterator[np.ndarray]:
    with open_source("sample-picture") as source:
        yield next(iter(source)).image


@pytest.mark.compiler
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("batch", [1, 3, "batch"])
def test_as_on_the_host(cuda_machine: FakeCuda, tmp_path: Path, fit: str, batch: int | str) -> None:
    """Pictures of odd sizes, one without anybody, alone and together, again and again."""
    seed = secrets.randbelow(10**6)
    print("seed", seed)  # noqa: T201
    rng = np.random.default_rng(seed)
    path = dots_net(tmp_path / "dots.onnx", batch, fit=fit)
    pictures = [dots(size, tuple(rng.uniform(0.1, 0.4, 2)))[0] for size in ((96, 128), (61, 203), (131, 77))]
    pictures.append(np.zeros((33, 57, 3), np.uint8))
    pictures.append(np.asfortranarray(pictures[1])[::2, ::-1])  # of strides
    with TrtPose(OnnxRuntimeEngine(path)) as host, TrtPose(ResidentEngine(cuda_machine, path)) as task:
        assert (host.ops, task.ops, task.ops_why) == ("host", "cuda", "the engine's tensors are on the GPU")
        wanted = host(pictures)
        assert sum(map(len, wanted)) >= 4
        assert len(wanted[3]) == 0
        for found, one in zip(task([Frame(picture) for picture in pictures]), wanted, strict=True):
            same(found, one)
        for _ in range(3):  # plain, recorded, replayed
            for found, one in zip(task(pictures[:2]), wanted, strict=False):
                same(found, one)
        assert set(task.times) == {"pre", "infer", "post"}
        assert min(task.times.values()) > 0


@pytest.mark.compiler
def test_it_is_recorded_and_follows_the_settings(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    path = dots_net(tmp_path / "dots.onnx")
    picture, _ = dots((96, 128), (0.2, 0.3), (0.3, 0.7))
    picture[48:] //= 2  # the second one is darker
    with TrtPose(OnnxRuntimeEngine(path)) as host, TrtPose(ResidentEngine(cuda_machine, path)) as task:
        cuda_machine.fail_at(None)
        assert len(host(picture)) == 2
        for _ in range(4):
            same(task(picture), host(picture))
        assert cuda_machine.steps.count("graph launch") == 3
        assert cuda_machine.steps.count("begin capture") == 1
        for _ in range(3):
            picture = np.roll(picture, 7, axis=1)
            same(task(picture), host(picture))
        assert cuda_machine.steps.count("synchronize") == 7, "one a picture"
        settings = {"score": 0.0, "cmap_threshold": 0.7, "link_threshold": 0.9, "max_people": 1}
        for name, value in settings.items():
            setattr(host, name, value)
            setattr(task, name, value)
            same(task(picture), host(picture))
            if name == "cmap_threshold":
                assert len(host(picture)) == 1


@pytest.mark.compiler
@pytest.mark.parametrize("cuda_machine", [False], indirect=True, ids=["discrete"])
def test_the_shipped_model(cuda_machine: FakeCuda, sample: np.ndarray) -> None:
    picture = cv2.resize(sample, (333, 187), interpolation=cv2.INTER_AREA)
    path = find("edgekit-trtpose")
    with trtpose_on(ResidentEngine(cuda_machine, path), "edgekit-trtpose", score=0) as task:
        found = task(picture)
    with open_trtpose("edgekit-trtpose", backend="onnxruntime-cpu", score=0) as host:
        wanted = host(picture)
    assert len(wanted) > 3
    same(found, wanted)


@pytest.mark.compiler
def test_nothing_is_left_after_a_failure(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    """Whichever CUDA call fails, the error is one of the kit's, or the task does without a recording."""
    path = dots_net(tmp_path / "dots.onnx")
    picture, _ = dots((24, 32), (0.2, 0.3))

    def work(failing: int | None) -> list[str]:
        """The steps done; none of them after an error."""
        with ResidentEngine(cuda_machine, path) as engine:
            cuda_machine.fail_at(failing)
            try:
                with TrtPose(engine, ops="cuda") as task:
                    assert len(task(picture)) == len(task(picture)) == 1
                return list(cuda_machine.steps)
            except EdgekitError:
                return []
            finally:
                cuda_machine.fail_at(None)

    steps = work(None)
    recording = range(steps.index("begin capture"), steps.index("graph launch"))
    for number, step in enumerate(steps):
        assert bool(work(number)) == (number in recording), step
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        cuda_machine.assert_clean()


@pytest.mark.compiler
def test_without_nvcc_it_is_the_hosts(
    cuda_machine: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dots_net(tmp_path / "dots.onnx")
    monkeypatch.setattr("shutil.which", lambda name, *_, **__: None)
    with TrtPose(ResidentEngine(cuda_machine, path)) as task:
        assert task.ops == "host"
        assert "nvcc" in task.ops_why
    with (
        ResidentEngine(cuda_machine, path) as engine,
        pytest.raises(MissingError, match=r'ops="cuda" cannot be.*nvcc'),
    ):
        TrtPose(engine, ops="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_shipped_model_on_a_gpu(real_memory: None, sample: np.ndarray, precision: str) -> None:
    """The same engine with its steps on the GPU and on the host, in pictures of several sizes."""
    sizes = [sample.shape[1::-1], (333, 187), (224, 224), (199, 401)]
    for backend in ("onnxruntime-cuda",):
        with (
            open_trtpose("edgekit-trtpose", precision, backend, ops="cuda") as task,
            open_trtpose("edgekit-trtpose", precision, backend, ops="host") as host,
        ):
            assert (task.ops, host.ops) == ("cuda", "host")
            for size in sizes:
                picture = cv2.resize(sample, size, interpolation=cv2.INTER_AREA)
                wanted = host(picture)
                for _ in range(4):
                    same(task(picture), wanted, 0.5)
