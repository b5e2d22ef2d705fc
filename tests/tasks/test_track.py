import numpy as np
import pytest

from edgekit.camera import open_source
from edgekit.errors import InputError
from edgekit.results import Detections, Frame, Tracks
from edgekit.tasks.track import Track, open_track
from edgekit.tasks.yolo import open_yolo
from edgekit.tracking import ByteTrack, DeepSort

PICTURE = np.zeros((200, 300, 3), np.uint8)


class Finder:
    """Stands in for a `Yolo`: somebody who walks to the right."""

    engine, names = object(), ("person",)

    def __init__(self):
        self.score, self.closed, self.calls = 0.25, False, []
        self.times = {"pre": 0.1, "infer": 0.2, "post": 0.3}

    def __call__(self, frames):
        self.calls.append(len(frames))
        x = [10 + 3 * frame.index for frame in frames]
        return [Detections([[a, 20, a + 30, 120]], [0.9], [0], self.names) for a in x]

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def frames():
    with open_source("sample") as source:
        iterator = iter(source)
        return [next(iterator) for _ in range(12)]


def test_people_of_the_sample_keep_their_numbers(frames):
    with open_track() as task:
        tracks = [task(frame) for frame in frames]
    assert all(isinstance(one, Tracks) for one in tracks)
    assert len(tracks[0]) >= 4
    stayed = set(tracks[0].track_id.tolist()) & set(tracks[-1].track_id.tolist())
    assert len(stayed) >= 4
    assert task.names == ("person",)


def test_boxes_are_the_detectors(frames):
    with open_track() as task, open_yolo("edgekit-person", score=0.1) as yolo:
        found, tracks = yolo(frames[0]), task(frames[0])
    sure = found.score >= 0.6  # the first frame begins no track below
    np.testing.assert_array_equal(tracks.xyxy, found.xyxy[sure])


def test_frames_given_together_are_taken_in_their_order():
    given = [Frame(PICTURE, n) for n in range(5)]
    one, other = Track(Finder(), ByteTrack()), Track(Finder(), ByteTrack())
    alone, together = [one(frame) for frame in given], other(given)
    assert other.detector.calls == [5]
    assert [t.track_id.tolist() for t in alone] == [t.track_id.tolist() for t in together] == [[1]] * 5
    assert isinstance(one(PICTURE), Tracks)
    assert other([]) == []


def test_times_and_parts():
    task = Track(Finder(), ByteTrack())
    task(Frame(PICTURE))
    assert (task.times["pre"], task.times["infer"]) == (0.1, 0.2)
    assert task.times["post"] == pytest.approx(0.3 + task.parts["track"], abs=1e-3)
    assert set(task.parts) == {"detect", "track"}


def test_reset_begins_at_one():
    task = Track(Finder(), ByteTrack())
    task(Frame(PICTURE, 5))
    task(Frame(PICTURE, 0))  # the source began again
    assert task(Frame(PICTURE, 1)).track_id.tolist() == [2]
    task.reset()
    assert task(Frame(PICTURE, 2)).track_id.tolist() == [1]


def test_the_score_is_the_detectors():
    task = Track(Finder(), ByteTrack())
    task.score = 0.4
    assert task.detector.score == task.score == 0.4


def test_detector_and_appearance_are_closed_also_when_one_fails():
    class Looks:
        limit, closed = 0.2, False

        def close(self):
            self.closed = True
            raise RuntimeError("no")

    finder, looks = Finder(), Looks()
    with pytest.raises(RuntimeError, match="no"), Track(finder, DeepSort(looks)):
        pass
    assert finder.closed
    assert looks.closed


def test_the_appearance_is_closed_where_the_detector_cannot_be_opened(monkeypatch):
    closed = []
    monkeypatch.setattr(DeepSort, "close", lambda self: closed.append(self))
    with pytest.raises(InputError, match=r"absent\.onnx"):
        open_track("absent.onnx", tracker="deepsort")
    assert len(closed) == 1


def test_settings_reach_those_they_are_for():
    with open_track(tracker="deepsort", score=0.2, iou=0.6, classes=["person"], n_init=1) as task:
        assert isinstance(task.tracker, DeepSort)
        assert (task.tracker.n_init, task.detector.iou, task.detector.classes, task.score) == (
            1,
            0.6,
            [0],
            0.2,
        )
    with open_track(track_thresh=0.3) as task:
        assert (task.tracker.track_thresh, task.score) == (0.3, 0.1)


def test_open_parts_are_taken_as_they_are():
    with open_yolo("edgekit-person") as yolo:
        tracker = ByteTrack()
        task = open_track(yolo, tracker=tracker)
        assert task.detector is yolo
        assert task.tracker is tracker
        assert yolo.score == 0.1
        with pytest.raises(InputError, match="iou come too late"):
            open_track(yolo, iou=0.3)
        with pytest.raises(InputError, match="n_init come too late"):
            open_track(yolo, tracker=tracker, n_init=3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tracker": "sort"}, "tracker='sort' is unknown"),
        ({"colour": 1}, "no setting colour"),
        ({"n_init": 1}, "bytetrack has no setting n_init"),
        ({"score": 1.5}, "score=1.5"),
        ({"tracker": "deepsort", "appearance": "absent.onnx"}, "absent.onnx"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        open_track(**settings)
