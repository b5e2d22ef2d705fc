"""Steady skeletons: the One-Euro filter on each keypoint of each person.

    smoother = Smoother()
    for frame in source:
        steady = smoother(task(frame), frame.t)

A point at rest is held still, a fast one is followed at once: the filter's cut-off rises with its speed
(Casiez, Roussel, Vogel: "1€ Filter", CHI 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.results import Poses

#: A person who was not seen for so many seconds begins anew.
FORGET_S = 0.5
#: Two poses are one person when their keypoints lie this near in the mean, in parts of the person's size.
NEAR = 0.5


@dataclass
class _Person:
    """One person's filter: the last output and speed of each keypoint, and when that was."""

    t: float
    points: NDArray[np.float64]  # [K, 2] pixels
    speed: NDArray[np.float64]  # [K, 2] pixels a second
    seen: NDArray[np.bool_]  # [K]
    track: int | None


class Smoother:
    """Filters the poses of one source, frame after frame.

    Args:
        min_cutoff: hertz, of a point at rest: lower is steadier, and lags more.
        beta: how much a point's speed, in sizes of its person a second, raises the cut-off, in hertz.
        speed_cutoff: hertz, of the filter on the speed.

    People are known again by their track where the poses have tracks, else by where they were.
    """

    def __init__(self, min_cutoff: float = 1.0, beta: float = 6.0, speed_cutoff: float = 1.0) -> None:
        self.min_cutoff, self.beta, self.speed_cutoff = min_cutoff, beta, speed_cutoff
        self._people: list[_Person] = []

    def reset(self) -> None:
        """Forget everybody, as after a cut in the video."""
        self._people = []

    def __call__(self, poses: Poses, t: float) -> Poses:
        """The poses of the moment `t` (seconds), steadied; scores and boxes stay as they are.

        A `t` that does not grow (a still picture, a video that began again) forgets what was before.
        """
        if self._people and t <= max(person.t for person in self._people):
            self.reset()
        self._people = [person for person in self._people if t - person.t <= FORGET_S]
        before = self._match(poses)
        keypoints = poses.keypoints.copy()
        people = []
        for row, person in enumerate(before):
            points = keypoints[row, :, :2].astype(np.float64)
            seen = keypoints[row, :, 2] > 0
            speed = np.zeros_like(points)
            if person is not None:
                points, speed = self._filter(person, points, seen, t - person.t)
                keypoints[row, :, :2] = points
            track = None if poses.track_id is None else int(poses.track_id[row])
            people.append(_Person(t, points, speed, seen, track))
        known = {id(person) for person in before}
        self._people = people + [person for person in self._people if id(person) not in known]
        return replace(poses, keypoints=keypoints)

    def _filter(
        self, person: _Person, points: NDArray[np.float64], seen: NDArray[np.bool_], dt: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        both = (seen & person.seen)[:, None]
        speed = np.where(both, (points - person.points) / dt, 0.0)
        speed = person.speed + _weight(self.speed_cutoff, dt) * (speed - person.speed)
        pace = np.linalg.norm(speed, axis=1, keepdims=True) / _size(points, seen)
        weight = _weight(self.min_cutoff + self.beta * pace, dt)
        steady = person.points + weight * (points - person.points)
        return np.where(both, steady, points), np.where(both, speed, 0.0)

    def _match(self, poses: Poses) -> list[_Person | None]:
        """For each pose the person it was, or None."""
        if poses.track_id is not None:
            known = {person.track: person for person in self._people}
            return [known.get(int(track)) for track in poses.track_id]
        from scipy.optimize import linear_sum_assignment

        found: list[_Person | None] = [None] * len(poses)
        if not self._people or not len(poses):
            return found
        cost = np.full((len(poses), len(self._people)), np.inf)
        for row in range(len(poses)):
            points, seen = poses.keypoints[row, :, :2], poses.keypoints[row, :, 2] > 0
            for column, person in enumerate(self._people):
                both = seen & person.seen
                if both.any():
                    apart = np.linalg.norm(points[both] - person.points[both], axis=1).mean()
                    cost[row, column] = apart / _size(points, seen)
        far = np.where(np.isfinite(cost), cost, 1e6)
        for row, column in zip(*linear_sum_assignment(far), strict=True):
            if far[row, column] <= NEAR:
                found[row] = self._people[column]
        return found


def _weight(cutoff: NDArray[np.float64] | float, dt: float) -> NDArray[np.float64]:
    """Share of the new value in an exponential filter of this cut-off (hertz) after `dt` seconds."""
    rate = 2 * math.pi * np.asarray(cutoff, np.float64) * dt
    weight: NDArray[np.float64] = rate / (rate + 1)
    return weight


def _size(points: NDArray[np.floating], seen: NDArray[np.bool_]) -> float:
    """Pixels from corner to corner around the keypoints that were found, at least 1."""
    if not seen.any():
        return 1.0
    return max(1.0, float(np.linalg.norm(np.ptp(points[seen], axis=0))))
