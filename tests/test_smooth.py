"""The One-Euro filter against its paper's recursion, and people who come, go and cross."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit import Poses
from edgekit.smooth import FORGET_S, Smoother

RATE = 30.0
SHAPE = np.array([[0, 0], [30, 0], [0, 40], [30, 40]], float)


def pose(*corners, track=None, missing=()):
    points = np.array([SHAPE + corner for corner in corners], float).reshape(-1, 4, 2)
    keypoints = np.concatenate([points, np.full((*points.shape[:2], 1), 0.9)], axis=2)
    for row, k in missing:
        keypoints[row, k] = 0
    return Poses(keypoints, np.full(len(points), 0.9), tuple("abcd"), track_id=track)


def one_euro(values, rate, min_cutoff, beta, speed_cutoff, size):
    """The filter of one coordinate pair, step by step, as the paper writes it."""

    def alpha(cutoff):
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * rate)

    out, speed = [np.array(values[0], float)], np.zeros(2)
    for value in values[1:]:
        raw = (np.array(value) - out[-1]) * rate
        speed = alpha(speed_cutoff) * raw + (1 - alpha(speed_cutoff)) * speed
        a = alpha(min_cutoff + beta * math.hypot(*speed) / size)
        out.append(a * np.array(value) + (1 - a) * out[-1])
    return np.array(out)


def test_each_point_is_the_papers_filter():
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 2, (40, 2)), axis=0) + 100
    smoother = Smoother(min_cutoff=1.3, beta=4.0, speed_cutoff=0.8)
    got = np.array([smoother(pose(xy), n / RATE).keypoints[0, 2, :2] for n, xy in enumerate(path)])
    # all points move alike, so the size is that of SHAPE in every frame
    wanted = one_euro(path + SHAPE[2], RATE, 1.3, 4.0, 0.8, 50.0)
    np.testing.assert_allclose(got, wanted, atol=1e-3)  # poses are float32


def test_rest_is_steadied_and_a_fast_move_is_followed():
    rng = np.random.default_rng(1)
    smoother, shaken, steady = Smoother(), [], []
    for n in range(120):
        jitter = rng.normal(0, 1.5, 2)
        shaken.append(jitter)
        steady.append(smoother(pose(100 + jitter), n / RATE).keypoints[0, 0, :2] - 100)
    assert np.std(steady[30:]) < 0.5 * np.std(shaken[30:])
    for n in range(120, 150):  # three person sizes a second
        at = 100 + (n - 119) * 5.0
        last = smoother(pose((at, 100)), n / RATE).keypoints[0, 0, 0]
    assert at - last < 5.0


def test_a_picture_twice_its_size_is_smoothed_alike():
    rng = np.random.default_rng(2)
    path = 200 + np.cumsum(rng.normal(0, 3, (20, 2)), axis=0)
    small, large = Smoother(), Smoother()
    for n, corner in enumerate(path):
        one = small(pose(corner), n / RATE).keypoints[0, :, :2]
        grown = pose(corner)
        grown.keypoints[..., :2] *= 2
        two = large(grown, n / RATE).keypoints[0, :, :2]
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4)


def test_people_are_known_by_place_whatever_their_order():
    smoother = Smoother()
    for n in range(10):
        here, there = (100, 100), (400, 100)
        rows = (here, there) if n % 2 else (there, here)
        steady = smoother(pose(*rows), n / RATE)
        for row, corner in enumerate(rows):
            np.testing.assert_allclose(steady.keypoints[row, 0, :2], corner, atol=1e-3)


def test_tracks_count_before_place():
    smoother = Smoother(min_cutoff=0.01, beta=0.0)
    smoother(pose((100, 100), (130, 100), track=[1, 2]), 0.0)
    crossed = smoother(pose((100, 100), (130, 100), track=[2, 1]), 1 / RATE)
    assert crossed.keypoints[0, 0, 0] == pytest.approx(130, abs=1)
    assert crossed.keypoints[1, 0, 0] == pytest.approx(100, abs=1)


def test_a_point_that_was_hidden_is_not_pulled_from_where_it_was():
    smoother = Smoother(min_cutoff=0.1, beta=0.0)
    smoother(pose((100, 100)), 0.0)
    hidden = smoother(pose((100, 100), missing=[(0, 3)]), 1 / RATE)
    assert hidden.keypoints[0, 3].tolist() == [0, 0, 0]
    moved = pose((100, 100))
    moved.keypoints[0, 3, :2] = 160, 160
    again = smoother(moved, 2 / RATE)
    assert again.keypoints[0, 3, :2].tolist() == [160, 160]


@pytest.mark.parametrize("t", [0.0, -1.0, FORGET_S + 0.1])
def test_after_a_gap_or_a_clock_that_runs_back_nothing_is_mixed(t):
    smoother = Smoother(min_cutoff=0.1, beta=0.0)
    smoother(pose((100, 100)), 0.0)
    assert smoother(pose((110, 100)), t).keypoints[0, 0].tolist() == pytest.approx([110, 100, 0.9])


def test_a_person_missed_in_one_frame_is_known_again_and_nobody_is_no_error():
    smoother = Smoother(min_cutoff=0.1, beta=0.0)
    smoother(pose((100, 100)), 0.0)
    assert len(smoother(pose(), 1 / RATE)) == 0
    back = smoother(pose((110, 100)), 2 / RATE)
    assert 100 < back.keypoints[0, 0, 0] < 105


def test_what_it_was_given_stays_as_it_was():
    smoother = Smoother()
    smoother(pose((100, 100)), 0.0)
    given = pose((110, 100))
    smoother(given, 1 / RATE)
    assert given.keypoints[0, 0, 0] == 110
