"""Action recognition with its windows on the GPU: the same answers as with the host's tapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from action_nets import Followed, save
from cuda_double import FakeCuda
from cuda_machine import ResidentEngine
from window_nets import window_net

from edgekit.engine import open_engine
from edgekit.errors import MissingError
from edgekit.results import Actions, Frame
from edgekit.tasks.action_task import ActionRecognition

SEED = int(np.random.SeedSequence().entropy % 2**32)  # type: ignore[operator]
#: Windows are equal to the last bit; a real GPU multiplies with 10 bits (TF32) and sums in another order.
TOLERANCE, ON_GPU = 1e-6, 1e-2
#: Streams, 2d or 3d, a fixed batch, one stream shorter than the other.
NETS: tuple[dict[str, Any], ...] = (
    {},
    {"flat": True, "size": (9, 11)},
    {"batch": 2},
    {"rgb": 2, "of": 4},
    {"rgb": 0, "of": 3, "flat": True},
)
HOW: tuple[dict[str, Any], ...] = (
    {"stride": 1},
    {"sample_rate": 3, "stride": 2},
    {"cold": "pad", "smooth": True},
    {"center_crop": True, "smaller_edge": 16},
)


def video(count: int, height: int = 36, width: int = 46) -> list[Frame]:
    print("seed", SEED)  # noqa: T201
    pictures = np.random.default_rng(SEED).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [Frame(picture, i, i / 10) for i, picture in enumerate(pictures)]


def played(engine: Any, ops: str, frames: list[Frame], **settings: Any) -> list[Actions]:
    with ActionRecognition(engine, ops=ops, **settings) as task:
        assert (task.ops, task.ops_why) == (ops, "asked for")
        return [task(frame) for frame in (*frames, *frames)]  # the index begins anew: another video


def same(path: Path, make: Any, apart: float, frames: list[Frame], **settings: Any) -> None:
    wanted = played(open_engine(path, "fp32", "onnxruntime-cpu"), "host", frames, **settings)
    found = played(make(path), "cuda", frames, **settings)
    assert sum(bool(actions.known.all()) for actions in wanted if actions.known is not None) > 1
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.known, other.known)
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=apart)
        assert one.frames == other.frames


def check(make: Any, folder: Path, apart: float) -> None:
    for number, net in enumerate(NETS):
        path = save(window_net(**net), folder / f"{number}.onnx")
        for how in HOW if number == 0 else HOW[1:2]:
            same(path, make, apart, video(14), **how)
    short = video(3)  # less than a window: it is looped
    same(save(window_net(), folder / "short.onnx"), make, apart, short, total=3)


@pytest.mark.compiler
def test_as_the_host(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    check(lambda path: ResidentEngine(cuda_machine, path, beside=True), tmp_path, TOLERANCE)


@pytest.mark.gpu
def test_as_the_host_on_a_gpu(real_gpu: None, tmp_path: Path) -> None:
    check(lambda path: open_engine(path, "fp32", "onnxruntime-cuda", beside=True), tmp_path, ON_GPU)


@pytest.fixture
def engine(cuda_machine: FakeCuda, tmp_path: Path) -> ResidentEngine:
    model: onnx.ModelProto = window_net(rgb=4, size=(10, 12))
    return ResidentEngine(cuda_machine, save(model, tmp_path / "net.onnx"), beside=True)


@pytest.mark.compiler
def test_of_a_frame_its_small_picture_is_sent_once(cuda_machine: FakeCuda, engine: ResidentEngine) -> None:
    with ActionRecognition(engine, ops="cuda") as task:
        frames = video(30)
        for frame in frames[:10]:
            task(frame)
        cuda_machine.steps.clear()
        for frame in frames[10:]:
            task(frame)
        steps = cuda_machine.steps
    assert steps.count("upload") == 20
    assert steps.count("launch") == 20
    assert steps.count("graph launch") == 20
    assert not {"mem_alloc", "pagelocked_empty", "download"} & set(steps)


@pytest.mark.compiler
def test_people_are_the_hosts(engine: ResidentEngine) -> None:
    people = Followed(lambda index: {1: (3, 3, 30, 30)})
    with pytest.raises(MissingError, match="people are cut out of whole frames"):
        ActionRecognition(engine, tracks=people, ops="cuda")  # type: ignore[arg-type]
    with ActionRecognition(engine, tracks=people, ops="graft") as task:  # type: ignore[arg-type]
        assert (task.ops, "no steps" in task.ops_why) == ("host", True)
    engine.close()


@pytest.mark.compiler
def test_auto_takes_the_gpu_where_the_engine_is_there(engine: ResidentEngine) -> None:
    people = Followed(lambda index: {1: (3, 3, 30, 30)})
    task = ActionRecognition(engine, tracks=people)  # type: ignore[arg-type]
    assert (task.ops, "people" in task.ops_why) == ("host", True)
    with ActionRecognition(engine, wait=False) as task:
        assert task.ops == "cuda"
        found = [task(frame) for frame in video(8)]
        while not (found[-1].known is not None and found[-1].known.all()):
            found.append(task(Frame(video(1)[0].image, len(found))))
