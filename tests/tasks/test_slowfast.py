"""SlowFast over a video: windows, people, scores, beside the loop and in it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from action_nets import (
    NAMES,
    NOTES,
    Followed,
    MadeEngine,
    clip_net,
    made_whole,
    save,
    split_nets,
    whole_net,
)
from numpy.typing import NDArray

from edgekit.camera import open_source
from edgekit.engine import Engine, open_engine
from edgekit.engine.roi_forms import rois_as_grid
from edgekit.engine.shapes import check_shapes, model_inputs
from edgekit.errors import EdgekitError, InputError
from edgekit.files import engines_dir
from edgekit.live.controls import Settings
from edgekit.results import Actions, Frame
from edgekit.run import Session
from edgekit.tasks.slowfast import SlowFast, open_slowfast
from edgekit.tasks.slowfast_nets import Split, Whole
from edgekit.tasks.slowfast_open import open_networks, plan_shapes, split_files
from edgekit.tasks.track import Track
from edgekit.tasks.yolo import open_yolo
from edgekit.tracking import ByteTrack

RNG = np.random.default_rng(7)
SPAN, MIDDLE = 8, 4
FAST, SLOW = [0, 2, 4, 7], [0, 7]  # of linspace(0, 7, 4) and linspace(0, 3, 2), cut


def video(count: int, height: int = 48, width: int = 64, rate: float = 10.0) -> list[Frame]:
    pictures = RNG.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [Frame(picture, i, i / rate) for i, picture in enumerate(pictures)]


def walkers(index: int) -> Mapping[int, tuple[float, ...]]:
    """Number 1 from the start, 2 from frame 6, 3 in frames 4 to 9; all move."""
    people = {1: (4 + index, 4, 24 + index, 40)}
    if index >= 6:
        people[2] = (30, 10 + index % 5, 60, 47)
    if 4 <= index < 10:
        people[3] = (0, 0, 63, 47)
    return people


def opened(model: onnx.ModelProto, folder: Path, name: str = "net") -> object:
    return open_engine(save(model, folder / f"{name}.onnx"), "fp32", "onnxruntime-cpu")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[object, object]:
    body, head = split_nets()
    return opened(body, tmp_path, "body"), opened(head, tmp_path, "head")


def plain(
    frames: list[Frame],
    who: Callable[[int], Mapping[int, tuple[float, ...]]],
    stride: int,
    half_life: float | None,
    pad: bool = False,
) -> list[dict[int, NDArray]]:
    """What is known of whom after each frame: every window made anew of frames that are all kept."""
    session = onnxruntime.InferenceSession(
        whole_net().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    known: dict[int, tuple[NDArray, float]] = {}
    after = []
    for now in range(len(frames)):
        numbers = [now - SPAN + 1 + n for n in range(SPAN)]
        if (now + 1 - SPAN) % stride == 0 and (pad or numbers[0] >= 0):
            numbers = [max(0, n) for n in numbers]
            clip = []
            for n in numbers:
                height, width = frames[n].image.shape[:2]
                small = cv2.resize(frames[n].image, (math.floor(width / height * 32), 32))
                clip.append((small[:, :, ::-1].astype(np.float64) / 255 - 0.45) / 0.225)
            tensor = np.array(clip, np.float32).transpose(3, 0, 1, 2)[None]
            people = who(numbers[MIDDLE])
            boxes = np.array(list(people.values()), np.float32).reshape(-1, 4) * np.float32(42 / 64)
            if len(people):
                feeds = {"slow": tensor[:, :, SLOW], "fast": tensor[:, :, FAST], "boxes": boxes}
                scores = session.run(None, feeds)[0].astype(np.float64)
                t = frames[numbers[MIDDLE]].t
                for number, row in zip(people, scores, strict=True):
                    if half_life and number in known and t > known[number][1]:
                        old, before = known[number]
                        part = 0.5 ** ((t - before) / half_life)
                        row = part * old + (1 - part) * row
                    known[number] = row, t
        after.append({n: known[n][0] for n in who(now) if n in known})
    return after


def as_dict(actions: Actions) -> dict[int, NDArray]:
    assert actions.track_id is not None
    assert actions.known is not None
    assert not actions.scores[~actions.known].any()
    return {int(n): s for n, s, k in zip(actions.track_id, actions.scores, actions.known, strict=True) if k}


def same(found: list[Actions], wanted: list[dict[int, NDArray]]) -> None:
    for index, (actions, known) in enumerate(zip(found, wanted, strict=True)):
        got = as_dict(actions)
        assert set(got) == set(known), index
        for number in known:
            np.testing.assert_allclose(got[number], known[number], atol=1e-5)


@pytest.mark.parametrize("form", ["split", "whole"])
@pytest.mark.parametrize(
    ("stride", "half_life", "cold"), [(2, 0.5, "wait"), (3, None, "wait"), (1, 0.2, "pad"), (4, None, "pad")]
)
def test_each_frame_has_what_a_plain_loop_finds(
    form: str, stride: int, half_life: float | None, cold: str, pair: tuple, tmp_path: Path
) -> None:
    frames = video(26)
    nets = pair if form == "split" else (opened(whole_net(), tmp_path),)
    settings = {"smooth": half_life is not None, "half_life": half_life or 1.0}
    with SlowFast(Followed(walkers), *nets, stride=stride, cold=cold, **settings) as task:
        found = [task(frame) for frame in frames]
    same(found, plain(frames, walkers, stride, half_life, cold == "pad"))
    for index, actions in enumerate(found):
        people = walkers(index)
        np.testing.assert_array_equal(actions.xyxy, np.array(list(people.values()), np.float32))
        assert actions.names == NAMES
        assert actions.threshold == 0.3
    # known the first time when frame 7 closes the first window, whose middle frame, 4, has 1 and 3 but not 2
    if cold == "wait":
        assert next(i for i, actions in enumerate(found) if actions.known.any()) == 7
        assert as_dict(found[7]).keys() == {1, 3}


def test_the_same_video_gives_the_same_twice_and_frames_may_be_bare(pair: tuple) -> None:
    frames = video(14)
    with SlowFast(Followed(walkers), *pair, smooth=False) as task:
        first = [task(frame) for frame in frames]
        again = [task(frame) for frame in frames]  # index 0 again: a new video
        assert task.tracks.resets == 1
        task.reset()
        bare = [task(frame.image) for frame in frames]
    for one, two, three in zip(first, again, bare, strict=True):
        np.testing.assert_array_equal(one.scores, two.scores)
        np.testing.assert_array_equal(one.scores, three.scores)
        np.testing.assert_array_equal(one.known, two.known)


def test_reset_and_another_size_forget_everything(pair: tuple) -> None:
    with SlowFast(Followed(walkers), *pair) as task:
        found = [task(frame) for frame in video(10)]
        assert found[-1].known.any()
        other = video(20, 64, 48)[10:]
        found = [task(frame) for frame in other]
        assert task.tracks.resets == 1
        assert [bool(actions.known.any()) for actions in found] == [False] * 7 + [True] * 3
        task.reset()
        assert not task(video(30, 64, 48)[-1]).known.any()


def test_nobody_there_costs_no_pass() -> None:
    engine = made_whole(lambda slow, fast, boxes: np.ones((len(boxes), 3)))
    with SlowFast(Followed(lambda index: {} if index < 10 else {5: (0, 0, 9, 9)}), engine) as task:
        found = [task(frame) for frame in video(20)]
    assert engine.calls == 4  # windows whose middle frame is 10 or later end at 13, 15, 17 and 19
    assert not any(actions.known.any() for actions in found[:13])


def test_a_person_who_left_is_forgotten_after_a_span() -> None:
    engine = made_whole(lambda slow, fast, boxes: np.ones((len(boxes), 3)))

    def who(index: int) -> Mapping[int, tuple[float, ...]]:
        return {**({1: (0, 0, 9, 9)} if index < 10 or index in (15, 40) else {}), 2: (5, 5, 20, 20)}

    with SlowFast(Followed(who), engine) as task:
        found = [as_dict(task(frame)) for frame in video(60)]
        assert len(task._scores) == 1
    assert 1 in found[15]
    assert 1 not in found[40]


def test_the_network_sees_the_people_of_the_middle_frame_in_its_own_pixels() -> None:
    seen = []

    def answer(slow: NDArray, fast: NDArray, boxes: NDArray) -> NDArray:
        seen.append((slow.shape, fast.shape, boxes.copy()))
        return np.zeros((len(boxes), 3))

    with SlowFast(Followed(lambda i: {1: (0, i, 64, 600)}), made_whole(answer)) as task:
        assert task.size is None
        for frame in video(8):
            task(frame)
        assert task.size == (32, 42)
    slow, fast, boxes = seen[0]
    assert (slow, fast) == ((1, 3, 2, 32, 42), (1, 3, 4, 32, 42))
    np.testing.assert_allclose(boxes, [[0, 4 * 42 / 64, 42, 32]], rtol=1e-6)  # cut at the picture's edge


def test_memory_is_flat_over_5000_frames_of_ever_new_people() -> None:
    engine = made_whole(lambda slow, fast, boxes: np.ones((len(boxes), 3), np.float32))
    pictures = [frame.image for frame in video(16, 24, 24)]
    held, most = [], 0
    with SlowFast(Followed(lambda i: {i // 3: (0, 0, 9, 9)}), engine, short_side=16, stride=4) as task:
        for number in range(5000):
            task(Frame(pictures[number % 16], number, number / 25))
            most = max(most, len(task._scores))
            if number % 500 == 499:
                held.append(resident_bytes())
    assert engine.calls > 1200
    assert most <= 2 * SPAN
    # What leaks grows every time: not 100 bytes a frame, whose picture has 1728. What an allocator takes
    # at once, for whatever ran in this process, is a step.
    assert np.median(np.diff(held)) < 500 * 100
    assert max(held) - min(held) < 8_000_000


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_live_view_has_a_slider_for_the_stride(pair: tuple) -> None:
    settings = Settings()
    with SlowFast(Followed(walkers), *pair) as task:
        settings.adopt(task)
        sliders = settings.box.children[0].children
        assert [(one.min, one.max, one.step, one.value) for one in sliders] == [
            (0, 1, 0.01, 0.3),
            (1, 64, 1, 2),
        ]
        sliders[1].value = 9
        assert task.stride == 9


def test_parts_and_times_say_where_the_time_goes(pair: tuple) -> None:
    with SlowFast(Followed(walkers), *pair, stride=3) as task:
        ran = []
        for frame in video(20):
            task(frame)
            assert list(task.parts) == ["detect", "track", "buffer", "body", "roi", "head"]
            assert task.parts["buffer"] > 0
            inferred = task.parts["body"] + task.parts["head"]
            assert task.times["infer"] == pytest.approx(inferred)
            if task.parts["body"]:
                ran.append(frame.index)
                assert min(task.parts["roi"], task.parts["head"]) > 0
    assert ran == [7, 10, 13, 16, 19]


def test_stride_and_threshold_may_change_on_the_way(pair: tuple) -> None:
    with SlowFast(Followed(walkers), *pair) as task:
        assert set(task.controls) == {"threshold", "stride"}
        assert task.ranges["stride"] == (1, 64, 1)
        ran = []
        for frame in video(24):
            if frame.index == 12:
                task.stride, task.threshold = 4.0, 0.9
            actions = task(frame)
            assert actions.threshold == (0.3 if frame.index < 12 else 0.9)
            ran += [frame.index] if task.parts["body"] else []
        assert ran == [7, 9, 11, 15, 19, 23]
        with pytest.raises(InputError, match="stride=0"):
            task.stride = 0
        with pytest.raises(InputError, match="threshold=2"):
            task.threshold = 2


# networks of other forms


@pytest.mark.parametrize("form", ["whole", "grid", "pair"])
def test_every_form_of_a_file_gives_the_same(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(engines(tmp_path)))
    size = (32, 42)
    whole = whole_net()
    files = {
        "whole": lambda: save(whole, tmp_path / "whole.onnx"),
        "grid": lambda: save(rois_as_grid(whole_net(size=size), size), tmp_path / "grid.onnx"),
        "pair": lambda: [save(net, tmp_path / f"{i}.onnx") for i, net in enumerate(split_nets())],
    }
    frames = video(20)
    track = Track(open_yolo("edgekit-person", backend="onnxruntime-cpu"), ByteTrack())
    with open_slowfast(files[form](), backend="onnxruntime-cpu", detector=track) as task:
        task.tracks, real = Followed(walkers), task.tracks
        same([task(frame) for frame in frames], plain(frames, walkers, 2, 0.5))
        assert isinstance(task.net, Whole if form == "grid" else Split)
        task.tracks = real


def test_a_whole_file_is_split_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(engines(tmp_path)))
    path = save(whole_net(), tmp_path / "net.onnx")
    made = split_files(path)
    assert made is not None
    assert [part.name.split(".", 2)[2] for part in made] == ["body.onnx", "head.onnx"]
    before = [part.stat().st_mtime_ns for part in made]
    assert split_files(path) == made
    assert [part.stat().st_mtime_ns for part in made] == before
    assert all(
        {p.key: p.value for p in onnx.load(part).metadata_props} == {**NOTES, "aligned": "false"}
        for part in made
    )
    other = split_files(save(whole_net(classes=4), path))
    assert other is not None
    assert other[0] != made[0]
    assert split_files(save(clip_net(), path)) is None


def test_a_split_network_keeps_the_form_of_its_roi_align(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(engines(tmp_path)))
    clip = RNG.normal(size=(1, 3, 4, 64, 96)).astype(np.float32)
    feeds = {"slow": clip[:, :, :2], "fast": clip, "boxes": np.array([[3.0, 9, 70, 60]], np.float32)}
    scores = []
    for aligned in (False, True):
        path = save(whole_net(aligned=aligned), tmp_path / f"{aligned}.onnx")
        body, head = open_networks(path, "fp32", "onnxruntime-cpu")
        found = Split(body, head)(**feeds)  # type: ignore[arg-type]
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(found, session.run(None, feeds)[0], atol=1e-5)
        scores.append(found)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3


def test_another_roi_align_is_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(engines(tmp_path)))
    net = whole_net()
    for node in net.graph.node:
        for attribute in node.attribute:
            if attribute.name == "sampling_ratio":
                attribute.i = 2
    assert split_files(save(net, tmp_path / "net.onnx")) is None


def engines(folder: Path) -> Path:
    """A shelf of its own, where split files may be written."""
    shelf = folder / "shelf"
    shelf.mkdir()
    for name in ("models.toml", "edgekit-person.onnx"):
        (shelf / name).symlink_to(engines_dir() / name)
    return shelf


def test_a_network_for_whole_clips_needs_no_people(tmp_path: Path) -> None:
    notes = {**NOTES, "activation": "softmax"}
    path = save(clip_net(notes), tmp_path / "clip.onnx")
    frames = video(12)
    with open_slowfast(path, backend="onnxruntime-cpu", smooth=False) as task:
        found = [task(frame) for frame in frames]
    assert [actions.known.tolist() for actions in found] == [[False]] * 7 + [[True]] * 5
    assert all(actions.xyxy is None and actions.track_id is None for actions in found)
    clip = [cv2.resize(f.image, (42, 32))[:, :, ::-1] for f in frames[:8]]
    mean = ((np.array(clip, np.float64) / 255 - 0.45) / 0.225)[FAST].mean(axis=(0, 1, 2))
    wanted = np.exp(mean) / np.exp(mean).sum()
    np.testing.assert_allclose(found[7].scores[0], wanted, atol=1e-5)
    with pytest.raises(InputError, match="looks at the whole picture"):
        SlowFast(Followed(walkers), opened(clip_net(), tmp_path, "again"))


def test_a_head_of_fixed_rows_is_filled_up_and_asked_again(pair: tuple, tmp_path: Path) -> None:
    """As the seed's engines: always so many boxes, the missing ones 0."""
    fixed = opened(split_nets(rows=2)[1], tmp_path, "fixed")
    clip = RNG.normal(size=(1, 3, 4, 32, 48)).astype(np.float32)
    boxes = (RNG.random((5, 2, 2)) * (48, 32)).astype(np.float32)
    boxes = np.concatenate([boxes.min(axis=1), boxes.max(axis=1)], axis=1)
    free, padded = Split(*pair), Split(pair[0], fixed)
    for count in range(1, 6):
        wanted = free(clip[:, :, :2], clip, boxes[:count])
        assert wanted.shape == (count, 3)
        np.testing.assert_allclose(padded(clip[:, :, :2], clip, boxes[:count]), wanted, atol=1e-6)


