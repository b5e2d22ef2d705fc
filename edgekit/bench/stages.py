"""What each part of a task takes, frame by frame, where some parts do not run on every frame."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.results import Frame


class HasParts(Protocol):
    """A task that says after each frame what its parts took."""

    parts: Mapping[str, float]

    def __call__(self, frame: Frame) -> Any: ...


@dataclass(frozen=True)
class Stages:
    """The times of a task on some frames.

    Attributes:
        parts: seconds of each part on each frame, float64 [F]; 0 where it did not run.
        total: seconds of the whole call, float64 [F].
        results: what the task found on each frame.
        notes: settings of the task.
    """

    parts: dict[str, NDArray[np.float64]]
    total: NDArray[np.float64]
    results: list[Any] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def ran(self, part: str) -> NDArray[np.int64]:
        """Numbers of the frames on which a part ran."""
        return np.flatnonzero(self.parts[part] > 0)

    def ms_a_call(self) -> dict[str, float]:
        """Median milliseconds of each part on the frames on which it ran; 0 for one that never did."""
        return {
            part: 1e3 * float(np.median(seconds[seconds > 0])) if (seconds > 0).any() else 0.0
            for part, seconds in self.parts.items()
        }


def stages(task: HasParts, frames: Iterable[Frame], *noted: str) -> Stages:
    """Give a task the frames in order, and keep what each part took and what was found.

    Args:
        task: its `parts` are those of the last frame, in seconds; a part that did not run is 0 or absent.
        frames: as many as there are.
        noted: names of settings of the task to keep, as they are after the last frame.
    """
    rows, total, results = [], [], []
    for frame in frames:
        start = time.perf_counter()
        results.append(task(frame))
        total.append(time.perf_counter() - start)
        rows.append(dict(task.parts))
    names = list(dict.fromkeys(name for row in rows for name in row))
    parts = {name: np.array([row.get(name, 0.0) for row in rows]) for name in names}
    return Stages(parts, np.array(total), results, {name: getattr(task, name) for name in noted})
