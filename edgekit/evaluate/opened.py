"""The task that a model is for, both of its engines in exactly the precision and batch asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.engine import Engine
from edgekit.engine.exact import open_exact
from edgekit.errors import InputError
from edgekit.evaluate.score import SCORING
from edgekit.tasks.choose import ACTIONS, kind_of, task_on

#: Finds the people for a top-down network where nothing is said.
DETECTOR = "edgekit-person"
#: Settings of the detector of a top-down network that is scored: AlphaPose's own (configs/coco/resnet/
#: 256x192_res50_lr1e-3_1x.yaml: CONFIDENCE 0.05, NMS_THRES 0.6).
DETECTING: dict[str, Any] = {"score": 0.05, "iou": 0.6}


@contextmanager
def exact_task(
    engine: Engine,
    model: str | Path,
    *,
    scored: bool = False,
    detector: str | Path = DETECTOR,
    batch: int = 1,
    calibration: Path | str | None = None,
    **settings: Any,
) -> Iterator[Any]:
    """A task around the open engine of `model`; closed, with its engines, at the end.

    Args:
        scored: with the settings by which a data set is scored, else with those of everyday use.
        detector: of a top-down network; runs in the engine's back end, precision and batch.
        calibration: pictures for the detector's int8, as of `open_exact`.
        settings: of the task besides.

    Raises:
        InputError: the kit has no such task, or the detector cannot run so.
        MissingError: the detector is not here.
    """
    kind = kind_of(model, engine)
    task: Any
    if kind in ACTIONS and scored:
        raise InputError(f"{Path(model).name} names actions; a set of pictures cannot score it.")
    if kind != "topdown":
        scoring = (SCORING if kind == "yolo" else {"score": 0.0}) if scored else {}
        task = task_on(engine, model, **scoring, **settings)
        with task:
            yield task
        return
    from edgekit.tasks.yolo import yolo_on

    how = {"batch": batch, "calibration": calibration}
    with open_exact(detector, engine.precision, engine.backend, **how) as finder:  # type: ignore[arg-type]
        found = yolo_on(finder, detector, **(DETECTING if scored else {}))
        task = task_on(engine, model, detector=found, score=found.score, **settings)
        with task:
            yield task
