"""ActionRecognitionNet: one action for each window of a video, of the whole picture or of each person.

with open_action("model.onnx", names=("walk", "sits", "squat")) as task:
    for frame in source:
        actions = task(frame)

The task itself is `edgekit.tasks.action_task.ActionRecognition`; here it is opened.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgekit.engine import Engine, ShapeRanges, open_engine
from edgekit.engine.choose import BACKENDS
from edgekit.models import models
from edgekit.tasks.action_open import plan_shapes
from edgekit.tasks.action_task import ActionRecognition
from edgekit.tasks.track import Track, open_track
from edgekit.tasks.yolo import Yolo

__all__ = ["ActionRecognition", "action_on", "open_action"]

#: What finds the people.
Detector = str | Path | Yolo | Track


def open_action(
    model: str | Path = "edgekit-action",
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    *,
    people: bool | None = None,
    detector: Detector = "edgekit-person",
    tracker: str = "bytetrack",
    tracking: dict[str, Any] | None = None,
    **settings: Any,
) -> ActionRecognition:
    """Open a network of action recognition and make a task of it.

    Args:
        model, precision, backend: as of `edgekit.open_engine`: a name of the shelf, an ONNX file as TAO and
            `edgekit export actions` write it, or a plan. The detector gets the same precision and back end.
        shapes: as there; default: 1 to 8 rows a call.
        people: look at each person, not at the whole picture; default: as the model notes, no.
        detector: a model of any YOLO, or a `Yolo` or `Track` that is open; closed with the task.
        tracker: as of `open_track`.
        tracking: more settings of `open_track`.
        settings: as of `ActionRecognition`.

    Raises:
        InputError: a file or a setting cannot be used.
        MissingError: the back end is not on this machine.
    """
    engine = open_engine(model, precision, backend, shapes or plan_shapes(model, backend), beside=True)
    try:
        settings |= {"precision": precision, "backend": backend, "tracker": tracker, "tracking": tracking}
        return action_on(engine, model, people=people, detector=detector, **settings)
    except BaseException:
        engine.close()
        raise


def action_on(
    engine: Engine,
    model: Any = None,
    *,
    people: bool | None = None,
    detector: Detector = "edgekit-person",
    precision: str | None = None,
    backend: str | None = None,
    tracker: str = "bytetrack",
    tracking: dict[str, Any] | None = None,
    **settings: Any,
) -> ActionRecognition:
    """An `ActionRecognition` around an open engine; its detector runs where it does.

    What the shelf knows of `model` names the classes where the file itself does not. On an error what was
    opened here is closed again; the engine is left to the caller.
    """
    one = models().get(str(model))
    if one is not None and one.names and "names" not in engine.metadata and settings.get("names") is None:
        settings["names"] = one.names
    if people is None:
        people = engine.metadata.get("per", "").strip('"') == "person"
    if not people:
        return ActionRecognition(engine, **settings)
    if isinstance(detector, Track):
        return ActionRecognition(engine, tracks=detector, **settings)
    where = backend or (engine.backend if engine.backend in BACKENDS else "auto")
    its = {} if isinstance(detector, Yolo) else {"ops": settings.get("ops", "auto")}
    with ExitStack() as stack:
        tracks = open_track(detector, precision or "fp16", where, tracker=tracker, **(its | (tracking or {})))
        stack.callback(tracks.close)
        if tracks.detector.classes is None and len(tracks.names) != 1:
            tracks.detector.classes = ["person"]
        task = ActionRecognition(engine, tracks=tracks, **settings)
        stack.pop_all()
    return task
