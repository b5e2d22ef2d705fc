"""ActionRecognitionNet over a video, against windows that are made anew of frames that are all kept."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from action_nets import Followed, MadeEngine, save
from numpy.typing import NDArray
from PIL import Image
from tao_nets import logits as tao_logits
from tao_nets import tao_net
from window_nets import LENGTH, NAMES, NOTES, SIZE, window_net

from edgekit.bench.calls import to_time
from edgekit.engine import Engine, open_engine
from edgekit.engine.build_cli import parts_of
from edgekit.engine.int8 import recipe_of
from edgekit.engine.shapes import check_shapes, model_inputs
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluate.opened import exact_task
from edgekit.live.controls import Settings
from edgekit.results import Frame
from edgekit.tasks.action import ActionRecognition, action_on, open_action
from edgekit.tasks.action_nets import Net, read_labels
from edgekit.tasks.action_open import open_shapes
from edgekit.tasks.action_people import Square, cut, square_of
from edgekit.tasks.action_tape import Tape, tables
from edgekit.tasks.choose import kind_of, model_kind, open_task

HEIGHT, WIDTH = 36, 46


def video(count: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 3) -> list[Frame]:
    """Smooth blobs that move, so that optical flow finds something."""
    rng = np.random.default_rng(seed)
    big = cv2.GaussianBlur(rng.integers(0, 256, (height + 60, width + 60, 3), dtype=np.uint8), (0, 0), 3)
    big = cv2.normalize(big, None, 0, 255, cv2.NORM_MINMAX)
    return [
        Frame(np.ascontiguousarray(big[i % 40 : i % 40 + height, 2 * i % 50 : 2 * i % 50 + width]), i, i / 10)
        for i in range(count)
    ]


def opened(model: onnx.ModelProto, folder: Path, name: str = "net") -> Engine:
    return open_engine(save(model, folder / f"{name}.onnx"), "fp32", "onnxruntime-cpu")


def small(picture: NDArray[np.uint8], size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def rgb_clip(
    pictures: Sequence[NDArray[np.uint8]], mean: float = 0.5, std: float = 0.5
) -> NDArray[np.float32]:
    """[3, D, H, W] of BGR pictures of the network's size, one number after the other."""
    high, wide = pictures[0].shape[:2]
    clip = np.empty((3, len(pictures), high, wide))
    for channel in range(3):
        for place, picture in enumerate(pictures):
            clip[channel, place] = (picture[..., 2 - channel].astype(np.float64) / 255 - mean) / std
    return clip.astype(np.float32)


def flow_clip(flows: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.float32]:
    """[2, D, H, W] of grey pictures u, v of the network's size."""
    clip = [
        [(plane.astype(np.float64) / 255 - 0.5) / 0.5 for plane in planes]
        for planes in zip(*flows, strict=True)
    ]
    return np.array(clip).astype(np.float32)


