"""Self-check of notebook 07: what a frame costs with another stride and width, predicted, then measured."""

from __future__ import annotations

from numbers import Real

import numpy as np

from edgekit.bench.stages import Stages
from edgekit.checks.verdict import Verdict, missing, right, wrong

#: The parts that run once in a stride; all others run on every frame.
ONCE_A_STRIDE = ("body", "roi", "head")
#: Fewer runs of the body than this make no median.
LEAST_RUNS = 3
#: How far the middle half of the body's times may spread, as a share of their median.
STEADY = 0.5
#: How much what nothing changed (people, tracks) may differ between the two runs.
UNCHANGED = 1.4
#: How far the prediction may lie off, as a share of what was measured.
NEAR = 0.25
#: How near it must be to a frequent mistake to be called that.
SAME = 0.03


def each_frame_ms(run: Stages) -> float:
    """Milliseconds of the parts that every frame pays for."""
    return sum(ms for part, ms in run.ms_a_call().items() if part not in ONCE_A_STRIDE)


def mean_ms(run: Stages) -> float:
    """Milliseconds of work for a frame, on average: of what runs once in a stride, its share."""
    times = run.ms_a_call()
    once = sum(times.get(part, 0.0) for part in ONCE_A_STRIDE)
    return each_frame_ms(run) + once / run.notes["stride"]


def latency_predicted(base: Stages, mine: Stages | None, ms: float | None) -> Verdict:
    """Notebook 07: `ms` is what a frame costs on average in `mine`, and follows from `base`.

    Args:
        base: a run with the usual settings; its notes have "stride" (frames) and "size" ((height, width) of
            the network's picture).
        mine: a run with another stride and another size, or None.
        ms: the prediction, in milliseconds.
    """
    if mine is None or ms is None:
        return missing("choose my_stride and my_side, then predict: my_ms is a number of milliseconds.")
    if isinstance(ms, bool) or not isinstance(ms, Real) or not ms > 0:
        return wrong(f"my_ms is {ms!r}; give a number of milliseconds, such as 42.0.")
    problem = _no_other_settings(base, mine) or _not_honest(base, "the first run")
    problem = problem or _not_honest(mine, "your run") or _not_comparable(base, mine)
    if problem:
        return wrong(problem)
    got = mean_ms(mine)
    if abs(ms - got) <= NEAR * got:
        return right(f"{got:.1f} ms a frame were measured, and {ms:.1f} predicted. {_how(base, mine)}")
    return wrong(f"{got:.1f} ms a frame were measured, not {ms:.1f}. {_mistake(base, mine, ms)}")


def _share(base: Stages, mine: Stages) -> float:
    """How many pixels the network saw in `mine`, for each that it saw in `base`."""
    return float(np.prod(mine.notes["size"]) / np.prod(base.notes["size"]))


def _no_other_settings(base: Stages, mine: Stages) -> str:
    """What was not changed, or not used; "" if nothing."""
    stride, size = mine.notes["stride"], tuple(mine.notes["size"])
    if stride == base.notes["stride"]:
        return f"the stride is still {stride}; change it too."
    if size == tuple(base.notes["size"]):
        return f"the network's picture is still {size[1]}×{size[0]}; change my_side too."
    ran = mine.ran("body") if "body" in mine.parts else np.zeros(0, np.int64)
    if len(ran) < LEAST_RUNS:
        return (
            f"the body ran {len(ran)} times, and a median wants {LEAST_RUNS}: take a smaller stride, or give "
            "it more frames."
        )
    if (np.diff(ran) % stride).any():  # where nobody was there, a look is left out
        return (
            f"the body ran on the frames {ran[:4].tolist()}, which are not every {stride}, as they should be."
        )
    return ""


def _not_honest(run: Stages, whose: str) -> str:
    seconds = run.parts["body"]
    low, middle, high = 1e3 * np.percentile(seconds[seconds > 0], (25, 50, 75))
    if high - low > STEADY * middle:
        return (
            f"the middle half of the body's times in {whose} lies between {low:.0f} and {high:.0f} ms. "
            "Something else is busy: end it, and measure again."
        )
    return ""


def _not_comparable(base: Stages, mine: Stages) -> str:
    before, after = each_frame_ms(base), each_frame_ms(mine)
    if max(before, after) > UNCHANGED * min(before, after):
        return (
            f"people and tracks, which you did not change, took {before:.1f} ms a frame in the first run and "
            f"{after:.1f} in yours. The machine was busy once: end other programs, and run both again."
        )
    return ""


def _how(base: Stages, mine: Stages) -> str:
    """Where the measured time is from, and how the body followed the pixels."""
    body = mine.ms_a_call()["body"]
    times = body / base.ms_a_call()["body"]
    return (
        f"Each frame pays {each_frame_ms(mine):.1f} ms for people and tracks, and 1/{mine.notes['stride']} "
        f"of the actions; the body took {body:.1f} ms, {times:.2f} of the time for {_share(base, mine):.2f} "
        "of the pixels."
    )


def _mistake(base: Stages, mine: Stages, ms: float) -> str:
    """The frequent mistake that gives this prediction, if there is one; else where the time is from."""
    times = base.ms_a_call()
    each, body = each_frame_ms(base), times["body"]
    rest = sum(times.get(part, 0.0) for part in ONCE_A_STRIDE[1:])
    stride, before, share = mine.notes["stride"], base.notes["stride"], _share(base, mine)
    guesses = {
        "That is a frame on which the body runs. Only one in a stride does; take its share.": each
        + body * share
        + rest,
        "You let all of it shrink. People and tracks are found on every frame, as before.": mean_ms(base)
        * share
        * before
        / stride,
        "Half as wide is also half as high: the body follows the number of pixels.": each
        + (body * share**0.5 + rest) / stride,
        "That is the new stride alone; the body sees fewer or more pixels too.": each
        + (body + rest) / stride,
        "That is the new width alone; the body also runs once in another number of frames.": each
        + (body * share + rest) / before,
        "The detector is left out, and it runs on every frame.": (body * share + rest) / stride,
        "Your sum is right, if the body follows the pixels; here it does not quite.": each
        + (body * share + rest) / stride,
    }
    words = next((words for words, guess in guesses.items() if abs(ms - guess) <= SAME * guess), "")
    return f"{words} {_how(base, mine)}".strip()
