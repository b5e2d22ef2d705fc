"""The recorder without a browser: by hand with a clock of the test's, then with cameras that fail."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_camera import Camera, is_free
from PIL import Image

from edgekit.camera import open_source
from edgekit.camera.synthetic import Synthetic
from edgekit.drawn_actions import DrawnActor
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.live import clip_take, life
from edgekit.live.clip_marks import marked
from edgekit.live.clip_recorder import ClipRecorder
from edgekit.live.clip_take import Mark
from edgekit.live.record_actions import person_of, record_actions
from edgekit.prepare.action_folders import read_actions, read_note
from edgekit.results import Detections, Frame

NOTHING = Detections()


def until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


def left(root):
    """All that lies under a folder, hidden things too."""
    found = [Path(at, name) for at, folders, files in os.walk(root) for name in (*folders, *files)]
    return sorted(str(path.relative_to(root)) for path in found)


def noise(number, size=(36, 48)):
    return np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)


class Hand:
    """A recorder that gets its frames from the test, at times of the test's."""

    def __init__(self, root, stated=10.0, size=(36, 48), **keys):
        self.now, self.sent, self.marks, self._size = 100.0, 0, [], size
        source = SimpleNamespace(fps=stated, spec="by hand")
        self.session = SimpleNamespace(running=True, source=source, start=lambda: None, error=None)
        self.recorder = ClipRecorder(self.session, root, ("wave", "jump"), clock=lambda: self.now, **keys)
        self.recorder.show = lambda picture, mark: self.marks.append((picture, mark))
        self.done, self.error = None, None

    def ask(self, *given):
        """Record in a thread, as a button does; returns once frames are awaited."""

        def work():
            try:
                self.done = self.recorder.record(*given)
            except EdgekitError as error:
                self.error = error

        self.done = self.error = None
        self.marks.clear()
        self.thread = threading.Thread(target=work)
        self.thread.start()
        until(lambda: self.recorder.take is not None or not self.thread.is_alive())

    def frames(self, count, every=0.1):
        for _ in range(count):
            self.recorder.write(Frame(noise(self.sent, self._size), self.sent), NOTHING, None)
            self.sent += 1
            self.now = round(self.now + every, 6)

    def end(self):
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def hand(tmp_path):
    return lambda **keys: Hand(tmp_path / "set", **keys)


def pictures(clip):
    return [cv2.imread(str(path)) for path in clip.rgb]


def test_the_countdown_then_exactly_the_frames_that_were_shown(hand, tmp_path):
    one = hand(seconds=2.0, countdown=3.0)
    one.ask("wave", "anna")
    one.frames(60)
    one.end()
    (clip,) = read_actions(tmp_path / "set")
    assert (clip.label, clip.name, person_of(clip.name)) == ("wave", "anna_1", "anna")
    assert one.done.folder == clip.folder
    # The first frame begins the countdown; the 31st comes 3 s later and is the first of twenty.
    assert len(clip.rgb) == 20
    for picture, (shown, _) in zip(pictures(clip), one.marks[30:50], strict=True):
        np.testing.assert_array_equal(picture, shown)
    counted = [mark for _, mark in one.marks[:30]]
    np.testing.assert_allclose([mark.left for mark in counted], 3 - np.arange(30) / 10, atol=1e-6)
    assert {mark.kind for mark in counted} == {"countdown"}
    red = [mark for _, mark in one.marks[30:49]]
    assert {mark.kind for mark in red} == {"recording"}
    np.testing.assert_allclose([mark.left for mark in red], 1.9 - np.arange(19) / 10, atol=1e-6)
    assert {mark for _, mark in one.marks[49:]} == {None}
    note = read_note(clip.folder)
    assert (note["frames"], note["fps"], note["person"], note["source"]) == (20, 10.0, "anna", "by hand")
    assert one.recorder.counts == {"wave": 1, "jump": 0}


