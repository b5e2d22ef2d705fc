"""Non-maximum suppression, class by class, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    Classes are compared, not shifted apart, so no coordinate loses precision.

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
    order = np.argsort(-score, kind="stable")[:max_candidates]
    boxes = xyxy[order].astype(np.float32, copy=False)
    label = None if label is None else label[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    alive = np.arange(len(order))
    with np.errstate(invalid="ignore", divide="ignore"):  # two boxes without area: 0/0 drops neither
        while len(alive) and len(kept) < max_det:
            best, alive = alive[0], alive[1:]
            kept.append(int(best))
            rest = boxes[alive]
            side = np.minimum(boxes[best, 2:], rest[:, 2:]) - np.maximum(boxes[best, :2], rest[:, :2])
            common = np.clip(side, 0, None).prod(axis=1)
            drop = common / (area[best] + area[alive] - common) > iou
            if label is not None:
                drop &= label[alive] == label[best]
            alive = alive[~drop]
    return order[kept].astype(np.int64)
