"""Who is who: overlaps, costs, and the assignment of found boxes to those that are followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def iou(one: NDArray, other: NDArray) -> Array:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4]; 0 where both have no area."""
    x1, y1, x2, y2 = np.asarray(one, np.float64).T[:, :, None]
    u1, v1, u2, v2 = np.asarray(other, np.float64).T[:, None]
    common = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1), 0)
    common *= np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1), 0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
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
