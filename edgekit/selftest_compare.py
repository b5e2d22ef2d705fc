"""Whether two results of one frame are alike: the same things, in the same places, as sure of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.results import Actions, Detections, Poses, Result

#: Keypoints scored lower are guesses, whose place hangs on the last bits.
SURE = 0.2


def unlike(one: Result, other: Result, pixels: float, score: float, threshold: float = 0.0) -> str:
    """What tells `one` from `other`, in a sentence; "" where they are alike.

    A row at the threshold may be in one result alone.

    Args:
        pixels: corners and sure keypoints may be so far apart.
        score: scores may be so far apart.
        threshold: the lowest score of a row.
    """
    if type(one) is not type(other):
        return f"{type(one).__name__} and {type(other).__name__}"
    mine, yours = _parts(one), _parts(other)
    for (places, sure, marks), (there, sure_there, marks_there) in ((mine, yours), (yours, mine)):
        for row in range(len(sure)):
            far = _far(places[row], there, marks[row], marks_there, pixels, score)
            if far and sure[row] > threshold + score:
                return f"of {len(sure)} and {len(sure_there)} rows one with score {sure[row]:.3f} {far}"
    return ""


def _parts(result: Result) -> tuple[NDArray, NDArray, NDArray]:
    """Points [N, P, 3] (x, y, sure), how sure each row is [N], and the scores to compare [N, C]."""
    if isinstance(result, Poses):
        return result.keypoints, result.score, result.keypoints[:, :, 2]
    count = len(result)
    corners = np.zeros((count, 0, 3), np.float32)
    if result.xyxy is not None:
        corners = np.concatenate([result.xyxy.reshape(count, 2, 2), np.ones((count, 2, 1))], axis=2)
    if isinstance(result, Actions):
        return corners, result.scores.max(axis=1, initial=0.0), result.scores
    assert isinstance(result, Detections)
    classes = np.eye(int(result.label.max(initial=0)) + 1)[result.label]
    return corners, result.score, result.score[:, None] * classes


def _far(
    points: NDArray, there: NDArray, marks: NDArray, marks_there: NDArray, pixels: float, score: float
) -> str:
    """Why no row of `there` is this one; "" where one is."""
    best, nearest = "", float("inf")
    for candidate, its in zip(there, marks_there, strict=True):
        both = (points[:, 2] >= SURE) & (candidate[:, 2] >= SURE)
        off = float(np.abs(points[both, :2] - candidate[both, :2]).max(initial=0.0))
        wide = max(len(marks), len(its))
        mark = float(np.abs(np.pad(marks, (0, wide - len(marks))) - np.pad(its, (0, wide - len(its)))).max())
        if off <= pixels and mark <= score:
            return ""
        if off < nearest:
            nearest, best = off, f"is {off:.2g} pixels and {mark:.2g} in score from its nearest"
    return best or "is there alone"
