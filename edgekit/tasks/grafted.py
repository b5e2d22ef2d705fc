"""Grafted networks in the tasks: the plain network they were made of, and what is left to do around them.

A grafted file (`edgekit.engine.graft`) takes bytes and gives rows or points. A task reads the plain network's
tensors off `seen`, so that head, size and batch are told as ever, and feeds bytes instead of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, TensorSpec
from edgekit.engine.graft_note import NOTE, POINTS, ROWS, GraftNote, noted_graft
from edgekit.errors import EdgekitError, InputError
from edgekit.ops.crops import Crops
from edgekit.ops.letterbox import PAD, Size, Transform, place


@dataclass(frozen=True)
class Grafted:
    """A grafted engine, seen as its plain network.

    Attributes:
        note: what is inside.
        inputs, outputs: of the plain network, under the names by which the engine takes and gives them.
        metadata: the engine's notes.
    """

    note: GraftNote
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]


def seen(engine: Engine) -> Engine | Grafted:
    """The engine itself, or what a grafted one was made of.

    Raises:
        InputError: the note of what was grafted cannot be read.
    """
    note = noted_graft(engine.metadata)
    if note is None:
        return engine
    entry = engine.inputs[0]
    batch, *sides, _ = entry.shape
    most = entry.most and (entry.most[0], 3, *entry.most[1:3])
    inputs = (replace(note.entry, name=entry.name, shape=(batch, 3, *sides), most=most),)
    if note.leave is None:
        return Grafted(note, inputs, engine.outputs, engine.metadata)
    leave = replace(note.leave, name=ROWS if note.kind == "yolo" else POINTS)
    return Grafted(note, inputs, (leave,), engine.metadata)


def settle(ops: str, engine: Engine) -> tuple[str, str]:
    """Where the steps around an engine run, and why: `choose_ops`, which a grafted file has answered.

    Raises:
        InputError: the file is grafted and other `ops` are wanted, or "graft" of a plain one.
    """
    from edgekit.engine.resident import choose_ops

    note = noted_graft(engine.metadata)
    if note is None:
        if ops == "graft":
            raise InputError(
                'ops="graft" wants a grafted file: open the task by its model\'s name or ONNX file, or make '
                "one with `edgekit build MODEL --graft`."
            )
        return choose_ops(ops, engine)
    if ops not in ("auto", "graft"):
        raise InputError(
            f'ops={ops!r} cannot be: the file is grafted; open the plain one, or take ops="auto".'
        )
    return "graft", f"inside the network: {note.words()}"


def file_for(model: str | Path, ops: str, precision: str = "fp16", backend: str = "auto") -> str | Path:
    """What a task opens for `ops`: with "graft" the grafted twin of an ONNX file, else the model itself.

    Args:
        model, precision, backend: as of `edgekit.open_engine`.

    Raises:
        InputError: the file cannot be grafted.
    """
    if ops != "graft":
        return model
    from edgekit.engine.choose import PLANS, tensorrt_missing
    from edgekit.engine.graft_files import grafted_file
    from edgekit.engine.int8 import quantised
    from edgekit.engine.onnx_file import load_model
    from edgekit.models import find

    path = find(model)
    if path.suffix in PLANS or any(note.key == NOTE for note in load_model(path).metadata_props):
        return path
    by_plan = backend in ("auto", "tensorrt") and tensorrt_missing() is None
    if precision == "int8" and not by_plan and backend not in ("pytorch", "onnxruntime-cuda"):
        with suppress(EdgekitError):  # the engine says that it runs in another precision
            path = quantised(path, like=model)
    return grafted_file(model, path=path)


class Canvases:
    """Pictures placed in canvases of the network's size, as bytes; the twin of `Letterboxer`.

    Args:
        size: (height, width) of the input.
        batch: places, for engines of fixed batch; None: as many as pictures.
        style: of the letterbox.
        placed: where a picture lands; default: by the letterbox.
    """

    def __init__(
        self,
        size: Size,
        batch: int | None,
        style: str = "ultralytics",
        placed: Callable[[NDArray[np.uint8]], Transform] | None = None,
    ) -> None:
        self.size, self.batch = size, batch
        self._pad = PAD[style]
        self._scaling = cv2.INTER_CUBIC if style == "darknet" else cv2.INTER_LINEAR
        self._place = placed or (lambda image: place(image.shape[:2], size, style=style))
        self._canvases = np.empty((0, *size, 3), np.uint8)
        self._placed: list[Transform | None] = []

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], list[Transform]]:
        """BGR uint8 [H, W, 3] pictures → uint8 [N, h, w, 3], which the next call overwrites, and the places.

        Raises:
            InputError: no pictures, or more than a fixed batch holds.
        """
        batch = self.batch or len(images)
        if not 0 < len(images) <= batch:
            raise InputError(f"{len(images)} pictures do not fit a batch of {batch}.")
        if len(self._canvases) != batch:
            self._canvases = np.full((batch, *self.size, 3), self._pad, np.uint8)
            self._placed = [None] * batch
        transforms = [self._place(image) for image in images]
        for canvas, image, to, before in zip(self._canvases, images, transforms, self._placed, strict=False):
            if before is not None and before != to:
                canvas[:] = self._pad
            (height, width), top, left = to.content, to.top, to.left
            inside = canvas[top : top + height, left : left + width]
            if to.content == to.source:
                inside[:] = image
            else:
                cv2.resize(image, (width, height), inside, interpolation=self._scaling)
        for n in range(len(images), batch):
            if self._placed[n] is not None:
                self._canvases[n] = self._pad
        self._placed = [*transforms, *[None] * (batch - len(images))]
        return self._canvases, transforms


class ByteCrops(Crops):
    """Crops of people as bytes [N, H, W, 3] BGR, as `like` cuts them."""

    def __init__(self, like: Crops) -> None:
        super().__init__(like.size, scale=like.scale, batch=like.batch)
        self._buffer = np.zeros((like.batch or 0, *like.size, 3), np.uint8)

    def _fill(self, row: NDArray) -> None:
        row[...] = self._crop
