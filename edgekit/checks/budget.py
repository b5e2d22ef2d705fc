"""Self-check of notebook 09: one row of a benchmark, defended for a camera and a budget of watts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.checks.verdict import Verdict, missing, right, wrong

#: How far a figure computed by hand may lie from the check's: rounding, no more.
ROUNDING = 0.03
AGAIN = "End other programs, let the board cool, and sweep once more with again=True."


@dataclass(frozen=True)
class Load:
    """A row of the benchmark under a camera of steady pace.

    Attributes:
        busy: share of the time in which it works; over 1 it does not keep up.
        watts: mean power: idle, and the rest while it works.
        latency_ms: the work on a batch, and the wait until it is full.
        j_per_frame: of the board, idle time included.
        accuracy: the row's, or None.
    """

    busy: float
    watts: float
    latency_ms: float
    j_per_frame: float
    accuracy: float | None


#: What a choice may be defended by: how it is read off a load, smaller is better.
GOALS: dict[str, Callable[[Load], float]] = {
    "energy": lambda load: load.j_per_frame,
    "latency": lambda load: load.latency_ms,
    "accuracy": lambda load: -(load.accuracy or 0.0),
}


def load_of(row: Mapping[str, Any], fps: float) -> Load:
    """What a row of `edgekit bench` is like under a camera of `fps` frames a second.

    Args:
        row: with "batch", "latency_ms" (of a whole batch), "watts" (while it works), "idle_w", "accuracy".
    """
    busy = fps * row["latency_ms"] / 1e3 / row["batch"]
    watts = row["idle_w"] + busy * (row["watts"] - row["idle_w"])
    waiting_ms = 1e3 * (row["batch"] - 1) / fps
    return Load(busy, watts, waiting_ms + row["latency_ms"], watts / fps, row.get("accuracy"))


def within_budget(
    rows: Sequence[Mapping[str, Any]],
    choice: Mapping[str, Any] | None,
    watts: float | None,
    because: str | None,
    *,
    fps: float = 10.0,
    budget_w: float = 10.0,
) -> Verdict:
    """Notebook 09: a row that keeps up with a camera within a budget, and is the best of those for a reason.

    Args:
        rows: of the whole pipeline; see `load_of`.
        choice: what tells the row, for example {"precision": "fp32", "batch": 1}; "none" where none fits.
        watts: mean power under that camera, computed by hand.
        because: of `GOALS`.
        fps: of the camera.
        budget_w: mean power that is there.
    """
    if not choice:
        return missing('give my_choice, for example {"precision": "fp32", "batch": 1}, or "none".')
    unknown = next((row for row in rows if row.get("watts") is None or row.get("idle_w") is None), None)
    if unknown is not None:
        return wrong(f"the power of {_name(unknown)} is not known, so no budget can be kept.")
    if rows and all(row.get("unclean") for row in rows):
        return wrong(f"no row was measured cleanly ({rows[0]['unclean'][0]}). {AGAIN}")
    fitting = [row for row in rows if _fits(row, fps, budget_w)]
    if choice == "none":
        if not fitting:
            return right(
                f"no row keeps up with {fps:g} FPS within {budget_w:g} W: another board, or fewer FPS."
            )
        return wrong(f"{len(fitting)} of {len(rows)} rows fit; {_name(fitting[0])} is one of them.")
    if not isinstance(choice, Mapping):
        return wrong(f'my_choice is {choice!r}; give {{"precision": …, "batch": …}}, or "none".')
    chosen = [row for row in rows if all(row.get(name) == value for name, value in choice.items())]
    if len(chosen) != 1:
        names = "; ".join(_name(row) for row in rows)
        return wrong(f"{len(chosen)} rows are {dict(choice)}; say which one. There are: {names}.")
    row, load = chosen[0], load_of(chosen[0], fps)
    if row.get("unclean"):
        return wrong(f"{_name(row)} was not measured cleanly: {row['unclean'][0]}. {AGAIN}")
    if load.busy > 1:
        return wrong(
            f"{_name(row)} does not keep up: {fps:g} FPS would keep it busy {load.busy:.0%} of the time."
        )
    if watts is None:
        return missing(f"{_name(row)} keeps up. What does it draw on average at {fps:g} FPS? Give my_watts.")
    if abs(watts - load.watts) > ROUNDING * load.watts:
        return wrong(f"{_name(row)} does not draw {watts:g} W at {fps:g} FPS. {_sum(row, load, fps)}")
    if load.watts > budget_w:
        return wrong(f"{_name(row)} draws {load.watts:.1f} W at {fps:g} FPS, and {budget_w:g} W are there.")
    return _defended(row, load, fitting, because, fps)


def _defended(
    row: Mapping[str, Any], load: Load, fitting: Sequence[Mapping[str, Any]], because: str | None, fps: float
) -> Verdict:
    if not because:
        return missing(f"{_name(row)} fits. Why this one? my_reason is one of {', '.join(GOALS)}.")
    if because not in GOALS:
        return wrong(f"my_reason is {because!r}; it must be one of {', '.join(GOALS)}.")
    if because == "accuracy" and load.accuracy is None:
        return wrong("the accuracy was not measured, so it is no reason here.")
    goal = GOALS[because]
    best = min(fitting, key=lambda other: goal(load_of(other, fps)))
    lead = goal(load_of(best, fps))
    if goal(load) > lead + 0.01 * abs(lead):
        told = _figure(load, because), _figure(load_of(best, fps), because)
        return wrong(f"{_name(row)} has {told[0]}, and {_name(best)}, which fits too, has {told[1]}.")
    mark = " (emulated)" if row.get("emulated") else ""
    return right(
        f"{_name(row)} is busy {load.busy:.0%} of the time at {fps:g} FPS, draws {load.watts:.1f} W{mark}, "
        f"and of the {len(fitting)} rows that fit none is better by {because}: {_figure(load, because)}."
    )


def _fits(row: Mapping[str, Any], fps: float, budget_w: float) -> bool:
    load = load_of(row, fps)
    return load.busy <= 1 and load.watts <= budget_w and not row.get("unclean")


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['precision']} with batch {row['batch']}"


def _sum(row: Mapping[str, Any], load: Load, fps: float) -> str:
    """How the watts are computed, without the last step."""
    return (
        f"It works {fps:g} × {row['latency_ms']:.1f} ms / {row['batch']} = {load.busy:.0%} of the time, with "
        f"{row['watts']:.1f} W, and idles for the rest, with {row['idle_w']:.1f} W."
    )


def _figure(load: Load, because: str) -> str:
    if because == "energy":
        return f"{load.j_per_frame:.2f} J a frame"
    if because == "latency":
        return f"{load.latency_ms:.0f} ms from the first picture of a batch to its result"
    return f"an accuracy of {load.accuracy:.3f}"
