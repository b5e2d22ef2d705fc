"""Several views of the same people as one: how near keypoints are, which poses and boxes are the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: What a person covers of its box, where nobody drew the outline: the mean of COCO's people.
AREA = 0.53
#: Overlap (IoU) from which two boxes are one person, and the share inside a known box likewise.
SAME, INSIDE = 0.4, 0.8


def nearness(a: NDArray, b: NDArray, areas: NDArray, sigmas: NDArray) -> NDArray[np.float64]:
    """OKS of single keypoints, 0 to 1: exp(−d² / 2 (2σ)² area), as COCO has it; 0 where one is not found.

    Args:
        a, b: [..., K, 3] x, y, score.
        areas: [...] of the people in pixels.
    """
    spread = 2 * (2 * sigmas) ** 2 * np.maximum(areas, 1.0)[..., None]
    distance = ((a[..., :2].astype(np.float64) - b[..., :2]) ** 2).sum(axis=-1)
    return np.exp(-distance / spread) * (a[..., 2] > 0) * (b[..., 2] > 0)


def settle(
    looks: NDArray[np.float32], xyxy: NDArray[np.float32], sigmas: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One answer of several views: the place that most views are near, and how much they agree.

    Args:
        looks: float32 [V, N, K, 3].
        xyxy: float32 [N, 4].
        sigmas: [K] of OKS.

    Returns:
        float32 [N, K, 3]: the mean of the views, each weighted by its score and its OKS to the view that the
        others are nearest to, with their mean score; float32 [N, K]: mean OKS between two views, 1 where
        there is one view.
    """
    count = len(looks)
    areas = AREA * (xyxy[:, 2:] - xyxy[:, :2]).astype(np.float64).prod(axis=1)
    near = nearness(looks[:, None], looks[None], areas, sigmas)  # [V, V, N, K]
    votes = near * looks[None, ..., 2]
    best = votes.sum(axis=1).argmax(axis=0)  # [N, K], the view
    weight = np.take_along_axis(votes, best[None, None], axis=0)[0]  # [V, N, K]
    total = weight.sum(axis=0)
    place = (looks[..., :2] * weight[..., None]).sum(axis=0) / np.maximum(total, 1e-12)[..., None]
    place = np.where((total > 0)[..., None], place, looks[0, ..., :2])
    keypoints = np.concatenate([place, looks[..., 2:].mean(axis=0)], axis=2).astype(np.float32)
    if count == 1:
        return looks[0].copy(), np.ones(looks.shape[1:3], np.float32)
    apart = near.sum(axis=(0, 1)) - near[np.arange(count), np.arange(count)].sum(axis=0)
    return keypoints, (apart / (count * (count - 1))).astype(np.float32)


def pair(
    a: NDArray[np.float32], b: NDArray[np.float32], xyxy: NDArray[np.float32], sigmas: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each pose of `a` the likest of `b`, each used once (zeros where none is like it), and the unused.

    Args:
        a: float32 [N, K, 3] with boxes xyxy [N, 4].
        b: float32 [M, K, 3].
    """
    from scipy.optimize import linear_sum_assignment

    areas = AREA * (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    like = nearness(a[:, None], b[None], areas[:, None], sigmas).mean(axis=2)
    rows, columns = linear_sum_assignment(-like)
    good = like[rows, columns] > 0
    rows, columns = rows[good], columns[good]
    partner = np.zeros_like(a)
    partner[rows] = b[columns]
    return partner, np.setdiff1d(np.arange(len(b)), columns)


def known(boxes: NDArray[np.float32], people: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [N]: boxes that are one of the people already, or lie mostly inside of one."""
    if not len(boxes) or not len(people):
        return np.zeros(len(boxes), bool)
    low = np.maximum(boxes[:, None, :2], people[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], people[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    own = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)[:, None]
    theirs = (people[:, 2:] - people[:, :2]).prod(axis=1)[None]
    return ((common / (own + theirs - common) > SAME) | (common / own > INSIDE)).any(axis=1)


def around(keypoints: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """float32 [N, 4]: boxes around the found keypoints, a tenth of the longer side wider, in the picture."""
    boxes = np.zeros((len(keypoints), 4), np.float32)
    for box, points in zip(boxes, keypoints, strict=True):
        found = points[points[:, 2] > 0, :2]
        if len(found):
            low, high = found.min(axis=0), found.max(axis=0)
            slack = max(1.0, 0.1 * float((high - low).max()))
            box[:] = *np.maximum(low - slack, 0), *np.minimum(high + slack, [shape[1], shape[0]])
    return boxes
