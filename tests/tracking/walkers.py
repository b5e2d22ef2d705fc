"""A made world: people who walk straight on, what a detector would find of them, and the exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.results import Detections, Frame
from edgekit.tracking.mot import MotBoxes

WIDTH, HEIGHT = 768, 576
BLANK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def boxes(*xyxy: tuple[float, float, float, float], score: float | list[float] = 0.9, label=0) -> Detections:
    """Detections of these boxes."""
    n = len(xyxy)
    return Detections(
        np.array(xyxy, np.float32).reshape(n, 4),
        np.broadcast_to(np.float32(score), n),
        np.broadcast_to(np.int64(label), n),
        ("person", "dog"),
    )


def standing(*xs: float, y: float = 200.0, score: float | list[float] = 0.9, label=0) -> Detections:
    """People of 40 × 100 pixels whose left sides are at `xs`."""
    return boxes(*((x, y, x + 40, y + 100) for x in xs), score=score, label=label)


def frame(index: int) -> Frame:
    """A picture in which nothing can be seen."""
    return Frame(BLANK, index)


@dataclass
class World:
    """Truth and detections of each frame, from frame 0."""

    truth: list[tuple[NDArray[np.int64], NDArray[np.float64]]]
    found: list[Detections]

    def true_boxes(self) -> MotBoxes:
        """The truth as a MOTChallenge file would hold it."""
        frames = np.concatenate([np.full(len(ids), i + 1) for i, (ids, _) in enumerate(self.truth)])
        ids = np.concatenate([ids for ids, _ in self.truth])
        xyxy = np.concatenate([xyxy for _, xyxy in self.truth])
        return MotBoxes(frames, ids, xyxy, np.ones(len(ids)))


def walkers(people: int, frames: int, seed: int, *, noise: float = 0.02, missed: float = 0.05) -> World:
    """People who cross the picture; those hidden behind others score low, or are not found at all."""
    random = np.random.default_rng(seed)
    feet = random.uniform((0, 200), (WIDTH, HEIGHT), (people, 2))
    pace = random.uniform(1.5, 4.0, people) * random.choice([-1, 1], people)
    truth, found = [], []
    for now in range(frames):
        x = feet[:, 0] + pace * now
        high = 40 + feet[:, 1] / 6
        xyxy = np.stack([x - high * 0.2, feet[:, 1] - high, x + high * 0.2, feet[:, 1]], 1)
        ids = np.flatnonzero((xyxy[:, 0] >= 0) & (xyxy[:, 2] <= WIDTH))
        xyxy = xyxy[ids]
        truth.append((ids + 1, xyxy))
        hidden = np.array([max([0.0, *(_covered(a, b) for b in xyxy if b[3] > a[3])]) for a in xyxy])
        seen = (hidden < 0.85) & (random.uniform(size=len(ids)) > missed)
        score = np.where(hidden < 0.4, random.uniform(0.65, 0.95, len(ids)), 0.6 - 0.6 * hidden)
        measured = xyxy + random.normal(0, noise, xyxy.shape) * (xyxy[:, 3:] - xyxy[:, 1:2])
        measured[:, 2:] = np.maximum(measured[:, 2:], measured[:, :2] + 2)
        order = np.flatnonzero(seen)[np.argsort(-score[seen], kind="stable")]
        found.append(Detections(measured[order], score[order], np.zeros(len(order), int), ("person",)))
    return World(truth, found)


def _covered(a: NDArray, b: NDArray) -> float:
    """Share of box a that b covers."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)) / np.prod(a[2:] - a[:2]))


def track_all(tracker, world: World) -> MotBoxes:
    """What a tracker makes of a world."""
    rows = []
    for now, found in enumerate(world.found):
        tracks = tracker.update(found, frame(now))
        rows += [
            (now + 1, i, *box, s)
            for i, box, s in zip(tracks.track_id, tracks.xyxy, tracks.score, strict=True)
        ]
    table = np.array(rows, np.float64).reshape(-1, 7)
    return MotBoxes(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:6], table[:, 6])
