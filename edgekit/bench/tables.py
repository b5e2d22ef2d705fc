"""AlphaPose's three tables: the detector, the pose network and both, over batch sizes.

As in the system's own report: Throughput = 1000 / latency × batch size, a speed-up is against the first
back end at the same batch size, and "both" is the detector's batch and as many people, one a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.bench.cases import Settings, cases
from edgekit.bench.output import Shown
from edgekit.bench.store import Row
from edgekit.bench.sweep import Found, sweep
from edgekit.bench.table import speed
from edgekit.report.tables import Absent

#: Batch sizes of the three tables.
DETECTOR, POSE = (1, 2, 4, 8), (1, 2, 4, 8, 16, 32, 64)
HEAD = [
    "model",
    "Batchsize",
    "Latency (ms)",
    "Throughput",
    "Latency Speedup",
    "Throughput speedup",
    "GPU-Util",
]
#: The pair that AlphaPose's own tables are of; measured too where both are on this machine.
ORIGINAL = ("yolov3-spp", "fastpose-res50")


@dataclass(frozen=True)
class Tables:
    """What was measured.

    Attributes:
        tables: the three of each pair of models.
        found: the sweeps they are from.
        notes: what was not measured, and why; what spoilt a row.
    """

    tables: list[Shown]
    found: list[Found]
    notes: list[str]

    @property
    def rows(self) -> list[Row]:
        return [row for found in self.found for row in found.rows]


def pairs(model: str | None, detector: str | None) -> list[tuple[str, str]]:
    """(detector, pose network): the one asked for; else what ships, and AlphaPose's own where it is here."""
    from edgekit.models import models

    shipped = (detector or "edgekit-person", model or "edgekit-fastpose")
    known = models()
    here = all(name in known and known[name].available for name in ORIGINAL)
    return [shipped, ORIGINAL] if here and model is None and detector is None else [shipped]


def alphapose(
    settings: Settings,
    detector: str,
    model: str,
    batches: Sequence[int] | None = None,
    say: Callable[[str], Any] = lambda line: None,
) -> Tables:
    """Measure one pair of models; three sweeps, each going on where a kept one ended.

    Args:
        settings: how; its models, parts and batches are set here.
        batches: of all three tables; None: `DETECTOR` for the first and the last, `POSE` for the second.
        say: as of `sweep`.

    Raises:
        InputError, MissingError: a model cannot be used; before anything is measured.
    """
    first, second = Path(detector).name, Path(model).name
    both = f"{first} + {second}"
    plan = [
        (f"2.1 {first} speed up", first, (detector,), "engine", batches or DETECTOR),
        (f"2.2 {second} speed up", second, (model,), "engine", batches or POSE),
        (f"2.3 {both} speed up", both, (model,), "both", batches or DETECTOR),
    ]
    made = Tables([], [], [])
    sweeps = [
        replace(settings, models=models, parts=(part,), batches=tuple(sizes), detector=detector)
        for _, _, models, part, sizes in plan
    ]
    for how in sweeps:
        cases(how)  # what cannot be measured is said before anything is
    for (heading, name, *_), how in zip(plan, sweeps, strict=True):
        found = sweep(how, say)
        made.found.append(found)
        made.tables.append(Shown(heading, HEAD, table_cells(name, found)))
        made.notes.extend(note for note in [*found.speed()[2], *found.notes] if note not in made.notes)
        if found.stopped:
            break
    return made


def table_cells(name: str, found: Found) -> list[list[Any]]:
    """Rows under `HEAD`: a back end and precision after the other, the baseline first; a name stands once."""
    head, lines, _ = speed(found.rows, found.settings.baseline)
    rows = [(row, dict(zip(head, line, strict=True))) for row, line in zip(found.rows, lines, strict=True)]
    rows.sort(key=lambda one: (_rank(one[0], found), one[0]["batch"]))
    out: list[list[Any]] = []
    said = ""
    for row, line in rows:
        way = f"{name}, {row['backend']} {row['precision']}"
        out.append(
            [
                "" if way == said else way,
                row["batch"],
                line["latency ms"],
                line["pictures/s"],
                line["latency ×"],
                line["throughput ×"],
                _use(row, line),
            ]
        )
        said = way
    return out


def _rank(row: Row, found: Found) -> tuple[int, str, str]:
    """The baseline's rows come first, then the others as they were measured."""
    from edgekit.bench.table import FROM

    wanted, _, precision = found.settings.baseline.partition(":")
    first = row["backend"] == wanted and precision in ("", row["precision"])
    return (0 if first else 1 + FROM.index(row["backend"]), row["backend"], row["precision"])


def _use(row: Row, line: dict[str, Any]) -> Any:
    """How busy the GPU was; of a back end on the CPU, that it was none."""
    if line["of"] != "GPU":
        return Absent(f"{row['backend']} computes on the CPU: no GPU to be busy")
    return None if line["util %"] is None else f"{line['util %']:.0f}%"
