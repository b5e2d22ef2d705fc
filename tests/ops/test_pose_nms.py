"""Pose NMS against the paper's steps in plain loops and float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.ops.pose_nms import pose_nms, pose_scores


def plain(keypoints: np.ndarray, xyxy: np.ndarray, min_area: float = 0.0) -> list[tuple[int, np.ndarray]]:
    """[(the pose, [K, 3] merged)], one Python number at a time."""
    people = [[[float(v) for v in point] for point in person] for person in keypoints]
    for person in people:
        for point in person:
            point[2] = point[2] or 1e-5
    left = list(range(len(people)))
    done = []
    while left:
        best = max(left, key=lambda i: sum(p[2] for p in people[i]) / len(people[i]))
        x1, y1, x2, y2 = map(float, xyxy[best])
        reach = 0.1 * max(x2 - x1, y2 - y1)
        doubles = []
        for other in left:
            likeness, near = 0.0, 0
            for a, b in zip(people[best], people[other], strict=True):
                distance = math.hypot(a[0] - b[0], a[1] - b[1])
                if distance <= 1:
                    likeness += math.tanh(a[2]) * math.tanh(b[2])
                likeness += 1.7 * math.exp(-distance / 2.65)
                near += distance <= min(reach, 7)
            if likeness > 22.48 or near >= 5:
                doubles.append(other)
        left = [i for i in left if i not in doubles]
        if max(p[2] for p in people[best]) < 0.3:
            continue
        merged = []
        for k, own in enumerate(people[best]):
            used = [people[i][k] for i in doubles]
            used = [p for p in used if math.hypot(p[0] - own[0], p[1] - own[1]) <= min(reach, 15)]
            total = sum(p[2] for p in used)
            merged.append([sum(p[c] * p[2] for p in used) / total for c in range(3)])
        xs, ys = [p[0] for p in merged], [p[1] for p in merged]
        extent = 1.5 * 1.5 * (max(xs) - min(xs)) * (max(ys) - min(ys))
        if max(p[2] for p in merged) >= 0.3 and extent >= min_area:
            done.append((best, np.array(merged)))
    return done


def crowd(rng: np.random.Generator, count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Poses about half as many people: doubles that lie apart by `spread` pixels, and strangers."""
    centres = rng.uniform(0, (640, 480), (max(1, count // 2), 1, 2))
    people = centres + rng.normal(0, 40, (len(centres), 17, 2))
    which = rng.integers(0, len(people), count)
    points = people[which] + rng.normal(0, spread, (count, 17, 2))
    score = rng.uniform(0, rng.choice([0.28, 0.6, 1.0], (count, 1)), (count, 17))
    score[rng.random(score.shape) < 0.1] = 0
    keypoints = np.concatenate([points, score[..., None]], 2).astype(np.float32)
    return keypoints, np.concatenate([points.min(1), points.max(1)], 1).astype(np.float32)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("count", [1, 2, 9, 20])
def test_as_in_plain_loops(count: int, spread: float) -> None:
    rng = np.random.default_rng([count, int(spread * 10)])
    dropped = 0
    for area in (0.0, 0.0, 15_000.0):
        keypoints, xyxy = crowd(rng, count, spread)
        before = keypoints.copy()
        merged, picks = pose_nms(keypoints, xyxy, area)
        wanted = plain(keypoints, xyxy, area)
        assert picks.tolist() == [i for i, _ in wanted]
        assert (merged.dtype, picks.dtype) == (np.float32, np.int64)
        if wanted:
            np.testing.assert_allclose(merged, [pose for _, pose in wanted], atol=2e-3)
        np.testing.assert_array_equal(keypoints, before)
        dropped += count - len(picks)
    if count == 20 and spread < 5:
        assert dropped >= 15  # the case is one: doubles were there and went


def test_two_of_one_become_their_mean_and_a_stranger_stays() -> None:
    person = np.random.default_rng(1).uniform(100, 200, (17, 2))
    points = person + np.array([[[0, 0]], [[1.5, 0]], [[300, 0]]])
    score = np.array([0.9, 0.6, 0.8])[:, None].repeat(17, 1)
    keypoints = np.concatenate([points, score[..., None]], 2).astype(np.float32)
    xyxy = np.array([[100, 100, 200, 200], [101, 100, 201, 200], [400, 100, 500, 200]], np.float32)
    merged, picks = pose_nms(keypoints, xyxy)
    assert picks.tolist() == [0, 2]
    np.testing.assert_allclose(merged[0, :, :2], person + np.array([0.6, 0]), atol=1e-3)
    np.testing.assert_allclose(merged[0, :, 2], (0.9**2 + 0.6**2) / 1.5, atol=1e-5)
    np.testing.assert_allclose(merged[1], keypoints[2], atol=1e-4)


def test_five_points_in_one_place_are_enough_four_are_not() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.uniform(100, 200, (2, 17, 2)) + np.array([[[0, 0]], [[500, 0]]])
    xyxy = np.array([[100, 100, 200, 200]] * 2, np.float32)
    for shared, people in ((4, 2), (5, 1)):
        pair = np.stack([one, other])
        pair[1, :shared] = one[:shared] + np.array([6.9, 0])  # within 7 pixels, no nearer
        keypoints = np.concatenate([pair, np.full((2, 17, 1), 0.8)], 2).astype(np.float32)
        assert len(pose_nms(keypoints, xyxy)[1]) == people


def test_likeness_counts_where_boxes_are_too_small_to_match() -> None:
    """Boxes of 3 pixels reach 0.3: what is further than that is one by scores and nearness alone."""
    rng = np.random.default_rng(6)
    person = rng.uniform(0, 100, (17, 2))
    xyxy = np.array([[0, 0, 3, 3]] * 2, np.float32)
    met = set()
    for apart in np.arange(0.35, 2.6, 0.15):
        for sure in (0.4, 0.7, 1.0):
            points = np.stack([person, person + np.array([apart, 0])])
            score = sure * rng.uniform(0.9, 1, (2, 17, 1))
            keypoints = np.concatenate([points, score], 2).astype(np.float32)
            picks = pose_nms(keypoints, xyxy)[1].tolist()
            assert picks == [i for i, _ in plain(keypoints, xyxy)]
            met.add((len(picks), sure, apart > 1))
    assert {(1, 1.0, False), (2, 0.4, False), (2, 1.0, True)} <= met


def test_a_pose_without_one_sure_point_takes_its_doubles_along() -> None:
    person = np.random.default_rng(7).uniform(0, 100, (17, 2))
    score = np.array([[0.29] * 17, [0.9] + [0.05] * 16])[..., None]  # the second one's mean is lower
    keypoints = np.concatenate([np.stack([person, person]), score], 2).astype(np.float32)
    assert len(pose_nms(keypoints, np.array([[0, 0, 100, 100]] * 2, np.float32))[1]) == 0


def test_unsure_poses_go() -> None:
    keypoints = np.random.default_rng(3).uniform(0, 200, (2, 17, 3)).astype(np.float32)
    keypoints[0, :, 2], keypoints[1, :, 2] = 0.29, 0.1
    keypoints[1, 3, 2] = 0.31
    keypoints[1, :, :2] += 1000
    xyxy = np.array([[0, 0, 200, 200], [1000, 1000, 1200, 1200]], np.float32)
    assert pose_nms(keypoints, xyxy)[1].tolist() == [1]


def test_few_keypoints_and_a_box_without_area_end() -> None:
    """Two points are too few to be like anything, the pose itself included."""
    keypoints = np.array([[[5, 5, 0.9], [9, 9, 0.9]]] * 3, np.float32)
    merged, picks = pose_nms(keypoints, np.zeros((3, 4), np.float32))
    assert len(picks) == 3
    np.testing.assert_allclose(merged, keypoints, atol=1e-6)


def test_nobody_and_scores() -> None:
    nobody = np.zeros((0, 17, 3), np.float32)
    merged, picks = pose_nms(nobody, np.zeros((0, 4), np.float32))
    assert (merged.shape, picks.shape) == ((0, 17, 3), (0,))
    assert pose_scores(nobody, np.zeros(0, np.float32)).shape == (0,)
    keypoints = np.zeros((1, 4, 3), np.float32)
    keypoints[0, :, 2] = (0.2, 0.4, 0.6, 0.8)
    assert pose_scores(keypoints, np.array([0.7], np.float32))[0] == pytest.approx(0.5 + 0.7 + 1.25 * 0.8)
