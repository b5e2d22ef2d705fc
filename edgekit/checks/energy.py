"""Self-check of notebook 04: the energy of a frame, halved without losing a detection."""

from __future__ import annotations

import numpy as np

from edgekit.checks.verdict import Verdict, missing, right, wrong
from edgekit.runlog import Run
from edgekit.telemetry.energy import Energy

#: Fewer samples than this say little about a run.
FEWEST = 3


def half_the_energy(mine: Run | None, baseline: Run, share: float = 0.5) -> Verdict:
    """Notebook 04: `mine` works on the same frames as `baseline`, finds no less, and takes half the energy.

    Args:
        mine: the student's run, as `read_run` gives it, or None.
        baseline: the run to beat.
        share: of the baseline's joules a frame that `mine` may take.
    """
    if mine is None:
        return missing("write what you would change into my_settings, then run both cells again.")
    if mine.meta == baseline.meta:
        return wrong("that is the run to beat itself; give yours another folder.")
    problem = _unfinished(mine) or _not_the_same_work(mine, baseline) or _lost(mine, baseline)
    if problem:
        return wrong(problem)
    before, after = baseline.energy(), mine.energy()
    problem = _not_measured("the run to beat", baseline, before) or _not_measured("your run", mine, after)
    problem = problem or _another_meter(before, after)
    if problem:
        return wrong(problem)
    was, now = (_per_frame(run, e) for run, e in ((baseline, before), (mine, after)))
    kind = " (emulated)" if after.emulated else ""
    told = f"{now:.2f} J a frame{kind} instead of {was:.2f} J"
    if now > share * was:
        return wrong(f"{told}: {share:.0%} would be {share * was:.2f} J. {_where_it_goes(mine)}")
    return right(
        f"{told}, on the same {len(_found(baseline))} frames, with nothing lost. {_how(mine, baseline)}"
    )


def _per_frame(run: Run, energy: Energy) -> float:
    return float(energy.per(len(run.frames["index"])) or 0.0)


def _found(run: Run) -> dict[int, int]:
    """{index of a frame: how many were found}."""
    return {int(i): int(n) for i, n in zip(run.frames["index"], run.frames["found"], strict=True)}


def _unfinished(mine: Run) -> str:
    if mine.summary is None:
        return f"{mine.folder} has no summary: the run was killed, or goes on. Wait for its end with join()."
    if mine.summary.get("error"):
        return f"your run ended with an error: {mine.summary['error']}"
    return ""


def _not_the_same_work(mine: Run, baseline: Run) -> str:
    """Why the two runs cannot be compared, "" where they can."""
    for what, cure in (("source", "Take the same clip."), ("model", "Keep the network.")):
        one, other = (run.meta.get("config", {}).get(what) for run in (mine, baseline))
        if one != other:
            return f"your {what} is {one}, the run to beat had {other}; that is another work. {cure}"
    done, wanted = _found(mine), _found(baseline)
    absent = sorted(set(wanted) - set(done))
    if absent:
        dropped = int(mine.frames["dropped"][-1]) if len(mine.frames["dropped"]) else 0
        why = (
            f"It dropped {dropped}, since it was too slow for a camera's pace."
            if dropped
            else "Fewer frames are less work, and no cheaper ones."
        )
        return (
            f"your run worked on {len(wanted) - len(absent)} of the {len(wanted)} frames; frame {absent[0]} "
            f"is the first that is left out. {why}"
        )
    return ""


def _lost(mine: Run, baseline: Run) -> str:
    done, wanted = _found(mine), _found(baseline)
    fewer = [i for i in sorted(wanted) if done[i] < wanted[i]]
    if not fewer:
        return ""
    first = fewer[0]
    return (
        f"detections are lost on {len(fewer)} of {len(wanted)} frames: {done[first]} instead of "
        f"{wanted[first]} on frame {first}. Nothing may be lost."
    )


def _not_measured(whose: str, run: Run, energy: Energy) -> str:
    if energy.joules is None:
        return f"the energy of {whose} is unknown: {energy.void}."
    log = run.log
    inside = 0 if log is None else int(((log.t >= run.start_s) & (log.t <= run.end_s)).sum())
    if inside < FEWEST and energy.method == "trapezoid":
        return (
            f"only {inside} samples fell into {whose}, which took {run.seconds:.1f} s: too few to tell. "
            "Sample more often, or give it more frames."
        )
    return ""


def _another_meter(before: Energy, after: Energy) -> str:
    was, now = ((e.source, e.name, e.kind, e.emulated) for e in (before, after))
    if was == now:
        return ""
    return (
        f"the run to beat was measured by {before.source} ({before.name}), yours by {after.source} "
        f"({after.name}); two meters do not compare."
    )


def _means_s(run: Run) -> dict[str, float]:
    return {name: float(np.mean(run.frames[name])) for name in ("pre", "infer", "post", "draw", "encode")}


def _waiting(run: Run) -> float:
    """Share of the time in which the loop only waited for the next picture, as far as its clocks tell."""
    capture = float(np.mean(run.frames["capture"]))
    return max(0.0, capture - sum(_means_s(run).values())) * run.fps


def _where_it_goes(run: Run) -> str:
    """A hint: the largest thing that is not needed."""
    means = _means_s(run)
    out = (means["draw"] + means["encode"]) / max(sum(means.values()), 1e-9)
    if _waiting(run) > 0.25:
        return (
            f"The loop waited for the next picture in {_waiting(run):.0%} of the time, and a board that "
            "waits draws power too. Must this clip be played at a camera's pace?"
        )
    if out > 0.1:
        return f"Drawing and writing pictures are {out:.0%} of the work. Does somebody look at them?"
    network = means["infer"] / sum(means.values())
    return f"The network is {network:.0%} of the work: try another precision, and end other programs."


def _how(mine: Run, baseline: Run) -> str:
    """Where the saving is from, in watts and seconds."""
    before, after = baseline.energy(), mine.energy()
    return (
        f"Power went from {before.mean_w:.1f} to {after.mean_w:.1f} W and the time for a frame from "
        f"{1e3 / baseline.fps:.0f} to {1e3 / mine.fps:.0f} ms; joules are their product."
    )