@pytest.mark.parametrize(
    ("stated", "every", "fps", "count", "rate"),
    [
        (30.0, 1 / 30, None, 60, 30.0),
        (30.0, 1 / 28, None, 60, 30.0),  # jitter
        (30.0, 1 / 15, None, 30, 15.0),  # a dark room: the camera gives half of what it states
        (None, 1 / 20, None, 40, 20.0),
        (30.0, 1 / 30, 10.0, 20, 10.0),  # every third
        (10.0, 1 / 10, 25.0, 20, 10.0),  # no frame is made up
    ],
)
def test_a_clip_is_as_long_as_asked_at_the_rate_that_comes(hand, tmp_path, stated, every, fps, count, rate):
    one = hand(stated=stated, seconds=2.0, countdown=1.0, fps=fps)
    one.ask("wave")
    one.frames(round(3.4 / every), every)
    one.end()
    (clip,) = read_actions(tmp_path / "set")
    assert len(clip.rgb) == count
    assert read_note(clip.folder)["fps"] == pytest.approx(rate, rel=0.02)
    first = next(n for n in range(one.sent) if np.array_equal(noise(n), pictures(clip)[0]))
    step = round(1 / every / rate) if fps and fps < 1 / every else 1
    np.testing.assert_array_equal(pictures(clip)[-1], noise(first + step * (count - 1)))


def as_trained(image, size):
    """The picture at (width, height) as TAO's pipeline has it: Pillow's bilinear, to the last bit."""
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def test_pictures_are_shrunk_to_the_shorter_side_as_training_does_it(hand, tmp_path):
    one = hand(size=(96, 128), seconds=0.2, countdown=0)
    one.recorder._size = 48
    one.ask("wave")
    one.frames(2)
    one.end()
    (clip,) = read_actions(tmp_path / "set")
    np.testing.assert_array_equal(pictures(clip)[0], as_trained(noise(0, (96, 128)), (64, 48)))


def test_a_clip_too_large_for_the_memory_is_refused_before_it_begins(hand, monkeypatch, tmp_path):
    monkeypatch.setattr(clip_take, "MOST_BYTES", 100_000)
    one = hand(countdown=0)
    one.ask("wave")
    one.frames(1)
    one.end()
    assert str(one.error).startswith("20 frames of this camera need 0 MB of memory")
    assert left(tmp_path) == []


def test_a_camera_that_gives_no_picture_is_told(hand, tmp_path):
    one = hand(countdown=0)
    one.ask("wave")
    one.now += clip_take.OPEN_S + 1
    one.end()
    assert str(one.error) == "no picture has come from the camera for 30 s; nothing was kept."
    one.ask("wave")
    one.frames(7)
    one.now += clip_take.STALL_S + 1
    one.end()
    wanted = "no picture has come from the camera for 5 s after 7 of 20 frames; nothing was kept."
    assert str(one.error) == wanted
    assert left(tmp_path / "set") == []


def test_two_at_once_are_refused_and_one_can_be_cancelled(hand, tmp_path):
    one = hand(countdown=1)
    one.ask("wave")
    one.frames(15)
    for other in (lambda: one.recorder.record("jump"), one.recorder.play_last, one.recorder.delete_last):
        with pytest.raises(EdgekitError, match=r"is being recorded.* or cancel it"):
            other()
    one.recorder.cancel()
    one.end()
    assert str(one.error) == "cancelled; nothing was kept."
    assert left(tmp_path / "set") == []
    assert one.recorder.counts == {"wave": 0, "jump": 0}


def clips(one, *labels, person=""):
    for label in labels:
        one.ask(label, person)
        one.frames(3)
        one.end()


def test_only_the_last_clip_can_be_deleted_and_its_number_is_free_again(hand, tmp_path):
    root = tmp_path / "set"
    one = hand(seconds=0.2, countdown=0)
    with pytest.raises(InputError, match="there is no clip to delete; record one first"):
        one.recorder.delete_last()
    clips(one, "wave", "wave", "jump")
    one.recorder.delete_last()
    assert one.recorder.counts == {"wave": 2, "jump": 0}
    assert sorted(p.name for p in root.iterdir()) == [
        "wave"
    ]  # a class without clips is no class to a trainer
    with pytest.raises(InputError, match="no clip to delete"):
        one.recorder.delete_last()
    clips(one, "jump", "wave")
    one.recorder.delete_last()
    clips(one, "wave")
    names = [f"{clip.label}/{clip.name}" for clip in read_actions(root)]
    assert names == ["jump/video_1", "wave/video_1", "wave/video_2", "wave/video_3"]
    clips(one, "wave", person="li_na")
    clips(one, "wave", person="li")
    assert [person_of(clip.name) for clip in read_actions(root)][1:3] == ["li", "li_na"]


