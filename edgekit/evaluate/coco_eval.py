"""pycocotools, quietly: annotations and results in, its judge with everything worked out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MissingError

Note = dict[str, Any]


def judged(
    kind: str,
    shapes: Sequence[tuple[int, ...]],
    names: Mapping[int, str],
    notes: Sequence[Note],
    results: Sequence[Note],
    sigmas: NDArray[np.float64] | None = None,
) -> Any:
    """A `COCOeval` after evaluate, accumulate and summarize.

    Args:
        kind: "bbox" or "keypoints".
        shapes: (height, width, …) of each picture; their ids are 1, 2, ….
        names: {class: name}.
        notes, results: rows as in COCO's files, with ids and areas.
        sigmas: float64 [K], of the keypoints.

    Raises:
        MissingError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingError("pycocotools is missing; cure: pip install 'edgekit[evaluate]'.") from None
    images = [{"id": i, "height": s[0], "width": s[1]} for i, s in enumerate(shapes, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports to standard output
        truth, answers = COCO(), COCO()
        for coco, rows in ((truth, notes), (answers, results)):
            coco.dataset = {
                "info": {},
                "images": images,
                "annotations": rows,
                "categories": [{"id": key, "name": name} for key, name in names.items()],
            }
            coco.createIndex()
        judge = COCOeval(truth, answers, kind)
        if sigmas is not None:
            judge.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def figures(names: Sequence[str], judge: Any) -> dict[str, float | None]:
    """The judge's summary under these names; None where pycocotools says −1: there was nothing to find."""
    return {
        name: float(value) if value > -1 else None for name, value in zip(names, judge.stats, strict=True)
    }
