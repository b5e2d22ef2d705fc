"""Names of actions: how many, in which order."""

from __future__ import annotations

import pytest

from edgekit.action_names import AVA60, AVA80, KINETICS400


@pytest.mark.parametrize(("names", "count"), [(AVA80, 80), (KINETICS400, 400)])
def test_all_are_there_once(names: tuple[str, ...], count: int) -> None:
    assert len(names) == len(set(names)) == count
    assert all(name == name.strip() and name for name in names)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "bend/bow (at the waist)"),
        (12, "stand"),
        (14, "walk"),
        (15, "answer phone"),
        (59, "touch (an object)"),
        (63, "write"),
        (64, "fight/hit (a person)"),
        (80, "watch (a person)"),
    ],
)
def test_ava_by_its_ids(number: int, name: str) -> None:
    assert AVA80[number - 1] == name


def test_the_evaluated_classes_of_ava() -> None:
    assert len(AVA60) == 60
    assert AVA60[:4] == (1, 3, 4, 5)
    assert AVA60[-3:] == (78, 79, 80)
    left_out = {AVA80[number - 1] for number in range(1, 81) if number not in AVA60}
    assert {"crawl", "brush teeth", "chop", "exit", "stir", "kick (a person)", "play with kids"} < left_out


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "abseiling"),
        (81, "cutting nails"),
        (115, "eating ice cream"),
        (290, "sharpening knives"),
        (358, "throwing discus"),
        (399, "zumba"),
    ],
)
def test_kinetics_as_networks_order_them(number: int, name: str) -> None:
    assert KINETICS400[number] == name