def test_it_goes_on_with_the_set_that_is_there(hand, tmp_path):
    one = hand(seconds=0.2, countdown=0)
    clips(one, "wave", "wave")
    (tmp_path / "set" / "sit").mkdir()
    shutil.rmtree(tmp_path / "set" / "wave" / "video_1")
    again = hand(seconds=0.2, countdown=0)
    assert again.recorder.counts == {"wave": 1, "jump": 0, "sit": 0}
    clips(again, "wave")
    assert again.done.folder.name == "video_3"


def test_the_last_clip_is_played_from_its_files_and_the_live_picture_waits(hand, tmp_path):
    one = hand(seconds=0.6, countdown=0, stated=20.0)
    one.ask("wave")
    one.frames(12, 1 / 20)
    one.end()
    one.marks.clear()
    begun = time.monotonic()
    player = threading.Thread(target=one.recorder.play_last)
    player.start()
    until(lambda: one.marks)
    one.frames(1)
    player.join()
    assert 0.5 < time.monotonic() - begun < 1.5
    assert [mark.kind for _, mark in one.marks] == ["replay"] * 12
    np.testing.assert_allclose([mark.left for _, mark in one.marks], 0.6 - np.arange(12) / 20, atol=1e-6)
    for number, (picture, _) in enumerate(one.marks):
        np.testing.assert_array_equal(picture, noise(number))


@pytest.mark.parametrize("bad", ["sit down", "a/b", "../up", ".hidden", "", "  ", "x" * 61, "what?"])
def test_odd_names_are_refused_in_one_sentence(hand, bad):
    one = hand()
    with pytest.raises(InputError, match=r"letters, digits, - and _\.$|a class needs a name\.$"):
        one.recorder.add_label(bad)
    assert list(one.recorder.counts) == ["wave", "jump"]
    if bad.strip():
        with pytest.raises(InputError, match=r"the name of a person"):
            one.recorder.record("wave", bad)


def test_the_same_class_twice_is_refused_and_any_alphabet_is_taken(tmp_path):
    with pytest.raises(InputError, match="'wave' is a class already"):
        record_actions(Camera, tmp_path, ("wave", "Wave "))
    one = Hand(tmp_path, seconds=0.1, countdown=0)
    assert one.recorder.add_label(" 挥手 ") == "挥手"
    clips(one, "挥手", person="Zoë")
    assert [(c.label, c.name) for c in read_actions(tmp_path)] == [("挥手", "Zoë_1")]
    with pytest.raises(InputError, match="'sit' is no class here; it is one of wave, jump, 挥手"):
        one.recorder.record("sit")


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"seconds": 1e4}, {"countdown": -1}, {"fps": 0}, {"size": 8}, {"quality": 0}]
)
def test_senseless_settings_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="makes no sense"):
        record_actions(Camera, tmp_path / "set", **wrong)


def test_the_marks_on_the_picture():
    black = np.zeros((180, 320, 3), np.uint8)
    assert not marked(black, None, 320).any()
    shots = [marked(black, Mark("countdown", seconds, 3.0), 320) for seconds in (2.9, 2.1, 1.5, 0.2)]
    middle = [shot[70:110, 140:180] for shot in shots]
    assert np.array_equal(middle[0], middle[1])  # still 3
    assert not np.array_equal(middle[1], middle[2])
    assert not np.array_equal(middle[2], middle[3])
    ring = [int((shot.min(2) > 200).sum()) for shot in shots]
    assert ring[0] < ring[1]
    red = marked(black, Mark("recording", 0.5, 2.0), 160)
    assert red.shape == (90, 160, 3)
    assert red[12, 12, 2] > 200 > red[12, 12, :2].max()  # the dot
    bar = red[-3, :, 2] > 200
    assert abs(int(bar[5:-5].sum()) - 0.75 * 160 + 5) <= 4  # three quarters are done
    assert not black.any()


# with sessions, cameras and the widget


