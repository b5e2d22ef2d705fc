"""Average precision of boxes by pycocotools, and what a user of the default threshold sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.evaluate.classes import Match
from edgekit.evaluate.coco_eval import figures, judged
from edgekit.evaluate.data import Picture
from edgekit.results import Detections

#: COCO's twelve figures in the order of pycocotools (https://cocodataset.org/#detection-eval).
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
Shape = tuple[int, ...]


def box_figures(
    pictures: Sequence[Picture],
    shapes: Sequence[Shape],
    found: Sequence[Detections],
    match: Match,
    score: float,
) -> dict[str, Any]:
    """Every figure of box detections: `average_precision`'s and `at_threshold`'s."""
    return average_precision(pictures, shapes, found, match) | at_threshold(
        pictures, shapes, found, match, score
    )


def average_precision(
    pictures: Sequence[Picture], shapes: Sequence[Shape], found: Sequence[Detections], match: Match
) -> dict[str, Any]:
    """COCO's box AP over the matched classes.

    Args:
        shapes: (height, width, …) of each picture.
        found: what the model says of each, down to its least sure box, in pixels.

    Returns:
        `NAMES` as numbers 0 to 1, None where there is nothing of that kind to find; `per_class` {name: AP}.

    Raises:
        MissingError: pycocotools is not installed.
    """
    notes: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for key, (picture, shape, one) in enumerate(zip(pictures, shapes, found, strict=True), 1):
        height, width = shape[:2]
        corners = picture.boxes * np.array([width, height, width, height], np.float64)
        areas = picture.areas * (width * height)
        for box, crowd, label, area in zip(corners, picture.ignore, picture.labels, areas, strict=True):
            if label in match.names:
                notes.append(_note(len(notes) + 1, key, int(label), box, float(area), int(crowd)))
        for box, label, sure in zip(one.xyxy.astype(np.float64), one.label, one.score, strict=True):
            if label in match.to_data:
                area = float((box[2] - box[0]) * (box[3] - box[1]))
                row = _note(len(results) + 1, key, match.to_data[int(label)], box, area, 0)
                results.append({**row, "score": float(sure)})
    judge = judged("bbox", shapes, match.names, notes, results)
    precision = judge.eval["precision"]  # [overlap, recall, class, size, most]
    each = {match.names[key]: _mean(precision[:, :, i, 0, -1]) for i, key in enumerate(judge.params.catIds)}
    return {**figures(NAMES, judge), "per_class": each}


def at_threshold(
    pictures: Sequence[Picture],
    shapes: Sequence[Shape],
    found: Sequence[Detections],
    match: Match,
    score: float = 0.25,
    overlap: float = 0.5,
) -> dict[str, float | None]:
    """Precision and recall where boxes under `score` are dropped: what a user of that threshold sees.

    All classes together. A box on a crowd is neither right nor wrong.

    Returns:
        Precision "P" (right of found) and recall "R" (found of all), 0 to 1; None where nothing counts.
    """
    hits = wrong = there = 0
    for picture, shape, one in zip(pictures, shapes, found, strict=True):
        height, width = shape[:2]
        truth = picture.boxes * np.array([width, height, width, height], np.float64)
        free = ~picture.ignore & np.isin(picture.labels, list(match.names))
        there += int(free.sum())
        for row in np.flatnonzero(one.score >= score):
            label = match.to_data.get(int(one.label[row]))
            if label is None:
                continue
            common, own, other = _areas(one.xyxy[row].astype(np.float64), truth)
            iou = np.where(free & (picture.labels == label), common / (own + other - common + 1e-9), 0)
            best = int(iou.argmax()) if len(iou) else -1
            if best >= 0 and iou[best] > overlap:
                free[best] = False
                hits += 1
            elif not (picture.ignore & (picture.labels == label) & (common / (own + 1e-9) > overlap)).any():
                wrong += 1
    return {
        "P": hits / (hits + wrong) if hits + wrong else None,
        "R": hits / there if there else None,
    }


def _areas(box: NDArray, truth: NDArray) -> tuple[NDArray, float, NDArray]:
    """Area shared with each true box, the box's own, and the true ones'."""
    sides = np.minimum(truth[:, 2:], box[2:]) - np.maximum(truth[:, :2], box[:2])
    return sides.clip(0).prod(1), float((box[2:] - box[:2]).prod()), (truth[:, 2:] - truth[:, :2]).prod(1)


def _note(key: int, image: int, label: int, box: NDArray, area: float, crowd: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in box)
    return {
        "id": key,
        "image_id": image,
        "category_id": label,
        "iscrowd": crowd,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": area,
    }


def _mean(values: NDArray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None
