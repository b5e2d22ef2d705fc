"""HOTA: detection and association in one figure, over overlaps from .05 to .95.

Luiten et al.: "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. As in the
authors' code, each frame is matched so that pairs of numbers that agree over the whole sequence come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Overlaps from which a pair counts; the figures are means over them.
ALPHAS = np.arange(0.05, 0.99, 0.05)
#: What rounding may take from an overlap.
EPS = np.finfo(np.float64).eps


def hota(frames: Sequence[tuple[NDArray, NDArray, NDArray[np.float64]]]) -> dict[str, Any]:
    """HOTA and its parts: DetA (found at all) and AssA (kept apart over time), 0 to 1.

    Args:
        frames: for each frame the numbers [N] of its objects, those [M] of what was found, and the overlaps
            [N, M]; in one frame no number stands twice.
    """
    from scipy.optimize import linear_sum_assignment

    objects = _numbered([frame[0] for frame in frames])
    found = _numbered([frame[1] for frame in frames])
    count = max(map(_end, objects), default=0), max(map(_end, found), default=0)
    boxes = np.bincount(_flat(objects), minlength=count[0]), np.bincount(_flat(found), minlength=count[1])

    # How much two numbers agree over the sequence: their overlaps, as shares of all that could be meant.
    together = np.zeros(count)
    for o, f, (_, _, overlap) in zip(objects, found, frames, strict=True):
        union = overlap.sum(axis=0)[None] + overlap.sum(axis=1)[:, None] - overlap
        together[np.ix_(o, f)] += np.divide(overlap, union, out=np.zeros_like(overlap), where=union > EPS)
    agreement = together / np.maximum(boxes[0][:, None] + boxes[1][None] - together, EPS)

    matches = np.zeros((len(ALPHAS), *count))
    for o, f, (_, _, overlap) in zip(objects, found, frames, strict=True):
        rows, columns = linear_sum_assignment(-agreement[np.ix_(o, f)] * overlap)
        for matched, alpha in zip(matches, ALPHAS, strict=True):
            kept = overlap[rows, columns] >= alpha - EPS
            matched[o[rows[kept]], f[columns[kept]]] += 1

    right = matches.sum(axis=(1, 2))
    detection = right / np.maximum(boxes[0].sum() + boxes[1].sum() - right, 1)
    each = matches / np.maximum(boxes[0][:, None] + boxes[1][None] - matches, 1)
    association = (matches * each).sum(axis=(1, 2)) / np.maximum(right, 1)
    both = np.sqrt(detection * association)
    return {"HOTA": float(both.mean()), "DetA": float(detection.mean()), "AssA": float(association.mean())}


def _numbered(ids: list[NDArray]) -> list[NDArray[np.int64]]:
    """The numbers of all frames as 0, 1, 2, …"""
    _, places = np.unique(_flat(ids), return_inverse=True)
    ends = np.cumsum([len(one) for one in ids], dtype=int)
    return [places[end - len(one) : end].astype(np.int64) for one, end in zip(ids, ends, strict=True)]


def _flat(parts: list[NDArray]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def _end(ids: NDArray[np.int64]) -> int:
    return int(ids.max(initial=-1)) + 1
