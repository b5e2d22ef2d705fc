"""SlowFast with its frames on the GPU: the same answers as with the host's ring, and one upload a frame."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from action_nets import NOTES, Followed, clip_net, save, split_nets, whole_net
from cuda_double import FakeCuda
from cuda_machine import ResidentEngine
from sample_people import sample_frames

from edgekit.engine import open_engine
from edgekit.engine.cuda import Buffer
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.resident import Tenant
from edgekit.engine.roi_forms import rois_as_grid
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.files import engines_dir
from edgekit.results import Actions, Frame, Tracks
from edgekit.tasks.slowfast import SlowFast
from edgekit.tasks.slowfast_open import split_files
from edgekit.tasks.track import Track
from edgekit.tasks.yolo import Yolo
from edgekit.tracking import ByteTrack

SEED = int(np.random.SeedSequence().entropy % 2**32)  # type: ignore[operator]
#: Of scores: RoIAlign sums in another order than on the host.
TOLERANCE = 2e-5
Nets = tuple[onnx.ModelProto, ...]


def video(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    print("seed", SEED)  # noqa: T201
    pictures = np.random.default_rng(SEED).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [Frame(picture, i, i / 10) for i, picture in enumerate(pictures)]


def walkers(index: int) -> Mapping[int, tuple[float, ...]]:
    """1 always, 2 from frame 6, nobody from 12 to 14, three at once in 16; some far outside the picture."""
    if 12 <= index < 15:
        return {}
    people: dict[int, tuple[float, ...]] = {1: (4 + index, 4, 24 + index, 40)}
    if index >= 6:
        people[2] = (-900, 10 + index % 5, -800, 47)
    if index == 16:
        people |= {n: (n, 0, 63, 47) for n in (3, 4, 5)}
    return people


class Opened:
    """Engines of the same networks, on the host and on the GPU.

    `apart`: how far apart the answers of small and of large networks may be. RoIAlign sums in another order
    than on the host; a real GPU does so all along, with products of 10 bits (TF32).
    """

    def __init__(self, folder: Path, apart: tuple[float, float], make: Callable[[Path, bool], Any]) -> None:
        self._folder, self.apart, self._make = folder, apart, make

    def __call__(self, nets: Nets, on_gpu: bool) -> list[Any]:
        paths = [save(net, self._folder / f"{number}.onnx") for number, net in enumerate(nets)]
        return [self.engine(path, on_gpu) for path in paths]

    def engine(self, path: Path, on_gpu: bool, beside: bool = True) -> Any:
        return self._make(path, beside) if on_gpu else open_engine(path, "fp32", "onnxruntime-cpu")


@pytest.fixture
def opened(cuda_machine: FakeCuda, tmp_path: Path) -> Opened:
    return Opened(
        tmp_path, (TOLERANCE, 1e-4), lambda path, beside: ResidentEngine(cuda_machine, path, beside=beside)
    )


@pytest.fixture
def opened_on_gpu(real_gpu: None, tmp_path: Path) -> Opened:
    def make(path: Path, beside: bool) -> Any:
        return open_engine(path, "fp32", "onnxruntime-cuda", beside=beside)

    return Opened(tmp_path, (5e-3, 0.05), make)


def played(
    opened: Opened, nets: Nets, frames: list[Frame], ops: str, who: Any = walkers, **settings: Any
) -> list[Actions]:
    people = None if who is None else Followed(who)
    with SlowFast(people, *opened(nets, ops == "cuda"), ops=ops, **settings) as task:  # type: ignore[arg-type]
        assert (task.ops, task.ops_why) == (ops, "asked for")
        found = [task(frame) for frame in frames]
        again = [task(frame) for frame in frames]  # the index begins anew: another video
        assert task.parts["body"] >= 0
    for one, two in zip(found, again, strict=True):
        np.testing.assert_allclose(one.scores, two.scores, rtol=0, atol=opened.apart[0])
    return found


def same(opened: Opened, nets: Nets, frames: list[Frame], **settings: Any) -> None:
    found = played(opened, nets, frames, "cuda", **settings)
    wanted = played(opened, nets, frames, "host", **settings)
    assert sum(actions.known.sum() for actions in wanted if actions.known is not None) > 5
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.known, other.known)
        np.testing.assert_array_equal(one.track_id, other.track_id)
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=opened.apart[0])


def check_split(opened: Opened) -> None:
    """Body and head, with any number of people, with two a call, and up to two."""
    same(opened, split_nets(), video(24))
    same(opened, split_nets(), video(24, 47, 61), stride=3, cold="pad", smooth=False)
    same(opened, split_nets(rows=2), video(24), stride=1)
    same(opened, split_nets({**NOTES, "aligned": "true"}), video(24, 61, 47), size=(40, 56))


def check_whole(opened: Opened) -> None:
    """One graph with RoIAlign inside, as the operator and as GridSample; a picture of fixed size."""
    same(opened, (whole_net(),), video(24))
    same(opened, (whole_net(size=(32, 48)),), video(24, 50, 50))
    same(opened, (rois_as_grid(whole_net(), (32, 48)),), video(24), size=(32, 48))


def check_clip(opened: Opened) -> None:
    """A network for the whole picture."""
    same(opened, (clip_net(),), video(24), who=None)


def check_shipped(opened: Opened) -> None:
    """The shipped networks on the sample: detector, tracker and SlowFast, all on the GPU, as on the host."""
    frames = sample_frames(10)
    halves = split_files(engines_dir() / "edgekit-slowfast.onnx")
    assert halves is not None
    found: dict[str, list[Actions]] = {}
    for ops in ("host", "cuda"):
        body, head = (opened.engine(path, ops == "cuda") for path in halves)
        person = opened.engine(engines_dir() / "edgekit-person.onnx", ops == "cuda", beside=False)
        track = Track(Yolo(person, ops=ops, score=0.1), ByteTrack())
        with SlowFast(track, body, head, ops=ops, short_side=96, cold="pad", stride=3) as task:
            found[ops] = [task(frame) for frame in frames]
            assert (task.ops, track.detector.ops) == (ops, ops)
    assert sum(int(actions.known.sum()) for actions in found["host"]) > 10
    for one, other in zip(found["cuda"], found["host"], strict=True):
        np.testing.assert_array_equal(one.track_id, other.track_id)
        np.testing.assert_array_equal(one.known, other.known)
        np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=10 * opened.apart[1])
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=opened.apart[1])


CHECKS = (check_split, check_whole, check_clip, pytest.param(check_shipped, marks=pytest.mark.slow))


@pytest.mark.compiler
@pytest.mark.parametrize("work", CHECKS)
def test_as_the_host(opened: Opened, work: Any) -> None:
    work(opened)


@pytest.mark.gpu
@pytest.mark.parametrize("work", CHECKS)
def test_as_the_host_on_a_gpu(opened_on_gpu: Opened, work: Any) -> None:
    work(opened_on_gpu)


@pytest.mark.compiler
def test_each_frame_is_sent_once_and_no_feature_comes_back(cuda_machine: FakeCuda, opened: Opened) -> None:
    """Of a frame one upload; of a window the boxes up and the scores down, and no memory asked for."""
    with SlowFast(Followed(lambda i: {7: (3, 3, 40, 40)}), *opened(split_nets(), True), ops="cuda") as task:
        frames = video(40)
        for frame in frames[:16]:
            task(frame)
        cuda_machine.steps.clear()
        for frame in frames[16:]:
            task(frame)
        steps = cuda_machine.steps
    looks = 24 // 2
    copied = 0 if cuda_machine.integrated else 1
    assert steps.count("launch") == 24 + looks  # scaling, gathering; the rest is replayed
    assert steps.count("graph launch") == looks
    assert steps.count("upload") == copied * 24
    assert steps.count("download") == 0
    assert not {"mem_alloc", "pagelocked_empty"} & set(steps)


class Sender(Followed):
    """Stands in for a `Track` whose detector has sent each frame to the GPU of the loop's thread."""

    def __init__(self, who: Any) -> None:
        super().__init__(who)
        gpu = acquire()
        try:
            self.detector = types.SimpleNamespace(on_gpu=Tenant(gpu, Sent))
        finally:
            gpu.release()

    def __call__(self, frame: Frame) -> Tracks:
        tenant = self.detector.on_gpu
        tenant.call(tenant.held.send, frame.image)
        return super().__call__(frame)

    def close(self) -> None:
        self.detector.on_gpu.close()