def plain_flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """u and v as TAO's tool scales them: by the longest vector, at least 1."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (before, after)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    longest = max(1.0, float(np.sqrt((flow.astype(np.float64) ** 2).sum(axis=2)).max()))
    u, v = ((flow[..., axis] / np.float32(longest) * 127.999 + 128).astype(np.uint8) for axis in (0, 1))
    return u, v


@cache
def session_of(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def answer(model: onnx.ModelProto, clips: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Softmax of one clip's logits, by ONNX Runtime and plain arithmetic."""
    session = session_of(model.SerializeToString())
    feeds = {}
    for spec in session.get_inputs():
        clip = clips[spec.name]
        feeds[spec.name] = clip.reshape(1, -1, *clip.shape[2:]) if len(spec.shape) == 4 else clip[None]
        if isinstance(spec.shape[0], int):
            feeds[spec.name] = np.repeat(feeds[spec.name], spec.shape[0], axis=0)
    logits = session.run(None, feeds)[0][0].astype(np.float64)
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def windows(count: int, rate: int, stride: int, pad: bool = False) -> dict[int, list[int]]:
    """For each frame on which a window is due, the frames of it."""
    reach, found = (LENGTH - 1) * rate + 1, {}
    for now in range(count):
        first = now - reach + 1
        if (first >= 0 or pad) and first % stride == 0:
            found[now] = [max(0, first + place * rate) for place in range(LENGTH)]
    return found


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("rate", "stride", "cold"), [(1, 1, "wait"), (2, 1, "wait"), (3, 2, "pad"), (1, 3, "pad"), (2, 5, "wait")]
)
def test_each_window_is_as_made_anew(flat: bool, rate: int, stride: int, cold: str, tmp_path: Path) -> None:
    model, frames = window_net(flat=flat), video(30)
    due = windows(len(frames), rate, stride, cold == "pad")
    last: NDArray | None = None
    with ActionRecognition(opened(model, tmp_path), sample_rate=rate, stride=stride, cold=cold) as task:
        assert task.span == (LENGTH - 1) * rate + 1
        for frame in frames:
            found = task(frame)
            assert found.names == NAMES
            assert found.xyxy is None
            assert found.threshold == 0.1
            assert found.frames == tuple(due.get(frame.index, ()))
            if frame.index in due:
                clip = rgb_clip([small(frames[n].image) for n in due[frame.index]])
                last = answer(model, {"input_rgb": clip})
            if last is None:
                assert not found.known.any()  # type: ignore[union-attr]
            else:
                np.testing.assert_allclose(found.scores[0], last, atol=2e-6)
    assert last is not None


def test_the_middle_is_cut_out_as_torchvision_does(tmp_path: Path) -> None:
    frames = video(LENGTH, 33, 61)
    notes = {
        **NOTES,
        "crop": "center",
        "smaller_edge": "17",
        "mean": "[0.4, 0.5, 0.6]",
        "std": "[0.2, 0.3, 0.4]",
    }
    model = window_net(notes)
    with ActionRecognition(opened(model, tmp_path)) as task:
        found = task(frames)[-1]
    # 61×33 to 31×17 (61 / 33 · 17 = 31.4); of 31 columns 12 are kept from 9.5, and of 17 rows 10 from 3.5:
    # half a pixel goes to the even one
    cuts = [np.asarray(Image.fromarray(f.image).resize((31, 17), Image.Resampling.BILINEAR)) for f in frames]
    cuts = [picture[4:14, 10:22] for picture in cuts]
    clip = np.empty((3, LENGTH, 10, 12))
    for channel, (mean, std) in enumerate(((0.4, 0.2), (0.5, 0.3), (0.6, 0.4))):
        for place, picture in enumerate(cuts):
            clip[channel, place] = (picture[..., 2 - channel] / 255 - mean) / std
    np.testing.assert_allclose(
        found.scores[0], answer(model, {"input_rgb": clip.astype(np.float32)}), atol=2e-6
    )
    with ActionRecognition(opened(window_net(), tmp_path), center_crop=True) as task:
        assert (task.notes.crop, task.notes.smaller_edge) == ("center", 256)  # TAO's page
    with ActionRecognition(opened(model, tmp_path), center_crop=False) as task:
        assert task.notes.crop == "resize"