def test_the_seeds_own_export_runs() -> None:
    """Its names, and boxes with the number of the picture in the batch before them."""
    seen = []

    def answer(**feeds: NDArray) -> dict[str, NDArray]:
        seen.append(feeds["bbox"])
        return {"output": np.full((len(feeds["bbox"]), 3), 0.25, np.float32)}

    inputs = {"slow_pathway": (1, 3, 2, 32, 42), "fast_pathway": (1, 3, 4, 32, 42), "bbox": (None, 5)}
    with SlowFast(Followed(walkers), MadeEngine(answer, inputs, {"output": (None, 3)})) as task:
        found = [task(frame) for frame in video(8)]
    assert seen[0].shape == (2, 5)
    assert not seen[0][:, 0].any()
    np.testing.assert_allclose(seen[0][0, 1:], np.array([8, 4, 28, 40]) * 42 / 64, rtol=1e-6)
    assert (found[-1].scores[found[-1].known] == 0.25).all()


def test_a_network_of_fixed_size_gets_the_picture_whole() -> None:
    shapes = []

    def answer(slow: NDArray, fast: NDArray, boxes: NDArray) -> dict[str, NDArray]:
        shapes.append((fast.shape, boxes.tolist()))
        return {"scores": np.zeros((len(boxes), 3), np.float32)}

    clips = {"slow": (1, 3, 2, 32, 32), "fast": (1, 3, 4, 32, 32)}
    engine = MadeEngine(answer, {**clips, "boxes": (None, 4)}, {"scores": (None, 3)})
    with SlowFast(Followed(lambda i: {1: (0, 0, 64, 48)}), engine) as task:
        for frame in video(8):
            task(frame)
    assert shapes == [((1, 3, 4, 32, 32), [[0, 0, 32, 24]])]
    with pytest.raises(InputError, match="picture is 32×32, not 64×48"):
        SlowFast(Followed(walkers), engine, size=(48, 64))


