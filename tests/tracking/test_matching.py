import itertools

import numpy as np
import pytest

from edgekit.tracking.matching import assign, forbid_other_classes, iou


def plain_iou(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return wide * high / union if union else 0.0


def test_overlap_is_the_definition():
    random = np.random.default_rng(0)
    one, other = (np.sort(random.integers(0, 30, (n, 2, 2)), axis=1).reshape(n, 4) for n in (40, 30))
    expected = [[plain_iou(a, b) for b in other] for a in one]
    np.testing.assert_allclose(iou(one, other), expected, rtol=1e-12)


def test_overlap_of_nothing_has_its_shape():
    none = np.zeros((0, 4))
    assert iou(none, np.ones((3, 4))).shape == (0, 3)
    assert iou(np.ones((3, 4)), none).shape == (3, 0)


def best_total(cost, limit):
    """The least total of all ways to pair, where leaving a pair out costs the limit; every way is tried."""
    n, m = cost.shape
    wide = np.minimum(cost, limit) if n <= m else np.minimum(cost, limit).T
    return min(
        sum(wide[i, j] for i, j in enumerate(columns))
        for columns in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_assignment_is_better(shape, seed):
    random = np.random.default_rng(seed)
    cost, limit = random.uniform(0, 1, shape), 0.5
    cost[random.uniform(size=shape) < 0.2] = np.inf
    rows, columns = assign(cost, limit)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (cost[rows, columns] <= limit).all()
    total = cost[rows, columns].sum() + limit * (min(shape) - len(rows))
    assert total == pytest.approx(best_total(cost, limit))


def test_a_pair_above_the_limit_is_never_made():
    rows, columns = assign(np.array([[0.51, np.inf], [np.inf, 0.5]]), 0.5)
    assert rows.tolist() == [1]
    assert columns.tolist() == [1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_is_nobodys(shape):
    rows, columns = assign(np.zeros(shape), 0.5)
    assert len(rows) == len(columns) == 0


def test_classes_do_not_mix():
    cost = forbid_other_classes(np.zeros((2, 3)), np.array([0, 1]), np.array([1, 0, 1]))
    assert np.isfinite(cost).tolist() == [[False, True, False], [True, False, True]]
