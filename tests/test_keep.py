"""The sink that keeps what came by."""

from __future__ import annotations

import threading
import time

import numpy as np

from edgekit.keep import Keep
from edgekit.results import Detections, Frame


def frame(index: int, age: float = 0.0) -> Frame:
    return Frame(np.zeros((4, 6, 3), np.uint8), index, captured=time.monotonic() - age)


def test_it_keeps_the_newest_and_the_times_of_all() -> None:
    keep = Keep(most=3)
    assert keep.frame is keep.result is keep.picture is None
    for index in range(5):
        keep.write(frame(index, age=0.5), Detections([[0, 0, 1, 1]] * index, [1] * index, [0] * index), None)
    keep.close()
    assert keep.frame is not None
    assert keep.frame.index == 4
    assert list(keep.index) == [2, 3, 4]
    assert list(keep.found) == [2, 3, 4]
    assert all(0.5 <= age < 5 for age in keep.age)


def test_waiting_ends_when_the_frames_are_there_or_never_come() -> None:
    keep = Keep(picture_side=0)
    picture = np.ones((4, 6, 3), np.uint8)
    thread = threading.Timer(0.05, lambda: [keep.write(frame(i), Detections(), picture) for i in range(3)])
    thread.start()
    assert keep.wait(3)
    thread.join()
    assert keep.picture is picture
    assert not keep.wait(4, timeout=0.05)


def test_waiting_ends_with_the_run() -> None:
    keep = Keep()
    timer = threading.Timer(0.05, keep.close)
    timer.start()
    begun = time.monotonic()
    assert not keep.wait(1, timeout=30)
    assert time.monotonic() - begun < 10
    timer.join()
