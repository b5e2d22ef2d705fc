"""AlphaPose's validation: keypoint AP of a pose network with true boxes, and with a detector's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluate.data import DataSet, Picture
from edgekit.evaluate.score import evaluate
from edgekit.results import Poses

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class Way:
    """How a pair of networks is run.

    Attributes:
        model, detector: names of the shelf or files.
        backend: "pytorch", "onnxruntime-cpu", "onnxruntime-cuda" or "tensorrt".
        precision: "fp32", "fp16" or "int8".
        calibration: folder of pictures for int8; None: frames of the sample clip.
        flip, nms: as of `AlphaPose`.
    """

    model: str
    detector: str
    backend: str
    precision: str
    calibration: str | None = None
    flip: bool = False
    nms: bool = True


def validate(way: Way, data: DataSet, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Both figures of one way to run, or why there is none.

    Returns:
        "truth" and "detected": figures as of `evaluate` (None where there is none); "absent": {either: why}.
    """
    row: dict[str, Any] = {"truth": None, "detected": None, "absent": {}}
    for name, part in (("truth", with_true_boxes), ("detected", with_detector)):
        try:
            row[name] = part(way, data, progress)
        except EdgekitError as error:
            row["absent"][name] = error
    return row


def with_true_boxes(way: Way, data: DataSet, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Figures where the network is given the labelled boxes of people with labelled keypoints.

    As AlphaPose's `validate_gt` (scripts/validate.py): no NMS; a pose's score is the mean of its keypoints'
    + 1.25 × the best's, with the box's 1 on top, which changes no order.
    """
    from edgekit.ops.pose_nms import pose_scores
    from edgekit.tasks.topdown import topdown_on

    with _engine(way) as engine, topdown_on(engine, way.model, flip=way.flip) as pose:
        pictures = iter(data.pictures)  # in the order in which `evaluate` puts them

        def posed(image: NDArray[np.uint8]) -> Poses:
            height, width = image.shape[:2]
            boxes = (true_boxes(next(pictures)) * [width, height, width, height]).astype(np.float32)
            points = pose(image, boxes)
            score = pose_scores(points, np.ones(len(points), np.float32))
            return Poses(points, score, pose.names, pose.skeleton, boxes)

        return evaluate(posed, data, progress=progress) | {"why": engine.why}


def with_detector(way: Way, data: DataSet, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Figures where the network is given what the detector finds, pose NMS included."""
    from edgekit.evaluate.opened import exact_task

    how: dict[str, Any] = {"detector": way.detector, "flip": way.flip, "nms": way.nms}
    with (
        _engine(way) as engine,
        exact_task(engine, way.model, scored=True, calibration=way.calibration, **how) as task,
    ):
        return evaluate(task, data, progress=progress) | {"why": engine.why}


def true_boxes(picture: Picture) -> NDArray[np.float64]:
    """float64 [N, 4], in shares of the picture: of everybody with labelled keypoints who is no crowd."""
    boxes = np.clip(np.asarray(picture.boxes, np.float64), 0, 1)
    real = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes[real & (picture.num_keypoints > 0) & ~picture.ignore]


def _engine(way: Way) -> Engine:
    """The pose network, opened.

    Raises:
        InputError: it is no top-down pose network.
    """
    from edgekit.engine.exact import open_exact
    from edgekit.tasks.choose import kind_of

    engine = open_exact(way.model, way.precision, way.backend, calibration=way.calibration)
    try:
        if kind_of(way.model, engine) == "topdown":
            return engine
        raise InputError(
            f"{Path(way.model).name} is no top-down pose network; `edgekit evaluate` scores other models."
        )
    except BaseException:
        engine.close()
        raise
