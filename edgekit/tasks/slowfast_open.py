"""Opening SlowFast's networks: files, split at RoIAlign where they come whole, and shapes for a plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgekit.engine import Engine, Shape, ShapeRanges, TensorSpec, open_engine
from edgekit.errors import InputError
from edgekit.files import atomic_write, data_dir, sha256
from edgekit.tasks.slowfast_nets import CELLS

#: A file of the shelf, an ONNX file or a plan; or body and head as two.
Model = str | Path | tuple[str | Path, str | Path]
#: People that a plan is built for: the seed's engines take 32 and fill them up.
PEOPLE = (1, 8, 32)
#: Counts up when splitting changes, so that files split before are not taken.
SPLIT = 1


def open_networks(
    model: Model,
    precision: str = "fp16",
    backend: str = "auto",
    *,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
) -> tuple[Engine, Engine | None]:
    """The engines of a SlowFast: body and head; or one engine and None, for what is not to be split.

    A whole ONNX file is split at its RoIAlign: with nobody there the network need not run at all, and no
    back end needs the operator. The two files are kept beside the built plans.

    Args:
        model, precision, backend: as of `edgekit.open_engine`; or (body, head).
        size, short_side: of the network's picture, for a plan of a model that leaves it open; default: the
            model's notes, 16:9.

    Raises:
        InputError: a file cannot be used.
        MissingError: the back end is not on this machine.
    """
    from edgekit.models import find

    parts = [find(part) for part in (model if isinstance(model, tuple | list) else (model,))]
    if len(parts) == 1 and parts[0].suffix == ".onnx":
        parts = list(split_files(parts[0]) or parts)
    with ExitStack() as stack:
        opened = []
        for path in parts:
            shapes = plan_shapes(path, backend, size=size, short_side=short_side)
            opened.append(open_engine(path, precision, backend, shapes, beside=True))
            stack.callback(opened[-1].close)
        stack.pop_all()
    return opened[0], opened[1] if len(opened) > 1 else None


def split_files(path: Path) -> tuple[Path, Path] | None:
    """Body and head of a whole ONNX file, made where they are not there yet.

    None where it has no RoIAlign, or one with other settings than SlowFast's: such a file is run as it is.

    Raises:
        InputError: it is no ONNX file, or cannot be split.
    """
    import onnx

    from edgekit.engine.onnx_file import external_digests, load_model
    from edgekit.engine.roi_forms import form_of, split_at_rois

    model = load_model(path)
    rois = [node for node in model.graph.node if node.op_type == "RoiAlign"]
    if not rois or any(not _usual(node) for node in rois):
        return None
    content = "".join([sha256(path), *sorted(external_digests(path).values()), str(SPLIT)])
    name = f"{path.stem}.{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    body, head = (data_dir() / "built" / "split" / f"{name}.{part}.onnx" for part in ("body", "head"))
    if not (body.is_file() and head.is_file()):
        notes = {note.key: note.value for note in model.metadata_props}
        notes["aligned"] = json.dumps(form_of(rois[0]).aligned)
        for part, file in zip(split_at_rois(model), (body, head), strict=True):
            onnx.helper.set_model_props(part, notes)
            with atomic_write(file) as scratch:
                onnx.save(part, scratch)
    return body, head


def _usual(node: Any) -> bool:
    """This RoiAlign does what `roi_align` does with its defaults, `aligned` either way."""
    from edgekit.engine.roi_forms import RoiForm, form_of

    try:
        form = form_of(node)
    except InputError:
        return False
    return form == RoiForm(aligned=form.aligned)


def plan_shapes(
    path: Path, backend: str, *, size: tuple[int, int] | None = None, short_side: int | None = None
) -> ShapeRanges | None:
    """As `open_shapes`, and None where no plan is to be built."""
    from edgekit.engine.choose import tensorrt_missing

    if path.suffix != ".onnx" or backend not in ("auto", "tensorrt") or tensorrt_missing() is not None:
        return None
    return open_shapes(path, size=size, short_side=short_side)


def open_shapes(
    path: Path, *, size: tuple[int, int] | None = None, short_side: int | None = None
) -> ShapeRanges | None:
    """The shapes that a plan of this ONNX file is built for; None where it leaves none open.

    The picture of a plan has one size: another form of it is filled up with the mean colour.
    """
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.shapes import model_inputs

    model = load_model(path)
    notes = {note.key: note.value for note in model.metadata_props}
    ranges: dict[str, tuple[Shape, Shape, Shape]] = {}
    for spec in model_inputs(model):
        if None not in spec.shape:
            continue
        shape = filled(spec, notes, size, short_side)
        rows = PEOPLE if spec.shape[0] is None and len(spec.shape) != 5 else shape[:1] * 3
        low, best, most = ((n, *shape[1:]) for n in rows)
        ranges[spec.name] = (low, best, most)
    return ranges or None


def filled(
    spec: TensorSpec,
    notes: Mapping[str, str],
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
) -> Shape:
    """The shape of an input with one row: open axes as settings and notes have them, a picture 16:9."""
    if len(spec.shape) == 5:
        frames = int(notes.get("frames", 32))
        if "slow" in spec.name.lower():
            frames //= int(notes.get("alpha", 4))
        side = short_side or int(notes.get("short_side", 256))
        high, wide = size or json.loads(notes.get("imgsz", "null")) or (side, side * 16 // 9)
        usual: Shape = (1, 3, frames, high, wide)
    else:
        usual = (1, 4) if len(spec.shape) == 2 else (1, 1, CELLS, CELLS)
    return tuple(u if n is None else n for u, n in zip(usual, spec.shape, strict=True))