@pytest.mark.parametrize(
    ("rgb", "of", "shown"), [(0, 4, None), (4, 4, [0, 1, 2, 3]), (2, 5, [2, 3]), (5, 2, [2, 3])]
)
@pytest.mark.parametrize("cold", ["wait", "pad"])
def test_flow_is_found_once_a_frame_and_goes_with_the_frame_before(
    rgb: int, of: int, shown: list[int] | None, cold: str, tmp_path: Path
) -> None:
    model, frames = window_net(rgb=rgb, of=of), video(12)
    longest = max(rgb, of)
    flows = [plain_flow(a.image, b.image) for a, b in pairwise(frames)]
    with ActionRecognition(opened(model, tmp_path), cold=cold) as task:
        assert task.span == longest + 1
        assert not task(frames[0]).known.any()  # type: ignore[union-attr]
        for newest in range(1, len(frames)):
            found = task(frames[newest])
            assert task.parts["flow"] > 0
            window = [max(0, newest - longest + place) for place in range(longest)]
            if newest < longest and cold == "wait":
                assert found.frames == ()
                continue
            assert found.frames == tuple(window)
            parts = {"input_rgb": window, "input_of": window}
            if shown is not None:
                parts["input_rgb" if rgb < of else "input_of"] = [window[place] for place in shown]
            clips = {}
            if rgb:
                clips["input_rgb"] = rgb_clip([small(frames[n].image) for n in parts["input_rgb"]])
            clips["input_of"] = flow_clip([tuple(map(small, flows[n])) for n in parts["input_of"]])  # type: ignore[misc]
            np.testing.assert_allclose(found.scores[0], answer(model, clips), atol=2e-6)


def test_a_large_picture_is_made_smaller_before_its_flow(tmp_path: Path) -> None:
    model, frames = window_net({**NOTES, "smaller_edge": "18"}, rgb=0, of=1), video(2)
    with ActionRecognition(opened(model, tmp_path)) as task:
        found = task(frames)[-1]
    reduced = [small(frame.image, (18, 23)) for frame in frames]
    clip = flow_clip([tuple(map(small, plain_flow(*reduced)))])  # type: ignore[arg-type]
    np.testing.assert_allclose(found.scores[0], answer(model, {"input_of": clip}), atol=2e-6)


def people(index: int) -> Mapping[int, tuple[float, ...]]:
    """Number 1 walks and is lost on frames 5 and 6, 2 comes on frame 6, 3 is there on frames 1 to 10."""
    who = {}
    if index not in (5, 6):
        who[1] = (2 + index, 3, 14 + index, 30)
    if index >= 6:
        who[2] = (30, -4, 44, 20)
    if 1 <= index < 11:
        who[3] = (20, 10 + index, 40, 33)
    return {number: tuple(map(float, box)) for number, box in who.items()}


def plain_people(
    frames: list[Frame], model: onnx.ModelProto, margin: float, flows: list | None = None
) -> dict[int, dict[int, NDArray[np.float64]]]:
    """For each frame the scores of whom a stride of 1 looks at: cut out by loops over pixels."""
    found: dict[int, dict[int, NDArray[np.float64]]] = {}
    late = flows is not None
    for now in range(LENGTH - 1 + late, len(frames)):
        window = list(range(now - LENGTH + 1 - late, now + 1 - late))
        for number in people(window[-1]):
            boxes = [people(n)[number] for n in window if number in people(n)]
            if number not in people(window[0]):
                continue
            left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
            right, bottom = max(b[2] for b in boxes), max(b[3] for b in boxes)
            side = round((1 + margin) * max(right - left, bottom - top))
            x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)

            def cut_out(
                picture: NDArray[np.uint8], x: int = x, y: int = y, side: int = side
            ) -> NDArray[np.uint8]:
                whole = np.full((side, side, *picture.shape[2:]), 128, np.uint8)
                for row in range(side):
                    for column in range(side):
                        if 0 <= y + row < picture.shape[0] and 0 <= x + column < picture.shape[1]:
                            whole[row, column] = picture[y + row, x + column]
                return small(whole)

            clips = {"input_rgb": rgb_clip([cut_out(frames[n].image) for n in window])}
            if flows is not None:
                clips["input_of"] = flow_clip([tuple(map(cut_out, flows[n])) for n in window])  # type: ignore[misc]
            found.setdefault(now, {})[number] = answer(model, clips)
    return found