class Sent(Buffer):
    """The frames of the last call, as of `edgekit.tasks.yolo_gpu.YoloOnGpu`."""

    def __init__(self, gpu: GpuThread) -> None:
        super().__init__(gpu)
        self.gpu, self.pictures = gpu, []

    def send(self, image: np.ndarray) -> None:
        self.pictures = [self.put(image, self.gpu.stream)]
        self.gpu.stream.synchronize()


@pytest.mark.compiler
def test_a_frame_that_the_detector_sent_is_not_sent_again(cuda_machine: FakeCuda, opened: Opened) -> None:
    frames, nets = video(20), split_nets()
    wanted = played(opened, nets, frames, "host", smooth=False)
    with SlowFast(Sender(walkers), *opened(nets, True), ops="cuda", smooth=False) as task:  # type: ignore[arg-type]
        found = [task(frame) for frame in frames]
        cuda_machine.steps.clear()
        task(Frame(frames[0].image[:, :0:-1], 20))  # of another size: the ring and the detector begin anew
        task(Frame(frames[1].image[:, :0:-1], 21))
        assert cuda_machine.steps.count("upload") == (0 if cuda_machine.integrated else 2)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.known, other.known)
        np.testing.assert_allclose(one.scores, other.scores, atol=TOLERANCE)


