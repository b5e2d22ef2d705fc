"""SlowFast: what the people of a video are doing, seen over a window of its frames.

with open_slowfast() as task:
    for frame in source:
        actions = task(frame)

Each frame is detected, tracked and put into a ring (`edgekit.tasks.clip_buffer`). Every `stride` frames the
network looks at the last `span` of them, at the people of the window's middle frame; their scores go to their
tracks, and so to the boxes of the present frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.beside import Beside
from edgekit.engine import Engine
from edgekit.engine.choose import BACKENDS
from edgekit.errors import InputError
from edgekit.results import Actions, Frame, Tracks
from edgekit.tasks.clip_buffer import ClipBuffer
from edgekit.tasks.slowfast_nets import net_of, read_notes
from edgekit.tasks.slowfast_open import Model, open_networks
from edgekit.tasks.slowfast_scores import TrackScores
from edgekit.tasks.track import Track, open_track
from edgekit.tasks.yolo import Yolo

#: What a window shows before `span` frames have come: nothing, or the first frame over and over.
COLD = ("wait", "pad")
#: Seconds after which what was seen before counts half, where scores are smoothed.
HALF_LIFE_S = 0.5
#: The row of a network that looks at the whole picture.
WHOLE = np.zeros(1, np.int64)


def open_slowfast(
    model: Model = "edgekit-slowfast",
    precision: str = "fp16",
    backend: str = "auto",
    *,
    detector: str | Path | Yolo | Track = "edgekit-person",
    tracker: str = "bytetrack",
    tracking: dict[str, Any] | None = None,
    **settings: Any,
) -> SlowFast:
    """Open a SlowFast, a detector and a tracker, and make a task of them.

    Args:
        model, precision, backend: as of `edgekit.open_engine`; a whole model, one with GridSample, (body,
            head), or a network for whole clips. The detector gets the same precision and back end.
        detector: a model of any YOLO, or a `Yolo` or `Track` that is open; closed with the task.
        tracker: as of `open_track`.
        tracking: more settings of `open_track`.
        settings: as of `SlowFast`.
    """
    size, short_side = settings.get("size"), settings.get("short_side")
    body, head = open_networks(model, precision, backend, size=size, short_side=short_side)
    with ExitStack() as stack:
        for engine in (body, head):
            if engine is not None:
                stack.callback(engine.close)
        how: dict[str, Any] = {
            "precision": precision,
            "backend": backend,
            "tracker": tracker,
            "tracking": tracking,
        }
        task = slowfast_on(body, head=head, detector=detector, **how, **settings)
        stack.pop_all()
    return task


def slowfast_on(
    engine: Engine,
    model: Any = None,
    *,
    head: Engine | None = None,
    detector: str | Path | Yolo | Track = "edgekit-person",
    precision: str | None = None,
    backend: str | None = None,
    tracker: str = "bytetrack",
    tracking: dict[str, Any] | None = None,
    **settings: Any,
) -> SlowFast:
    """A `SlowFast` around open engines; its detector runs where they do. `model` is not needed.

    On an error what was opened here is closed again; the engines are left to the caller.
    """
    if not net_of(engine, head).people:
        return SlowFast(None, engine, head, **settings)
    if isinstance(detector, Track):
        return SlowFast(detector, engine, head, **settings)
    where = backend or (engine.backend if engine.backend in BACKENDS else "auto")
    tracks = open_track(detector, precision or "fp16", where, tracker=tracker, **(tracking or {}))
    try:
        if tracks.detector.classes is None and len(tracks.names) != 1:
            tracks.detector.classes = ["person"]
        return SlowFast(tracks, engine, head, **settings)
    except BaseException:
        tracks.close()
        raise


@dataclass(frozen=True)
class _Look:
    """One window for the network: its inputs, whom it is about, when it was, of which video."""

    slow: NDArray[np.float32]
    fast: NDArray[np.float32]
    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]
    t: float
    video: int


@dataclass(frozen=True)
class _Seen:
    """What the network gave for a window, and what that took."""

    scores: NDArray[np.float32]
    look: _Look
    parts: dict[str, float]


class SlowFast:
    """Actions of tracked people, or of the whole picture.

    Args:
        tracks: finds and follows the people; None for a network that looks at the whole picture.
        body: the network's body; or, without `head`, one graph with boxes (or without: whole pictures).
        head: its head. All three are closed with the task.
        span: frames of the video that a window covers; default: as the model notes, 64.
        stride: frames from one window to the next; default: as the model notes, 2.
        threshold: lowest score that is shown, 0 to 1; default: as the model notes, .3.
        short_side: of the network's picture in pixels; default: as the model notes, 256.
        size: (height, width) of the network's picture instead; another form is filled up, not stretched.
        names: of the classes; default: as the model notes, AVA's for 80 classes, Kinetics' for 400.
        smooth: average the scores of a track over time: what is `half_life` seconds old counts half.
        half_life: seconds.
        cold: "wait": nobody is known before the window is full; "pad": until then the first frame stands in
            for those before it.
        wait: True: the network runs where it is due, so that a video gives the same each time. False: it
            runs beside the loop, and the picture never waits for it; when it is done the newest window
            comes next, at the earliest `stride` frames after the last. None: False for a live source.

    A person who was not in a window's middle frame has no scores yet (`Actions.known`). A frame of another
    size, or with a lower index than the one before, begins a new video, as `reset` does. `span` and `stride`
    count the frames that come. Where the rate is another than the network learnt with, or a live source drops
    frames, give a `span` of as many seconds (SlowFast 32×2: 64 frames, 2.1 s at 30 a second).

    `threshold`, `stride` and `wait` may be assigned at any time.

    Attributes:
        engine: the body's.
        names: of the classes.
        live: the frames are of a live source; a session says so.
        times: seconds of the last call: "pre", "infer", "post"; what runs beside the loop does not count.
        parts: seconds by part: "detect", "track", "buffer", "body", "roi", "head"; the last three are 0 where
            the network did not run (beside the loop: where no result came).
        size: (height, width) of the network's picture, None before the first frame.
        controls: settings that a live view shows, with the words for them; `ranges`: least, most and step of
            those that are not between 0 and 1.

    Raises:
        InputError: a setting makes no sense, or does not fit the network.
    """

    controls: ClassVar[dict[str, str]] = {
        "threshold": "lowest score shown",
        "stride": "frames between two looks",
    }
    ranges: ClassVar[dict[str, tuple[int, int, int]]] = {"stride": (1, 64, 1)}

    def __init__(
        self,
        tracks: Track | None,
        body: Engine,
        head: Engine | None = None,
        *,
        span: int | None = None,
        stride: int | None = None,
        threshold: float | None = None,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
        names: tuple[str, ...] | None = None,
        smooth: bool = True,
        half_life: float = HALF_LIFE_S,
        cold: str = "wait",
        wait: bool | None = None,
    ) -> None:
        if cold not in COLD:
            raise InputError(f"cold={cold!r} is unknown; give one of {', '.join(COLD)}.")
        if not half_life > 0:
            raise InputError(f"half_life={half_life} must be over 0 seconds; smooth=False smooths nothing.")
        self.net = net_of(body, head)
        if self.net.people != (tracks is not None):
            looks, gives = ("people", "tracks") if self.net.people else ("the whole picture", "tracks=None")
            raise InputError(f"this network looks at {looks}; give {gives}.")
        self.tracks = tracks
        given = {"span": span, "stride": stride, "threshold": threshold, "short_side": short_side}
        metadata = {**({} if head is None else head.metadata), **body.metadata}
        self.notes = read_notes(metadata, self.net, {**given, "size": size, "names": names})
        self.engine, self.names = body, self.notes.names
        self.threshold, self.stride = self.notes.threshold, self.notes.stride
        self.wait, self.live = wait, False
        self.buffer = ClipBuffer(
            span=self.notes.span,
            frames=self.notes.frames,
            alpha=self.notes.alpha,
            short_side=self.notes.short_side,
            size=self.notes.size,
            mean=self.notes.mean,
            std=self.notes.std,
            pad=cold == "pad",
        )
        # From the middle frame to the newest: the left end is what the window's boxes are of.
        self._past: deque[tuple[Tracks | None, float]] = deque(maxlen=self.span - self.buffer.middle)
        self._scores = TrackScores(len(self.names), half_life if smooth else 0.0, keep=self.span)
        self._beside: Beside[_Seen] = Beside("edgekit-actions")
        self._due = False
        self._video = 0
        self._index = -1
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self.parts = dict.fromkeys(("detect", "track", "buffer", "body", "roi", "head"), 0.0)

    @property
    def _waits(self) -> bool:
        return not self.live if self.wait is None else self.wait

    @property
    def span(self) -> int:
        """Frames of the video that a window covers."""
        return self.notes.span

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the network's picture, None before the first frame."""
        return self.notes.size if self.buffer.fit is None else self.buffer.fit.canvas

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
        if frame.index < self._index or self._another_size(frame):
            self.reset()
        self._index = frame.index
        self.parts = dict.fromkeys(self.parts, 0.0)
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        tracks = None
        if self.tracks is not None:
            tracks = self.tracks(frame)
            self.parts.update(self.tracks.parts)
            self.times.update(self.tracks.times)
        start = time.perf_counter()
        self.preprocess(frame, tracks)
        self._collect()
        look = self._next_look()
        ready = time.perf_counter()
        self.parts["buffer"] = ready - start
        inferred = 0.0 if look is None else self._look(look)
        seen = time.perf_counter()
        actions = self.postprocess(tracks)
        self.times["pre"] += ready - start
        self.times["infer"] += inferred
        self.times["post"] += time.perf_counter() - seen + (seen - ready - inferred)
        return actions

    def preprocess(self, frame: Frame, tracks: Tracks | None) -> None:
        """Put a frame, and who is in it, into the ring."""
        self.buffer.add(frame.image)
        self._past.append((tracks, frame.t))
        self._due |= self.buffer.ready and (self.buffer.count - self.span) % self.stride == 0

    def infer(self, look: _Look) -> _Seen:
        """Run the network on a window."""
        return _Seen(self.net(look.slow, look.fast, look.boxes), look, dict(self.net.parts))

    def postprocess(self, tracks: Tracks | None) -> Actions:
        """The scores that are known for these tracks (None: for the whole picture)."""
        ids = WHOLE if tracks is None else tracks.track_id
        scores, known = self._scores.of(ids, self.buffer.count)
        boxes, numbers = (None, None) if tracks is None else (tracks.xyxy, ids)
        return Actions(scores, self.names, boxes, numbers, self.threshold, known)

    def reset(self) -> None:
        """Forget frames, tracks and scores, as before another video."""
        if self.tracks is not None:
            self.tracks.reset()
        self.buffer.reset()
        self._past.clear()
        self._scores.reset()
        self._due = False
        self._video += 1  # a window of the old one that is still looked at gives nothing
        self._index = -1

    def _another_size(self, frame: Frame) -> bool:
        fit = self.buffer.fit
        return fit is not None and self.buffer.count > 0 and fit.source != frame.image.shape[:2]

    def _next_look(self) -> _Look | None:
        """The newest window where one is due and can be looked at now; None too where nobody is in it."""
        if not self._due or (not self._waits and not self._beside.free):
            return None
        self._due = False
        tracks, t = self._past[0]
        boxes, ids = np.zeros((0, 4), np.float32), WHOLE
        if tracks is not None:
            if not len(tracks):
                return None
            assert self.buffer.fit is not None
            boxes, ids = self.buffer.fit.boxes(tracks.xyxy), tracks.track_id
        return _Look(*self.buffer.window(), boxes, ids, t, self._video)

    def _collect(self) -> None:
        """Learn what was seen beside the loop since the last frame."""
        seen = self._beside.take(None if self._waits else 0.0)
        if seen is not None:
            self._learn(seen)

    def _look(self, look: _Look) -> float:
        """Look and learn, or have it done beside the loop. Returns the seconds that networks took here."""
        if not self._waits:
            self._beside.give(self.infer, look)
            return 0.0
        seen = self.infer(look)
        self._learn(seen)
        return seen.parts["body"] + seen.parts["head"]

    def _learn(self, seen: _Seen) -> None:
        """Give each person the scores of a window, unless another video has begun since."""
        self.parts.update(seen.parts)
        look = seen.look
        if look.video == self._video:
            self._scores.learn(look.ids, seen.scores, look.t, self.buffer.count)

    def close(self) -> None:
        """Wait for the window in hand (some seconds at most), then close all engines."""
        with ExitStack() as stack:
            if self.tracks is not None:
                stack.callback(self.tracks.close)
            stack.callback(self.net.close)
            stack.callback(self._beside.close)

    def __enter__(self) -> SlowFast:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
