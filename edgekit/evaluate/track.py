"""How well tracks are found: MOTA, IDF1 and HOTA against MOTChallenge's ground truth.

MOTA (CLEAR MOT) and IDF1 are py-motmetrics', with the overlaps computed here; HOTA is `evaluate.track_hota`,
since py-motmetrics 1.4 has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MissingError
from edgekit.evaluate.track_hota import hota
from edgekit.tracking.matching import assign, iou
from edgekit.tracking.mot import PEDESTRIAN, MotBoxes

#: Overlap from which a found box is that of an object.
MATCH = 0.5
#: Classes of MOT16 whose boxes may be found without being counted as wrong: person on vehicle, static person,
#: distractor, reflection (the benchmark's own evaluation).
DISTRACTORS = (2, 7, 8, 12)
#: py-motmetrics' names: shares, and counts, as they are called here.
SHARES = {"mota": "MOTA", "idf1": "IDF1", "recall": "recall", "precision": "precision"}
COUNTS = {
    "num_switches": "IDs",
    "num_false_positives": "FP",
    "num_misses": "FN",
    "num_fragmentations": "Frag",
    "mostly_tracked": "MT",
    "mostly_lost": "ML",
    "num_unique_objects": "objects",
    "num_objects": "boxes",
}


def score_tracks(truth: MotBoxes, found: MotBoxes) -> dict[str, Any]:
    """Figures of `found` against `truth`, IoU .5 (HOTA: .05 to .95).

    Ground truth with classes is treated as MOTChallenge does: objects are the pedestrians whose flag is
    not 0, and what is found at a distractor counts neither way.

    A share of nothing (the precision where nothing was found) is None.

    Raises:
        MissingError: py-motmetrics is not installed.
    """
    truth, found = considered(truth, found)
    frames = frame_pairs(truth, found)
    accumulator = _motmetrics().MOTAccumulator()
    for number, (objects, hypotheses, overlap) in frames.items():
        distance = np.where(overlap >= MATCH, 1 - overlap, np.nan)
        accumulator.update(truth.track_id[objects], found.track_id[hypotheses], distance, frameid=number)
    names = [*SHARES, *COUNTS]
    table = _motmetrics().metrics.create().compute(accumulator, metrics=names, name="all")
    pairs = [(truth.track_id[o], found.track_id[h], overlap) for o, h, overlap in frames.values()]
    return {
        **{ours: _share(table[name].iloc[0]) for name, ours in SHARES.items()},
        **hota(pairs),
        **{ours: int(table[name].iloc[0]) for name, ours in COUNTS.items()},
        "tracks": len(np.unique(found.track_id)),
    }


def considered(truth: MotBoxes, found: MotBoxes) -> tuple[MotBoxes, MotBoxes]:
    """The objects that count, and what was found without that at a distractor."""
    counts = truth.confidence != 0
    if truth.label is None:
        return truth[counts], found
    gone = np.zeros(len(found), bool)
    for objects, hypotheses, overlap in frame_pairs(truth, found).values():
        rows, columns = assign(np.where(overlap >= MATCH, 1 - overlap, np.inf), 1 - MATCH)
        beside = np.isin(truth.label[objects[rows]], DISTRACTORS)
        gone[hypotheses[columns[beside]]] = True
    return truth[counts & (truth.label == PEDESTRIAN)], found[~gone]


def frame_pairs(
    truth: MotBoxes, found: MotBoxes
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """For each frame with a box: rows of `truth`, rows of `found`, and their overlap [N, M]."""
    objects, hypotheses = truth.rows_by_frame(), found.rows_by_frame()
    none = np.zeros(0, np.int64)
    pairs = {}
    for number in sorted(objects.keys() | hypotheses.keys()):
        o, h = objects.get(number, none), hypotheses.get(number, none)
        pairs[number] = o, h, iou(truth.xyxy[o], found.xyxy[h])
    return pairs


def _motmetrics() -> Any:
    try:
        import motmetrics
    except ImportError as error:
        raise MissingError(
            "py-motmetrics is not installed; cure: pip install 'edgekit[evaluate]' (or motmetrics)"
        ) from error
    return motmetrics


def _share(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
