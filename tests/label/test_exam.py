"""The exam of notebook 10: OKS of the labels' sure keypoints, people matched one to one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.label import Labels
from edgekit.label.exam import exam
from edgekit.results import Poses
from edgekit.topology import Topology

TOPOLOGY = Topology("person", ("nose", "left_hip", "right_hip"), ((0, 1), (0, 2)))
ONE = [[50, 20, 0.9], [60, 80, 0.9], [40, 80, 0.9]]
TWO = [[150, 20, 0.9], [160, 80, 0.9], [140, 80, 0.9]]
BOXES = np.array([[30, 10, 70, 110], [130, 10, 170, 110]], np.float32)


def labels(sure: object = True, crowd: object = False) -> Labels:
    return Labels(
        BOXES,
        np.ones(2, np.float32),
        np.array([ONE, TWO], np.float32),
        np.ones((2, 3), np.float32),
        np.broadcast_to(sure, (2, 3)).copy(),
        np.broadcast_to(crowd, 2).copy(),
    )


def poses(*people: list[list[float]], names: tuple[str, ...] = TOPOLOGY.keypoints) -> Poses:
    return Poses(np.array(people, np.float32).reshape(-1, len(names), 3), np.ones(len(people)), names)


def test_the_same_in_another_order_is_full_marks() -> None:
    marks = exam([poses(TWO, ONE)], [labels()], TOPOLOGY)
    assert (marks.oks, marks.found, marks.asked) == (pytest.approx(1), 6, 6)
    assert str(marks) == "6 of 6 keypoints found, mean OKS 1.00"


def test_oks_of_a_point_as_on_paper() -> None:
    off = [[50, 23, 0.9], *ONE[1:]]
    area = 0.53 * 40 * 100
    nose = math.exp(-(3**2) / (2 * (2 * 0.026) ** 2 * area))
    marks = exam([poses(off, TWO)], [labels()], TOPOLOGY)
    assert marks.oks == pytest.approx((5 + nose) / 6)
    assert marks.found == 5 + (nose >= 0.5)


def test_nobody_found_and_somebody_too_many() -> None:
    assert exam([poses()], [labels()], TOPOLOGY).oks == 0
    assert exam([poses(ONE)], [labels()], TOPOLOGY).found == 3
    assert exam([poses(ONE, TWO, [[300, 300, 0.9]] * 3)], [labels()], TOPOLOGY).oks == pytest.approx(1)


def test_a_point_that_was_not_found_counts_nothing() -> None:
    marks = exam([poses([ONE[0], [0, 0, 0], ONE[2]], TWO)], [labels()], TOPOLOGY)
    assert (marks.oks, marks.found) == (pytest.approx(5 / 6), 5)


def test_what_is_not_sure_or_not_known_is_not_asked() -> None:
    assert exam([poses(ONE)], [labels(crowd=[False, True])], TOPOLOGY).asked == 3
    marks = exam([poses([ONE[0], [999, 0, 1], [999, 0, 1]], TWO)], [labels([True, False, False])], TOPOLOGY)
    assert (marks.oks, marks.asked) == (pytest.approx(1), 2)
    other = ("neck", "right_hip", "left_hip")
    turned = [[[0, 0, 0], person[2], person[1]] for person in (ONE, TWO)]
    marks = exam([poses(*turned, names=other)], [labels()], TOPOLOGY)
    assert (marks.oks, marks.asked) == (pytest.approx(1), 4), "by name, and without the nose"


def test_only_some_keypoints_are_asked() -> None:
    marks = exam([poses([ONE[0], [0, 0, 0], [0, 0, 0]], TWO)], [labels()], TOPOLOGY, only=("nose", "neck"))
    assert (marks.found, marks.asked) == (2, 2)


def test_several_pictures_count_together() -> None:
    marks = exam([poses(ONE, TWO), poses()], [labels(), labels()], TOPOLOGY)
    assert (marks.oks, marks.found, marks.asked) == (pytest.approx(0.5), 6, 12)
    assert exam([], [], TOPOLOGY).asked == 0
