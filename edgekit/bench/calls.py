"""What a worker times: an engine, two in turn, or a whole task; and what it scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine
from edgekit.errors import InputError

#: Frames of the sample clip that the pipeline works on, decoded beforehand.
FRAMES = 16


def to_time(
    stack: ExitStack, engine: Any, case: dict[str, Any]
) -> tuple[Callable[[], Any], Callable[[], dict[str, float]]]:
    """What is timed, and what tells the seconds of its stages afterwards; `stack` closes what it opens."""
    if case["part"] == "engine":
        feeds = real_feeds(engine, case["model"], case["batch"])
        return (lambda: engine(feeds)), (lambda: engine.times)
    if case["part"] == "both":
        return _both(stack, engine, case)
    task = _task(stack, engine, case)
    if task is None:
        raise InputError(
            f"{Path(case['model']).name} is no YOLO nor of another task: only its engine can be measured."
        )
    frames = _frames(max(FRAMES, case["batch"]))
    batches = [
        [frames[(start + i) % len(frames)] for i in range(case["batch"])]
        for start in range(0, len(frames), case["batch"])
    ]
    turn = 0

    def step() -> None:
        nonlocal turn
        task(batches[turn % len(batches)])
        turn += 1

    return step, (lambda: task.times)


def _both(
    stack: ExitStack, pose: Any, case: dict[str, Any]
) -> tuple[Callable[[], Any], Callable[[], dict[str, float]]]:
    """The detector's engine and the pose network's, one after the other: one person a picture."""
    batch, times = case["batch"], {"detect": 0.0, "pose": 0.0}
    finder = stack.enter_context(open_detector(pose, case))
    pictures, crops = real_feeds(finder, case["detector"], batch), real_feeds(pose, case["model"], batch)

    def step() -> None:
        start = time.perf_counter()
        finder(pictures)
        found = time.perf_counter()
        pose(crops)
        times.update(detect=found - start, pose=time.perf_counter() - found)

    return step, (lambda: times)


def open_detector(pose: Engine, case: dict[str, Any]) -> Engine:
    """The detector's engine, as the pose network's is."""
    from edgekit.engine.exact import open_exact

    how = {"batch": case["batch"], "calibration": case["calibration"] or None}
    return open_exact(case["detector"], pose.precision, pose.backend, **how)


def real_feeds(engine: Any, model: str, batch: int) -> dict[str, NDArray]:
    """A full batch of an engine's input: frames of the sample clip as its task prepares them.

    For a top-down pose network each is a whole frame, taken for a person; random numbers for what is of no
    task.
    """
    from edgekit.tasks.choose import ACTIONS, kind_of, task_on
    from edgekit.tasks.topdown import topdown_on

    frames = _frames(batch)
    try:
        if kind_of(model, engine) == "topdown":
            height, width = frames[0].shape[:2]
            whole = np.tile(np.array([0, 0, width, height], np.float32), (batch, 1))
            prepared = topdown_on(engine, model, max_batch=batch).preprocess(frames, whole)[0]
        elif kind_of(model, engine) in ACTIONS:
            return made_up(engine, batch)
        else:
            task: Any = task_on(engine, model)
            prepared = task.preprocess(frames)[0]
    except InputError:
        return made_up(engine, batch)
    return {name: array.copy() for name, array in prepared.items()}


def _task(stack: ExitStack, engine: Any, case: dict[str, Any], scored: bool = False) -> Any:
    """The task that the model is for, or None where the kit has none."""
    from edgekit.evaluate.opened import exact_task
    from edgekit.tasks.choose import ACTIONS, kind_of

    how = {"batch": case["batch"], "calibration": case["calibration"] or None, "scored": scored}
    if case.get("detector"):
        how["detector"] = case["detector"]
    if kind_of(case["model"], engine) in ACTIONS:  # a pass on every frame, from the first one on
        how |= {"stride": 1, "cold": "pad", "precision": engine.precision}
    try:
        return stack.enter_context(exact_task(engine, case["model"], **how))
    except InputError:
        if case.get("detector"):
            raise
        return None


def _frames(count: int) -> list[NDArray[np.uint8]]:
    from edgekit.camera import open_source

    with open_source("sample") as source:
        frames = [frame.image for frame in islice(source, count)]
    return [frames[i % len(frames)] for i in range(count)]


def made_up(engine: Any, batch: int) -> dict[str, NDArray]:
    """Random numbers 0 to 1 for inputs that are no pictures; zeros for whole numbers, which may be places."""
    from edgekit.engine.exact import filled_shape

    rng = np.random.default_rng(0)
    feeds = {}
    for spec in engine.inputs:
        shape = filled_shape(spec, batch, engine.metadata)
        floats = spec.dtype.kind == "f"
        feeds[spec.name] = (rng.random(shape) if floats else np.zeros(shape)).astype(spec.dtype)
    return feeds


def accuracy(stack: ExitStack, engine: Any, case: dict[str, Any]) -> dict[str, Any]:
    from edgekit.bench.cases import POSES
    from edgekit.evaluate import evaluate, read_data
    from edgekit.tasks.choose import kind_of

    data = read_data(case["dataset"], keypoints=kind_of(case["model"], engine) in POSES)
    task = _task(stack, engine, case, scored=True)
    if task is None:
        raise InputError(f"{Path(case['model']).name} is of no task: nothing scores it.")
    return evaluate(task, data)