@pytest.fixture
def show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    views = []

    def make(source=Camera, root="set", labels=("wave", "jump"), **keys):
        views.append(record_actions(source, root, labels, **{"seconds": 0.3, "countdown": 0, **keys}))
        return views[-1]

    yield make
    for view in views:
        view.close()
    until(lambda: is_free(tmp_path / "camera.lock"))
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("edgekit")])


def words(view):
    return " ".join((view._state.value, view._error.value, view._total.value))


def test_by_code_from_a_camera_and_from_the_sample(show, tmp_path):
    view = show(person="anna")
    folder = view.record("wave", repeat=2)
    assert folder == Path("set/wave/anna_2")
    assert view.counts == {"wave": 2, "jump": 0}
    for clip in read_actions("set"):
        bars = [np.argmax(picture[0, :, 2] > 150) for picture in pictures(clip)]
        assert len(bars) == 9 if clip.name == "anna_1" else 5 <= len(bars) <= 10  # of a machine that is busy
        assert (np.diff(bars) >= 1).all()  # the bar of the camera moves on with each frame
    view.close()
    assert is_free(tmp_path / "camera.lock")
    sample = show("sample", "of_sample", seconds=0.5)
    clip = sample.record("jump")
    with open_source("sample") as source:
        every = [frame.image for frame, _ in zip(source, range(40), strict=False)]
    shrunk = [as_trained(image, (341, 256)) for image in every]
    saved = [cv2.imread(str(path)) for path in sorted((clip / "rgb").iterdir())]
    assert len(saved) == 5
    at = [next(i for i, one in enumerate(shrunk) if np.array_equal(one, picture)) for picture in saved]
    assert set(np.diff(at)) <= {1, 2}  # 2: dropped on a machine that is busy


def test_somebody_drawn_does_what_is_recorded(show):
    actor = DrawnActor(3, ("squat",), size=(64, 48), fps=60)
    view = show(actor, labels=("wave", "yodel"), seconds=0.2)
    seen = []
    view.recorder.show = lambda picture, mark: seen.append((mark is not None, actor.action))
    view.record("wave")
    until(lambda: seen[-1] == (False, "squat"))
    assert {action for recording, action in seen if recording} == {"wave"}
    view.record("yodel")  # nobody knows how: it is recorded as it comes


def test_pulling_the_camera_is_told_leaves_nothing_and_can_be_repeated(show, tmp_path):
    broken = [True]
    view = show(lambda: Camera(breaks_at=5 if broken else None))
    with pytest.raises(MissingError, match="unplugged; plug it in again"):
        view.record("wave")
    assert left(tmp_path / "set") == []
    assert is_free(tmp_path / "camera.lock")
    view._rows.buttons["wave"].click()
    until(lambda: "unplugged; plug it in again" in words(view) and not view._busy)
    broken.clear()
    view._rows.buttons["wave"].click()
    until(lambda: "Saved wave/video_1: 9 frames, 0.3 s" in words(view))
    assert "unplugged" not in words(view)
    assert "1 clip in set" in words(view)


def test_a_camera_that_is_busy_and_a_source_that_is_none_are_told(show, tmp_path):
    with Camera("camera.lock"):
        view = show()
        with pytest.raises(MissingError, match="busy: another program holds it"):
            view.record("wave")
    view = show(lambda: Synthetic(realtime=False))
    with pytest.raises(InputError, match="at no pace of its own; give a camera or a video"):
        view.record("wave")
    view = show("nowhere.mp4")
    with pytest.raises(InputError, match=r"nowhere.mp4 is not there"):
        view.record("wave")
    assert left(tmp_path / "set") == []


def test_a_disk_that_fills_up_keeps_nothing_of_the_clip(show, tmp_path, monkeypatch):
    view = show()
    view.record("wave")
    before = left(tmp_path / "set")
    write, written = Path.write_bytes, []

    def full(path, data):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    for label in ("wave", "jump"):
        written.clear()
        with pytest.raises(EdgekitError, match=r"^the disk of set is full; nothing of the clip was kept"):
            view.record(label)
        assert left(tmp_path / "set") == before
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the kernel refuses in the middle of a picture
    try:
        with pytest.raises(EdgekitError, match="cannot be written: File too large"):
            view.record("wave")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert left(tmp_path / "set") == before
    assert view.session.running  # the picture went on all the time
    view.record("wave")
    assert view.counts == {"wave": 2, "jump": 0}


