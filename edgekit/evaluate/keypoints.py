"""Average precision of poses by object keypoint similarity (OKS), by pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.coco_eval import figures, judged
from edgekit.evaluate.data import DataSet, Picture
from edgekit.results import Poses
from edgekit.topology import Topology

#: COCO's ten figures in the order of pycocotools (https://cocodataset.org/#keypoints-eval). COCO counts the
#: best 20 poses a picture, and calls up to 96² pixels medium; it has no small ones.
NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def columns(model: Sequence[str], topology: Topology) -> NDArray[np.int64]:
    """Which keypoint of a model is each of a data set's, by name; −1 where the model has none of that name.

    Args:
        model: the model's keypoint names; empty where it has none.

    Returns:
        int64 [K], K of the data set.

    Raises:
        InputError: the model does not name its keypoints, or has none of the data set's.
    """
    known = {_plain(name): k for k, name in reversed(list(enumerate(model)))}
    found = np.array([known.get(_plain(name), -1) for name in topology.keypoints], np.int64)
    if (found < 0).all():
        mine, theirs = ", ".join(model[:6]) or "without names", ", ".join(topology.keypoints[:6])
        raise InputError(
            f"no keypoint of the model ({mine}) is one of the data set ({theirs}); names must be the same."
        )
    return found


def pose_notes(poses: Poses, data: DataSet) -> list[str]:
    """Which keypoints of a model and a data set do not match, in words; empty where all do.

    Raises:
        InputError: the data set labels no keypoints, or none of them is the model's.
    """
    if data.topology is None:
        raise InputError(
            f"{data.path} labels no keypoints; poses are scored on a COCO file of keypoints "
            "(person_keypoints_*.json)."
        )
    theirs, mine = data.topology.keypoints, poses.names or data.topology.keypoints
    lost = [name for name, k in zip(theirs, columns(mine, data.topology), strict=True) if k < 0]
    extra = [name for name in mine if _plain(name) not in map(_plain, theirs)]
    said = []
    if lost:
        said.append(f"counted as not found, as the model does not know them: {', '.join(lost)}")
    if extra:
        said.append(f"keypoints left out, as the data set does not label them: {', '.join(extra)}")
    return said


def keypoint_figures(
    pictures: Sequence[Picture],
    shapes: Sequence[tuple[int, ...]],
    found: Sequence[Poses],
    topology: Topology,
) -> dict[str, float | None]:
    """COCO's keypoint AP and AR, all kinds of objects with these keypoints as one class.

    Args:
        pictures: with keypoints in the order of `topology`.
        shapes: (height, width, …) of each picture.
        found: what the model says of each, in pixels; its keypoints are matched by name. Without names they
            are taken to be the data set's.
        topology: of the data set; its sigmas count.

    Returns:
        `NAMES` as numbers 0 to 1, None where there is nothing of that kind to find.

    Raises:
        InputError: the keypoints do not match.
        MissingError: pycocotools is not installed.
    """
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for key, (picture, shape, poses) in enumerate(zip(pictures, shapes, found, strict=True), 1):
        truth += _truth(picture, shape, key, len(truth) + 1)
        points = reordered(poses, topology).astype(np.float64)
        for pose, score in zip(points, poses.score, strict=True):
            low, sides = pose[:, :2].min(0), np.ptp(pose[:, :2], axis=0)
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": key,
                    "category_id": 1,
                    "keypoints": pose.ravel().tolist(),
                    "score": float(score),
                    # by which pycocotools' loadRes tells medium from large
                    "area": float(sides.prod()),
                    "bbox": [*low.tolist(), *sides.tolist()],
                }
            )
    judge = judged("keypoints", shapes, {1: topology.name}, truth, results, topology.sigmas)
    return figures(NAMES, judge)


def reordered(poses: Poses, topology: Topology) -> NDArray[np.float32]:
    """float32 [N, K, 3], the keypoints of `topology`; zeros for those the model does not know."""
    if not len(poses):
        return np.zeros((0, len(topology), 3), np.float32)
    if not poses.names and poses.keypoints.shape[1] == len(topology):
        return poses.keypoints
    order = columns(poses.names, topology)
    return np.where((order >= 0)[:, None], poses.keypoints[:, order], np.float32(0))


def _truth(picture: Picture, shape: tuple[int, ...], image: int, first: int) -> list[dict[str, Any]]:
    """COCO's annotations of one picture; what has no keypoints by its kind is left out."""
    height, width = shape[:2]
    rows: list[dict[str, Any]] = []
    for n in np.flatnonzero(picture.num_keypoints >= 0):
        x1, y1, x2, y2 = (picture.boxes[n] * np.array([width, height, width, height], np.float64)).tolist()
        rows.append(
            {
                "id": first + len(rows),
                "image_id": image,
                "category_id": 1,
                "iscrowd": int(picture.ignore[n]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": float(picture.areas[n]) * width * height,
                "keypoints": (picture.keypoints[n] * [width, height, 1]).ravel().tolist(),
                "num_keypoints": int(picture.num_keypoints[n]),
            }
        )
    return rows


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
