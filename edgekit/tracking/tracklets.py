"""The boxes that a tracker follows, one row each, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.tracking.kalman import Motion

Integers = NDArray[np.int64]


def _none() -> Integers:
    return np.zeros(0, np.int64)


@dataclass
class Tracklets:
    """N boxes that are followed.

    Attributes:
        motion: their filters.
        label: int64 [N], class.
        key: int64 [N], a number of its own for each, used once.
        track_id: int64 [N], the number shown; 0 as long as a box is not confirmed.
        begun: int64 [N], frame in which it was first found.
        seen: int64 [N], frame in which it was last found.
        hits: int64 [N], updates in which it was found.
        missed: int64 [N], updates since it was last found; 0: found in the last one.
    """

    motion: Motion = field(default_factory=Motion)
    label: Integers = field(default_factory=_none)
    key: Integers = field(default_factory=_none)
    track_id: Integers = field(default_factory=_none)
    begun: Integers = field(default_factory=_none)
    seen: Integers = field(default_factory=_none)
    hits: Integers = field(default_factory=_none)
    missed: Integers = field(default_factory=_none)

    _columns = ("label", "key", "track_id", "begun", "seen", "hits", "missed")

    def __len__(self) -> int:
        return len(self.label)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget all but `rows`."""
        if rows.all():
            return
        self.motion = self.motion[rows]
        for name in self._columns:
            setattr(self, name, getattr(self, name)[rows])

    def add(self, xyxy: NDArray, label: NDArray, keys: NDArray, now: int) -> None:
        """Follow the boxes [M, 4] found in frame `now`, as yet without a number."""
        if not len(xyxy):
            return
        self.motion = self.motion + Motion.begin(xyxy)
        count = len(xyxy)
        fresh = {
            "label": label,
            "key": keys,
            "begun": np.full(count, now),
            "seen": np.full(count, now),
            "hits": np.ones(count, np.int64),
        }
        for name in self._columns:
            new = fresh.get(name, np.zeros(count, np.int64))
            setattr(self, name, np.concatenate([getattr(self, name), new]).astype(np.int64))

    def found(self, rows: NDArray, xyxy: NDArray, now: int) -> None:
        """`rows` were found again in frame `now`, at these boxes."""
        if not len(rows):
            return
        self.motion.update(rows, xyxy)
        self.seen[rows] = now
        self.hits[rows] += 1
        self.missed[rows] = 0
