"""What is known of each track's actions, averaged over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class _Person:
    """Scores of a track, the time of the window they are from, and the last frame it was in."""

    scores: NDArray[np.float32]
    t: float
    last: int


class TrackScores:
    """The scores of each track, kept as long as it is there and `keep` frames more.

    Args:
        classes: scores of a track.
        half_life: seconds after which what was seen before counts half (an exponential mean); 0: only the
            newest counts.
        keep: frames after which a track that was not seen is forgotten.
    """

    def __init__(self, classes: int, half_life: float, keep: int) -> None:
        self.classes, self.half_life, self.keep = classes, half_life, keep
        self._people: dict[int, _Person] = {}

    def __len__(self) -> int:
        return len(self._people)

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()

    def learn(self, ids: NDArray[np.int64], scores: NDArray[np.float32], t: float, frame: int) -> None:
        """Take the scores, [N, C], of the tracks `ids` from a window of time `t` (seconds).

        A time that does not grow replaces what was known. `frame` counts the frames of the video.
        """
        for number, new in zip(ids.tolist(), scores, strict=True):
            before = self._people.get(number)
            if before is None:
                self._people[number] = _Person(new, t, frame)
                continue
            if self.half_life and t > before.t:
                weight = np.float32(1 - 0.5 ** ((t - before.t) / self.half_life))
                new = before.scores + weight * (new - before.scores)
            before.scores, before.t = new, t
        self._people = {n: one for n, one in self._people.items() if frame - one.last <= self.keep}

    def of(self, ids: NDArray[np.int64], frame: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Scores, float32 [N, C], of the tracks that `frame` shows, and which are known; the others are 0."""
        scores, known = np.zeros((len(ids), self.classes), np.float32), np.zeros(len(ids), bool)
        for row, number in enumerate(ids.tolist()):
            person = self._people.get(number)
            if person is not None:
                scores[row], known[row], person.last = person.scores, True, frame
        return scores, known