def test_the_size_may_be_set() -> None:
    engine = made_whole(lambda slow, fast, boxes: np.zeros((len(boxes), 3)))
    for settings, size in (({"short_side": 48}, (48, 64)), ({"size": (24, 40)}, (24, 40))):
        with SlowFast(Followed(walkers), engine, **settings) as task:
            task(video(1)[0])
            assert task.size == size


def test_settings_are_the_models_notes_or_the_seeds() -> None:
    def net(notes: dict[str, str], classes: int = 3, frames: int | None = 32) -> MadeEngine:
        few = None if frames is None else frames // 4
        clips = {"slow": (1, 3, few, None, None), "fast": (1, 3, frames, None, None)}
        return MadeEngine(dict, {**clips, "boxes": (None, 4)}, {"scores": (None, classes)}, notes)

    seeds = SlowFast(Followed(walkers), net({}, 80))
    assert (seeds.span, seeds.stride, seeds.threshold, seeds.names[0]) == (
        64,
        2,
        0.3,
        "bend/bow (at the waist)",
    )
    assert (seeds.notes.frames, seeds.notes.alpha, seeds.notes.short_side) == (32, 4, 256)
    assert (seeds.notes.mean, seeds.notes.std) == ((0.45,) * 3, (0.225,) * 3)
    noted = SlowFast(Followed(walkers), net(NOTES, 3, None), span=6)
    assert (noted.span, noted.notes.frames, noted.notes.alpha, noted.notes.short_side) == (6, 4, 2, 32)
    assert len(SlowFast(Followed(walkers), net({}, 400)).names) == 400
    imgsz = SlowFast(Followed(walkers), net({**NOTES, "frames": "32", "span": "64", "imgsz": "[48, 80]"}))
    assert imgsz.size == (48, 80)


