"""What tasks that look at a window of a video share: people, when a window is due, scores, and two threads.

Each frame goes into a buffer of the task. Every `stride` frames the network looks at the window that the
buffer then holds, in the loop or beside it; its scores go to the tracks, and so to the present frame.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.beside import Beside
from edgekit.engine import Engine
from edgekit.engine.resident import choose_ops
from edgekit.errors import InputError
from edgekit.results import Actions, Frame, Tracks
from edgekit.tasks.track import Track
from edgekit.tasks.track_scores import TrackScores

#: What a window shows before enough frames have come: nothing, or the first frame over and over.
COLD = ("wait", "pad")
#: Seconds after which what was seen before counts half, where scores are smoothed.
HALF_LIFE_S = 0.5
#: The row of a network that looks at the whole picture.
WHOLE = np.zeros(1, np.int64)

#: Why `ops="graft"` is the host's: frames come one by one, and a tracker finds the boxes.
NO_GRAFT = "a network that looks at windows has no steps in its graph"

L = TypeVar("L")
T = TypeVar("T", bound="Windowed[Any]")


def window_ops(ops: str, engine: Engine) -> tuple[str, str]:
    """`choose_ops` for a network that looks at windows, whose steps cannot be grafted: "host" or "cuda"."""
    chosen, why = choose_ops(ops, engine)
    return ("host", NO_GRAFT) if chosen == "graft" else (chosen, why)


@dataclass(frozen=True)
class Seen:
    """What the network gave for a window.

    Attributes:
        scores: float32 [N, C].
        ids: int64 [N], the tracks; `WHOLE` for the whole picture.
        t: seconds of the video.
        video: counts the videos, so that what was seen of the one before is dropped.
        parts: seconds of it, by part.
        seconds: those of them that networks took.
        frames: numbers of the frames that were seen, where the task tells them.
    """

    scores: NDArray[np.float32]
    ids: NDArray[np.int64]
    t: float
    video: int
    parts: dict[str, float]
    seconds: float
    frames: tuple[int, ...] = ()


class Windowed(Generic[L]):
    """A task that looks at windows; what is of one kind of network is told by the class that builds on it.

    That class has `preprocess` (a frame into the buffer), `next_look` (the window that is due, an `L`),
    `infer` (the network on it) and `forget` (the buffer empty).

    Args:
        tracks: finds and follows the people; None: the whole picture is looked at. Closed with the task.
        engine: the network's. Closed with the task by `release`.
        names: of the classes.
        threshold, stride, wait: may be assigned at any time.
        smooth: average scores over time: what is `half_life` seconds old counts half.
        cold: one of `COLD`; "pad" is `pad`, for the buffer of the class that builds on this one.
        keep: frames after which somebody lost is forgotten.
        parts: names of the parts whose seconds are told.

    Raises:
        InputError: a setting makes no sense.
    """

    controls: ClassVar[dict[str, str]] = {
        "threshold": "lowest score shown",
        "stride": "frames between two looks",
    }
    ranges: ClassVar[dict[str, tuple[int, int, int]]] = {"stride": (1, 64, 1)}

    def __init__(
        self,
        tracks: Track | None,
        engine: Engine,
        names: tuple[str, ...],
        *,
        threshold: float,
        stride: int,
        wait: bool | None,
        smooth: bool,
        half_life: float,
        cold: str,
        keep: int,
        parts: Sequence[str],
    ) -> None:
        if cold not in COLD:
            raise InputError(f"cold={cold!r} is unknown; give one of {', '.join(COLD)}.")
        if not half_life > 0:
            raise InputError(f"half_life={half_life} must be over 0 seconds; smooth=False smooths nothing.")
        self.tracks, self.engine, self.names = tracks, engine, names
        self.threshold, self.stride = threshold, stride
        self.wait, self.live, self.pad = wait, False, cold == "pad"
        self._scores = TrackScores(len(names), half_life if smooth else 0.0, keep=keep)
        self._beside: Beside[Seen] = Beside("edgekit-actions")
        self._count = self._video = 0  # frames since the last reset, and resets
        self._index = -1
        self._shape: tuple[int, ...] | None = None
        self._frames: tuple[int, ...] = ()
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self.parts = dict.fromkeys(parts, 0.0)

    @property
    def waits(self) -> bool:
        """The network runs where it is due, not beside the loop."""
        return not self.live if self.wait is None else self.wait

    @property
    def stride(self) -> int:
        """Frames from one window to the next."""
        return self._stride

    @stride.setter
    def stride(self, value: int) -> None:
        if int(value) < 1:
            raise InputError(f"stride={value} is no step; give 1 frame or more.")
        self._stride = int(value)

    @property
    def threshold(self) -> float:
        """Lowest score that is shown."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise InputError(f"threshold={value} is not between 0 and 1.")
        self._threshold = value

    @overload
    def __call__(self, frames: Frame | NDArray[np.uint8]) -> Actions: ...
    @overload
    def __call__(self, frames: Sequence[Frame | NDArray[np.uint8]]) -> list[Actions]: ...
    def __call__(
        self, frames: Frame | NDArray[np.uint8] | Sequence[Frame | NDArray[np.uint8]]
    ) -> Actions | list[Actions]:
        """Take the next frame of the video (or each of several): what its people do, in pixels of it."""
        if isinstance(frames, Frame | np.ndarray):
            return self._next(frames)
        return [self._next(frame) for frame in frames]

    def _next(self, frame: Frame | NDArray[np.uint8]) -> Actions:
        if not isinstance(frame, Frame):
            frame = Frame(frame, self._index + 1)
        if frame.index < self._index or self._shape not in (None, frame.image.shape):
            self.reset()
        self._index, self._shape = frame.index, frame.image.shape
        self.parts = dict.fromkeys(self.parts, 0.0)
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self._frames = ()
        tracks = None
        if self.tracks is not None:
            tracks = self.tracks(frame)
            self.parts.update(self.tracks.parts)
            self.times.update(self.tracks.times)
        start = time.perf_counter()
        self._count += 1
        self.preprocess(frame, tracks)
        self._collect()
        look = self.next_look() if self.waits or self._beside.free else None
        ready = time.perf_counter()
        self.parts["buffer"] = ready - start - self.parts.get("flow", 0.0)
        inferred = 0.0 if look is None else self._look(look)
        seen = time.perf_counter()
        actions = self.postprocess(tracks)
        self.times["pre"] += ready - start
        self.times["infer"] += inferred
        self.times["post"] += time.perf_counter() - seen + (seen - ready - inferred)
        return actions

    def preprocess(self, frame: Frame, tracks: Tracks | None) -> None:
        """Put a frame, and who is in it, into the buffer."""
        raise NotImplementedError

    def next_look(self) -> L | None:
        """The newest window where one is due; None too where nobody is in it."""
        raise NotImplementedError

    def infer(self, look: L) -> Seen:
        """Run the network on a window."""
        raise NotImplementedError

    def forget(self) -> None:
        """Empty the buffer, as before another video."""
        raise NotImplementedError

    def release(self) -> None:
        """Close the network's engines."""
        self.engine.close()

    def postprocess(self, tracks: Tracks | None) -> Actions:
        """The scores that are known for these tracks (None: for the whole picture)."""
        ids = WHOLE if tracks is None else tracks.track_id
        scores, known = self._scores.of(ids, self._count)
        boxes, numbers = (None, None) if tracks is None else (tracks.xyxy, ids)
        return Actions(scores, self.names, boxes, numbers, self.threshold, known, self._frames)

    def reset(self) -> None:
        """Forget frames, tracks and scores, as before another video."""
        if self.tracks is not None:
            self.tracks.reset()
        self.forget()
        self._scores.reset()
        self._count = 0
        self._video += 1  # a window of the old one that is still looked at gives nothing
        self._index, self._shape = -1, None

    def _collect(self) -> None:
        """Learn what was seen beside the loop since the last frame."""
        seen = self._beside.take(None if self.waits else 0.0)
        if seen is not None:
            self._learn(seen)

    def _look(self, look: L) -> float:
        """Look and learn, or have it done beside the loop. Returns the seconds that networks took here."""
        if not self.waits:
            self._beside.give(self.infer, look)
            return 0.0
        seen = self.infer(look)
        self._learn(seen)
        return seen.seconds

    def _learn(self, seen: Seen) -> None:
        """Give each person the scores of a window, unless another video has begun since."""
        self.parts.update(seen.parts)
        if seen.video == self._video:
            self._frames = seen.frames
            self._scores.learn(seen.ids, seen.scores, seen.t, self._count)

    def close(self) -> None:
        """Wait for the window in hand (some seconds at most), then close all engines."""
        with ExitStack() as stack:
            if self.tracks is not None:
                stack.callback(self.tracks.close)
            stack.callback(self.release)
            stack.callback(self._beside.close)

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