@pytest.mark.parametrize("batch", ["batch", 1, 2])
@pytest.mark.parametrize("joint", [False, True])
def test_people_are_cut_out_by_one_square_for_a_window(batch: int | str, joint: bool, tmp_path: Path) -> None:
    notes = {**NOTES, "per": "person", "person_margin": "0.25"}
    model = window_net(notes, of=LENGTH if joint else 0, batch=batch)
    frames, followed = video(14), Followed(people)
    flows = [plain_flow(a.image, b.image) for a, b in pairwise(frames)] if joint else None
    looked = plain_people(frames, model, 0.25, flows)
    assert max(map(len, looked.values())) == 3
    known: dict[int, NDArray[np.float64]] = {}
    with ActionRecognition(opened(model, tmp_path), tracks=followed) as task:  # type: ignore[arg-type]
        for frame in frames:
            found = task(frame)
            known |= looked.get(frame.index, {})
            assert bool(found.frames) == (frame.index in looked)
            assert found.track_id.tolist() == list(people(frame.index))  # type: ignore[union-attr]
            for row, number in enumerate(people(frame.index)):
                assert found.known[row] == (number in known)  # type: ignore[index]
                if number in known:
                    np.testing.assert_allclose(found.scores[row], known[number], atol=2e-6)
    assert followed.closed


def test_nobody_there_asks_nothing_of_the_network(tmp_path: Path) -> None:
    engine = made(lambda **_: pytest.fail("asked"))
    with ActionRecognition(engine, tracks=Followed(lambda index: {})) as task:  # type: ignore[arg-type]
        assert [len(found) for found in task(video(LENGTH + 2))] == [0] * (LENGTH + 2)


def made(answer: Any = None, batch: int | None = None, notes: Mapping[str, str] = NOTES) -> MadeEngine:
    """An engine with one rgb stream that keeps what it is given in `fed`; or `answer` answers."""
    fed: list[NDArray[np.float32]] = []

    def keep(input_rgb: NDArray[np.float32]) -> dict[str, NDArray]:
        fed.append(input_rgb)
        return {"fc_pred": np.zeros((len(input_rgb), 3), np.float32)}

    engine = MadeEngine(
        answer or keep, {"input_rgb": (batch, 3, LENGTH, *SIZE)}, {"fc_pred": (batch, 3)}, notes
    )
    engine.fed = fed  # type: ignore[attr-defined]
    return engine


def test_a_frame_is_prepared_once_and_the_window_is_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    import edgekit.tasks.action_task as module

    prepared = []

    def counted(image: NDArray[np.uint8], *how: Any) -> NDArray[np.uint8]:
        prepared.append(image)
        return real(image, *how)

    real = module.to_size
    monkeypatch.setattr(module, "to_size", counted)
    engine, frames = made(), video(60)
    with ActionRecognition(engine) as task:
        rows = task._tapes["rgb"]._rows
        task(frames)
        assert task._tapes["rgb"]._rows is rows
    assert len(prepared) == len(frames)
    assert all(one is frame.image for one, frame in zip(prepared, frames, strict=True))
    fed = engine.fed  # type: ignore[attr-defined]
    assert len(fed) == len(frames) - LENGTH + 1
    assert all(np.shares_memory(clip, rows) and clip.flags.c_contiguous for clip in fed)
    assert rows.nbytes == (3 + 1) * LENGTH * SIZE[0] * SIZE[1] * 4


@pytest.mark.parametrize("joint", [False, True])
def test_a_folder_shorter_than_a_window_is_looped(joint: bool, tmp_path: Path) -> None:
    model, frames = window_net(of=2 if joint else 0), video(4 if joint else 3)
    with ActionRecognition(opened(model, tmp_path), sample_rate=2, total=len(frames)) as task:
        *before, found = task(frames)
        assert all(one.frames == () for one in before)
        assert found.frames == (0, 2, 1, 0)
        clips = {"input_rgb": rgb_clip([small(frames[n].image) for n in (0, 2, 1, 0)])}
        if joint:
            flows = [plain_flow(frames[n].image, frames[n + 1].image) for n in (2, 1)]
            clips["input_of"] = flow_clip([tuple(map(small, flow)) for flow in flows])  # type: ignore[misc]
        np.testing.assert_allclose(found.scores[0], answer(model, clips), atol=2e-6)
        task.reset()
        assert not task(frames[0]).known.any()  # type: ignore[union-attr]
        task.total = None
        assert task(frames)[-1].frames == ()


