"""The figures of a run, computed once for its tables, its tiles and its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.clocks import STAGES

if TYPE_CHECKING:
    from edgekit.runlog import Run
    from edgekit.telemetry.energy import Energy
    from edgekit.telemetry.log import Log

PERCENTILES = (50, 90, 95, 99)


def milliseconds(run: Run, column: str) -> NDArray[np.float64]:
    """Times of a column, float64 [N], without the first frame where there are more than three.

    The first one pays for lazy initialisation; the end table of `edgekit run` leaves it out too.
    """
    values = run.frames[column] * 1e3
    return values[1:] if len(values) > 3 else values


def percentiles(run: Run, column: str = "latency") -> dict[int, float]:
    """{50: …, 90: …, 95: …, 99: …} in milliseconds; empty without frames."""
    values = milliseconds(run, column)
    return (
        dict(zip(PERCENTILES, map(float, np.percentile(values, PERCENTILES)), strict=True))
        if len(values)
        else {}
    )


def setting(run: Run, name: str) -> str:
    """What a run worked with, by its summary, or as it began where it has none; "" where neither tells."""
    return str((run.summary or {}).get(name) or run.meta.get("config", {}).get(name) or "")


def busy(run: Run) -> dict[str, float]:
    """Seconds that each stage worked, of all frames; stages that took no time are left out."""
    sums = {name: float(run.frames[name].sum()) for name in STAGES}
    return {name: seconds for name, seconds in sums.items() if seconds > 0}


def working(run: Run) -> dict[str, float]:
    """As `busy`, without the capture of a live source, which waits for the camera most of that time."""
    seconds = busy(run)
    if run.meta.get("config", {}).get("live"):
        seconds.pop("capture", None)
    return seconds


@dataclass(frozen=True)
class Stage:
    """One stage of a run: milliseconds, its share of all stages (0 to 1), joules of one frame."""

    name: str
    median_ms: float
    p95_ms: float
    share: float
    joules: float | None


def stages(run: Run, energy: Energy) -> list[Stage]:
    """Each stage that took time. The shares are of the time all stages were busy: they overlap."""
    from edgekit.telemetry.energy import by_stage

    seconds = busy(run)
    total = sum(seconds.values())
    joules = by_stage(energy.per(len(run.frames["index"])), working(run))
    rows = []
    for name, worked in seconds.items():
        at = percentiles(run, name)
        rows.append(Stage(name, at[50], at[95], worked / total, joules.get(name)))
    return rows


def rail_energy(log: Log, start_s: float, end_s: float) -> dict[str, Energy]:
    """Energy of each rail by the rules of the total, largest first; void where those void it."""
    from edgekit.telemetry.energy import energy

    found = {}
    for name, watts in log.rails_w.items():
        alone = replace(log, power_w=watts, energy_j={}, power_total_name=name, power_total_kind="rail")
        found[name] = energy(alone, start_s, end_s)
    return dict(sorted(found.items(), key=lambda item: -(item[1].mean_w or 0.0)))


def hottest(log: Log, start_s: float, end_s: float) -> tuple[str, float] | None:
    """Zone and degrees Celsius of the highest temperature of a stretch; None where none is known."""
    inside = (log.t >= start_s) & (log.t <= end_s)
    peaks = {
        name: float(np.nanmax(c[inside])) for name, c in log.temps_c.items() if np.isfinite(c[inside]).any()
    }
    return max(peaks.items(), key=lambda item: item[1]) if peaks else None


def per_second(
    run: Run, bins: int = 150
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Frames a second and frames dropped, over time.

    Returns:
        Edges of the bins in seconds since the start, float64 [B + 1]; frames a second, float64 [B]; frames
        dropped in each bin, float64 [B]. A last bin that is not full is left out.
    """
    t = run.frames["t_boot_s"] - run.start_s
    length = max(run.seconds, 1e-9)
    few = max(length / bins, 12.0 * length / max(1, len(t)))  # a bin of few frames jumps by whole ones
    width = next((w for w in _WIDTHS if w >= few), _WIDTHS[-1])
    width = min(width, length)
    edges = (np.arange(int(length / width * (1 + 1e-9)) + 1) * width).astype(np.float64)
    gone = np.diff(run.frames["dropped"], prepend=0.0)
    fps, dropped = (np.histogram(t, edges, weights=w)[0] for w in (np.full(len(t), 1 / width), gone))
    return edges, fps, dropped


_WIDTHS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


def ratios(values: Sequence[float | None]) -> list[float | None]:
    """Each value over the first; None where either is not known or the first is zero."""
    first = values[0] if values else None
    return [None if not first or value is None else value / first for value in values]


def front(points: Sequence[tuple[float, float]], better: tuple[str, str]) -> list[int]:
    """Indices of the points that no other beats in both: at least as good in each, better in one.

    Args:
        points: (x, y) each.
        better: "lower" or "higher", for x and for y.
    """
    sign = np.array([1.0 if side == "lower" else -1.0 for side in better])
    costs = np.array(points, np.float64).reshape(-1, 2) * sign
    kept = []
    for i, cost in enumerate(costs):
        beaten = (costs <= cost).all(axis=1) & (costs < cost).any(axis=1)
        if not beaten.any():
            kept.append(i)
    return kept


def known(rows: Sequence[Mapping[str, object]], *names: str) -> list[int]:
    """Indices of the rows that have a finite number under each name."""
    return [
        i
        for i, row in enumerate(rows)
        if all(isinstance(row.get(n), int | float) and np.isfinite(row[n]) for n in names)  # type: ignore[call-overload]
    ]
