"""`edgekit validate`: a system's accuracy over back ends and precisions, in one table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.engine import PRECISIONS
from edgekit.errors import EdgekitError, InputError

if TYPE_CHECKING:
    from edgekit.evaluate.validate import Way

#: What a back end is called in the table.
WORDS = {
    "pytorch": "PyTorch",
    "onnxruntime-cpu": "ONNX Runtime (CPU)",
    "onnxruntime-cuda": "ONNX Runtime (CUDA)",
    "tensorrt": "TensorRT",
}
HEAD = ("Method", "ground truth box mAP@0.5:0.95", "detection boxes mAP@0.5:0.95")


def add_parser(subparsers: Any) -> None:
    """Add `validate` and its systems."""
    parser = subparsers.add_parser("validate", help="AlphaPose's accuracy over back ends and precisions")
    systems = parser.add_subparsers(dest="system", metavar="SYSTEM", required=True)
    alphapose = systems.add_parser(
        "alphapose",
        help="keypoint mAP with true boxes and with detected ones",
        description="Keypoint mAP with the labelled boxes and with a detector's, a row each way to run.",
    )
    add = alphapose.add_argument
    add("--coco", required=True, metavar="DIR", help="a folder in COCO's layout with keypoints, or its .json")
    add("--model", nargs="+", default=["edgekit-fastpose"], help="top-down pose networks")
    add("--detector", nargs="+", default=["edgekit-person"], help="what finds the people: any YOLO")
    add("--backend", nargs="+", choices=tuple(WORDS), help="default: PyTorch, ONNX Runtime and TensorRT")
    add("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all three")
    add("--limit", type=int, metavar="N", help="only the first N pictures")
    add("--flip", action="store_true", help="average with the mirrored crop: twice the work")
    add("--no-nms", action="store_true", help="with detected boxes: keep poses that are one person twice")
    add("--calibration", metavar="DIR", help="pictures for int8 (default: frames of the sample clip)")
    add("--out", type=Path, metavar="DIR", help="write validate.json, .md and .csv there")
    add("--json", action="store_true", help="print JSON instead of a table")
    alphapose.set_defaults(run=run_alphapose)


def run_alphapose(args: argparse.Namespace) -> int:
    """Score, print, write; returns the exit code: 1 where a way asked for by name could not be scored."""
    from edgekit.evaluate.data import read_data
    from edgekit.evaluate.validate import validate

    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit {args.limit} leaves no picture; give 1 or more.")
    data = read_data(args.coco, keypoints=True)
    if data.topology is None:
        raise InputError(
            f"{data.path} labels no keypoints; give a COCO file of them (person_keypoints_*.json)."
        )
    data = replace(data, pictures=data.pictures[: args.limit])
    rows: list[dict[str, Any]] = []
    for way in ways(args):
        _say(f"{len(rows) + 1}: {method(way)}")
        rows.append({"method": method(way), **asdict(way), **validate(way, data, _count)})
    errors: list[EdgekitError] = [error for row in rows for error in row["absent"].values()]
    if all(row["truth"] is None and row["detected"] is None for row in rows):
        # what is wrong with the files tells more than a back end that is not here
        raise next((error for error in errors if isinstance(error, InputError)), errors[0])
    for row in rows:
        row["absent"] = {name: str(error) for name, error in row["absent"].items()}
    known = [row[part] for row in rows for part in ("truth", "detected") if row[part]]
    people = sum(int((p.num_keypoints > 0).sum()) for p in data.pictures)
    notes = [
        f"{data.path}: {len(data)} pictures, {people} people with keypoints; mAP is OKS AP by pycocotools"
    ]
    notes += dict.fromkeys(note for figures in known for note in figures["notes"])
    _write(args, str(data.path), rows, notes)
    return 1 if errors and args.backend else 0


def ways(args: argparse.Namespace) -> list[Way]:
    """Every way to run that was asked for: all of one pair of models together."""
    from edgekit.engine.onnxruntime import cuda_missing
    from edgekit.evaluate.validate import Way

    here = "onnxruntime-cpu" if cuda_missing() else "onnxruntime-cuda"
    return [
        Way(model, detector, backend, precision, args.calibration, args.flip, not args.no_nms)
        for model in args.model
        for detector in args.detector
        for backend in args.backend or ("pytorch", here, "tensorrt")
        for precision in args.precision
    ]


def method(way: Way) -> str:
    """ "edgekit-person + edgekit-fastpose, TensorRT fp16"."""
    return f"{Path(way.detector).name} + {Path(way.model).name}, {WORDS[way.backend]} {way.precision}"


def table(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """The cells under `HEAD`."""
    return [[row["method"], _cell(row, "truth"), _cell(row, "detected")] for row in rows]


def _cell(row: dict[str, Any], part: str) -> Any:
    from edgekit.report.tables import Absent

    if row[part] is None:
        why = str(row["absent"][part]).removeprefix(f"{row['backend']}: ")
        return Absent(f"{WORDS[row['backend']]} {row['precision']}: {why}")
    return Absent("nobody with labelled keypoints") if row[part]["AP"] is None else row[part]["AP"]


def _write(args: argparse.Namespace, path: str, rows: list[dict[str, Any]], notes: list[str]) -> None:
    from edgekit.report.tables import markdown, to_csv, to_markdown, to_text, write_text

    cells = table(rows)
    whole = json.dumps({"dataset": path, "rows": rows, "notes": notes}, indent=1) + "\n"
    sys.stdout.write(whole if args.json else "\n".join([to_text(HEAD, cells), *notes]) + "\n")
    if args.out:
        write_text(args.out / "validate.json", whole)
        listed = "".join(f"\n- {markdown(note)}" for note in notes)
        write_text(args.out / "validate.md", to_markdown(HEAD, cells) + listed + "\n")
        to_csv(args.out / "validate.csv", HEAD, cells)


def _say(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\033[K{line}\n")


def _count(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} pictures" + ("\r\033[K" if done == total else ""))
