"""SlowFast: what the people of a video are doing, seen over a window of its frames.

with open_slowfast() as task:
    for frame in source:
        actions = task(frame)

Each frame is detected, tracked and put into a ring (`edgekit.tasks.clip_buffer`). Every `stride` frames the
network looks at the last `span` of them, at the people of the window's middle frame; their scores go to their
tracks, and so to the boxes of the present frame.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine
from edgekit.engine.choose import BACKENDS
from edgekit.engine.cuda import DeviceArray
from edgekit.errors import InputError
from edgekit.results import Frame, Tracks
from edgekit.tasks.clip_buffer import ClipBuffer, Frames
from edgekit.tasks.slowfast_gpu import open_gpu
from edgekit.tasks.slowfast_nets import net_of, read_notes
from edgekit.tasks.slowfast_open import Model, open_networks
from edgekit.tasks.track import Track, open_track
from edgekit.tasks.windowed import HALF_LIFE_S, WHOLE, Seen, Windowed
from edgekit.tasks.yolo import Yolo


def open_slowfast(
    model: Model = "edgekit-slowfast",
    precision: str = "fp16",
    backend: str = "auto",
    *,
    detector: str | Path | Yolo | Track = "edgekit-person",
    tracker: str = "bytetrack",
    tracking: dict[str, Any] | None = None,
    ops: str = "auto",
    **settings: Any,
) -> SlowFast:
    """Open a SlowFast, a detector and a tracker, and make a task of them.

    Args:
        model, precision, backend: as of `edgekit.open_engine`; a whole model, one with GridSample, (body,
            head), or a network for whole clips. The detector gets the same precision and back end.
        detector: a model of any YOLO, or a `Yolo` or `Track` that is open; closed with the task.
        tracker: as of `open_track`.
        tracking: more settings of `open_track`.
        ops: as of `SlowFast`, of the detector too.
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
            "ops": ops,
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
    ops: str = "auto",
    **settings: Any,
) -> SlowFast:
    """A `SlowFast` around open engines; its detector runs where they do. `model` is not needed.

    On an error what was opened here is closed again; the engines are left to the caller.
    """
    settings["ops"] = ops
    if not net_of(engine, head).people:
        return SlowFast(None, engine, head, **settings)
    if isinstance(detector, Track):
        return SlowFast(detector, engine, head, **settings)
    where = backend or (engine.backend if engine.backend in BACKENDS else "auto")
    tracking = {**({} if isinstance(detector, Yolo) else {"ops": ops}), **(tracking or {})}
    tracks = open_track(detector, precision or "fp16", where, tracker=tracker, **tracking)
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

    slow: NDArray[np.float32] | DeviceArray
    fast: NDArray[np.float32] | DeviceArray
    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]
    t: float
    video: int


class SlowFast(Windowed[_Look]):
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
        ops: "cuda": frames are kept on the GPU, and what lies between them and the scores is done there;
            "host": by NumPy and OpenCV; "auto": "cuda" where the engines keep their tensors on the GPU.

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
        ops, ops_why: where that is done, and why, in words.
        controls: settings that a live view shows, with the words for them; `ranges`: least, most and step of
            those that are not between 0 and 1.

    Raises:
        InputError: a setting makes no sense, or does not fit the network.
        MissingError: ops="cuda" cannot be.
    """

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
        ops: str = "auto",
    ) -> None:
        self.net = net_of(body, head)
        if self.net.people != (tracks is not None):
            looks, gives = ("people", "tracks") if self.net.people else ("the whole picture", "tracks=None")
            raise InputError(f"this network looks at {looks}; give {gives}.")
        given = {"span": span, "stride": stride, "threshold": threshold, "short_side": short_side}
        metadata = {**({} if head is None else head.metadata), **body.metadata}
        self.notes = read_notes(metadata, self.net, {**given, "size": size, "names": names})
        super().__init__(
            tracks,
            body,
            self.notes.names,
            threshold=self.notes.threshold,
            stride=self.notes.stride,
            wait=wait,
            smooth=smooth,
            half_life=half_life,
            cold=cold,
            keep=self.notes.span,
            parts=("detect", "track", "buffer", "body", "roi", "head"),
        )
        how: dict[str, Any] = {
            "span": self.notes.span,
            "frames": self.notes.frames,
            "alpha": self.notes.alpha,
            "short_side": self.notes.short_side,
            "size": self.notes.size,
            "mean": self.notes.mean,
            "std": self.notes.std,
            "pad": self.pad,
        }
        self.ops, self.ops_why, self._gpu = open_gpu(ops, self.net, how)
        self.buffer: Frames = ClipBuffer(**how) if self._gpu is None else self._gpu.clips
        # From the middle frame to the newest: the left end is what the window's boxes are of.
        self._past: deque[tuple[Tracks | None, float]] = deque(maxlen=self.span - self.buffer.middle)
        self._due = False

    @property
    def span(self) -> int:
        """Frames of the video that a window covers."""
        return self.notes.span

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the network's picture, None before the first frame."""
        return self.notes.size if self.buffer.fit is None else self.buffer.fit.canvas

    def preprocess(self, frame: Frame, tracks: Tracks | None) -> None:
        """Put a frame, and who is in it, into the ring."""
        if self._gpu is not None:
            self._gpu.clips.detector = getattr(self.tracks, "detector", None)
        self.buffer.add(frame.image)
        self._past.append((tracks, frame.t))
        self._due |= self.buffer.ready and (self.buffer.count - self.span) % self.stride == 0

    def infer(self, look: _Look) -> Seen:
        """Run the network on a window."""
        asked: Any = self.net if self._gpu is None else self._gpu
        scores = asked(look.slow, look.fast, look.boxes)
        parts = dict(asked.parts)
        return Seen(scores, look.ids, look.t, look.video, parts, parts["body"] + parts["head"])

    def forget(self) -> None:
        """Empty the ring."""
        self.buffer.reset()
        self._past.clear()
        self._due = False

    def release(self) -> None:
        """Close body and head, and give back what is on the GPU."""
        with ExitStack() as stack:
            stack.callback(self.net.close)
            if self._gpu is not None:
                stack.callback(self._gpu.close)

    def next_look(self) -> _Look | None:
        """The newest window where one is due; None too where nobody is in it."""
        if not self._due:
            return None
        self._due = False
        tracks, t = self._past[0]
        boxes, ids = np.zeros((0, 4), np.float32), WHOLE
        if tracks is not None:
            if not len(tracks):
                return None
            assert self.buffer.fit is not None
            boxes, ids = self.buffer.fit.boxes(tracks.xyxy), tracks.track_id
        if isinstance(self.buffer, ClipBuffer):
            return _Look(*self.buffer.window(), boxes, ids, t, self._video)
        assert self._gpu is not None
        return _Look(*self._gpu.window(len(boxes)), boxes, ids, t, self._video)
