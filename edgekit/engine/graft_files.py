"""Which steps a model wants around its network, and the grafted files, kept in `engines/built/graft/`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from edgekit.engine.graft import graft
from edgekit.engine.graft_note import GraftNote, Pixels
from edgekit.engine.onnx_file import external_digests, load_model
from edgekit.engine.plan import write_all
from edgekit.engine.pose_inputs import Described, crop_input
from edgekit.errors import EdgekitError, InputError
from edgekit.files import data_dir, sha256

#: Boxes that leave a YOLO by default, and at most: TensorRT's TopK sorts no more.
ROWS, MOST_ROWS = 1000, 3840
#: Raised when the same file would give other nodes.
RECIPE = 1


def grafted_file(
    model: str | Path,
    rows: int = ROWS,
    *,
    path: Path | None = None,
    out: Path | str | None = None,
) -> Path:
    """The file of a model with the steps around its network inside, made on first use.

    Args:
        model: a name of the shelf, or an ONNX file of a YOLO, a TrtPose or a heat map network of people.
        rows: boxes that leave a YOLO, best first: NMS finds what it finds on the host as long as no more pass
            the lowest score.
        path: the file to graft, where it is a copy (quantised, say) of `model`.
        out: where to write it; default: `engines/built/graft/`, where it is taken from the next time.

    Raises:
        InputError: the file cannot be grafted: it is a plan, grafted already, of another task, or leaves its
            picture's size open.
    """
    from edgekit.models import find

    path = path or find(model)
    if path.suffix != ".onnx":
        raise InputError(f"{path.name} is no ONNX file: graft that, and build the plan of it.")
    note = note_for(model, path, rows)
    parts = [sha256(path), *external_digests(path).values(), note.text(), str(RECIPE)]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
    kept = data_dir() / "built" / "graft" / f"{path.stem}-graft.{digest}.onnx"
    kept = kept if out is None else Path(out)
    if out is not None and kept.suffix != ".onnx":
        raise InputError(f"{kept.name}: the file to write must end in .onnx.")
    if out is not None or not kept.is_file():
        try:
            made = graft(load_model(path), note)
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from error
        write_all({kept: made.SerializeToString()})
    return kept


def note_for(model: str | Path, path: Path, rows: int = ROWS) -> GraftNote:
    """What is to be grafted into a model: by the shelf, by its notes and by its tensors.

    Args:
        model, rows: as of `grafted_file`.
        path: its ONNX file.

    Raises:
        InputError: as of `grafted_file`.
    """
    from edgekit.engine.graft_note import NOTE
    from edgekit.tasks.choose import kind_of

    if not 1 <= rows <= MOST_ROWS:
        raise InputError(f"rows={rows} is not between 1 and {MOST_ROWS}, which is all that TensorRT sorts.")
    file = Described.of(load_model(path))
    if NOTE in file.metadata:
        raise InputError(f"{path.name} is grafted already; graft the plain file.")
    kind = kind_of(model, file)  # type: ignore[arg-type]
    if kind not in NOTES:
        raise InputError(f"{path.name} is for the task {kind!r}; what is grafted are {', '.join(NOTES)}.")
    if len(file.inputs) != 1 or len(file.inputs[0].shape) != 4 or file.inputs[0].dtype.kind != "f":
        listed = ", ".join(map(str, file.inputs))
        raise InputError(f"{path.name} has no picture input batch×3×height×width of floats, but {listed}.")
    if None in file.inputs[0].shape[1:]:
        raise InputError(
            f"{path.name} leaves the size of its picture open ({file.inputs[0]}); a grafted network has one: "
            "export it with a fixed size."
        )
    try:
        note: GraftNote = NOTES[kind](model, file, rows)
    except EdgekitError as error:
        raise InputError(f"{path.name} cannot be grafted: {error}") from error
    return note


def _yolo(model: str | Path, file: Described, rows: int) -> GraftNote:
    from edgekit.tasks import yolo_heads
    from edgekit.tasks.yolo import known_settings
    from edgekit.tasks.yolo_settings import input_size, noted_names

    known: dict[str, Any] = known_settings(model)
    size = input_size(file.inputs[0], None, file.metadata)
    output = yolo_heads.pick_output(file.outputs)
    names = known.get("names") or noted_names(file.metadata)
    head = yolo_heads.recognise(output, size, file.metadata, known.get("head", "auto"), len(names))
    pixels = Pixels(rgb=head.rgb, unit=head.unit)
    if head.name == "end2end":
        return GraftNote("yolo", file.inputs[0], pixels, head=head.name)
    first = yolo_heads.channels_first(output, size)
    anchors = output.shape[2] if head.name == "yolov8" and first else output.shape[1]
    if anchors is None or yolo_heads.class_count(output, head, first) is None:
        raise InputError(f"its output {output} is open; export it with a fixed size.")
    return GraftNote("yolo", file.inputs[0], pixels, output, head.name, first, min(rows, anchors), size)


def _trtpose(model: str | Path, file: Described, rows: int) -> GraftNote:
    """The input only: limbs are looked up in the whole maps, and a mask of peaks (where a MaxPool is the
    value itself) costs ONNX Runtime 0.7 ms to save 0.4 of the host's 1.2.
    """
    from edgekit.tasks.trtpose_input import MEAN, STD, noted_three

    mean, std = noted_three(file.metadata, "mean", MEAN), noted_three(file.metadata, "std", STD)
    return GraftNote("trtpose", file.inputs[0], Pixels(mean=mean, std=std))


def _topdown(model: str | Path, file: Described, rows: int) -> GraftNote:
    crops, output = crop_input(file.metadata), file.outputs[0]
    if len(file.outputs) != 1 or len(output.shape) != 4 or None in output.shape[1:]:
        raise InputError(f"its output {output} is no heat maps of fixed size.")
    pixels = Pixels(dark=True, mean=crops.mean, std=crops.std)
    return GraftNote("topdown", file.inputs[0], pixels, output)


NOTES = {"yolo": _yolo, "trtpose": _trtpose, "topdown": _topdown}
