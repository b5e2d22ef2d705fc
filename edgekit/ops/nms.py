"""Non-maximum suppression, class by class, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Boxes freed together of what the boxes kept so far drop; most calls have no more.
CHUNK = 512
#: Boxes settled among themselves together.
BLOCK = 64


def nms(
    xyxy: NDArray[np.float32],
    score: NDArray[np.float32],
    label: NDArray[np.int64] | None = None,
    iou: float = 0.45,
    max_det: int = 300,
    max_candidates: int = 30_000,
) -> NDArray[np.int64]:
    """Greedy NMS: keep the best box, drop what overlaps it by more than `iou`, go on with the rest.

    The answer is torchvision's `batched_nms` (equal scores: the earlier box first), cut at `max_det`.
    Classes are compared, not shifted apart, so no coordinate loses precision. A box with a coordinate or
    score that is NaN or infinite is never kept. Boxes without area have no overlap with anything.

    Args:
        xyxy: float32 [N, 4], right ≥ left and bottom ≥ top.
        score: float32 [N].
        label: int64 [N]: boxes of different classes never drop each other. None: one class.
        iou: largest overlap (intersection over union) that two kept boxes of a class may have.
        max_det: boxes kept at most.
        max_candidates: boxes looked at, best first (ultralytics' max_nms).

    Returns:
        int64 [K]: indices of the kept boxes, best score first.
    """
    order = np.argsort(-score, kind="stable")
    sound = np.isfinite(score) & np.isfinite(xyxy).all(axis=1)
    if not sound.all():
        order = order[sound[order]]
    order = order[:max_candidates]
    columns = np.empty((6, len(order)), np.float32)  # x1, y1, x2, y2, area, class
    columns[:4] = xyxy[order].T
    columns[5] = 0 if label is None else label[order]
    # Two boxes without area give 0/0, huge ones inf/inf: NaN is not above the limit and drops neither.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        columns[4] = (columns[2] - columns[0]) * (columns[3] - columns[1])
        kept = _greedy(columns, largest_float32(iou), max_det)
    return order[kept].astype(np.int64)


def _greedy(columns: NDArray[np.float32], limit: np.float32, max_det: int) -> NDArray[np.int64]:
    """Which of the boxes, given best first, stay: block by block, each freeing the rest of its chunk."""
    kept = np.empty(0, np.int64)
    for start in range(0, columns.shape[1], CHUNK):
        left = np.arange(start, min(start + CHUNK, columns.shape[1]))
        left = _spared(columns, left, kept, limit)
        while len(left) and len(kept) < max_det:
            block, left = left[:BLOCK], left[BLOCK:]
            inner = columns[:, block]
            new = block[_settle(_overlap(inner, inner, limit))]
            kept = np.concatenate([kept, new])
            left = _spared(columns, left, new, limit)
    return kept[:max_det]


def _spared(
    columns: NDArray[np.float32], left: NDArray[np.int64], kept: NDArray[np.int64], limit: np.float32
) -> NDArray[np.int64]:
    """Those of `left` that no box of `kept` drops."""
    if not len(left) or not len(kept):
        return left
    return left[~_overlap(columns[:, kept], columns[:, left], limit).any(axis=0)]


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32], limit: np.float32) -> NDArray[np.bool_]:
    """bool [len(one), len(other)]: of one class, and overlapping above `limit`. Columns as made in `nms`."""
    one = one[:, :, None]
    common = np.minimum(one[2], other[2])
    common -= np.maximum(one[0], other[0])
    high = np.minimum(one[3], other[3])
    high -= np.maximum(one[1], other[1])
    np.maximum(common, 0, out=common)
    common *= high  # apart in height: below zero, and so is the overlap
    union = np.add(one[4], other[4], out=high)
    union -= common
    common /= union
    over = common > limit
    over &= one[5] == other[5]
    return over


def _settle(over: NDArray[np.bool_]) -> list[int]:
    """Which boxes of a block stay: each that is not dropped itself drops the later ones it overlaps."""
    stays, dropped = [], 0
    for i, row in enumerate(np.packbits(over, axis=1, bitorder="little")):
        if not dropped >> i & 1:  # a row of the table as the bits of one whole number
            stays.append(i)
            dropped |= int.from_bytes(row.tobytes(), "little")
    return stays


def largest_float32(value: float) -> np.float32:
    """The largest float32 not above `value`: torchvision compares a float32 overlap with a double."""
    near = np.float32(value)
    return near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))
