"""Put a task to every picture of a data set, and score what it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.boxes import box_figures
from edgekit.evaluate.classes import match
from edgekit.evaluate.data import DataSet, load_image
from edgekit.evaluate.keypoints import keypoint_figures, pose_notes
from edgekit.results import Detections, Poses

#: Settings of a `Yolo` that is scored by COCO's rules: every box down to the least sure. COCO counts the
#: best 100 a class and picture.
SCORING: dict[str, Any] = {"score": 0.001, "iou": 0.65, "max_det": 300}
#: The default threshold of the tasks, for precision and recall.
THRESHOLD = 0.25


#: What scores a kind of result: (pictures, shapes, results, matched, threshold) → figures. Of boxes the
#: classes are matched, of poses the data set's topology counts.
METRICS: dict[type, Callable[..., dict[str, Any]]] = {
    Detections: box_figures,
    Poses: lambda pictures, shapes, found, topology, score: keypoint_figures(
        pictures, shapes, found, topology
    ),
}


def evaluate(
    task: Callable[[NDArray[np.uint8]], Any],
    data: DataSet,
    score: float = THRESHOLD,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures of a task on a data set; pictures are read one at a time.

    Args:
        task: one that finds boxes is opened with `SCORING`; classes that the data set lacks are switched
            off for the time. Of poses the keypoints are matched by name.
        score: threshold for `P` and `R`, precision and recall.
        progress: called with (pictures done, pictures).

    Returns:
        The metric's figures (0 to 1, None where there was nothing to find), `pictures`, `ms` (median time
        of one whole call, in milliseconds) and `notes` (what could not be matched).

    Raises:
        InputError: the classes do not match, a picture cannot be read, or nothing scores such results.
        MissingError: pycocotools is not installed.
    """
    before, matched, notes = getattr(task, "classes", None), None, []
    if hasattr(task, "classes"):
        present = sorted({int(label) for picture in data.pictures for label in picture.labels})
        matched = match(task.names, data.names, present)  # type: ignore[attr-defined]
        notes = list(matched.notes)
        task.classes = sorted(matched.to_data)
    found: list[Any] = []
    shapes: list[tuple[int, ...]] = []
    times: list[float] = []
    try:
        for done, picture in enumerate(data.pictures, 1):
            image = load_image(picture.path)
            start = time.perf_counter()
            found.append(task(image))
            times.append(time.perf_counter() - start)
            shapes.append(image.shape)
            if done == 1 and isinstance(found[0], Poses):  # refused now, not after the last picture
                notes = pose_notes(found[0], data)
            progress(done, len(data))
    finally:
        if matched is not None:
            task.classes = before  # type: ignore[attr-defined]
    kind = type(found[0])
    if kind not in METRICS:
        raise InputError(f"nothing scores results of the kind {kind.__name__} yet.")
    figures = METRICS[kind](data.pictures, shapes, found, matched or data.topology, score)
    return {
        **figures,
        "pictures": len(data),
        "ms": float(np.median(times)) * 1000,
        "notes": notes,
    }
