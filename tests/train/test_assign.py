"""What the task-aligned assignment promises, and CIoU against the paper's formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.train.assign import assign, covered, iou_pairs  # noqa: E402
from edgekit.train.losses import ciou  # noqa: E402
from edgekit.train.network import anchors, boxes_from_sides  # noqa: E402


def setting(seed: int = 0) -> tuple:
    torch.manual_seed(seed)
    points, strides = anchors(128)
    sides = torch.rand(2, 4, points.shape[1]) * 2 + 0.3
    boxes = boxes_from_sides(sides, points, strides)
    people = torch.tensor(
        [[[10.0, 10, 60, 110], [50, 20, 100, 120], [0, 0, 0, 0]], [[64, 64, 70, 70], *[[0] * 4] * 2]]
    )
    valid = torch.tensor([[True, True, False], [True, False, False]])
    scores = torch.rand(2, points.shape[1])
    return scores, boxes, (points * strides).t(), people, valid


def test_positives_lie_inside_their_person_and_are_few() -> None:
    scores, boxes, points, people, valid = setting()
    result = assign(scores, boxes, points, people, valid, top=10)
    for image in range(2):
        for box in people[image][valid[image]]:
            mine = result.positive[image] & (result.boxes[image] == box).all(1)
            assert 1 <= mine.sum() <= 10
            if (box[2:] - box[:2]).min() > 14:
                spots = points[mine]
                assert ((spots > box[:2]) & (spots < box[2:])).all()
    assert (result.score[~result.positive] == 0).all()
    assert (result.score <= 1).all()


def test_best_anchor_gets_its_overlap_as_target() -> None:
    scores, boxes, points, people, valid = setting()
    result = assign(scores, boxes, points, people, valid)
    box = people[1, 0]
    mine = result.positive[1]
    overlap = iou_pairs(boxes[1][mine], box)
    torch.testing.assert_close(result.score[1].max(), overlap.max())


def test_small_people_are_not_lost_and_nobody_is_background() -> None:
    scores, boxes, points, people, _ = setting()
    tiny = torch.tensor([[[33.0, 33, 36, 38]]]).repeat(2, 1, 1)
    assert assign(scores, boxes, points, tiny, torch.ones(2, 1, dtype=torch.bool)).positive.any(1).all()
    for some in (people[:, :0], people):
        none = assign(scores, boxes, points, some, torch.zeros(2, some.shape[1], dtype=torch.bool))
        assert not none.positive.any()
        assert none.score.sum() == 0


def test_covered_counts_border_by_hand() -> None:
    points = torch.tensor([[5.0, 5], [15, 5], [25, 5]])
    boxes = torch.tensor([[[10.0, 0, 20, 10], [24, 4, 26, 6]]])
    assert covered(points, boxes).tolist() == [[[False, True, False], [False, False, True]]]


def test_ciou_against_the_paper_in_float64() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 50, (2, 40, 2))
    a, b = np.concatenate([low, low + random.uniform(5, 40, low.shape)], -1)
    for x, y, mine in zip(a, b, ciou(torch.from_numpy(a), torch.from_numpy(b)).tolist(), strict=True):
        wide = min(x[2], y[2]) - max(x[0], y[0])
        high = min(x[3], y[3]) - max(x[1], y[1])
        common = max(wide, 0) * max(high, 0)
        (wx, hx), (wy, hy) = x[2:] - x[:2], y[2:] - y[:2]
        iou = common / (wx * hx + wy * hy - common)
        rho = ((x[0] + x[2] - y[0] - y[2]) / 2) ** 2 + ((x[1] + x[3] - y[1] - y[3]) / 2) ** 2
        c = (max(x[2], y[2]) - min(x[0], y[0])) ** 2 + (max(x[3], y[3]) - min(x[1], y[1])) ** 2
        v = 4 / math.pi**2 * (math.atan(wy / hy) - math.atan(wx / hx)) ** 2
        alpha = v / (1 - iou + v)
        assert mine == pytest.approx(iou - rho / c - alpha * v, abs=1e-6)