@pytest.mark.compiler
def test_beside_the_loop_the_last_window_counts(opened: Opened) -> None:
    """The loop goes on while the network looks; what it then gives is of the window as it was."""
    nets, frames = split_nets(), video(30)
    wanted = played(opened, nets, frames, "host", who=lambda i: {1: (5, 5, 40, 40)}, smooth=False)
    engines = opened(nets, True)
    began, go = threading.Event(), threading.Event()
    run = engines[0].inside.held._run

    def slow() -> None:
        began.set()
        assert go.wait(20)
        run()

    engines[0].inside.held._run = slow
    people = Followed(lambda i: {1: (5, 5, 40, 40)})
    with SlowFast(people, *engines, ops="cuda", wait=False, smooth=False) as task:
        for frame in frames[:8]:
            task(frame)
        assert began.wait(20)
        for frame in frames[8:29]:  # the loop does not wait: 21 frames while the first window is looked at
            assert not task(frame).known.any()
        go.set()
        while not (found := task(frames[29])).known.any():
            pass
    np.testing.assert_allclose(found.scores, wanted[7].scores, atol=TOLERANCE)


@pytest.mark.compiler
def test_auto_and_what_cannot_be(opened: Opened) -> None:
    frames = video(12)
    who = Followed(lambda i: {1: (5, 5, 40, 40)})
    with SlowFast(who, *opened(split_nets(), True)) as task:
        assert (task.ops, task.ops_why) == ("cuda", "the engine's tensors are on the GPU")
        assert [task(frame) for frame in frames][-1].known.all()
    host = opened(split_nets(), False)
    with SlowFast(who, *host) as task:
        assert (task.ops, task.ops_why) == ("host", "onnxruntime-cpu keeps its tensors on the host")
    body, head = opened(split_nets(), True)[0], opened(split_nets(), False)[1]
    with SlowFast(who, body, head) as task:  # one of the two is on the host
        assert task.ops == "host"
        assert [task(frame) for frame in frames][-1].known.all()
    body = opened(split_nets(), True)[0]
    with pytest.raises(MissingError, match='ops="cuda" cannot be: onnxruntime-cpu keeps'):
        SlowFast(who, body, head, ops="cuda")
    with pytest.raises(InputError, match="unknown"):
        SlowFast(who, body, head, ops="gpu")
    with pytest.raises(MissingError, match="keeps its tensors on the host"):
        SlowFast(who, *host, ops="cuda")
    body.close()


@pytest.mark.compiler
def test_graft_is_the_hosts(opened: Opened) -> None:
    with SlowFast(Followed(walkers), *opened(split_nets(), True), ops="graft") as task:
        assert task.ops == "host"
        assert "no steps" in task.ops_why


@pytest.mark.compiler
def test_an_error_of_the_gpu_is_one_of_the_kits_and_nothing_is_left(
    cuda_machine: FakeCuda, opened: Opened
) -> None:
    """Whichever CUDA call fails, all memory is given back; the fixture looks at it too."""
    nets, frames = split_nets(), video(11)

    def work() -> None:
        with SlowFast(Followed(lambda i: {1: (5, 5, 40, 40)}), *opened(nets, True), ops="cuda") as task:
            cuda_machine.steps.clear()
            for frame in frames:
                task(frame)

    work()
    count = len(cuda_machine.steps)
    assert count > 30
    for step in range(0, count, 3):
        with SlowFast(Followed(lambda i: {1: (5, 5, 40, 40)}), *opened(nets, True), ops="cuda") as task:
            cuda_machine.fail_at(step)
            try:
                for frame in frames:
                    task(frame)
            except EdgekitError:
                pass
            cuda_machine.fail_at(None)
