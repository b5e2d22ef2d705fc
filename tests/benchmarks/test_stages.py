"""Times of a task's parts, of which some do not run on every frame."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.bench.stages import stages
from edgekit.results import Frame


class Task:
    """Its second part runs on every third frame."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.stride, self.size = 3, (0, 0)

    def __call__(self, frame: Frame) -> str:
        self.size = frame.image.shape[:2]
        self.parts = {"each": 0.001 * (frame.index + 1), "never": 0.0}
        if frame.index % 3 == 2:
            self.parts["third"] = 0.5
        return f"frame {frame.index}"


def test_parts_are_kept_frame_by_frame() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    found = stages(Task(), (Frame(black, index) for index in range(7)), "stride", "size")
    assert found.parts["third"].tolist() == [0, 0, 0.5, 0, 0, 0.5, 0]
    assert found.ran("third").tolist() == [2, 5]
    assert found.ms_a_call() == {"each": pytest.approx(4.0), "never": 0.0, "third": 500.0}
    assert found.total.shape == (7,)
    assert (found.total > 0).all()
    assert found.results[::6] == ["frame 0", "frame 6"]
    assert found.notes == {"stride": 3, "size": (4, 4)}


def test_no_frames() -> None:
    found = stages(Task(), [])
    assert found.parts == {}
    assert found.ms_a_call() == {}