@pytest.mark.parametrize(
    ("notes", "settings", "words"),
    [
        ({"names": "walk"}, {}, "note 'names' is 'walk'"),
        ({"names": '["walk"]'}, {}, "3 scores and has 1 names"),
        ({"span": "many"}, {}, "note 'span'"),
        ({"mean": "true"}, {}, "note 'mean'"),
        ({"mean": "[0.1, 0.2]"}, {}, r"mean is \[0.1, 0.2\]; give one number, or 3"),
        ({}, {"span": 3}, "span=3 frames are too few"),
        ({}, {"stride": 0}, "stride=0"),
        ({}, {"threshold": 1.5}, "threshold=1.5"),
        ({}, {"cold": "freeze"}, "cold='freeze'"),
        ({}, {"half_life": 0}, "half_life=0"),
        ({}, {"names": ("one", "two")}, "3 scores and has 2 names"),
    ],
)
def test_what_does_not_fit_is_refused(notes: dict, settings: dict, words: str) -> None:
    engine = made_whole(lambda **feeds: np.zeros((1, 3)), {**NOTES, **notes})
    with pytest.raises(InputError, match=words):
        SlowFast(Followed(walkers), engine, **settings)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"images": (1, 3, 64, 64)}, {"output0": (1, 84, 100)}, "no 'slow' tensor"),
        (
            {"slow": (1, 3, 2, 8, 8), "fast": (1, 3, 4, 8, 8)},
            {"slow_features": (1, 2, 1, 1)},
            "body of a SlowFast alone",
        ),
        (
            {"slow": (1, 3, 2, 8, 8), "fast": (1, 3, 4, 8, 8), "n": (4, 7)},
            {"scores": (4, 3)},
            "a SlowFast has slow and fast",
        ),
        ({"slow": (1, 3, 2, 8, 8), "fast": (1, 3, 4, 8, 8)}, {"a": (1, 3), "b": (1, 3)}, "no one output"),
    ],
)
def test_other_networks_are_refused_by_their_tensors(inputs: dict, outputs: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        SlowFast(Followed(walkers), MadeEngine(dict, inputs, outputs))


def test_a_head_of_another_body_is_refused(tmp_path: Path) -> None:
    body, head = split_nets()
    body = MadeEngine(
        dict,
        {"slow": (1, 3, 2, None, None), "fast": (1, 3, 4, None, None)},
        {"slow_features": (1, 9, None, None), "fast_features": (1, 3, None, None)},
    )
    with pytest.raises(InputError, match="do not belong together"):
        SlowFast(Followed(walkers), body, opened(head, tmp_path))
    with pytest.raises(InputError, match="looks at people; give tracks"):
        SlowFast(None, made_whole(lambda **feeds: np.zeros((1, 3))))


def test_a_plan_is_built_for_one_picture_and_1_to_32_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, head = (save(net, tmp_path / f"{i}.onnx") for i, net in enumerate(split_nets()))
    assert plan_shapes(body, "onnxruntime-cpu") is None
    assert plan_shapes(body, "auto") is None  # no TensorRT here
    monkeypatch.setattr("edgekit.engine.choose.tensorrt_missing", lambda: None)
    clips = {"slow": (1, 3, 2, 32, 56), "fast": (1, 3, 4, 32, 56)}  # 16:9
    assert plan_shapes(body, "auto") == {name: (shape,) * 3 for name, shape in clips.items()}
    assert plan_shapes(body, "tensorrt", size=(24, 40))["slow"][0] == (1, 3, 2, 24, 40)
    assert plan_shapes(body, "tensorrt", short_side=64)["fast"][2] == (1, 3, 4, 64, 113)
    people = tuple((n, 3, 7, 7) for n in (1, 8, 32))
    assert plan_shapes(head, "auto") == {"slow_rois": people, "fast_rois": people}
    grid = save(rois_as_grid(whole_net(size=(32, 42)), (32, 42)), tmp_path / "grid.onnx")
    assert plan_shapes(grid, "auto") == {"boxes": ((1, 4), (8, 4), (32, 4))}
    for path in (body, head, grid):
        model = onnx.load(path)
        assert set(check_shapes(model_inputs(model), plan_shapes(path, "auto")))  # they fit the model
    assert plan_shapes(save(split_nets(rows=2)[1], tmp_path / "fixed.onnx"), "auto") is None


# beside the loop


def test_body_and_head_have_a_gpu_thread_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def opened(*args: Any, beside: bool = False) -> Engine:
        asked.append(beside)
        return open_engine(*args, beside=beside)

    monkeypatch.setattr("edgekit.tasks.slowfast_open.open_engine", opened)
    paths = (save(net, tmp_path / f"{i}.onnx") for i, net in enumerate(split_nets()))
    for engine in open_networks(tuple(paths), "fp32", "onnxruntime-cpu"):
        assert engine is not None
        engine.close()
    assert asked == [True, True]


class Gate:
    """A network that waits until it may go on, and says for which frames it was asked."""

    def __init__(self) -> None:
        self.open, self.begun, self.asked = threading.Event(), threading.Event(), []

    def __call__(self, slow: NDArray, fast: NDArray, boxes: NDArray) -> NDArray:
        self.asked.append(float(boxes[0, 0]))
        self.begun.set()
        assert self.open.wait(20)
        return np.full((len(boxes), 3), 0.5)


def at_its_index(index: int) -> Mapping[int, tuple[float, ...]]:
    return {1: (index, 0, 64, 48)}  # a box that says which frame it is of


def test_a_slow_network_never_stalls_the_picture_and_the_newest_window_wins() -> None:
    gate = Gate()
    with SlowFast(Followed(at_its_index), made_whole(gate), wait=False) as task:
        frames = video(60)
        for frame in frames[:50]:  # with the network standing still
            assert not task(frame).known.any()
        assert gate.begun.wait(10)
        assert len(gate.asked) == 1
        gate.open.set()
        deadline = time.monotonic() + 10
        while task._beside._working and time.monotonic() < deadline:
            time.sleep(0.001)
        assert task(frames[50]).known.all()
        assert task.parts["body"] > 0
        assert task.times["infer"] == 0  # it took no time of the loop
        while len(gate.asked) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert gate.asked == pytest.approx([4 * 42 / 64, 47 * 42 / 64])  # then the newest, not those between


def test_a_live_session_goes_on_while_the_network_is_slow() -> None:
    """Frames flow while the network stands still; without being told, the task runs beside a live loop."""
    gate = Gate()
    task = SlowFast(Followed(at_its_index), made_whole(gate))
    with task, Session(Live(40), task) as session:
        session.start()
        assert session.wait(20)
        summary = session.join()
        assert task.live
        assert summary.frames == 40
        assert len(gate.asked) <= 1
        gate.open.set()


class Kept:
    """A sink that keeps the results."""

    picture_side = None

    def __init__(self) -> None:
        self.results: list[Actions] = []

    def write(self, frame: Frame, result: Actions, picture: object) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass


def test_a_file_is_waited_for_and_gives_what_its_frames_give(pair: tuple, clip: Path) -> None:
    task, kept = SlowFast(Followed(walkers), *pair), Kept()
    with task:
        with Session(clip, task, [kept]) as session:
            session.start()
            session.wait(20)
            assert session.join().frames == 30
        assert not task.live
        with open_source(clip) as source:
            alone = [task(frame) for frame in source]
    assert len(kept.results) == len(alone) == 30
    for one, two in zip(kept.results, alone, strict=True):
        np.testing.assert_array_equal(one.scores, two.scores)
        np.testing.assert_array_equal(one.known, two.known)


def test_an_error_in_the_network_ends_the_run(pair: tuple) -> None:
    def fail(**feeds: NDArray) -> NDArray:
        raise EdgekitError("the network broke") from ValueError("why")

    task = SlowFast(Followed(at_its_index), made_whole(fail), wait=False)
    with task, Session(Live(2000), task) as session:
        session.start()
        assert session.wait(20)
        with pytest.raises(EdgekitError, match="the network broke") as caught:
            session.join()
        assert isinstance(caught.value.__cause__, ValueError)
        assert session.stats().frames < 2000


def test_what_was_seen_of_another_video_is_dropped() -> None:
    gate = Gate()
    with SlowFast(Followed(at_its_index), made_whole(gate), wait=False) as task:
        for frame in video(10):
            task(frame)
        assert gate.begun.wait(10)
        task.reset()
        gate.open.set()
        while task._beside._working:
            time.sleep(0.001)
        assert not any(task(frame).known.any() for frame in video(7))


def test_close_frees_threads_and_engines_in_the_middle_of_a_pass() -> None:
    gate = Gate()
    before = set(threading.enumerate())
    followed, engine = Followed(at_its_index), made_whole(gate)
    task = SlowFast(followed, engine, wait=False)
    for frame in video(10):
        task(frame)
    assert gate.begun.wait(10)
    threading.Timer(0.1, gate.open.set).start()
    task.close()
    assert (followed.closed, engine.closed) == (True, True)
    assert not [one for one in threading.enumerate() if one not in before and one.name == "edgekit-actions"]


class Live:
    """Stands in for a camera."""

    def __new__(cls, count: int) -> object:
        from edgekit.camera.source import Source

        class Camera(Source):
            spec, size, live, how = "made camera", (64, 48), True, "made"

            def __iter__(self):  # type: ignore[no-untyped-def]
                for frame in video(min(count, 40)) * max(1, count // 40):
                    time.sleep(0.002)
                    yield frame

            def close(self) -> None:
                pass

        from edgekit.camera import Reader

        return Reader(Camera(), "every")
