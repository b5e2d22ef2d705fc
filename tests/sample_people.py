"""The people of the sample clip, for tests of networks that say what people do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import edgekit
from edgekit.camera import open_source
from edgekit.results import Frame

SAMPLE = Path(edgekit.__file__).parent / "samples" / "people.mp4"


def sample_frames(count: int) -> list[Frame]:
    """The first frames, read by OpenCV, so that a machine with a GPU needs no PyAV for its tests."""
    video = cv2.VideoCapture(str(SAMPLE))
    frames = [Frame(video.read()[1], index, index / 10) for index in range(count)]
    video.release()
    return frames


def mean_scores(task: Any, frames: int) -> NDArray[np.float32]:
    """float32 [people, classes]: the mean of each track over those of the first `frames` that know it."""
    seen: dict[int, list[NDArray[np.float32]]] = {}
    with open_source(str(SAMPLE)) as source:
        for _, frame in zip(range(frames), source, strict=False):
            actions = task(frame)
            for row in np.flatnonzero(actions.known):
                seen.setdefault(int(actions.track_id[row]), []).append(actions.scores[row])
    people = np.array([np.mean(rows, 0) for rows in seen.values()])
    assert len(people) >= 3
    return people
