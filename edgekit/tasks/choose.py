"""Which task a model is for, and that task around its engine."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.engine import Engine, open_engine
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.pipeline import Task

#: kind of task: what makes it of an engine and a model's name.
MAKERS = {
    "yolo": "edgekit.tasks.yolo:yolo_on",
    "trtpose": "edgekit.tasks.trtpose:trtpose_on",
    "topdown": "edgekit.tasks.alphapose:alphapose_on",
    "slowfast": "edgekit.tasks.slowfast:slowfast_on",
    "action": "edgekit.tasks.action:action_on",
}

#: What opens such a model in its own way: as two networks, or to run beside the loop.
OPENERS = {
    "slowfast": "edgekit.tasks.slowfast:open_slowfast",
    "action": "edgekit.tasks.action:open_action",
}
#: Kinds that name actions: of windows of a video, which no set of pictures can score or calibrate.
ACTIONS = tuple(OPENERS)


def recipe_kind(recipe: str) -> str:
    """A key of `MAKERS` for a recipe of the shelf; the recipes of YOLO are its heads."""
    return recipe if recipe in MAKERS else "yolo"


def kind_of(model: str | Path, engine: Engine) -> str:
    """A key of `MAKERS`: by the shelf, by the model's note `task`, or by its tensors.

    Raises:
        InputError: the note names a task that the kit does not have.
    """
    from edgekit.models import models
    from edgekit.tasks.action_nets import is_action

    one = models().get(str(model))
    if one is not None:
        return recipe_kind(one.recipe)
    noted = engine.metadata.get("task", "")
    if noted in MAKERS:
        return noted
    if noted not in ("", "detect"):
        raise InputError(f"{model} is for the task {noted!r}; the kit has {', '.join(MAKERS)}.")
    if {spec.name for spec in engine.outputs} >= {"cmap", "paf"}:
        return "trtpose"
    if {spec.name for spec in engine.inputs} >= {"slow", "fast"}:
        return "slowfast"
    if is_action(engine.inputs):
        return "action"
    whole = len(engine.inputs) == 1 and engine.inputs[0].dtype == np.int32
    return "topdown" if whole or any(spec.name == "heatmaps" for spec in engine.outputs) else "yolo"


def model_kind(model: str | Path, path: Path) -> str:
    """As `kind_of`, by the file at `path`, which is not opened as an engine; "" where there is none."""
    from edgekit.engine.choose import PLANS
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.plan import read_sidecar
    from edgekit.engine.pose_inputs import Described
    from edgekit.models import models

    if (one := models().get(str(model))) is not None:
        return recipe_kind(one.recipe)
    if path.suffix in PLANS:
        file = Described((), (), read_sidecar(path).get("metadata") or {})
    else:
        file = Described.of(load_model(path))
    try:
        return kind_of(model, file)  # type: ignore[arg-type]
    except InputError:
        return ""


def task_on(engine: Engine, model: str | Path, **settings: Any) -> Task:
    """The task that a model is for, around its open engine, which is closed with the task."""
    task: Task = resolve_name(MAKERS[kind_of(model, engine)])(engine, model, **settings)
    return task


def open_task(model: str | Path, precision: str = "fp16", backend: str = "auto", **settings: Any) -> Task:
    """Open a model and the task that it is for.

    Args:
        model, precision, backend: as of `edgekit.open_engine`.
        settings: of that task.
    """
    from edgekit.models import find
    from edgekit.tasks.grafted import file_for
    from edgekit.tasks.topdown import default_shapes

    if opener := OPENERS.get(model_kind(model, find(model))):
        task: Task = resolve_name(opener)(model, precision, backend, **settings)
        return task
    file = file_for(model, settings.get("ops", "auto"), precision, backend)
    engine = open_engine(file, precision, backend, default_shapes(file, backend))
    try:
        return task_on(engine, model, **settings)
    except BaseException:
        engine.close()
        raise
