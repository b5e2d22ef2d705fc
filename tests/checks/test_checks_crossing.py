"""The self-check of notebook 06 recomputes the crossing from the times, and says when they prove nothing."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.checks import crossing_found
from edgekit.checks.crossing import crossings, medians

COUNTS = (1, 2, 4, 8)


def times(start: float, each: float, calls: int = 7) -> dict[int, list[float]]:
    """`start` + `each` × people seconds, a little more and less from call to call."""
    jitter = (0.0, 0.01, -0.01, 0.02, -0.02, 0.005, 0.3)  # the last: something came in between
    return {n: [(start + each * n) * (1 + j) for j in jitter[:calls]] for n in COUNTS}


FLAT, GROWING = times(0.040, 0.0), times(0.020, 0.008)  # 20 ms + 8 ms a person: 40 ms at 2.5


def test_medians_and_the_crossing_as_on_paper() -> None:
    below, above = medians(FLAT), medians(GROWING)
    assert below == {n: pytest.approx(0.040 * 1.005) for n in COUNTS}
    assert list(medians({4: [1.0], 1: [1.0]})) == [1, 4]
    assert crossings(below, above) == pytest.approx([2 + 2 * (40 - 36) / 16])


@pytest.mark.parametrize("answer", [2.5, 2.1, 2.9])
def test_right(answer: float) -> None:
    verdict = crossing_found(FLAT, GROWING, answer)
    assert verdict, verdict
    assert "at 2.5 people: with fewer top-down is faster, with more bottom-up" in verdict.words


def test_the_other_way_round() -> None:
    assert "with fewer bottom-up is faster" in crossing_found(GROWING, FLAT, 2.5).words


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (4.0, "not at 4: with 2 people bottom-up takes 40 ms and top-down 36 ms, and with 4 people"),
        (1.5, "join the points by straight lines"),
        (40, "changes its sign between them"),
        ("none", "they do cross: with 1 person"),
        ("two", "my_crossing is 'two'; give a number"),
        (True, "my_crossing is True"),
    ],
)
def test_what_is_wrong_is_said(answer: Any, said: str) -> None:
    verdict = crossing_found(FLAT, GROWING, answer)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_lines_that_never_cross() -> None:
    slow = times(0.060, 0.008)
    assert "bottom-up was always faster" in crossing_found(FLAT, slow, "none").words
    assert crossing_found(FLAT, slow, "none")
    assert not crossing_found(FLAT, slow, 0.5)
    fast = times(0.005, 0.001)
    assert "top-down was always faster" in crossing_found(FLAT, fast, "none").words
    assert "nothing says that there is one at 12" in crossing_found(FLAT, fast, 12).words


def test_a_crossing_on_a_measured_number() -> None:
    at_four = {1: 1.0, 4: 2.0, 8: 3.0}, {1: 0.5, 4: 2.0, 8: 4.0}
    assert crossings(*at_four) == [4.0]
    assert crossings({1: 1.0, 4: 2.0}, {1: 0.5, 4: 2.0}) == [4.0]


@pytest.mark.parametrize(
    ("below", "above", "said"),
    [
        (FLAT, {1: GROWING[1], 2: GROWING[2]}, "different numbers of people"),
        ({n: FLAT[n] for n in (1, 8)}, {n: GROWING[n] for n in (1, 8)}, "2 numbers of people make no line"),
        (FLAT, times(0.020, 0.008, calls=3), "top-down with 1 person was timed 3 times"),
        (
            FLAT,
            {**GROWING, 2: [0.3, *GROWING[2]]},
            "first call took 300 ms and the others 36 ms. Warm up",
        ),
        (
            {**FLAT, 4: [0.02, 0.08] * 5},
            GROWING,
            "bottom-up with 4 people: the middle half of its times",
        ),
    ],
)
def test_times_that_prove_nothing(below: Any, above: Any, said: str) -> None:
    verdict = crossing_found(below, above, 2.5)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_lines_too_close_to_tell() -> None:
    near = {n: [value * (0.99 if n in (1, 4) else 1.01) for value in FLAT[n]] for n in COUNTS}
    words = crossing_found(FLAT, near, 2.0).words
    assert "cross 3 times" in words
    assert "measure more calls" in words


def test_missing() -> None:
    assert crossing_found(FLAT, GROWING, None).head == "Not yet"
