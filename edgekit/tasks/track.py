"""Tracking: a detector finds the people of a frame, a tracker says who is who.

with open_track() as task:
    for frame in source:
        tracks = task(frame)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import ShapeRanges
from edgekit.errors import InputError
from edgekit.results import Frame, Tracks
from edgekit.tasks.yolo import Yolo, open_yolo
from edgekit.tracking import Tracker, open_tracker

#: Settings of the detector; what else `open_track` is given goes to the tracker.
DETECTING = ("iou", "max_det", "classes", "agnostic", "head", "names", "size", "auto", "ops")
#: Lowest score that the detector hands to the tracker: ByteTrack's second stage lives on weak boxes.
SCORE = 0.1


def open_track(
    model: str | Path | Yolo = "edgekit-person",
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    *,
    tracker: str | Tracker = "bytetrack",
    score: float = SCORE,
    **settings: Any,
) -> Track:
    """Open a detector and a tracker, and make a `Track` of them.

    Args:
        model: a model of any YOLO, or a `Yolo` that is open; closed with the task.
        precision, backend, shapes: as of `edgekit.open_engine`.
        tracker: a name of `edgekit.tracking.TRACKERS`, or a tracker.
        score: lowest score that the detector hands on, 0 to 1.
        settings: of the detector (`DETECTING`), and of the tracker where it is given by name.

    Raises:
        InputError: a setting that nobody takes, or that makes no sense.
    """
    detecting = {name: settings.pop(name) for name in DETECTING if name in settings}
    if detecting and isinstance(model, Yolo):
        late = ", ".join(detecting)
        raise InputError(f"an open detector has its settings already; {late} come too late.")
    if settings and not isinstance(tracker, str):
        raise InputError(f"an open tracker has its settings already; {', '.join(settings)} come too late.")
    with ExitStack() as stack:
        if isinstance(tracker, str):
            if tracker == "deepsort":  # its appearance runs where the detector runs
                settings = {"precision": precision, "backend": backend, **settings}
            tracker = open_tracker(tracker, **settings)
            stack.callback(getattr(tracker, "close", lambda: None))
        if isinstance(model, Yolo):
            model.score = score
        else:
            model = open_yolo(model, precision, backend, shapes, score=score, **detecting)
        stack.pop_all()
    return Track(model, tracker)


class Track:
    """The people (or other objects) in the frames of one source, numbered.

    Args:
        detector: finds them; closed with the task. Its `score` should be low, .1: the tracker sorts.
        tracker: says who is who; closed with the task where it has a `close`.

    Frames are to come in their order. Give a task of its own to each source, or `reset` it between two.

    Attributes:
        engine: the detector's.
        names: the detector's class names.
        times: seconds of the last call: "pre", "infer", "post"; the tracker's count as "post".
        parts: the same seconds by part: "detect", "track".
        controls: settings between 0 and 1 that a live view shows, with the words for them.
    """

    controls: ClassVar[dict[str, str]] = {"score": "lowest score looked at"}

    def __init__(self, detector: Yolo, tracker: Tracker) -> None:
        self.detector, self.tracker, self.engine = detector, tracker, detector.engine
        self.names = detector.names
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self.parts = {"detect": 0.0, "track": 0.0}

    @property
    def score(self) -> float:
        """Lowest score that the detector hands on."""
        return self.detector.score

    @score.setter
    def score(self, value: float) -> None:
        self.detector.score = value

    @overload
    def __call__(self, frames: Frame | NDArray[np.uint8]) -> Tracks: ...
    @overload
    def __call__(self, frames: Sequence[Frame | NDArray[np.uint8]]) -> list[Tracks]: ...
    def __call__(
        self, frames: Frame | NDArray[np.uint8] | Sequence[Frame | NDArray[np.uint8]]
    ) -> Tracks | list[Tracks]:
        """Tracks of a frame (or of each of several, in their order), in pixels of that frame.

        The detector gets as many frames at once as its engine takes.
        """
        single = isinstance(frames, Frame | np.ndarray)
        listed = [frames] if single else list(frames)  # type: ignore[list-item, arg-type]
        given = [f if isinstance(f, Frame) else Frame(f) for f in listed]  # type: ignore[arg-type]
        start = time.perf_counter()
        found = self.detector(given)
        detected = time.perf_counter()
        tracks = [self.tracker.update(one, frame) for one, frame in zip(found, given, strict=True)]
        done = time.perf_counter()
        self.times = dict(self.detector.times)
        self.times["post"] += done - detected
        self.parts = {"detect": detected - start, "track": done - detected}
        return tracks[0] if single else tracks

    def reset(self) -> None:
        """Forget everybody, as before another source; numbers begin at 1 again."""
        self.tracker.reset()

    def close(self) -> None:
        """Close the detector's engine, and the tracker's where it has one."""
        with ExitStack() as stack:
            stack.callback(self.detector.close)
            stack.callback(getattr(self.tracker, "close", lambda: None))

    def __enter__(self) -> Track:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
