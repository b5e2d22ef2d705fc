"""What ByteTrack and DeepSORT have in common: frames that are counted, cuts, numbers, and the answer."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.results import Detections, Frame, Tracks
from edgekit.tracking.scene import Scene
from edgekit.tracking.tracklets import Tracklets


class Tracker(Protocol):
    """Numbers the boxes of one source, frame after frame."""

    def update(self, detections: Detections, frame: Frame) -> Tracks:
        """The detections of `frame` that are followed, each with its number."""
        ...

    def reset(self) -> None:
        """Forget everything; numbers begin at 1 again."""
        ...


class Follower:
    """Base of both trackers. A tracker of its own has `_match`.

    Args:
        track_buffer: frames of the source for which something lost is looked for.
        cut: as of `edgekit.tracking.scene.Scene`; at a cut everything followed is forgotten.
    """

    def __init__(self, track_buffer: int, cut: float | None) -> None:
        if track_buffer < 1:
            raise InputError(f"track_buffer={track_buffer} follows nothing; give 1 frame or more.")
        self.track_buffer = track_buffer
        self._scene = Scene(cut)
        self.reset()

    def reset(self) -> None:
        """Forget everything; numbers begin at 1 again."""
        self._scene.reset()
        self._tracks = Tracklets()
        self._now = 0
        self._ids = self._keys = 0

    def cut(self) -> None:
        """Forget what is followed, as at a camera cut; no number is used again."""
        self._scene.reset()

    def update(self, detections: Detections, frame: Frame) -> Tracks:
        """The detections of `frame` that are followed, in their order, each with its number.

        Boxes, scores and labels are the detections' own, never the filter's; one that is not (or not yet)
        followed is left out. Where the frame's index says that frames were left out, the motion is carried
        on over them.

        Args:
            detections: of this frame; numbers they have already are not looked at.
            frame: its index counts; its picture is looked at for cuts (and by an appearance).
        """
        steps = self._scene.step(frame)
        first = steps == 0
        self._now += max(1, steps)
        if first or steps > self.track_buffer:
            self._tracks = Tracklets()
        else:
            self._predict(steps)
            self._tracks.missed += 1
        ids = np.zeros(len(detections), np.int64)
        self._match(detections, frame, ids, first)
        self._tracks.keep(self._now - self._tracks.seen <= self.track_buffer)
        rows = np.flatnonzero(ids)
        return Tracks(
            detections.xyxy[rows], detections.score[rows], detections.label[rows], detections.names, ids[rows]
        )

    def _predict(self, steps: int) -> None:
        self._tracks.motion.predict(steps)

    def _match(self, found: Detections, frame: Frame, ids: NDArray[np.int64], first: bool) -> None:
        """Match, correct, begin and end tracks, and write the numbers of the rows of `found` into `ids`."""
        raise NotImplementedError

    def _begin(self, found: Detections, rows: NDArray[np.int64]) -> None:
        """Follow the detections `rows`, as yet without a number."""
        keys = np.arange(self._keys, self._keys + len(rows))
        self._keys += len(rows)
        self._tracks.add(found.xyxy[rows], found.label[rows], keys, self._now)

    def _confirm(self, rows: NDArray[np.int64]) -> None:
        """Give a number to those of the tracks `rows` that have none."""
        rows = rows[self._tracks.track_id[rows] == 0]
        self._tracks.track_id[rows] = np.arange(self._ids + 1, self._ids + 1 + len(rows))
        self._ids += len(rows)


def share(**settings: float) -> None:
    """InputError for a setting that is not between 0 and 1."""
    for name, value in settings.items():
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name}={value} is not between 0 and 1.")