def test_a_folder_that_cannot_be_written_is_told(show, tmp_path):
    (tmp_path / "set").write_text("a file where a folder should be")
    view = show()
    with pytest.raises(EdgekitError, match=r"set.* cannot be written: Not a directory"):
        view.record("wave")


@pytest.mark.parametrize("end", ["close", "cell again", "interrupt", "stop"])
def test_ending_it_in_the_middle_of_a_clip_leaves_nothing(show, tmp_path, monkeypatch, end):
    view = show(seconds=60)
    view.cell = "cell-1"
    view._rows.buttons["wave"].click()
    until(lambda: (tmp_path / "set" / ".part" / "wave" / "video_1" / "rgb" / "000003.png").exists())
    if end == "close":
        view.close()
    elif end == "cell again":
        monkeypatch.setattr(life, "_cell_runs", False)  # put back afterwards: no cell runs in these tests
        life._before_cell(SimpleNamespace(cell_id="cell-1"))
    elif end == "interrupt":
        life._interrupted()
    else:
        view._camera.click()
    until(lambda: is_free(tmp_path / "camera.lock"), 2.0)
    until(lambda: left(tmp_path / "set") == [], 2.0)
    if end in ("close", "cell again"):
        with pytest.raises(EdgekitError, match="the recorder was closed"):
            view.recorder.record("wave")
        assert is_free(tmp_path / "camera.lock")
    else:
        until(lambda: "The camera stopped after" in words(view))


EXIT = """
import sys, time
sys.path[:0] = sys.argv[1:]
from pathlib import Path
from fake_camera import Camera
from edgekit.live.record_actions import record_actions
view = record_actions(Camera, "set", ("wave",), seconds=60, countdown=0)
view._rows.buttons["wave"].click()
while not Path("set/.part/wave/video_1/rgb/000003.png").exists():
    time.sleep(0.01)
sys.exit("out")
"""


def test_a_kernel_that_exits_in_the_middle_of_a_clip_leaves_nothing(tmp_path):
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parents[1])!r}]\n" + EXIT,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "out\n"
    assert left(tmp_path) == ["camera.lock", "set"]


def test_buttons_and_keys(show, tmp_path):
    view = show()
    press = lambda key: view._keys._handle_custom_msg({"key": key}, [])  # noqa: E731
    assert view._keys.description.startswith("Keys: 1–2 record, P plays")
    assert view._play.disabled
    assert view._delete.disabled
    press("9")  # no such class
    press("2")
    until(lambda: view.counts["jump"] == 1 and not view._busy)
    assert "Clips of jump: 1" in view._rows._bars["jump"].value
    until(lambda: not view._delete.disabled)
    press("p")
    until(lambda: "Playing" in view._state.value)
    until(lambda: not view._busy)
    view._times.value = 3
    view._person.value = "li"
    press("1")
    until(lambda: "clip 2 of 3" in view._state.value)
    press("2")  # one at a time: nothing happens
    until(lambda: view.recorder.take is not None and view.recorder.take.label == "wave")
    press("Escape")
    until(lambda: "Cancelled; nothing was kept" in words(view) and not view._busy)
    assert view.counts["jump"] == 1
    assert 1 <= view.counts["wave"] <= 2  # those before it stay
    assert view._error.value == ""
    made = view.counts["wave"]
    press("Delete")
    until(lambda: view.counts["wave"] == made - 1 and not view._busy)
    assert f"Deleted wave/li_{made}" in words(view)
    view._new.value = "jump"
    view._new._handle_custom_msg({"event": "submit"}, [])
    until(lambda: "is a class already; give another name." in words(view) and not view._busy)
    view._new.value = "squat"
    view._add.click()
    until(lambda: "squat" in view._rows.buttons and view._new.value == "")
    assert view.counts["squat"] == 0
    assert "3" in view._keys.wanted


def test_the_picture_does_not_wait_for_the_disk(show, monkeypatch):
    shown, slow = [], Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: (time.sleep(0.1), slow(path, data))[1])
    view = show()
    view.recorder.show = lambda picture, mark: shown.append(time.monotonic())
    view.record("wave")  # 9 pictures, a second to write them
    shown = np.diff(shown)
    assert len(shown) > 8
    assert np.median(shown) < 0.08
