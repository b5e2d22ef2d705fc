"""DeepSORT: motion says where a person can be, looks say who it is.

Wojke, Bewley, Paulus: "Simple Online and Realtime Tracking with a Deep Association Metric", ICIP 2017,
written from the paper: of the boxes that the Kalman filter holds possible a track takes the one that
resembles its last looks most, tracks seen lately first (the matching cascade); what is left is matched by
overlap, as in SORT. The paper's λ is 0: motion only forbids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.results import Detections, Frame
from edgekit.tracking.appearance import Appearance, open_appearance
from edgekit.tracking.base import Follower, share
from edgekit.tracking.matching import assign, forbid_other_classes, iou

#: The paper's gate of the squared Mahalanobis distance: .95 quantile of χ² with four degrees of freedom.
GATE = 9.4877
Indices = NDArray[np.int64]


class Gallery:
    """The last looks of one track, at most `budget`."""

    def __init__(self, budget: int, width: int) -> None:
        self._rows = np.zeros((budget, width), np.float32)
        self._count = 0

    def add(self, vector: NDArray[np.float32]) -> None:
        """Keep one look more; the oldest goes when there is no room."""
        self._rows[self._count % len(self._rows)] = vector
        self._count += 1

    def distance(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Least cosine distance [M] of the vectors [M, D] to a look."""
        kept = self._rows[: min(self._count, len(self._rows))]
        return 1.0 - (vectors @ kept.T).max(axis=1).astype(np.float64)


class DeepSort(Follower):
    """Numbers boxes by their motion and their looks.

    Args:
        appearance: describes boxes, or what `open_appearance` opens; closed with the tracker.
        min_confidence: score below which a box is not looked at, 0 to 1.
        max_cosine_distance: between two looks of one person, 0 to 1; default: the appearance's own limit.
        max_iou_distance: highest cost, 1 - IoU, at which a box continues a track by overlap.
        n_init: frames in which something must be found, one after the other, before it has a number.
        nn_budget: looks that are kept of each track (the paper's L).
        track_buffer: frames of the source for which a lost track is looked for (the paper's A_max).
        cut: as of `edgekit.tracking.scene.Scene`.
        precision, backend: of an appearance that is opened here, as of `edgekit.open_engine`.

    Raises:
        InputError: a setting makes no sense.
    """

    def __init__(
        self,
        appearance: Appearance | str | Path = "histogram",
        *,
        min_confidence: float = 0.4,
        max_cosine_distance: float | None = None,
        max_iou_distance: float = 0.7,
        n_init: int = 3,
        nn_budget: int = 100,
        track_buffer: int = 30,
        cut: float | None = 0.4,
        precision: str = "fp16",
        backend: str = "auto",
    ) -> None:
        share(min_confidence=min_confidence, max_iou_distance=max_iou_distance)
        if max_cosine_distance is not None:
            share(max_cosine_distance=max_cosine_distance)
        for name, value in (("n_init", n_init), ("nn_budget", nn_budget)):
            if value < 1:
                raise InputError(f"{name}={value} makes no sense; give 1 or more.")
        self.min_confidence, self.max_iou_distance = min_confidence, max_iou_distance
        self.n_init, self.nn_budget = n_init, nn_budget
        super().__init__(track_buffer, cut)
        if isinstance(appearance, str | Path):
            appearance = open_appearance(appearance, precision, backend)
        self.appearance = appearance
        limit = appearance.limit if max_cosine_distance is None else max_cosine_distance
        self.max_cosine_distance = limit

    def reset(self) -> None:
        """Forget everything; numbers begin at 1 again."""
        super().reset()
        self._galleries: dict[int, Gallery] = {}

    def close(self) -> None:
        """Close the appearance."""
        self.appearance.close()

    def _match(self, found: Detections, frame: Frame, ids: Indices, first: bool) -> None:
        tracks = self._tracks
        self._galleries = {key: self._galleries[key] for key in tracks.key.tolist()}
        left = np.flatnonzero(found.score >= self.min_confidence)
        looks = self.appearance(frame.image, found.xyxy[left])
        look_of = dict(zip(left.tolist(), looks, strict=True))

        confirmed = np.flatnonzero(tracks.track_id > 0)
        cost = self._cost(confirmed, left, looks, found)
        pairs: list[tuple[int, int]] = []
        for age in np.unique(tracks.missed[confirmed]):
            rows, columns = np.flatnonzero(tracks.missed[confirmed] == age), np.flatnonzero(left >= 0)
            r, c = assign(cost[np.ix_(rows, columns)], self.max_cosine_distance)
            pairs += zip(confirmed[rows[r]].tolist(), left[columns[c]].tolist(), strict=True)
            left[columns[c]] = -1
        left = left[left >= 0]

        taken = np.isin(np.arange(len(tracks)), [row for row, _ in pairs])
        near = np.flatnonzero(~taken & ((tracks.track_id == 0) | (tracks.missed == 1)))
        overlap = iou(tracks.motion.xyxy()[near], found.xyxy[left])
        cost = forbid_other_classes(1 - overlap, tracks.label[near], found.label[left])
        r, c = assign(cost, self.max_iou_distance)
        pairs += zip(near[r].tolist(), left[c].tolist(), strict=True)
        self._correct(pairs, found, ids, look_of)
        self._begin_all(np.delete(left, c), found, ids, look_of)

    def _cost(
        self, rows: Indices, columns: Indices, looks: NDArray[np.float32], found: Detections
    ) -> NDArray[np.float64]:
        """Cosine distances [N, M] where motion and class allow a pair, else infinity."""
        tracks = self._tracks
        cost = np.full((len(rows), len(columns)), np.inf)
        gate = tracks.motion[rows].distance(found.xyxy[columns])
        possible = (gate <= GATE) & (tracks.label[rows][:, None] == found.label[columns][None])
        for i, row in enumerate(rows):
            here = np.flatnonzero(possible[i])
            if len(here):
                cost[i, here] = self._galleries[int(tracks.key[row])].distance(looks[here])
        return cost

    def _correct(
        self, pairs: list[tuple[int, int]], found: Detections, ids: Indices, look_of: dict[int, NDArray]
    ) -> None:
        """Take the pairs of track and box into the tracks; a young track that found nothing ends."""
        tracks = self._tracks
        rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
        tracks.found(rows, found.xyxy[columns], self._now)
        for row, column in pairs:
            self._galleries[int(tracks.key[row])].add(look_of[column])
        self._confirm(rows[tracks.hits[rows] >= self.n_init])
        ids[columns] = tracks.track_id[rows]
        tracks.keep((tracks.missed == 0) | (tracks.track_id > 0))

    def _begin_all(self, rows: Indices, found: Detections, ids: Indices, look_of: dict[int, NDArray]) -> None:
        self._begin(found, rows)
        new = np.arange(len(self._tracks) - len(rows), len(self._tracks))
        for track, row in zip(new.tolist(), rows.tolist(), strict=True):
            gallery = Gallery(self.nn_budget, len(look_of[row]))
            gallery.add(look_of[row])
            self._galleries[int(self._tracks.key[track])] = gallery
        if self.n_init == 1:
            self._confirm(new)
            ids[rows] = self._tracks.track_id[new]
