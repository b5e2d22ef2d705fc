"""The self-check of notebook 05 knows the right line integral, and the mistakes that are made with it."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.checks import own_limb_score
from edgekit.checks.limb import MISTAKES, cases, kits_score, line_integral


def students(paf: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """What a student would write."""
    vector = (b - a) / np.hypot(*(b - a))
    total = 0.0
    for t in np.linspace(0, 1, 7):
        y, x = a + t * (b - a)
        if 0 <= y < paf.shape[1] and 0 <= x < paf.shape[2]:
            total += paf[:, int(y), int(x)] @ vector
    return total / 7


def test_right() -> None:
    assert own_limb_score(students), own_limb_score(students)
    assert own_limb_score(lambda paf, a, b: np.array([students(paf, a, b)], np.float32))


def test_the_cases_on_paper() -> None:
    wanted = {
        "a limb along the field": 1.0,
        "a limb across the field": 0.0,
        "the same limb from b to a": -1.0,
        "a slanted limb of 10 cells": 1.0,
        "a limb that leaves its field half-way": 4 / 7,  # rows 3.5, 5.5, 7.5, 9.5 of 3.5 to 15.5
        "a limb that ends outside of the map": 3 / 7,  # columns 15.5, 18.5, 21.5 of 15.5 to 33.5
    }
    for name, score in wanted.items():
        assert students(*(np.asarray(part) for part in cases()[name])) == pytest.approx(score), name


def test_the_kit_itself_is_right() -> None:
    """The decoder gives what the plain loops give; the mistakes are told from it by more than rounding."""
    kit = [kits_score(*case) for case in cases().values()]
    assert kit == pytest.approx([line_integral(*case) for case in cases().values()], abs=1e-4)
    assert kit == pytest.approx([students(*map(np.asarray, case)) for case in cases().values()], abs=1e-4)
    for settings in MISTAKES.values():
        theirs = [line_integral(*case, **settings) for case in cases().values()]
        assert max(abs(np.subtract(kit, theirs))) > 0.05, settings


@pytest.mark.parametrize("sentence", MISTAKES)
def test_each_frequent_mistake_is_named(sentence: str) -> None:
    verdict = own_limb_score(lambda paf, a, b: line_integral(paf, a, b, **MISTAKES[sentence]))
    assert verdict.head == "Not right"
    assert sentence in verdict.words


def no_look(paf: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([paf[:, int(y), int(x)].sum() for y, x in np.linspace(a, b, 7)]))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda paf, a, b: 0.3, "a limb along the field: my_score gave 0.300, and 1.000 is right; draw it"),
        (lambda paf, a, b: float("nan"), "my_score gave nan"),
        (lambda paf, a, b: a, "one number is wanted"),
        (lambda paf, a, b: "good", "one number is wanted"),
        (lambda paf, a, b: paf[0, a[0], a[1]], "An index is a whole number"),
        (no_look, "A point outside of the map counts as 0: look before you read"),
        (lambda paf, a, b: paf + undefined, "NameError"),  # noqa: F821
    ],
)
def test_what_is_wrong_is_said(function, said: str) -> None:
    verdict = own_limb_score(function)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_a_function_that_spoils_its_input_spoils_nothing() -> None:
    def spoil(paf: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        score = students(paf, a, b)
        paf[:] = 0
        a += 100
        return score

    assert own_limb_score(spoil)


def test_missing() -> None:
    assert own_limb_score(lambda paf, a, b: None).head == "Not yet"
