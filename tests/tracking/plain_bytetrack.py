"""ByteTrack written down once more from its paper: one object a track, full matrices, loops.

It is slow on purpose and shares nothing with the kit's but the constants, which are written out again.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from edgekit.tracking.mot import MotBoxes

MOVE, SEE = np.eye(8) + np.eye(8, k=4), np.eye(4, 8)


def measured(box):
    x1, y1, x2, y2 = (float(v) for v in box)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])


def overlap(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high)


class Followed:
    def __init__(self, box, now):
        z = measured(box)
        h = z[3]
        self.mean = np.concatenate([z, np.zeros(4)])
        self.cov = np.diag(np.square([h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]))
        self.id, self.state, self.begun, self.seen = 0, "new", now, now

    def predict(self):
        if self.state == "lost":
            self.mean[7] = 0
        h = self.mean[3]
        noise = np.square([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160])
        self.mean, self.cov = MOVE @ self.mean, MOVE @ self.cov @ MOVE.T + np.diag(noise)

    def correct(self, box, now):
        h = self.mean[3]
        spread = SEE @ self.cov @ SEE.T + np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        gain = self.cov @ SEE.T @ np.linalg.inv(spread)
        self.mean = self.mean + gain @ (measured(box) - SEE @ self.mean)
        self.cov = self.cov - gain @ spread @ gain.T
        self.seen, self.state = now, "tracked"

    def box(self):
        x, y, a, h = self.mean[:4]
        return x - a * h / 2, y - h / 2, x + a * h / 2, y + h / 2


class PlainByteTrack:
    def __init__(self, high=0.5, low=0.1, new=0.6, match=0.8, keep=30):
        self.high, self.low, self.new, self.match, self.keep = high, low, new, match, keep
        self.tracks, self.now, self.last = [], 0, 0

    def pair(self, tracks, rows, xyxy, score, limit):
        """Pairs (track, row) and what is left of both; `score` None: plain overlap."""
        cost = np.array(
            [
                [1 - overlap(t.box(), xyxy[r]) * (1 if score is None else score[r]) for r in rows]
                for t in tracks
            ]
        ).reshape(len(tracks), len(rows))
        found = zip(*linear_sum_assignment(np.where(cost <= limit, cost, limit)), strict=True)
        pairs = [(tracks[i], rows[j]) for i, j in found if cost[i, j] <= limit]
        taken, used = [t for t, _ in pairs], [r for _, r in pairs]
        return pairs, [t for t in tracks if t not in taken], [r for r in rows if r not in used]

    def update(self, xyxy, score):
        """The number of each row, 0 for none."""
        self.now += 1
        for track in self.tracks:
            track.predict()
        high = [r for r in range(len(score)) if score[r] >= self.high]
        low = [r for r in range(len(score)) if self.low <= score[r] < self.high]
        pool = [t for t in self.tracks if t.state != "new"]
        young = [t for t in self.tracks if t.state == "new"]
        first, left, high = self.pair(pool, high, xyxy, score, self.match)
        tracked = [t for t in left if t.state == "tracked"]
        second, _, _ = self.pair(tracked, low, xyxy, None, 0.5)
        third, gone, high = self.pair(young, high, xyxy, score, 0.7)
        ids = [0] * len(score)
        for track, row in first + second + third:
            if track.id == 0:
                self.last += 1
                track.id = self.last
            track.correct(xyxy[row], self.now)
            ids[row] = track.id
        self.tracks = [t for t in self.tracks if t not in gone]
        for track in self.tracks:
            if track.seen != self.now:
                track.state = "lost"
        for row in high:
            if score[row] >= self.new:
                track = Followed(xyxy[row], self.now)
                if self.now == 1:
                    self.last += 1
                    track.id, track.state = self.last, "tracked"
                    ids[row] = track.id
                self.tracks.append(track)
        here = [t for t in self.tracks if t.state == "tracked"]
        for t in here:
            for other in [o for o in self.tracks if o.state == "lost"]:
                if overlap(t.box(), other.box()) > 0.85:
                    shorter = other if t.seen - t.begun > other.seen - other.begun else t
                    shorter.state = "gone"
                    ids = [0 if i == shorter.id else i for i in ids]
        self.tracks = [t for t in self.tracks if t.state != "gone" and self.now - t.seen <= self.keep]
        return ids


def plain_tracks(world):
    """What it makes of a world of `walkers`."""
    tracker, rows = PlainByteTrack(), []
    for now, found in enumerate(world.found, 1):
        ids = tracker.update(found.xyxy, found.score)
        rows += [(now, i, *box, 1) for i, box in zip(ids, found.xyxy, strict=True) if i]
    table = np.array(rows, np.float64).reshape(-1, 7)
    return MotBoxes(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:6], table[:, 6])