def test_the_people_of_a_short_folder_are_looked_at_too(tmp_path: Path) -> None:
    frames = video(3)
    with ActionRecognition(opened(window_net(), tmp_path), tracks=Followed(people), total=3) as task:  # type: ignore[arg-type]
        found = task(frames)[-1]
    assert found.frames == (0, 1, 2, 0)
    assert found.known is not None
    assert found.known.tolist() == [True, True]


def test_a_size_that_changes_or_an_index_that_falls_begins_anew(tmp_path: Path) -> None:
    engine, frames = made(), video(LENGTH)
    with ActionRecognition(engine) as task:
        assert task(frames)[-1].frames == (0, 1, 2, 3)
        other = [Frame(frame.image[:20], LENGTH + frame.index) for frame in frames]
        assert [one.frames for one in task(other)] == [(), (), (), (4, 5, 6, 7)]
        assert task(frames)[-1].frames == (0, 1, 2, 3)


def test_a_source_that_ends_early_leaves_nothing_known() -> None:
    engine = made()
    with ActionRecognition(engine) as task:
        assert not any(one.known.any() for one in task(video(LENGTH - 1)))  # type: ignore[union-attr]
    assert not engine.calls
    assert engine.closed


@pytest.mark.parametrize("wait", [True, False])
def test_what_the_engine_raises_comes_out_once(wait: bool) -> None:
    def fail(**_: NDArray) -> dict[str, NDArray]:
        raise EdgekitError("the device is gone.")

    def feed() -> None:
        for frame in video(40):
            task(frame)
            while task._beside._working:
                time.sleep(0.001)

    engine = made(fail)
    with ActionRecognition(engine, wait=wait, stride=50) as task:
        with pytest.raises(EdgekitError, match="is gone"):
            feed()
        assert task(video(LENGTH - 1))[-1].frames == ()
    assert engine.closed


def test_a_batch_that_is_fixed_is_filled_up(tmp_path: Path) -> None:
    frames, one, four = video(LENGTH + 2), window_net(), window_net(batch=4)
    with (
        ActionRecognition(opened(one, tmp_path, "one")) as single,
        ActionRecognition(opened(four, tmp_path, "four")) as filled,
    ):
        for frame in frames:
            np.testing.assert_allclose(single(frame).scores, filled(frame).scores, atol=1e-6)


def test_beside_the_loop_the_picture_does_not_wait_and_the_newest_window_comes_next() -> None:
    gate, begun, fed = threading.Event(), threading.Event(), []

    def answer(input_rgb: NDArray[np.float32]) -> dict[str, NDArray]:
        before = input_rgb.copy()
        begun.set()
        gate.wait(5)
        fed.append(bool((before == input_rgb).all()))  # the loop writes elsewhere
        return {"fc_pred": np.array([[0, 3, 0]], np.float32)}

    frames = video(30)
    with ActionRecognition(made(answer)) as task:
        task.live = True
        for frame in frames[:20]:
            assert task(frame).frames == ()
            assert frame.index != LENGTH - 1 or begun.wait(5)
        gate.set()
        while task._beside._working:
            time.sleep(0.001)
        found = task(frames[20])
        assert found.frames == (0, 1, 2, 3)
        np.testing.assert_allclose(found.scores[0], np.exp([0, 3, 0]) / (2 + np.exp(3)), atol=1e-6)
        while task._beside._working:
            time.sleep(0.001)
        assert task(frames[21]).frames == (17, 18, 19, 20)
        while task._beside._working:
            time.sleep(0.001)
        task.reset()  # what was seen of the video before says nothing of this one
        assert not task(frames[0]).known.any()  # type: ignore[union-attr]
    assert fed
    assert all(fed)


