"""YOLO: letterbox → engine → decode and NMS, for every head of `yolo_heads`.

with open_yolo("edgekit-person") as yolo:
    found = yolo(frame)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, TensorSpec, open_engine
from edgekit.engine.resident import Tenant, resident
from edgekit.errors import EdgekitError, InputError
from edgekit.ops.letterbox import Letterboxer, Transform
from edgekit.ops.letterbox_cuda import STYLES
from edgekit.ops.nms import nms
from edgekit.results import Detections, Frame
from edgekit.tasks import yolo_heads
from edgekit.tasks.grafted import Canvases, Grafted, file_for, seen, settle
from edgekit.tasks.yolo_gpu import Net, Wanted, YoloOnGpu
from edgekit.tasks.yolo_settings import class_ids, default_names, input_size, noted_names, noted_stride

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
    file = file_for(model, settings.get("ops", "auto"), precision, backend)
    engine = open_engine(file, precision, backend, shapes)
    try:
        return yolo_on(engine, model, **settings)
    except BaseException:
        engine.close()
        raise


def yolo_on(engine: Engine, model: str | Path, **settings: Any) -> Yolo:
    """A `Yolo` around the open engine of `model`; what the shelf knows of its head is used."""
    if settings.get("head", "auto") == "auto":
        known = known_settings(model)
        settings = {**known, **settings, "head": known.get("head", "auto")}
    return Yolo(engine, **settings)


def known_settings(model: str | Path) -> dict[str, Any]:
    """What the shelf knows of a model's head and class names, as settings of `Yolo`; {} for a file."""
    from edgekit.models import models

    one = models().get(str(model))
    return {} if one is None else {"head": one.recipe, "names": one.names or None}


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
        auto: letterbox to the next stride multiple only (engines of dynamic size); pictures of different
            sizes given together get the full size.
        ops: where letterbox, decoding and NMS run: "host", "cuda" (`edgekit.tasks.yolo_gpu`), or "auto": on
            the GPU where the engine keeps its tensors there and nvcc is found. "graft": inside the network
            (`edgekit.engine.graft`), from bytes to the best boxes; letterbox and NMS stay the host's.

    `score`, `iou`, `max_det`, `agnostic` and `classes` may be assigned at any time, from any thread; the next
    frame has them.

    Attributes:
        times: seconds of the last call: "pre", "infer", "post".
        ops, ops_why: where those steps run, "host", "graft" or "cuda", and why, in words.
        on_gpu: what is kept on the GPU's thread, a `YoloOnGpu` as a `Tenant`; None on the host.
        controls: settings between 0 and 1 that a live view shows, with the words for them.

    Raises:
        InputError: the engine is no YOLO, its head cannot be told, or a setting does not fit.
        MissingError: ops="cuda" cannot be.
    """

    controls: ClassVar[dict[str, str]] = {"score": "lowest score", "iou": "overlap allowed"}

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
        ops: str = "auto",
    ) -> None:
        for name, value in (("score", score), ("iou", iou)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name}={value} is not between 0 and 1.")
        if max_det < 1:
            raise InputError(f"max_det={max_det} keeps nothing; give 1 or more.")
        self.engine = engine
        self.score, self.iou, self.max_det, self.agnostic = score, iou, max_det, agnostic
        self.times: dict[str, float] = {}
        plain = seen(engine)
        if isinstance(plain, Grafted):
            head = plain.note.head
        self._input = _picture_input(plain.inputs)
        self.size = input_size(self._input, size, engine.metadata)
        self._output = yolo_heads.pick_output(plain.outputs)
        noted = tuple(names) if names else noted_names(engine.metadata)
        self.head = yolo_heads.recognise(self._output, self.size, engine.metadata, head, len(noted))
        self._first = yolo_heads.channels_first(self._output, self.size)
        self._count = yolo_heads.class_count(self._output, self.head, self._first)
        self.names = noted or default_names(self._count)
        self.classes = classes
        if auto and None not in self._input.shape[2:]:
            raise InputError(f"auto needs an engine of dynamic size; this one wants {self._input}.")
        self._letterboxer = Letterboxer(
            self.size,
            batch=self._input.shape[0],
            style=self.head.style,
            auto=auto,
            stride=noted_stride(engine.metadata),
            rgb=self.head.rgb,
            unit=self.head.unit,
            dtype=self._input.dtype,
        )
        self.ops, self.ops_why = settle(ops, engine)
        self._canvases: Canvases | None = None
        if isinstance(plain, Grafted):
            self._canvases = Canvases(self.size, self._input.shape[0], self.head.style)
            self.head = replace(self.head, name="grafted") if plain.note.rows else self.head
        self.on_gpu: Tenant[YoloOnGpu] | None = None
        if self.ops == "cuda":
            self._move_to_gpu(must=ops == "cuda")

    @property
    def classes(self) -> list[int] | None:
        """Numbers of the classes kept, or None for all. Assign names or numbers, or None.

        Raises:
            InputError: names a class that the model does not have.
        """
        return self._classes

    @classes.setter
    def classes(self, wanted: Sequence[int | str] | None) -> None:
        self._classes = None if wanted is None else class_ids(wanted, self.names, self._count)

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
        step = self._input.batch_limit or len(images) or 1
        found: list[Detections] = []
        for start in range(0, len(images), step):
            found += self._batch(images[start : start + step])
        return found[0] if single else found

    def _batch(self, images: list[NDArray[np.uint8]]) -> list[Detections]:
        if self.on_gpu is not None:
            return self._batch_on_gpu(self.on_gpu, images)
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

    def _batch_on_gpu(self, tenant: Tenant[YoloOnGpu], images: list[NDArray[np.uint8]]) -> list[Detections]:
        kept = self.classes
        classes = None if kept is None else tuple(kept)
        wanted = Wanted(self.score, self.iou, self.max_det, classes, self.agnostic)
        rows, transforms, seconds = tenant.call(tenant.held.run, images, wanted)
        fetched = time.perf_counter()
        found = [
            Detections(to.to_source(one[:, :4]), one[:, 4].copy(), one[:, 5].astype(np.int64), self.names)
            for one, to in zip(rows, transforms, strict=True)
        ]
        for name, took in zip(self.times, seconds, strict=True):
            self.times[name] += took
        self.times["post"] += time.perf_counter() - fetched
        return found

    def _move_to_gpu(self, must: bool) -> None:
        """Make the kernels. Where that fails and they need not be, the host does it; `ops_why` says so."""
        net = Net(self._input, self._output, self.head, self._first)
        try:
            inside = resident(self.engine)
            self.on_gpu = Tenant(inside.gpu, lambda gpu: YoloOnGpu(gpu, inside, net, self._letterboxer))
            if self.head.style not in STYLES:
                self.ops_why += f"; {self.head.style}'s bicubic scaling is done by OpenCV on the host"
        except EdgekitError as error:
            if must:
                raise
            self.ops, self.ops_why = "host", str(error)

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Feeds, list[Transform]]:
        """Letterbox BGR pictures, uint8 [H, W, 3], into the input tensor.

        The tensor is a buffer of this object, filled anew by the next call: copy what you keep. An engine
        of fixed batch gets its full batch, grey in the places without a picture.
        """
        fill = self._canvases or self._letterboxer
        tensor, transforms = fill(images)
        return {self._input.name: tensor}, transforms

    def infer(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run the engine."""
        return self.engine(feeds)

    def postprocess(
        self, outputs: Mapping[str, NDArray], transforms: Sequence[Transform]
    ) -> list[Detections]:
        """Decode, filter, remove doubles, and bring the boxes into source pixels; one result a transform."""
        if self._output.name not in outputs:
            raise InputError(f"the outputs {list(outputs)} lack {self._output.name!r}.")
        output = outputs[self._output.name]
        return [self._one(output[n], transform) for n, transform in enumerate(transforms)]

    def _one(self, output: NDArray, transform: Transform) -> Detections:
        xyxy, score, label = yolo_heads.decode(self.head, output, transform.canvas, self.score, self._first)
        kept = self.classes  # once: another thread may assign it meanwhile
        if kept is not None:
            wanted = np.isin(label, kept)
            xyxy, score, label = xyxy[wanted], score[wanted], label[wanted]
        if self.head.nms:
            keep = nms(xyxy, score, None if self.agnostic else label, self.iou, self.max_det)
        else:
            keep = np.argsort(-score, kind="stable")[: self.max_det]
        return Detections(transform.to_source(xyxy[keep]), score[keep], label[keep], self.names)

    def close(self) -> None:
        """Free what is on the GPU and close the engine."""
        if self.on_gpu is not None:
            self.on_gpu.close()
        self.engine.close()

    def __enter__(self) -> Yolo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _picture_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The one input, [B, 3, H, W]; InputError for any other kind of model."""
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[1] in (3, None):
        return inputs[0]
    listed = ", ".join(map(str, inputs))
    raise InputError(f"a YOLO has one picture input, batch×3×height×width; this model has {listed}.")
