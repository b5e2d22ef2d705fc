"""Parametric pose NMS: poses of one person found twice become one, the mean of both by score.

Fang et al., "RMPE: Regional Multi-Person Pose Estimation" (ICCV 2017), section 3.3, with the constants and
the steps of AlphaPose's `pose_nms_body` (alphapose/utils/pPose_nms.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The constants stand at the head of upstream's file, the two greatest distances in its functions.
DELTA1 = 1.0  # softness of the product of two scores
MU = 1.7  # weight of the distances against the scores
DELTA2 = 2.65  # softness of the distance, pixels
GAMMA = 22.48  # likeness above which two poses are one
SCORE = 0.3  # a pose whose best keypoint is below it is dropped
MATCH = 5  # so many keypoints in the same place also make two poses one
ALPHA = 0.1  # the share of the box's longer side that counts as the same place …
MATCH_MOST, MERGE_MOST = 7.0, 15.0  # … in pixels at most, to match and to merge


def pose_nms(
    keypoints: NDArray[np.float32], xyxy: NDArray[np.float32], min_area: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Drop poses that are doubles of a better one and merge what they agree on.

    Best mean score first, each pose takes with it all that are left and like it: a likeness (score products
    of points that coincide, plus 1.7 × nearness) above 22.48, or five points in the same place. Their points
    near its own are averaged by score. One with no point of score .3 is dropped with all it took.

    Args:
        keypoints: float32 [N, K, 3], x, y in source pixels and score.
        xyxy: float32 [N, 4], the people's boxes.
        min_area: drop poses whose extent × 1.5² is smaller, pixels² (upstream's `min_box_area`).

    Returns:
        float32 [M, K, 3], the merged poses, and int64 [M]: which pose each grew from.
    """
    points = np.asarray(keypoints[..., :2], np.float32)
    score = np.where(keypoints[..., 2] == 0, np.float32(1e-5), keypoints[..., 2])
    sure = np.tanh(score / np.float32(DELTA1))
    reach = np.float32(ALPHA) * (xyxy[:, 2:] - xyxy[:, :2]).max(1)
    left = np.ones(len(points), bool)
    merged, picks = [np.zeros((0, *keypoints.shape[1:]), np.float32)], []
    for i in np.argsort(-score.mean(1), kind="stable"):
        if not left[i]:
            continue
        rivals = np.flatnonzero(left)
        gaps = points[rivals] - points[i]
        distance = np.sqrt((gaps * gaps).sum(2))
        taken = _like(distance, sure[rivals], sure[i], reach[i]) | (rivals == i)
        left[rivals[taken]] = False
        if score[i].max() < SCORE:
            continue
        near = distance[taken] <= min(reach[i], MERGE_MOST)
        pose = _merge(points[rivals[taken]], score[rivals[taken]], near, points[i])
        extent = np.ptp(pose[:, :2], axis=0)
        if pose[:, 2].max() >= SCORE and not 1.5**2 * extent.prod() < min_area:
            merged.append(pose[None])
            picks.append(i)
    return np.concatenate(merged), np.array(picks, np.int64)


def pose_scores(keypoints: NDArray[np.float32], box_score: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N]: mean of the keypoints' scores + the box's + 1.25 × the best keypoint's, as upstream."""
    if not keypoints.size:
        return np.zeros(len(keypoints), np.float32)
    own = keypoints[..., 2]
    return (own.mean(1) + box_score + np.float32(1.25) * own.max(1)).astype(np.float32)


def _like(distance: NDArray, sure: NDArray, own: NDArray, reach: np.floating) -> NDArray[np.bool_]:
    """bool [M]: which poses, `distance` [M, K] away and `sure` [M, K], are the one with `own` [K]."""
    products = np.where(distance <= 1, own * sure, np.float32(0))
    likeness = products.sum(1) + np.float32(MU) * np.exp(distance / np.float32(-DELTA2)).sum(1)
    if not reach > 0:  # a box without sides reaches nowhere
        return likeness > GAMMA
    close = distance / np.minimum(reach, np.float32(MATCH_MOST)) <= 1
    return (likeness > GAMMA) | (close.sum(1) >= MATCH)


def _merge(points: NDArray, score: NDArray, used: NDArray[np.bool_], own: NDArray) -> NDArray[np.float32]:
    """float32 [K, 3]: mean by score of the points `used` [M, K]."""
    weight = np.where(used, score, np.float32(0))
    total = weight.sum(0)
    void = total == 0  # scores below 0 can cancel out; the point then stays where it was
    share = weight / np.where(void, np.float32(1), total)
    place = np.where(void[:, None], own, (share[..., None] * points).sum(0))
    return np.concatenate([place, (share * weight).sum(0)[:, None]], 1)