def test_scores_are_smoothed_where_that_is_asked_for() -> None:
    turn = iter([[9.0, 0, 0], [0, 9.0, 0]])
    engine = made(lambda input_rgb: {"fc_pred": np.array([next(turn)], np.float32)})
    with ActionRecognition(engine, smooth=True, half_life=0.1) as task:  # frames are .1 s apart
        found = task(video(LENGTH + 1))
    first, second = (np.exp([9 * (i == k) for i in range(3)]) / (2 + np.exp(9)) for k in (0, 1))
    np.testing.assert_allclose(found[-1].scores[0], (first + second) / 2, atol=1e-5)


def wrong(inputs: dict[str, tuple], outputs: dict[str, tuple] | None = None) -> MadeEngine:
    return MadeEngine(lambda **_: {}, inputs, outputs or {"fc_pred": (None, 3)}, NOTES)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (wrong({"images": (1, 3, 4, 8, 8)}), "the network's inputs are images"),
        (wrong({"input_rgb": (1, 3, 8)}), "the network's input is input_rgb"),
        (wrong({"input_rgb": (None, 3, None, 8, 8)}), "open in more than its batch"),
        (wrong({"input_rgb": (1, 4, 4, 8, 8)}), "does not have 3 channels a frame"),
        (wrong({"input_of": (1, 9, 8, 8)}), "does not have 2 channels a frame"),
        (wrong({"input_rgb": (1, 3, 4, 8, 8), "input_of": (1, 2, 4, 8, 9)}), "do not belong together"),
        (wrong({"input_rgb": (1, 3, 4, 8, 8)}, {"a": (1, 3), "b": (1, 3)}), "no one output"),
        (wrong({"input_rgb": (1, 3, 4, 8, 8)}, {"fc_pred": (1, 3, 2)}), "no one output"),
    ],
)
def test_a_network_of_another_form_is_refused(engine: MadeEngine, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Net(engine)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stride": 0}, "stride=0 is no step"),
        ({"sample_rate": 0}, "sample_rate=0 is no step"),
        ({"threshold": 1.5}, "threshold=1.5 is not between"),
        ({"cold": "hot"}, "cold='hot' is unknown"),
        ({"half_life": 0.0}, "half_life=0.0 must be over 0"),
        ({"max_batch": 0}, "max_batch=0 lets nobody in"),
        ({"names": ("a", "b")}, "3 classes and 2 names"),
        ({"std": 0.0}, "must be over 0"),
        ({"mean": (0.5, 0.5)}, "give one number, or 3"),
        ({"person_margin": -1.0}, "person_margin=-1.0 is not between"),
        ({"center_crop": True, "smaller_edge": 11}, "smaller_edge=11 is less than"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ActionRecognition(made(), **settings)


@pytest.mark.parametrize(
    ("name", "note", "words"),
    [
        ("mean", "half", "the model's note 'mean' is 'half'"),
        ("names", "3", "the model's note 'names'"),
        ("crop", "middle", "crop='middle' is unknown"),
        ("per", "group", "per='group' is unknown"),
        ("stride", "0", "stride=0 is no step"),
    ],
)
def test_a_note_that_cannot_be_read_is_named(name: str, note: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ActionRecognition(made(notes={**NOTES, name: note}))


def test_an_unknown_flow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'lucas' is unknown"):
        ActionRecognition(opened(window_net({**NOTES, "flow": "lucas"}, of=2), tmp_path))


def test_logits_that_are_no_numbers_are_told_of() -> None:
    engine = made(lambda **_: {"fc_pred": np.array([[0, np.nan, 0]], np.float32)})
    with (
        ActionRecognition(engine) as task,
        pytest.raises(InputError, match="fc_pred holds what is no number"),
    ):
        task(video(LENGTH))


@pytest.mark.parametrize("kind", ["2d", "3d"])
@pytest.mark.parametrize("streams", [("rgb",), ("of",), ("rgb", "of")])
def test_a_file_as_tao_exports_it_needs_nothing_but_names(
    kind: str, streams: tuple[str, ...], tmp_path: Path
) -> None:
    path = save(tao_net(4, (14, 16), streams=streams, kind=kind), tmp_path / "tao.onnx")
    with open_action(path, "fp32", "onnxruntime-cpu") as task:
        assert kind_of(path, task.engine) == "action"
        assert task.names == ("class0", "class1", "class2", "class3", "class4")
        notes = task.notes
        assert (notes.mean, notes.std, notes.crop, notes.stride) == ((0.5,) * 3, (0.5,) * 3, "resize", 1)
        assert (task.tracks, task.span) == (None, 5 if "of" in streams else 4)
        frames = video(6)
        clips = {"rgb": rgb_clip([small(f.image, (14, 16)) for f in frames[1:5]])}
        flows = [plain_flow(a.image, b.image) for a, b in pairwise(frames[1:])]
        clips["of"] = flow_clip([tuple(small(one, (14, 16)) for one in flow) for flow in flows])  # type: ignore[misc]
        logits = tao_logits(**{name: clips[name][None] for name in streams})[0].astype(np.float64)
        found = task(frames if "of" in streams else frames[:5])[-1]
        np.testing.assert_allclose(found.scores[0], np.exp(logits) / np.exp(logits).sum(), atol=2e-5)
    with open_task(path, "fp32", "onnxruntime-cpu", names=("a", "b", "c", "d", "e")) as task:
        assert task.names[4] == "e"


def test_a_file_of_ones_own_runs_beside_the_loop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def opened(*args: Any, beside: bool = False) -> Engine:
        asked.append(beside)
        return open_engine(*args, beside=beside)

    monkeypatch.setattr("edgekit.tasks.action.open_engine", opened)
    path = save(tao_net(4, (14, 16), 5), tmp_path / "mine.onnx")
    with open_task(path, "fp32", "onnxruntime-cpu"):
        assert asked == [True]


def test_the_shelf_names_the_classes_of_a_file_that_does_not() -> None:
    five = MadeEngine(
        lambda **_: {}, {"input_rgb": (None, 3, LENGTH, *SIZE)}, {"fc_pred": (None, 5)}, notes={}
    )
    assert action_on(five, "tao-action-3d").names == ("push", "fall_floor", "walk", "run", "ride_bike")  # type: ignore[arg-type]
    assert action_on(five, "tao-action-3d", names=tuple("abcde")).names == tuple("abcde")  # type: ignore[arg-type]


def test_labels_are_a_file_or_a_list(tmp_path: Path) -> None:
    assert read_labels("walk, sits,squat") == ("walk", "sits", "squat")
    file = tmp_path / "labels.txt"
    file.write_text("walk\n sits\n\nsquat\n")
    assert read_labels(file) == read_labels(str(file)) == ("walk", "sits", "squat")
    for given, words in (("none.txt", "cannot be read"), ("a,,a", "a class twice"), (",", "no class")):
        with pytest.raises(InputError, match=words):
            read_labels(given)


def test_a_plan_is_for_one_to_eight_rows(tmp_path: Path) -> None:
    model = window_net(of=2)
    path = save(model, tmp_path / "net.onnx")
    shapes = open_shapes(path)
    assert shapes is not None
    assert parts_of(path, None) == [(path, shapes)]
    assert shapes["input_of"] == ((1, 2, 2, *SIZE), (1, 2, 2, *SIZE), (8, 2, 2, *SIZE))
    assert set(check_shapes(model_inputs(model), shapes)) == {"input_rgb", "input_of"}
    assert open_shapes(save(window_net(batch=1), tmp_path / "fixed.onnx")) is None


def test_pictures_neither_calibrate_nor_score_it(tmp_path: Path) -> None:
    path = save(window_net(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="pictures cannot calibrate it"):
        recipe_of(path, path)
    engine = open_engine(path, "fp32", "onnxruntime-cpu")
    with engine, pytest.raises(InputError, match="a set of pictures cannot score it"):
        exact_task(engine, path, scored=True).__enter__()


@pytest.mark.parametrize(("rate", "lag", "pad"), [(1, 0, False), (1, 2, True), (2, 0, True), (3, 2, False)])
def test_a_tape_holds_what_a_list_of_all_frames_would(rate: int, lag: int, pad: bool) -> None:
    length, size, rng = 3, (2, 5), np.random.default_rng(1)
    pictures = rng.integers(0, 256, (40, 2, *size), dtype=np.uint8)
    tape = Tape(length, size, tables((0.5, 0.0), (0.5, 2.0)), rate=rate, lag=lag, pad=pad)
    assert tape._rows.nbytes == rate * 3 * length * 2 * 5 * 4
    reach = (length - 1) * rate + 1
    for newest, planes in enumerate(pictures):
        tape.put(list(planes))
        first = newest - lag - reach + 1
        if first >= 0 or pad:
            window = (
                pictures[[max(0, first + rate * place) for place in range(length)]].astype(np.float64) / 255
            )
            window = np.stack([(window[:, 0] - 0.5) / 0.5, window[:, 1] / 2])
            np.testing.assert_allclose(tape.window(), window, atol=1e-6)
    kept = tape.gather([39, 38, 39])[0, :, 0, 0]
    np.testing.assert_allclose(kept, pictures[[39, 38, 39], 0, 0, 0] / 255 * 2 - 1, atol=1e-6)


def test_a_square_reaches_out_of_the_picture_in_grey() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cut(picture, Square(-1, 1, 3)).tolist() == [[128, 4, 5], [128, 8, 9], [128, 128, 128]]
    assert (cut(picture, Square(9, 9, 2)) == 128).all()
    assert np.shares_memory(cut(picture, Square(1, 0, 3)), picture)
    assert square_of(np.array([[1, 2, 5, 4], [3, 0, 9, 6]], np.float32), 0.5) == Square(-1, -3, 12)
    assert Square(-1, -3, 12).times(0.5) == Square(0, -2, 6)
    with pytest.raises(InputError, match="without a box"):
        square_of(np.zeros((0, 4), np.float32), 0.5)


@pytest.mark.parametrize("part", ["engine", "pipeline"])
def test_bench_times_the_network_and_the_whole_task(part: str, tmp_path: Path) -> None:
    path = save(window_net(), tmp_path / "net.onnx")
    assert model_kind(path, path) == "action"
    case = {"model": str(path), "part": part, "batch": 2, "calibration": ""}
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(path, "fp32", "onnxruntime-cpu"))
        step, times = to_time(stack, engine, case)
        step()
        assert sum(times().values()) > 0


def test_of_people_no_more_frames_are_kept_than_a_window_shows() -> None:
    engine = made()
    pictures = [frame.image for frame in video(40)]
    kept = [weakref.ref(picture) for picture in pictures]
    with ActionRecognition(engine, tracks=Followed(people), stride=3) as task:  # type: ignore[arg-type]
        while pictures:
            task(Frame(pictures.pop(0), 40 - len(pictures) - 1))
        assert [one() is not None for one in kept] == [False] * (40 - LENGTH) + [True] * LENGTH
        assert {kind: len(clip) for kind, clip in task._rows._clips.items()} == {"rgb": 2}
        task.reset()
        assert not any(one() is not None for one in kept)


def test_a_live_views_sliders_set_threshold_and_stride() -> None:
    with ActionRecognition(made()) as task:
        settings = Settings()
        settings.adopt(task)
        sliders = settings.box.children[0].children
        assert [slider.value for slider in sliders] == [0.1, 1.0]
        sliders[0].value, sliders[1].value = 0.75, 3.0
        assert (task.threshold, task.stride) == (0.75, 3)
        found = [one.frames for one in task(video(LENGTH + 4))]
        assert [bool(frames) for frames in found] == [False] * 3 + [True, False, False, True, False]
