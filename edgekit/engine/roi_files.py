"""Files of a SlowFast in its forms (`roi_forms`): written whole or not at all, made of each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.engine.onnx_file import load_model
from edgekit.engine.roi_forms import rois_as_grid, split_at_rois
from edgekit.errors import InputError
from edgekit.files import atomic_write

if TYPE_CHECKING:
    from onnx import ModelProto

FORMS = ("whole", "split", "grid")


def files_of(out: Path | str, form: str) -> list[Path]:
    """What a form is written to: `out`, or for "split" `NAME-body.onnx` and `NAME-head.onnx` beside it.

    Raises:
        InputError: there is no such form, or `out` does not end in .onnx.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise InputError(f"{out.name}: the file to write must end in .onnx.")
    if form not in FORMS:
        raise InputError(f"the form {form!r} is none of {', '.join(FORMS)}.")
    return (
        [out.with_name(f"{out.stem}-{part}.onnx") for part in ("body", "head")] if form == "split" else [out]
    )


def write(models: Sequence[ModelProto], files: Sequence[Path]) -> list[Path]:
    """Write each model to its file: all, or none where one cannot be written."""
    import onnx

    with ExitStack() as stack:
        scratches = [stack.enter_context(atomic_write(file)) for file in files]
        for model, scratch in zip(models, scratches, strict=True):
            onnx.save(model, str(scratch))
    return list(files)


def convert(path: Path | str, out: Path | str, form: str, size: tuple[int, int] | None = None) -> list[Path]:
    """Form (b) as another form, without PyTorch.

    Args:
        path: a whole SlowFast with its RoiAlign, as ONNX.
        out, form: as `files_of` takes them; "split" or "grid".
        size: height and width in pixels of a grid, where the file leaves them open.

    Returns:
        the files.

    Raises:
        InputError: the file is no such network, or a size is needed. Nothing is written.
    """
    from onnx import helper

    path, files = Path(path), files_of(out, form)
    if form == "whole":
        raise InputError(f"{path.name} is a whole network already; give --form split or grid.")
    model = load_model(path)
    if form == "split":
        return write(split_at_rois(model), files)
    sides = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][3:]
    if size is None:
        if len(sides) != 2 or not all(sides):
            raise InputError(f"{path.name} takes every size, a grid only one: give --size H W.")
        size = (sides[0], sides[1])
    grid = rois_as_grid(model, size)
    notes = {note.key: note.value for note in model.metadata_props}
    helper.set_model_props(grid, {**notes, "imgsz": json.dumps(list(size))})
    return write([grid], files)
