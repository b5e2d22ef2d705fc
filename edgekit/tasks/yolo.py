"""YOLO: letterbox → engine → decode and NMS, for every head of `yolo_heads`.

with open_yolo("edgekit-person") as yolo:
    found = yolo(frame)
"""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, open_engine
from edgekit.errors import InputError
from edgekit.ops.letterbox import Transform, letterbox, to_tensor
from edgekit.ops.nms import nms
from edgekit.results import Detections, Frame
from edgekit.tasks import yolo_heads

Feeds = dict[str, NDArray]


def open_yolo(
    model: str | Path,
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    **settings: Any,
) -> Yolo:
    """Open a model and make a `Yolo` of it; what the shelf knows of its head is used.

    Args:
        model, precision, backend, shapes: as of `edgekit.open_engine`.
        settings: as of `Yolo`.
    """
    from edgekit.models import models

    if settings.get("head", "auto") == "auto" and str(model) in (shelf := models()):
        settings["head"] = shelf[str(model)].recipe
        settings.setdefault("names", shelf[str(model)].names or None)
    engine = open_engine(model, precision, backend, shapes)
    try:
        return Yolo(engine, **settings)
    except BaseException:
        engine.close()
        raise


class Yolo:
    """Find objects in frames.

    Args:
        engine: the network; closed with the task.
        score: lowest score kept, 0 to 1.
        iou: overlap above which NMS drops the weaker box of a class, 0 to 1.
        max_det: boxes a picture at most.
        classes: keep only these, by name or number.
        agnostic: let NMS drop boxes across classes.
        head: "auto" or a name of `yolo_heads.HEADS`.
        names: class names; default: the model's own notes, COCO's for 80 classes.
        size: (height, width) for an engine of dynamic size; default: the model's notes, else 640×640.
        auto: letterbox to the next stride multiple only (engines of dynamic size).

    Attributes:
        times: seconds of the last call: "pre", "infer", "post".

    Raises:
        InputError: the engine is no YOLO, its head cannot be told, or a setting does not fit.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        score: float = 0.25,
        iou: float = 0.45,
        max_det: int = 300,
        classes: Sequence[int | str] | None = None,
        agnostic: bool = False,
        head: str = "auto",
        names: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        auto: bool = False,
    ) -> None:
        for name, value in (("score", score), ("iou", iou)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name}={value} is not between 0 and 1.")
        if len(engine.inputs) != 1 or len(engine.inputs[0].shape) != 4:
            raise InputError(f"a YOLO has one picture input; this has {', '.join(map(str, engine.inputs))}.")
        self.engine = engine
        self.score, self.iou, self.max_det, self.agnostic = score, iou, max_det, agnostic
        self.times: dict[str, float] = {}
        self._input = engine.inputs[0]
        self.size = _size(self._input.shape, size, engine.metadata)
        self._output = yolo_heads.pick_output(engine.outputs)
        self.head = yolo_heads.recognise(self._output, self.size, engine.metadata, head)
        self._first = yolo_heads.channels_first(self._output, self.head, self.size)
        count = yolo_heads.class_count(self._output, self.head, self._first)
        self.names = tuple(names) if names else yolo_heads.class_names(engine.metadata, count or 0)
        self.classes = None if classes is None else _class_ids(classes, self.names, count)
        if auto and None not in self._input.shape[2:]:
            raise InputError(f"auto needs an engine of dynamic size; this one wants {self._input}.")
        self._auto = auto
        self._stride = int(float(engine.metadata.get("stride", 32)))
        self._buffer = np.empty((0,), self._input.dtype)

    @overload
    def __call__(self, frames: Frame | NDArray[np.uint8]) -> Detections: ...
    @overload
    def __call__(self, frames: Sequence[Frame | NDArray[np.uint8]]) -> list[Detections]: ...
    def __call__(
        self, frames: Frame | NDArray[np.uint8] | Sequence[Frame | NDArray[np.uint8]]
    ) -> Detections | list[Detections]:
        """Detections of a frame (or of each of several), in pixels of that frame, best first."""
        single = isinstance(frames, Frame | np.ndarray)
        given = [frames] if single else list(frames)  # type: ignore[list-item, arg-type]
        images = [(f if isinstance(f, Frame) else Frame(f)).image for f in given]  # type: ignore[arg-type]
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        step = self._input.shape[0] or len(images) or 1
        found: list[Detections] = []
        for start in range(0, len(images), step):
            found += self._batch(images[start : start + step])
        return found[0] if single else found

    def _batch(self, images: list[NDArray[np.uint8]]) -> list[Detections]:
        start = time.perf_counter()
        feeds, transforms = self.preprocess(images)
        ready = time.perf_counter()
        outputs = self.infer(feeds)
        inferred = time.perf_counter()
        found = self.postprocess(outputs, transforms)
        self.times["pre"] += ready - start
        self.times["infer"] += inferred - ready
        self.times["post"] += time.perf_counter() - inferred
        return found

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Feeds, list[Transform]]:
        """Letterbox BGR pictures into the input tensor.

        The tensor is a buffer of this object, filled anew by the next call. An engine of fixed batch
        gets its full batch: places without a picture keep what was in them.
        """
        style, auto = self.head.style, self._auto
        boxed = [letterbox(i, self.size, style=style, auto=auto, stride=self._stride) for i in images]
        if auto:
            self._same_size([canvas for canvas, _ in boxed])
        height, width = boxed[0][0].shape[:2]
        shape = (self._input.shape[0] or len(images), 3, height, width)
        if self._buffer.shape != shape:
            self._buffer = np.zeros(shape, self._input.dtype)
        to_tensor([canvas for canvas, _ in boxed], self._buffer, rgb=self.head.rgb, unit=self.head.unit)
        return {self._input.name: self._buffer}, [transform for _, transform in boxed]

    @staticmethod
    def _same_size(canvases: list[NDArray[np.uint8]]) -> None:
        if len({canvas.shape for canvas in canvases}) > 1:
            raise InputError("auto letterbox gives these pictures different sizes; give them one by one.")

    def infer(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run the engine."""
        return self.engine(feeds)

    def postprocess(
        self, outputs: Mapping[str, NDArray], transforms: Sequence[Transform]
    ) -> list[Detections]:
        """Decode, filter, remove doubles, and bring the boxes into source pixels; one result a transform."""
        output = outputs[self._output.name]
        size = self._buffer.shape[2], self._buffer.shape[3]
        return [self._one(output[n], size, transform) for n, transform in enumerate(transforms)]

    def _one(self, output: NDArray, size: tuple[int, int], transform: Transform) -> Detections:
        xyxy, score, label = yolo_heads.decode(self.head, output, size, self.score, self._first)
        if self.classes is not None:
            wanted = np.isin(label, self.classes)
            xyxy, score, label = xyxy[wanted], score[wanted], label[wanted]
        if self.head.nms:
            keep = nms(xyxy, score, None if self.agnostic else label, self.iou, self.max_det)
        else:
            keep = np.argsort(-score, kind="stable")[: self.max_det]
        return Detections(transform.to_source(xyxy[keep]), score[keep], label[keep], self.names)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Yolo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _size(
    shape: tuple[int | None, ...], given: tuple[int, int] | None, metadata: Mapping[str, str]
) -> tuple[int, int]:
    """(height, width) of the input: the engine's own, else what is given, else the model's note, else 640."""
    fixed = shape[2], shape[3]
    if fixed[0] is not None and fixed[1] is not None:
        if given is not None and tuple(given) != fixed:
            raise InputError(f"size={given} does not fit: the engine's input is {fixed[0]}×{fixed[1]}.")
        return fixed[0], fixed[1]
    if given is not None:
        return given
    try:
        noted = ast.literal_eval(metadata.get("imgsz", "640"))
    except (ValueError, SyntaxError):
        noted = 640
    return (noted, noted) if isinstance(noted, int) else (int(noted[0]), int(noted[1]))


def _class_ids(classes: Sequence[int | str], names: Sequence[str], count: int | None) -> list[int]:
    """Class numbers of names or numbers; InputError names one that does not exist."""
    ids = []
    for wanted in classes:
        if str(wanted) in names:
            ids.append(list(names).index(str(wanted)))
            continue
        try:
            number = int(wanted)
        except ValueError:
            known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
            raise InputError(
                f"class {wanted!r} is not one of this model's: {known or 'it has no names'}."
            ) from None
        if number < 0 or (count is not None and number >= count):
            raise InputError(f"class {number} does not exist; this model has {count} classes, from 0.")
        ids.append(number)
    return ids
