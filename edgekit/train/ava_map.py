"""Frame mAP as AVA's evaluation counts it: average precision of each action over the key frames, IoU 0.5.

The protocol is that of ActivityNet's AVA evaluation: in each key frame a found box counts for the labelled
box of the same action that it overlaps most, the best score first and each labelled box once; the area is
taken under the precision that never rises with recall (VOC 2010); excluded key frames count on neither side;
the mean runs over the evaluated actions that are labelled at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

IOU = 0.5  # least overlap of a find and a label

Key = tuple[str, int]


@dataclass(frozen=True)
class AvaRows:
    """One row a box and action.

    Attributes:
        keys: (video, second) of each row.
        boxes: float64 [N, 4], x1, y1, x2, y2 in any one unit.
        actions: int [N], the label map's ids.
        scores: float64 [N]; of labels all 1.
    """

    keys: list[Key]
    boxes: NDArray[np.float64]
    actions: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, shape in (("boxes", (4,)), ("actions", ()), ("scores", ())):
            value = getattr(self, name)
            if value.shape != (len(self.keys), *shape):
                raise InputError(f"AvaRows: {name} is {value.shape}, not {(len(self.keys), *shape)}.")

    def __getitem__(self, rows: NDArray) -> AvaRows:
        """The rows of an index or mask."""
        numbers = np.arange(len(self.keys))[rows]
        return AvaRows(
            [self.keys[n] for n in numbers], self.boxes[rows], self.actions[rows], self.scores[rows]
        )


@dataclass(frozen=True)
class AvaScores:
    """Average precision by action id (NaN: never labelled), how often each is labelled, and the mean."""

    ap: dict[int, float]
    labelled: dict[int, int]

    @property
    def mean(self) -> float:
        """mAP; NaN when nothing is labelled."""
        known = [value for value in self.ap.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")


def rows_of_scores(
    keys: Iterable[Key], boxes: NDArray, scores: NDArray, actions: NDArray[np.int64]
) -> AvaRows:
    """People with a score of each action ([N, 4], [N, C], ids [C]) as N·C rows."""
    count, classes = scores.shape
    return AvaRows(
        [key for key in keys for _ in range(classes)],
        np.repeat(np.asarray(boxes, np.float64), classes, axis=0),
        np.tile(np.asarray(actions, np.int64), count),
        np.asarray(scores, np.float64).ravel(),
    )


def ava_map(
    truth: AvaRows,
    found: AvaRows,
    actions: Collection[int],
    excluded: Collection[Key] = (),
    iou: float = IOU,
) -> AvaScores:
    """Score found rows against labelled ones.

    Args:
        truth, found: boxes and actions; key frames that only one of them knows count as well.
        actions: ids that are evaluated (AVA: the 60 of its label map); rows of others are left out.
        excluded: key frames that count on neither side.
    """
    wanted, dropped = np.array(sorted(actions), np.int64), set(excluded)

    def kept(rows: AvaRows) -> AvaRows:
        stay = np.array([key not in dropped for key in rows.keys], bool)
        return rows[np.isin(rows.actions, wanted) & stay]

    truth, found = kept(truth), kept(found)
    found = found[np.argsort(-found.scores, kind="stable")]
    hit = matched(truth, found, iou)
    ap = {
        int(one): average_precision(hit[found.actions == one], int((truth.actions == one).sum()))
        for one in wanted
    }
    return AvaScores(ap, {int(one): int((truth.actions == one).sum()) for one in wanted})


def matched(truth: AvaRows, found: AvaRows, iou: float) -> NDArray[np.bool_]:
    """Which found rows, best score first, are the first to meet their labelled box."""
    hit = np.zeros(len(found.keys), bool)
    mine = _by_key(found.keys)
    for key, labels in _by_key(truth.keys).items():
        rows = mine.get(key)
        if rows is None:
            continue
        same = found.actions[rows][:, None] == truth.actions[labels]
        overlap = np.where(same, overlaps(found.boxes[rows], truth.boxes[labels]), -1.0)
        best = overlap.argmax(1)
        good = np.flatnonzero(overlap[np.arange(len(rows)), best] >= iou)
        first = np.unique(best[good], return_index=True)[1]
        hit[rows[good[first]]] = True
    return hit


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU [N, M] of boxes [N, 4] and [M, 4]; 0 where both are empty."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    both = (high - low).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    union = areas[0][:, None] + areas[1] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def average_precision(hit: NDArray[np.bool_], labelled: int) -> float:
    """Area under precision over recall, precision made to fall only; NaN without labels, 0 without finds."""
    if labelled == 0:
        return float("nan")
    right = np.cumsum(hit)
    precision = right / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[hit].sum() / labelled)


def _by_key(keys: list[Key]) -> dict[Key, NDArray[np.int64]]:
    rows: dict[Key, list[int]] = {}
    for n, key in enumerate(keys):
        rows.setdefault(key, []).append(n)
    return {key: np.array(numbers) for key, numbers in rows.items()}
