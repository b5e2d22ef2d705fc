"""The task of action recognition: frames into a sliding window, windows into the network.

The D frames of a window are the last ones, every `sample_rate`-th. A frame is scaled and normalised when it
comes, never again (`edgekit.tasks.action_tape`); people are cut out when they are looked at, since all frames
of a window show one square (`edgekit.tasks.action_people`).
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.action_windows import inner
from edgekit.engine import Engine
from edgekit.errors import InputError
from edgekit.ops.flow import Flow, flow_to_grey, open_flow
from edgekit.ops.resize import resize_short, to_size
from edgekit.results import Frame, Tracks
from edgekit.tasks.action_gpu import open_gpu
from edgekit.tasks.action_nets import Net, read_notes
from edgekit.tasks.action_open import MAX_BATCH
from edgekit.tasks.action_people import People
from edgekit.tasks.action_rows import Look, Rows
from edgekit.tasks.action_tape import Planes, Tape, planes_of, tables
from edgekit.tasks.track import Track
from edgekit.tasks.windowed import HALF_LIFE_S, WHOLE, Seen, Windowed


class ActionRecognition(Windowed[Look]):
    """Actions of the whole picture, or of tracked people.

    Args:
        engine: the network, as `edgekit.tasks.action_nets` says. D, H, W, 2d or 3d, rgb, of or joint are read
            from its inputs.
        tracks: finds and follows people, each of whom is looked at; None: the whole picture is. Both are
            closed with the task.
        stride: frames from one window to the next; default: as the model notes, 1 (NVIDIA's sample).
        sample_rate: a window has every so many-th frame; default: as the model notes, 1.
        center_crop: scale the short side to `smaller_edge` and cut out the middle, instead of stretching the
            whole picture; default: as the model notes, no. People are stretched. (NVIDIA's sample scales to
            224, the network's size, where it is asked to crop; TAO's page, and its training, to 256.)
        smaller_edge: pixels; default: as the model notes, 256.
        names: of the classes; default: as the model notes, else class0, class1 …
        threshold: lowest probability that is shown, 0 to 1; default: as the model notes, .3.
        mean, std: of R, G, B / 255, one number or three; default: as the model notes, .5 and .5.
        person_margin: share that is added round a person; default: as the model notes, .3.
        flow: method of the optical flow, for a network that wants it; default: as the model notes, "dis".
        total: frames of the video, where that is known: one that is shorter than a window is looped, and
            looked at when its last frame comes, as NVIDIA's sample does with a folder. May be assigned.
        smooth: average the probabilities over time: what is `half_life` seconds old counts half.
        half_life: seconds.
        cold: "wait": nothing is known before the window is full; "pad": until then the first frame stands in
            for those before it.
        wait: True: the network runs where it is due, so that a video gives the same each time. False: it
            runs beside the loop, and the picture never waits for it; when it is done the newest window
            comes next, at the earliest `stride` frames after the last. None: False for a live source.
        max_batch: people in one engine call at most; more are split.
        ops: where windows are made: "cuda", "host", or "auto": on the GPU where the engine keeps its tensors
            there, for whole pictures.

    Optical flow is found once a frame, from the frame before, both made smaller to a short side of
    `smaller_edge`, as `edgekit prepare actions` does it; so a window with flow ends at the frame before
    the newest, whose flow to the newest is known. Of a joint network with streams of two lengths the shorter
    shows the middle of the longer. A person is looked at when there from the window's first quarter on.
    A frame of another size, or with a lower index than the one before, begins a new video, as `reset` does.
    The pictures of people are kept, not copied, as long as a window may show them: do not write into them.

    `threshold`, `stride`, `total` and `wait` may be assigned at any time.

    Attributes:
        engine: the network's.
        names: of the classes.
        net: its streams; notes: all settings.
        span: frames that a window covers, (D - 1) · sample_rate + 1, and one more where flow is wanted.
        ops, ops_why: where windows are made, and why, in words.
        live: the frames are of a live source; a session says so.
        times: seconds of the last call: "pre", "infer", "post"; what runs beside the loop does not count.
        parts: seconds by part: "detect", "track", "flow", "buffer", "cut", "network"; the last two are 0
            where the network did not run (beside the loop: where no result came).
        controls: settings that a live view shows, with the words for them; `ranges`: least, most and step of
            those that are not between 0 and 1.

    Raises:
        InputError: a setting makes no sense, or the engine is no such network.
        MissingError: ops="cuda" cannot be.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        tracks: Track | None = None,
        stride: int | None = None,
        sample_rate: int | None = None,
        center_crop: bool | None = None,
        smaller_edge: int | None = None,
        names: tuple[str, ...] | None = None,
        threshold: float | None = None,
        mean: float | tuple[float, ...] | None = None,
        std: float | tuple[float, ...] | None = None,
        person_margin: float | None = None,
        flow: str | None = None,
        total: int | None = None,
        smooth: bool = False,
        half_life: float = HALF_LIFE_S,
        cold: str = "wait",
        wait: bool | None = None,
        max_batch: int = MAX_BATCH,
        ops: str = "auto",
    ) -> None:
        if max_batch < 1:
            raise InputError(f"max_batch={max_batch} lets nobody in; give 1 or more.")
        self.net = Net(engine)
        crop = None if center_crop is None else "center" if center_crop else "resize"
        given: dict[str, Any] = {
            "stride": stride,
            "sample_rate": sample_rate,
            "crop": crop,
            "smaller_edge": smaller_edge,
        }
        given |= {"names": names, "threshold": threshold, "mean": mean, "std": std, "flow": flow}
        self.notes = notes = read_notes(engine.metadata, self.net, given | {"person_margin": person_margin})
        self._lengths = {kind: stream.length for kind, stream in self.net.streams.items()}
        self._length, self._rate = max(self._lengths.values()), notes.sample_rate
        self._reach = (self._length - 1) * self._rate + 1  # of frames, or of frames with their flow
        super().__init__(
            tracks,
            engine,
            notes.names,
            threshold=notes.threshold,
            stride=notes.stride,
            wait=wait,
            smooth=smooth,
            half_life=half_life,
            cold=cold,
            keep=self._reach,
            parts=("detect", "track", "flow", "buffer", "cut", "network"),
        )
        self.total = total
        self._tables = {"rgb": tables(notes.mean, notes.std), "of": tables(notes.of_mean, notes.of_std)}
        people = tracks is not None
        self.ops, self.ops_why, self._gpu = open_gpu(ops, self.net, self._tables, self._reach, people)
        on_host = not people and self._gpu is None
        self._tapes = {kind: self._tape(kind) for kind in self._lengths} if on_host else {}
        self._flow: Flow | None = open_flow(notes.flow) if "of" in self.net.streams else None
        self._before: tuple[Frame, Tracks | None, NDArray[np.uint8]] | None = None
        self._people = People(self._reach, notes.person_margin)
        self._numbers: deque[int] = deque(maxlen=self._reach)
        self._entered, self._t = 0, 0.0
        self._due = self._loop = False
        self._batch = self.net.rows or min(self.net.limit or max_batch, max_batch)
        self._rows = Rows(self.net, self._tables)

    @property
    def span(self) -> int:
        """Frames of the video that a window covers."""
        return self._reach + (self._flow is not None)

    def _tape(self, kind: str) -> Tape:
        stream = self.net.streams[kind]
        newest = inner(np.arange(self._length), stream.length)[-1]
        lag = (self._length - 1 - int(newest)) * self._rate
        return Tape(stream.length, stream.size, self._tables[kind], rate=self._rate, lag=lag, pad=self.pad)

    def preprocess(self, frame: Frame, tracks: Tracks | None) -> None:
        """Scale and keep a frame, and who is in it; with flow the frame before, which now has its own."""
        last = self.total is not None and frame.index == self.total - 1
        if self._flow is None:
            self._enter(frame, tracks, None, last)
            return
        start = time.perf_counter()
        edge = self.notes.smaller_edge
        small = resize_short(frame.image, edge) if min(frame.image.shape[:2]) > edge else frame.image
        before, self._before = self._before, (frame, tracks, small)
        if before is None:
            return
        uv = flow_to_grey(self._flow(before[2], small))
        self.parts["flow"] = time.perf_counter() - start
        self._enter(before[0], before[1], uv, last)

    def _enter(self, frame: Frame, tracks: Tracks | None, uv: Planes | None, last: bool) -> None:
        planes: dict[str, Planes] = {}
        if "rgb" in self._lengths:
            planes["rgb"] = (frame.image,) if tracks is not None else self._scaled(frame.image, "rgb")
        if uv is not None:
            planes["of"] = uv if tracks is not None else [self._scaled(one, "of")[0] for one in uv]
        if self._gpu is not None:
            self._gpu.put(planes, self._entered)
        elif tracks is None:
            for kind, tape in self._tapes.items():
                tape.put(planes[kind])
        else:
            self._people.add(planes, tracks, frame.height)
        self._numbers.append(frame.index)
        self._entered, self._t = self._entered + 1, frame.t
        full = self._entered >= (1 if self.pad else self._reach)
        self._loop = last and not full
        self._due |= self._loop or (full and (self._entered - self._reach) % self.stride == 0)

    def _scaled(self, image: NDArray[np.uint8], kind: str) -> Planes:
        """The planes of a picture at the network's size, in its order: R, G, B, or one of flow."""
        size = self.net.streams[kind].size
        small = to_size(image, size, self.notes.crop, self.notes.smaller_edge)
        return planes_of(small)

    def _places(self, kind: str) -> NDArray[np.int64]:
        """Places of a window's frames among the last ones that are kept, oldest first."""
        kept = len(self._numbers)
        long = np.arange(self._length, dtype=np.int64) * self._rate
        long = long % kept if self._loop else np.maximum(long + kept - self._reach, 0)
        return inner(long, self._lengths[kind])

    def next_look(self) -> Look | None:
        """The newest window where one is due; None too where nobody is in it."""
        if not self._due:
            return None
        self._due = False
        lead = max(self._lengths, key=lambda kind: self._lengths[kind])
        frames = tuple(self._numbers[place] for place in self._places(lead))
        about = (self._t, self._video, frames)
        if self.tracks is not None:
            squares = self._people.squares(everybody=self.pad or self._loop)
            if not squares:
                return None
            entries = {kind: self._people.entries(self._places(kind)) for kind in self._lengths}
            ids = np.array(list(squares), np.int64)
            return Look({}, ids, *about, entries, list(squares.values()))
        if self._gpu is not None:
            places = {kind: self._places(kind) for kind in self._lengths}
            self._gpu.window(places, self._entered - len(self._numbers))
        clips = {}
        for kind, tape in self._tapes.items():
            clip = tape.gather(self._places(kind).tolist()) if self._loop else tape.window()
            clips[kind] = clip[None]
            if not self.waits:  # the next frames come while the network still looks
                clips[kind] = self._rows.room(kind, 1)
                np.copyto(clips[kind][0], clip)
        return Look(clips, WHOLE, *about)

    def infer(self, look: Look) -> Seen:
        """Run the network on a window; people in as few calls as they fit."""
        if self._gpu is not None:
            scores = self.net.shares(self._gpu())
            parts = {"cut": 0.0, "network": self._gpu.seconds}
            return Seen(scores, look.ids, look.t, look.video, parts, self._gpu.seconds, look.frames)
        cutting, looking, found = 0.0, 0.0, []
        for first in range(0, len(look.ids), self._batch):
            start = time.perf_counter()
            have = min(self._batch, len(look.ids) - first)
            clips = self._rows.fill(look, first, have)
            ready = time.perf_counter()
            found.append(self.net(clips)[:have])
            cutting, looking = cutting + ready - start, looking + time.perf_counter() - ready
        parts = {"cut": cutting, "network": looking}
        return Seen(np.concatenate(found), look.ids, look.t, look.video, parts, looking, look.frames)

    def forget(self) -> None:
        """Empty the window."""
        for tape in self._tapes.values():
            tape.reset()
        self._people.clear()
        self._numbers.clear()
        self._before, self._entered, self._t = None, 0, 0.0
        self._due = self._loop = False

    def release(self) -> None:
        """Close the network, and give back what flow and windows hold of a GPU."""
        with ExitStack() as stack:
            stack.callback(self.engine.close)
            for held in (self._flow, self._gpu):
                if held is not None:
                    stack.callback(held.close)
