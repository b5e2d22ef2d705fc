"""The self-check of notebook 09 recomputes the watts and knows which row is the best for which reason."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.checks import within_budget
from edgekit.checks.budget import load_of


def row(
    precision: str, batch: int, latency_ms: float, watts: float | None, accuracy: float | None, **more: Any
):
    about = {"precision": precision, "batch": batch, "latency_ms": latency_ms, "watts": watts, "idle_w": 5.0}
    return {**about, "accuracy": accuracy, "unclean": [], "emulated": True, **more}


#: At 10 FPS: 50 % busy and 9.0 W; 30 %, 6.5 W; 80 % and 10.6 W, over 10 W; 15 %, 5.8 W, slow to fill.
FP32, INT8 = row("fp32", 1, 50.0, 13.0, 0.90), row("int8", 1, 30.0, 10.0, 0.85)
BIG, FOUR = row("fp32", 2, 160.0, 12.0, 0.90), row("int8", 4, 60.0, 10.3, 0.85)
ROWS = [FP32, INT8, BIG, FOUR]


def test_the_load_of_a_row_is_computed_as_on_paper() -> None:
    load = load_of(FOUR, 10.0)
    assert load.busy == pytest.approx(0.15)
    assert load.watts == pytest.approx(5.0 + 0.15 * 5.3)
    assert load.latency_ms == pytest.approx(300 + 60), "the first of four pictures waits for three more"
    assert load.j_per_frame == pytest.approx(load.watts / 10)


@pytest.mark.parametrize(
    ("choice", "watts", "because"),
    [
        ({"precision": "fp32", "batch": 1}, 9.0, "accuracy"),
        ({"precision": "fp32", "batch": 1}, 9.2, "accuracy"),
        ({"precision": "int8", "batch": 1}, 6.5, "latency"),
        ({"precision": "int8", "batch": 4}, 5.8, "energy"),
    ],
)
def test_each_reason_has_its_row(choice: dict[str, Any], watts: float, because: str) -> None:
    verdict = within_budget(ROWS, choice, watts, because)
    assert verdict, verdict
    assert "W (emulated), and of the 3 rows that fit none is better by" in verdict.words


@pytest.mark.parametrize(
    ("choice", "watts", "because", "said"),
    [
        ({"precision": "fp16", "batch": 1}, 9.0, "energy", "0 rows are {'precision': 'fp16', 'batch': 1}"),
        ({"precision": "fp32"}, 9.0, "energy", "2 rows are {'precision': 'fp32'}; say which one"),
        ("fp32", 9.0, "energy", "my_choice is 'fp32'; give"),
        ("none", None, None, "3 of 4 rows fit; fp32 with batch 1 is one of them"),
        (
            {"precision": "fp32", "batch": 1},
            13.0,
            "energy",
            "10 × 50.0 ms / 1 = 50% of the time, with 13.0 W",
        ),
        ({"precision": "fp32", "batch": 2}, 10.6, "accuracy", "draws 10.6 W at 10 FPS, and 10 W are there"),
        ({"precision": "fp32", "batch": 1}, 9.0, "speed", "must be one of energy, latency, accuracy"),
        ({"precision": "fp32", "batch": 1}, 9.0, "energy", "has 0.90 J a frame, and int8 with batch 4"),
        ({"precision": "int8", "batch": 4}, 5.8, "latency", "has 360 ms from the first picture"),
        ({"precision": "int8", "batch": 1}, 6.5, "accuracy", "an accuracy of 0.850, and fp32 with batch 1"),
    ],
)
def test_what_is_wrong_is_said(choice: Any, watts: float | None, because: str | None, said: str) -> None:
    verdict = within_budget(ROWS, choice, watts, because)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_a_row_that_does_not_keep_up() -> None:
    verdict = within_budget(ROWS, {"precision": "fp32", "batch": 1}, 9.0, "latency", fps=30)
    assert "does not keep up: 30 FPS would keep it busy 150% of the time" in verdict.words


def test_rows_that_were_not_clean_are_no_argument() -> None:
    hot = {**FP32, "unclean": ["clocks were held down (thermal) for about 2.0 s"]}
    choice = {"precision": "fp32", "batch": 1}
    words = within_budget([hot, INT8], choice, 9.0, "latency").words
    assert "fp32 with batch 1 was not measured cleanly: clocks were held down" in words
    for given in (choice, "none"):
        verdict = within_budget([hot], given, 9.0, "latency")
        assert verdict.head == "Not right"
        assert "no row was measured cleanly (clocks were held down" in verdict.words
        assert "again=True" in verdict.words
    assert within_budget([hot, INT8], {"precision": "int8"}, 6.5, "accuracy"), "beaten by none that is clean"


def test_without_power_or_accuracy_there_is_nothing_to_defend() -> None:
    blind = row("fp32", 1, 50.0, None, 0.9)
    assert "power of fp32 with batch 1 is not known" in within_budget([blind], FP32, 9.0, "energy").words
    unscored = row("fp32", 1, 50.0, 13.0, None)
    choice = {"precision": "fp32", "batch": 1}
    assert "accuracy was not measured" in within_budget([unscored], choice, 9.0, "accuracy").words
    assert within_budget([unscored], choice, 9.0, "latency")


def test_none_is_right_where_none_fits() -> None:
    assert within_budget(ROWS, "none", None, None, budget_w=5.5)
    assert within_budget(ROWS, "none", None, None, fps=100)


def test_an_answer_that_is_not_whole() -> None:
    choice = {"precision": "fp32", "batch": 1}
    for given in ((None, None, None), (choice, None, None), (choice, 9.0, None)):
        assert within_budget(ROWS, *given).head == "Not yet", given
