"""ByteTrack: motion alone, and every box counts.

Zhang et al.: "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022. Boxes of high
score are matched first; what is left of the tracks then takes boxes of low score, in which people half hidden
show, and which never begin a track. Constants are the defaults of the authors' public code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.results import Detections, Frame
from edgekit.tracking.base import Follower, share
from edgekit.tracking.matching import assign, forbid_other_classes, iou

#: Highest cost, 1 - IoU, at which a track takes a box of low score.
LOW_MATCH = 0.5
#: Highest cost, 1 - IoU × score, at which a track that was seen once takes a box.
UNCONFIRMED_MATCH = 0.7
#: A track found and a track lost that overlap by more than this are one.
SAME = 0.85


class ByteTrack(Follower):
    """Numbers boxes by their motion.

    Args:
        track_thresh: score from which a box is high, 0 to 1.
        low_thresh: score below which a box is not looked at.
        new_thresh: score from which a box may begin a track; default: track_thresh + .1.
        match_thresh: highest cost, 1 - IoU × score, at which a box of high score continues a track.
        track_buffer: frames of the source for which a lost track is looked for.
        cut: as of `edgekit.tracking.scene.Scene`.

    What the first frame of a scene shows has its number at once; what comes later, when it is found in a
    second frame. The settings but the last two may be assigned at any time; the next frame has them.

    Raises:
        InputError: a setting makes no sense.
    """

    def __init__(
        self,
        *,
        track_thresh: float = 0.5,
        low_thresh: float = 0.1,
        new_thresh: float | None = None,
        match_thresh: float = 0.8,
        track_buffer: int = 30,
        cut: float | None = 0.4,
    ) -> None:
        new = min(1.0, track_thresh + 0.1) if new_thresh is None else new_thresh
        share(track_thresh=track_thresh, low_thresh=low_thresh, new_thresh=new, match_thresh=match_thresh)
        self.track_thresh, self.low_thresh, self.new_thresh = track_thresh, low_thresh, new
        self.match_thresh = match_thresh
        super().__init__(track_buffer, cut)

    def _predict(self, steps: int) -> None:
        # A lost box keeps its height: its growth was measured while it vanished.
        self._tracks.motion.velocity[self._tracks.missed > 0, 3] = 0
        super()._predict(steps)

    def _match(self, found: Detections, frame: Frame, ids: NDArray[np.int64], first: bool) -> None:
        tracks = self._tracks
        high = np.flatnonzero(found.score >= self.track_thresh)
        low = np.flatnonzero((found.score >= self.low_thresh) & (found.score < self.track_thresh))
        confirmed = tracks.track_id > 0
        overlap = iou(tracks.motion.xyxy(), found.xyxy)
        by_score = forbid_other_classes(1 - overlap * found.score, tracks.label, found.label)
        by_place = forbid_other_classes(1 - overlap, tracks.label, found.label)

        pool = np.flatnonzero(confirmed)
        pool, high = self._pair(by_score, pool, high, self.match_thresh, found, ids)
        just_lost = pool[tracks.missed[pool] == 1]
        self._pair(by_place, just_lost, low, LOW_MATCH, found, ids)
        young = np.flatnonzero(~confirmed)
        young, high = self._pair(by_score, young, high, UNCONFIRMED_MATCH, found, ids)

        tracks.keep(~np.isin(np.arange(len(tracks)), young))
        new = high[found.score[high] >= self.new_thresh]
        self._begin(found, new)
        if first:
            self._confirm(np.arange(len(new)))
            ids[new] = tracks.track_id
        self._unite(ids)

    def _pair(
        self,
        cost: NDArray[np.float64],
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        limit: float,
        found: Detections,
        ids: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Match tracks `rows` with detections `columns`; returns those of both that are left."""
        r, c = assign(cost[np.ix_(rows, columns)], limit)
        self._tracks.found(rows[r], found.xyxy[columns[c]], self._now)
        self._confirm(rows[r])
        ids[columns[c]] = self._tracks.track_id[rows[r]]
        return np.delete(rows, r), np.delete(columns, c)

    def _unite(self, ids: NDArray[np.int64]) -> None:
        """Of a track found and a lost one at the same place the one that lived longer stays."""
        tracks = self._tracks
        here = np.flatnonzero((tracks.missed == 0) & (tracks.track_id > 0))
        lost = np.flatnonzero(tracks.missed > 0)
        if not len(lost):
            return
        boxes = tracks.motion.xyxy()
        same = forbid_other_classes(iou(boxes[here], boxes[lost]), tracks.label[here], tracks.label[lost])
        gone = []
        for i, j in zip(*np.nonzero(np.isfinite(same) & (same > SAME)), strict=True):
            lived = tracks.seen - tracks.begun
            gone.append(lost[j] if lived[here[i]] > lived[lost[j]] else here[i])
        if not gone:
            return
        ids[np.isin(ids, tracks.track_id[gone])] = 0
        tracks.keep(~np.isin(np.arange(len(tracks)), gone))
