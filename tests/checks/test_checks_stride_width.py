"""The self-check of notebook 07 recomputes the cost of a frame from a run, and names what went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.bench.stages import Stages
from edgekit.checks import latency_predicted
from edgekit.checks.stride_width import mean_ms

#: Milliseconds of the usual run: 10 + 1 + 1 on each frame, 60 + 2 + 2 on one of 8.
USUAL = {"detect": 10.0, "track": 1.0, "buffer": 1.0, "body": 60.0, "roi": 2.0, "head": 2.0}
ONCE = ("body", "roi", "head")


def run(
    stride: int,
    size: tuple[int, int],
    times: dict[str, float] = USUAL,
    frames: int = 64,
    every: int = 0,
    jitter: float = 0.02,
) -> Stages:
    """The body runs on frame 15 for the first time, then every `every` frames (the stride)."""
    noise = np.random.default_rng(7)
    parts = {}
    for part, ms in times.items():
        seconds = ms / 1e3 * (1 + jitter * noise.uniform(-1, 1, frames))
        if part in ONCE:
            seconds[np.setdiff1d(np.arange(frames), np.arange(15, frames, every or stride))] = 0.0
        parts[part] = seconds
    return Stages(parts, sum(parts.values(), np.zeros(frames)), notes={"stride": stride, "size": size})


BASE = run(8, (128, 160))  # 12 + 64 / 8 = 20 ms
MINE = run(16, (64, 80), {**USUAL, "body": 15.0})  # 12 + 19 / 16 = 13.2 ms


def test_the_mean_as_on_paper() -> None:
    assert mean_ms(BASE) == pytest.approx(20.0, rel=0.01)
    assert mean_ms(MINE) == pytest.approx(13.19, rel=0.01)


@pytest.mark.parametrize("answer", [13.2, 11.0, 16, np.float32(15.9)])
def test_right(answer: float) -> None:
    verdict = latency_predicted(BASE, MINE, answer)
    assert verdict, verdict
    assert "13.2 ms a frame were measured" in verdict.words
    assert "0.25 of the time for 0.25 of the pixels" in verdict.words


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (31.0, "a frame on which the body runs"),
        (2.5, "all of it shrink"),
        (1.2, "The detector is left out"),
        (500.0, "Each frame pays 12.0 ms"),
        (True, "my_ms is True"),
        ("13", "my_ms is '13'; give a number"),
        (-1.0, "my_ms is -1.0"),
        (float("nan"), "my_ms is nan"),
    ],
)
def test_what_is_wrong_is_said(answer: Any, said: str) -> None:
    verdict = latency_predicted(BASE, MINE, answer)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (12 + 34 / 4, "half as high"),
        (12 + 64 / 4, "new stride alone"),
        (12 + 19 / 8, "new width alone"),
        (12 + 19 / 4, "if the body follows the pixels; here it does not quite"),
    ],
)
def test_mistakes_that_show_where_the_body_counts(answer: float, said: str) -> None:
    """A body that takes four times as long as the pixels say puts the truth away from all of them."""
    slow = run(4, (64, 80), {**USUAL, "body": 100.0})
    verdict = latency_predicted(BASE, slow, answer)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


UNSTEADY = run(16, (64, 80), {**USUAL, "body": 15.0}, frames=96)
UNSTEADY.parts["body"][UNSTEADY.ran("body")[::2]] *= 3


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        (run(8, (64, 80)), "the stride is still 8"),
        (run(16, (128, 160)), "still 160×128; change my_side"),
        (run(16, (64, 80), every=4), "ran on the frames [15, 19, 23, 27], which are not every 16"),
        (run(16, (64, 80), frames=40), "the body ran 2 times"),
        (Stages({"detect": np.ones(9)}, np.ones(9), notes={"stride": 4, "size": (64, 80)}), "ran 0 times"),
        (UNSTEADY, "body's times in your run lies between 15 and 45 ms. Something else is busy"),
    ],
)
def test_runs_that_prove_nothing(mine: Stages, said: str) -> None:
    verdict = latency_predicted(BASE, mine, 13.2)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_a_first_run_that_proves_nothing() -> None:
    jumping = run(8, (128, 160))
    jumping.parts["body"][jumping.ran("body")[::2]] *= 3
    assert "body's times in the first run" in latency_predicted(jumping, MINE, 13.2).words


def test_a_look_at_nobody_is_left_out() -> None:
    empty_once = run(4, (64, 80), {**USUAL, "body": 15.0})
    for part in ONCE:
        empty_once.parts[part][23] = 0.0
    assert latency_predicted(BASE, empty_once, 12 + 19 / 4)


def test_runs_on_a_machine_that_was_busier_once() -> None:
    calm = run(16, (64, 80), {**USUAL, "body": 15.0, "detect": 5.0})
    words = latency_predicted(BASE, calm, 13.2).words
    assert "took 12.0 ms a frame in the first run and 7.0 in yours" in words


def test_missing() -> None:
    assert latency_predicted(BASE, None, 13.2).head == "Not yet"
    assert latency_predicted(BASE, MINE, None).head == "Not yet"
