"""Self-check of notebook 06: where two methods cross, recomputed from the times that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit.checks.verdict import Verdict, missing, right, wrong

LEAST_COUNTS = 3
LEAST_TIMES = 5
#: How far the middle half of the timings may spread, as a share of their median.
STEADY = 0.5
#: How far the answer may lie off: so many people, or this share of the right number.
NEAR, NEAR_SHARE = 0.5, 0.1

Times = Mapping[int, Sequence[float]]


def medians(times: Times) -> dict[int, float]:
    """The median of the timings for each number of people, fewest people first."""
    return {count: float(np.median(times[count])) for count in sorted(times)}


def crossings(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Numbers of people at which two lines through measured points cross, rising.

    Args:
        one: time by number of people.
        other: of the other method, for the same numbers.
    """
    counts = sorted(one)
    gap = [one[count] - other[count] for count in counts]
    found = []
    for low, high, before, after in zip(counts, counts[1:], gap, gap[1:], strict=False):
        if before * after < 0:
            found.append(low + (high - low) * before / (before - after))
        elif before == 0:
            found.append(float(low))
    return [*found, float(counts[-1])] if gap[-1] == 0 else found


def crossing_found(bottom_up: Times, top_down: Times, people: float | str | None) -> Verdict:
    """Notebook 06: from how many people on the top-down method takes longer than the bottom-up one.

    Args:
        bottom_up: seconds of each call, by the number of people in the picture.
        top_down: likewise, for the same numbers of people.
        people: the answer; "none" where one method is always the faster.
    """
    if people is None:
        return missing('read it off your table and compute: my_crossing is a number of people, or "none".')
    if isinstance(people, bool) or (isinstance(people, str) and people != "none"):
        return wrong(f'my_crossing is {people!r}; give a number of people, such as 2.5, or "none".')
    if problem := _not_honest(bottom_up, top_down):
        return wrong(problem)
    below, above = medians(bottom_up), medians(top_down)
    found = crossings(below, above)
    least, most = min(below), max(below)
    if len(found) > 1:
        listed = ", ".join(f"{count:.1f}" for count in found)
        return wrong(
            f"your lines cross {len(found)} times (at {listed} people): the two are too close for times that "
            "jump like these. End other programs, and measure more calls."
        )
    if not found:
        faster = "bottom-up" if below[most] < above[most] else "top-down"
        words = f"from {least} to {most} people, {faster} was always faster: {_pair(below, above, most)}"
        if people == "none":
            return right(f"{words}. On another device, or with another network, they may cross.")
        return wrong(f"{words}. No crossing was measured, so nothing says that there is one at {people}.")
    at = found[0]
    if people == "none":
        return wrong(
            f"they do cross: {_pair(below, above, least)}, but {_pair(below, above, most)}. Between which "
            "two rows of your table does the faster one change?"
        )
    if abs(float(people) - at) > max(NEAR, NEAR_SHARE * at):
        low = max(count for count in below if count <= at)
        high = min((count for count in below if count > at), default=most)
        return wrong(
            f"not at {float(people):g}: {_pair(below, above, low)}, and {_pair(below, above, high)}. The gap "
            "changes its sign between them; join the points by straight lines."
        )
    first, then = ("top-down", "bottom-up") if above[least] < below[least] else ("bottom-up", "top-down")
    return right(f"they cross at {at:.1f} people: with fewer {first} is faster, with more {then}.")


def _not_honest(bottom_up: Times, top_down: Times) -> str | None:
    """Why these timings prove nothing; None if they do."""
    if sorted(bottom_up) != sorted(top_down):
        return "the two methods were timed with different numbers of people; time both with the same."
    if len(bottom_up) < LEAST_COUNTS:
        return f"{len(bottom_up)} numbers of people make no line; measure {LEAST_COUNTS} or more."
    for method, times in (("bottom-up", bottom_up), ("top-down", top_down)):
        for count, seconds in sorted(times.items()):
            where = f"{method} with {_people(count)}"
            if len(seconds) < LEAST_TIMES:
                return f"{where} was timed {len(seconds)} times; a median wants {LEAST_TIMES} or more."
            middle = float(np.median(seconds[1:]))
            if seconds[0] > 3 * middle and seconds[0] == max(seconds):
                return (
                    f"{where}: the first call took {1e3 * seconds[0]:.0f} ms and the others "
                    f"{1e3 * middle:.0f} ms. Warm up before you measure: throw the first calls away."
                )
            low, high = np.percentile(seconds, (25, 75))
            if high - low > STEADY * middle:
                return (
                    f"{where}: the middle half of its times lies between {1e3 * low:.0f} and "
                    f"{1e3 * high:.0f} ms. Something else is busy: end it, and measure again."
                )
    return None


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"


def _pair(below: Mapping[int, float], above: Mapping[int, float], count: int) -> str:
    return (
        f"with {_people(count)} bottom-up takes {1e3 * below[count]:.0f} ms and top-down "
        f"{1e3 * above[count]:.0f} ms"
    )
