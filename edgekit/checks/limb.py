"""Self-check of notebook 05: the score of one limb, by the line integral over its part-affinity field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checks.verdict import Verdict, missing, right, wrong
from edgekit.ops.paf import score_links
from edgekit.ops.peaks import Peaks

SAMPLES = 7  # points on the line; trt_pose, paf_score_graph

Score = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], Any]
Case = tuple[NDArray[np.float32], tuple[float, float], tuple[float, float]]

#: What goes wrong most often: what is said, and how `line_integral` makes the same mistake.
MISTAKES: dict[str, dict[str, Any]] = {
    "the seven values are added up; their mean is wanted, so divide by 7.": {"mean": False},
    "a long limb gets more than a short one. Divide the vector from a to b by its length.": {"unit": False},
    "the field counts from b to a. The vector points from a to b: b - a.": {"sign": -1.0},
    "a limb against the field gets a good score. Leave the sign: it is what tells two people apart.": {
        "magnitude": True
    },
    "down and right are exchanged: paf[0] is the part that points down (y), paf[1] to the right (x).": {
        "planes": (1, 0)
    },
    "the point (y, x) was read at row x, column y: it is paf[:, y, x].": {"transposed": True},
    "the last point is not b. Both ends count: np.linspace(0, 1, 7).": {"steps": np.arange(7) / 7},
    "the ends a and b are left out. Both count: np.linspace(0, 1, 7).": {"steps": np.arange(1, 8) / 8},
    "only the length of the field counts, not whether it points along the limb.": {"length": True},
    "points outside of the map are left out of the mean; they count as 0, and 7 stays 7.": {"inside": True},
    "a point at 2.7 lies in cell 2, not 3: cells begin at whole numbers, so cut off with int().": {
        "cell": np.round
    },
}


def line_integral(
    paf: NDArray[np.floating],
    a: tuple[float, float] | NDArray[np.floating],
    b: tuple[float, float] | NDArray[np.floating],
    *,
    steps: NDArray[np.floating] | None = None,
    mean: bool = True,
    unit: bool = True,
    sign: float = 1.0,
    magnitude: bool = False,
    planes: tuple[int, int] = (0, 1),
    transposed: bool = False,
    length: bool = False,
    inside: bool = False,
    cell: Callable[[Any], Any] = np.floor,
) -> float:
    """How well a field points along the line from a to b; the settings are the mistakes one can make.

    Args:
        paf: [2, H, W], how far down and how far right each cell points.
        a: (y, x) in cells, where the limb begins.
        b: where it ends.
    """
    start, vector = np.asarray(a, np.float64), np.subtract(b, a, dtype=np.float64)
    if unit:
        vector = vector / (np.hypot(*vector) + 1e-5)
    values, height, width = [], *paf.shape[1:]
    for step in np.linspace(0, 1, SAMPLES) if steps is None else steps:
        y, x = (int(v) for v in cell(start + step * np.subtract(b, a, dtype=np.float64)))
        y, x = (x, y) if transposed else (y, x)
        if 0 <= y < height and 0 <= x < width:
            arrow = paf[list(planes), y, x].astype(np.float64)
            values.append(np.hypot(*arrow) if length else sign * float(arrow @ vector))
        elif not inside:
            values.append(0.0)
    total = float(np.sum(values))
    total = abs(total) if magnitude else total
    return total / max(1, len(values)) if mean else total


def cases() -> dict[str, Case]:
    """Small fields, each with two points, by what is special about them."""
    right_ = np.zeros((2, 20, 24), np.float32)
    right_[1] = 1.0
    slanted = np.stack([np.full((20, 24), 0.6), np.full((20, 24), 0.8)]).astype(np.float32)
    half = np.zeros((2, 20, 24), np.float32)
    half[0, :10] = 1.0
    noise = np.random.default_rng(5).uniform(-1, 1, (2, 20, 24)).astype(np.float32)
    return {
        "a limb along the field": (right_, (5.5, 2.5), (5.5, 8.5)),
        "a limb across the field": (right_, (2.5, 5.5), (8.5, 5.5)),
        "the same limb from b to a": (right_, (5.5, 8.5), (5.5, 2.5)),
        "a slanted limb of 10 cells": (slanted, (3.5, 3.5), (9.5, 11.5)),
        "a limb that leaves its field half-way": (half, (3.5, 6.5), (15.5, 6.5)),
        "points that lie between two cells": (noise, (2.8, 3.9), (11.3, 19.7)),
        "a limb that ends outside of the map": (right_, (5.5, 15.5), (5.5, 33.5)),
        "another field at random": (noise, (17.2, 20.6), (4.9, 1.1)),
    }


def kits_score(paf: NDArray[np.float32], a: tuple[float, float], b: tuple[float, float]) -> float:
    """What the kit's own decoder scores between two peaks at a and b."""
    size = np.array(paf.shape[1:], np.float32)
    one = np.arange(2)
    peaks = Peaks(one, one, one, np.ones(2, np.float32), np.arange(3))  # of part 0 and of part 1
    refined = np.array([a, b], np.float32) / size
    return float(score_links(paf, np.array([[0, 1, 0, 1]]), peaks, refined, SAMPLES)[0][0, 0])


def own_limb_score(function: Score) -> Verdict:
    """Notebook 05: `function(paf, a, b)` gives the score that the kit gives to a limb from a to b.

    Args:
        function: takes the field float32 [2, H, W] (down, right) and two points (y, x) in cells.
    """
    got: dict[str, float] = {}
    for name, (paf, a, b) in cases().items():
        try:
            value = function(paf.copy(), np.array(a, np.float32), np.array(b, np.float32))
        except Exception as error:
            return wrong(
                f"with {name}, my_score stopped: {type(error).__name__}: {error}{_hint(error, name)}"
            )
        if value is None:
            return missing("my_score returns nothing; write its lines.")
        try:
            got[name] = float(np.asarray(value, np.float64).reshape(()))
        except (TypeError, ValueError):
            return wrong(f"with {name}, my_score returned {value!r}; one number is wanted.")
    wanted = {name: kits_score(*case) for name, case in cases().items()}
    off = [name for name in wanted if not np.isclose(got[name], wanted[name], atol=2e-3)]
    if not off:
        return right(f"my_score gives what the kit gives, in all {len(wanted)} cases.")
    seen = f"{off[0]}: my_score gave {got[off[0]]:.3f}, and {wanted[off[0]]:.3f} is right"
    return wrong(f"{seen}; {_mistake(got) or 'draw it on paper, with its seven points.'}")


def _mistake(got: dict[str, float]) -> str | None:
    """The frequent mistake that gives exactly these numbers, if there is one."""
    for sentence, settings in MISTAKES.items():
        theirs = (line_integral(*case, **settings) for case in cases().values())
        if np.allclose(list(got.values()), list(theirs), atol=2e-3):
            return sentence
    return None


def _hint(error: Exception, name: str) -> str:
    if isinstance(error, IndexError) and "outside" in name:
        return ". A point outside of the map counts as 0: look before you read."
    if isinstance(error, IndexError):
        return ". An index is a whole number: int(y), int(x)."
    return ""
