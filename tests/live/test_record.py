from __future__ import annotations

import resource
import signal

import av
import cv2
import numpy as np
import pytest

from edgekit import Detections, Frame
from edgekit.errors import EdgekitError
from edgekit.live import record
from edgekit.live.record import Recording, snapshot

NOTHING = Detections()


def frames(count):
    return [Frame(np.full((48, 64, 3), 4 * i, np.uint8), i, i / 10, "test") for i in range(count)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_snapshot_is_the_drawing_at_full_size(folder):
    frame = Frame(np.full((300, 400, 3), 30, np.uint8))
    path = snapshot(frame, Detections([[100, 100, 200, 200]], [0.9], [0], ("cat",)))
    assert path.parent == record.FOLDER
    picture = cv2.imread(str(path))
    assert picture.shape == (300, 400, 3)
    assert np.ptp(picture[95:105, 95:205]) > 100  # the box is on it
    assert np.abs(picture[250:, :50].astype(int) - 30).max() < 10


def test_names_are_never_taken_twice(folder):
    paths = {snapshot(frame, NOTHING) for frame in frames(3)}
    assert len(paths) == 3
    assert all(path.exists() for path in paths)


def test_a_snapshot_that_cannot_be_written_says_so(folder):
    (folder / "out").write_text("a file where a folder should be")
    with pytest.raises(EdgekitError, match=r"out/live/.*jpg cannot be written"):
        snapshot(frames(1)[0], NOTHING)


def test_a_recording_plays_and_holds_every_frame(folder):
    recording = Recording(10)
    assert recording.picture_side == 0
    for frame in frames(12):
        recording.write(frame, NOTHING, frame.image)
    recording.close()
    recording.close()
    assert recording.error is None
    with av.open(str(recording.path)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 12


@pytest.fixture
def full_disk():
    """Files end at 20 kB, with an error as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_ends_the_recording_and_nothing_else(full_disk):
    noise = np.random.default_rng(0)
    recording = Recording(10)
    for frame in frames(60):
        picture = noise.integers(0, 255, (240, 320, 3), np.uint8)
        recording.write(frame, NOTHING, picture)  # never raises
    assert recording.closed
    assert recording.picture_side is None
    assert "cannot be written" in str(recording.error)
    assert recording.path.stat().st_size == 20_000


def test_a_recording_that_cannot_begin_says_so(folder):
    (folder / "out").write_text("a file where a folder should be")
    with pytest.raises(EdgekitError, match="cannot be written"):
        Recording(10)
