"""Who is who: overlaps, costs, and the assignment of found boxes to those that are followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def iou(one: NDArray, other: NDArray) -> Array:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4]; 0 where both have no area."""
    a, b = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.maximum(sides, 0).prod(axis=2)
    union = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - common
    share: Array = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return share


def forbid_other_classes(cost: Array, labels: NDArray, found: NDArray) -> Array:
    """`cost` [N, M] with infinity where the class of a track and that of a found box differ."""
    return np.where(labels[:, None] == found[None], cost, np.inf)


def assign(cost: Array, limit: float) -> tuple[Indices, Indices]:
    """Pairs of rows and columns, each used once at most, that save most against `limit` all together.

    Leaving a row and a column alone costs `limit`, so no pair that costs more is made: the same answer as
    the Hungarian method with a cost limit (lapjv's `cost_limit`).

    Args:
        cost: [N, M]; infinity forbids a pair.
        limit: highest cost of a pair.

    Returns:
        int64 [K] rows and int64 [K] columns.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    made = cost[rows, columns] <= limit
    return rows[made].astype(np.int64), columns[made].astype(np.int64)
