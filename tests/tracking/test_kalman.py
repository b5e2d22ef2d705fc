"""The filter against the papers' 8×8 one, written out with full matrices."""

import numpy as np
import pytest

from edgekit.tracking.kalman import Motion, to_cxcyah, to_xyxy

MOVE = np.eye(8) + np.eye(8, k=4)
SEE = np.eye(4, 8)


def plain_begin(box):
    x, y, a, h = box
    mean = np.array([x, y, a, h, 0, 0, 0, 0], np.float64)
    spread = [h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]
    return mean, np.diag(np.square(spread))


def plain_predict(mean, cov):
    h = mean[3]
    spread = [h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]
    return MOVE @ mean, MOVE @ cov @ MOVE.T + np.diag(np.square(spread))


def plain_seen(mean, cov):
    h = mean[3]
    return SEE @ mean, SEE @ cov @ SEE.T + np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))


def plain_update(mean, cov, box):
    expected, spread = plain_seen(mean, cov)
    gain = cov @ SEE.T @ np.linalg.inv(spread)
    return mean + gain @ (box - expected), cov - gain @ spread @ gain.T


def plain_distance(mean, cov, box):
    expected, spread = plain_seen(mean, cov)
    return (box - expected) @ np.linalg.inv(spread) @ (box - expected)


def whole(motion, row):
    """State and covariance of one filter of `Motion` as the papers write them."""
    mean = np.concatenate([motion.place[row], motion.velocity[row]])
    cov = np.zeros((8, 8))
    cov[:4, :4], cov[4:, 4:] = np.diag(motion.variance[row]), np.diag(motion.velocity_variance[row])
    cov[:4, 4:] = cov[4:, :4] = np.diag(motion.cross[row])
    return mean, cov


def random_boxes(random, count):
    low = random.uniform(0, 400, (count, 2))
    return np.concatenate([low, low + random.uniform(5, 200, (count, 2))], 1)


def test_it_is_the_filter_of_the_papers():
    random = np.random.default_rng(1)
    first = random_boxes(random, 6)
    motion = Motion.begin(first)
    plain = [plain_begin(box) for box in to_cxcyah(first)]
    for step in range(12):
        motion.predict(1 + step % 3)
        for _ in range(1 + step % 3):
            plain = [plain_predict(*one) for one in plain]
        probe = random_boxes(random, 4)
        expected = [[plain_distance(*one, box) for box in to_cxcyah(probe)] for one in plain]
        np.testing.assert_allclose(motion.distance(probe), expected, rtol=1e-9)
        rows = random.permutation(6)[: random.integers(0, 7)]
        seen = to_xyxy(motion.place[rows]) + random.normal(0, 4, (len(rows), 4))
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 2)
        motion.update(rows, seen)
        for row, box in zip(rows, to_cxcyah(seen), strict=True):
            plain[row] = plain_update(*plain[row], box)
        for row in range(6):
            mean, cov = whole(motion, row)
            np.testing.assert_allclose(mean, plain[row][0], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(cov, plain[row][1], rtol=1e-9, atol=1e-12)


def test_boxes_survive_the_way_there_and_back():
    given = random_boxes(np.random.default_rng(2), 50)
    np.testing.assert_allclose(to_xyxy(to_cxcyah(given)), given, rtol=1e-12)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (5, 5, 9, 5), (0, 0, 1e6, 1e-3)])
def test_a_box_without_area_keeps_the_filter_finite(box):
    motion = Motion.begin(np.array([box]))
    for _ in range(50):
        motion.predict()
        motion.update(np.array([0]), np.array([box]))
    assert np.isfinite(motion.place).all()
    assert np.isfinite(motion.distance(np.array([box]))).all()


def test_a_steady_walk_is_learnt():
    motion = Motion.begin(np.array([[100, 100, 140, 200]]))
    for now in range(1, 40):
        motion.predict()
        motion.update(np.array([0]), np.array([[100 + 5 * now, 100, 140 + 5 * now, 200]]))
    assert motion.velocity[0, 0] == pytest.approx(5, abs=0.05)
    motion.predict(10)
    assert motion.xyxy()[0, 0] == pytest.approx(100 + 5 * 49, abs=1)


def test_the_spread_stays_positive():
    random = np.random.default_rng(3)
    motion = Motion.begin(random_boxes(random, 20))
    for _ in range(300):
        motion.predict()
        motion.update(np.arange(20), random_boxes(random, 20))
    spread = motion.variance * motion.velocity_variance - motion.cross**2
    assert (motion.variance > 0).all()
    assert (spread > 0).all()
