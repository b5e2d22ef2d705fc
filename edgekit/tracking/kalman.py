"""The motion model of SORT's family: a constant-velocity Kalman filter of many boxes at once.

The state of a box is its centre x, centre y, aspect (width / height) and height, and the velocity of each, a
frame. Noise grows with the box's height (Wojke, Bewley, Paulus: "Simple Online and Realtime Tracking with a
Deep Association Metric", ICIP 2017; the constants are those of ByteTrack's public code). Nothing in the model
joins one coordinate to another, so the 8×8 covariance of the papers is four 2×2 ones; they are kept as three
arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Standard deviations, in heights of the box: of a place, and of a velocity a frame (_std_weight_position,
#: _std_weight_velocity). The aspect's do not grow with the height.
PLACE, VELOCITY = 1 / 20, 1 / 160
ASPECT, ASPECT_VELOCITY, ASPECT_MEASURED = 1e-2, 1e-5, 1e-1
#: How many times less sure than a frame of motion leaves it a box is at its beginning: place, velocity.
FIRST_PLACE, FIRST_VELOCITY = 2.0, 10.0


def to_cxcyah(xyxy: NDArray) -> Array:
    """Boxes [N, 4] as centre x, centre y, aspect, height; one lower than a pixel counts as one pixel high."""
    box = np.asarray(xyxy, np.float64).reshape(-1, 4)
    width, height = box[:, 2] - box[:, 0], np.maximum(box[:, 3] - box[:, 1], 1.0)
    return np.stack([(box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2, width / height, height], 1)


def to_xyxy(cxcyah: Array) -> Array:
    """The way back, [N, 4]; a side that the motion made negative is 0."""
    half_height = np.maximum(cxcyah[:, 3], 0) / 2
    half_width = np.maximum(cxcyah[:, 2], 0) * half_height
    x, y = cxcyah[:, 0], cxcyah[:, 1]
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], 1)


def _noise(height: Array, place: float, aspect: float) -> Array:
    """Variances [N, 4] of the four coordinates; `place` in heights."""
    by_height = np.square(place * np.maximum(height, 1.0))
    return np.stack([by_height, by_height, np.full_like(height, aspect**2), by_height], 1)


def _none() -> Array:
    return np.zeros((0, 4))


@dataclass
class Motion:
    """The filters of N boxes; every array is float64 [N, 4]: x, y, aspect, height.

    Attributes:
        place, velocity: the mean of the state; pixels, and pixels a frame.
        variance: of the place.
        cross: covariance of place and velocity.
        velocity_variance: of the velocity.
    """

    place: Array = field(default_factory=_none)
    velocity: Array = field(default_factory=_none)
    variance: Array = field(default_factory=_none)
    cross: Array = field(default_factory=_none)
    velocity_variance: Array = field(default_factory=_none)

    @classmethod
    def begin(cls, xyxy: NDArray) -> Motion:
        """Filters of boxes [N, 4] that are seen for the first time and stand still."""
        place = to_cxcyah(xyxy)
        height = place[:, 3]
        return cls(
            place,
            np.zeros_like(place),
            _noise(height, FIRST_PLACE * PLACE, ASPECT),
            np.zeros_like(place),
            _noise(height, FIRST_VELOCITY * VELOCITY, ASPECT_VELOCITY),
        )

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: NDArray) -> Motion:
        return Motion(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __add__(self, other: Motion) -> Motion:
        return Motion(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )

    def predict(self, steps: int = 1) -> None:
        """Move on by `steps` frames, each less sure than the one before."""
        for _ in range(steps):
            height = self.place[:, 3].copy()
            self.place += self.velocity
            self.variance += 2 * self.cross + self.velocity_variance + _noise(height, PLACE, ASPECT)
            self.cross += self.velocity_variance
            self.velocity_variance += _noise(height, VELOCITY, ASPECT_VELOCITY)

    def _innovation(self) -> Array:
        """Variances [N, 4] of what would be measured."""
        return self.variance + _noise(self.place[:, 3], PLACE, ASPECT_MEASURED)

    def update(self, rows: NDArray, xyxy: NDArray) -> None:
        """Correct the filters `rows` by the boxes [len(rows), 4] that were found."""
        spread = self._innovation()[rows]
        error = to_cxcyah(xyxy) - self.place[rows]
        gain, velocity_gain = self.variance[rows] / spread, self.cross[rows] / spread
        self.place[rows] += gain * error
        self.velocity[rows] += velocity_gain * error
        self.velocity_variance[rows] -= velocity_gain * self.cross[rows]
        self.cross[rows] -= gain * self.cross[rows]
        self.variance[rows] -= gain * self.variance[rows]

    def distance(self, xyxy: NDArray) -> Array:
        """Squared Mahalanobis distance [N, M] of each filter to each box of [M, 4] (DeepSORT, eq. 1)."""
        error = to_cxcyah(xyxy)[None] - self.place[:, None]
        squared: Array = (error * error / self._innovation()[:, None]).sum(axis=2)
        return squared

    def xyxy(self) -> Array:
        """The boxes [N, 4] where the filters are now."""
        return to_xyxy(self.place)
