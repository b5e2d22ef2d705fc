"""How well tracks are found: MOTA, IDF1 and HOTA against MOTChallenge's ground truth, by TrackEval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MissingError
from edgekit.tracking.matching import assign, iou
from edgekit.tracking.mot import PEDESTRIAN, MotBoxes

#: Overlap from which a found box is that of an object.
MATCH = 0.5
#: Classes of MOT16 whose boxes may be found without being counted as wrong: person on vehicle, static person,
#: distractor, reflection (the benchmark's own evaluation).
DISTRACTORS = (2, 7, 8, 12)
#: TrackEval's names of counts, as they are called here.
COUNTS = {"IDSW": "IDs", "CLR_FP": "FP", "CLR_FN": "FN", "Frag": "Frag", "MT": "MT", "ML": "ML"}


def score_tracks(truth: MotBoxes, found: MotBoxes) -> dict[str, Any]:
    """Figures of `found` against `truth`, IoU .5 (HOTA: the mean over .05 to .95).

    Ground truth with classes is treated as MOTChallenge does: objects are the pedestrians whose flag is
    not 0, and what is found at a distractor counts neither way.

    A share of nothing (the precision where nothing was found) is None.

    Raises:
        MissingError: TrackEval is not installed.
    """
    truth, found = considered(truth, found)
    data = _sequence(truth, found)
    metrics, quiet = _trackeval(), {"PRINT_CONFIG": False}
    clear = metrics.CLEAR({"THRESHOLD": MATCH, **quiet}).eval_sequence(data)
    identity = metrics.Identity({"THRESHOLD": MATCH, **quiet}).eval_sequence(data)
    over_overlaps = metrics.HOTA().eval_sequence(data)
    right = clear["CLR_TP"]
    return {
        "MOTA": float(clear["MOTA"]) if len(truth) else None,
        "IDF1": float(identity["IDF1"]) if len(truth) else None,
        "recall": _share(right, len(truth)),
        "precision": _share(right, len(found)),
        **{name: float(np.mean(over_overlaps[name])) for name in ("HOTA", "DetA", "AssA")},
        **{ours: int(clear[name]) for name, ours in COUNTS.items()},
        "objects": data["num_gt_ids"],
        "boxes": len(truth),
        "tracks": data["num_tracker_ids"],
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


def _sequence(truth: MotBoxes, found: MotBoxes) -> Mapping[str, Any]:
    """A sequence as TrackEval takes it: in each frame the numbers, counted from 0, and the overlaps."""
    pairs = frame_pairs(truth, found).values()
    (objects, truth_ids), (tracks, found_ids) = (
        np.unique(boxes.track_id, return_inverse=True) for boxes in (truth, found)
    )
    return {
        "num_timesteps": len(pairs),
        "num_gt_ids": len(objects),
        "num_tracker_ids": len(tracks),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(found),
        "gt_ids": [truth_ids[rows] for rows, _, _ in pairs],
        "tracker_ids": [found_ids[rows] for _, rows, _ in pairs],
        "similarity_scores": [overlap for _, _, overlap in pairs],
    }


def _trackeval() -> Any:
    try:
        from trackeval import metrics
    except ImportError as error:
        raise MissingError(
            "TrackEval is not installed; cure: pip install 'edgekit[evaluate]' (or trackeval)"
        ) from error
    return metrics


def _share(part: float, whole: int) -> float | None:
    return float(part) / whole if whole else None
