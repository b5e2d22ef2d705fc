"""`edgekit evaluate`: average precision of models against labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.engine import PRECISIONS
from edgekit.errors import EdgekitError, InputError

if TYPE_CHECKING:
    from edgekit.evaluate.data import DataSet

#: Columns of the table: (figure, as the head says it).
COLUMNS = (
    ("AP", "AP"),
    ("AP50", "AP50"),
    ("AP75", "AP75"),
    ("APs", "AP small"),
    ("APm", "AP medium"),
    ("APl", "AP large"),
    ("AR100", "AR"),
    ("P", "P"),
    ("R", "R"),
    ("ms", "ms"),
)


def add_parser(subparsers: Any) -> None:
    """Add `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model against labelled pictures",
        description="COCO average precision of models on a data set, one row a model and precision.",
    )
    parser.add_argument("model", nargs="+", help="names of `edgekit models`, .onnx or .plan: any YOLO")
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="DIR",
        help="folder with images/ and labels/ (YOLO), a folder in COCO's layout, or a COCO .json",
    )
    parser.add_argument(
        "--split", metavar="JSON", help="split.json of `edgekit train`: its held-out pictures only"
    )
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=["fp32"], help="one row each (default fp32)"
    )
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda], pytorch")
    parser.add_argument("--score", type=float, default=0.25, help="threshold for precision and recall")
    parser.add_argument(
        "--calibration", metavar="DIR", help="pictures for int8 (default: of the sample clip)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write evaluate.json, .md and .csv there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, print, write; returns the exit code: 1 where a model could not be scored as asked."""
    from edgekit.evaluate.data import read_data
    from edgekit.report.tables import to_csv, to_markdown, to_text, write_text

    if not 0 <= args.score <= 1:
        raise InputError(f"--score {args.score} is not between 0 and 1.")
    data = read_data(args.dataset)
    if args.split:
        data = data.only(held_out(args.split))
    rows, refused = [], []
    for model in args.model:
        for precision in args.precision:
            try:
                row = score(model, precision, args.backend, data, args.score, args.calibration, _count)
            except EdgekitError as error:
                if len(args.model) == len(args.precision) == 1:
                    raise
                refused.append(f"{model} {precision}: {error}")
                continue
            rows.append(row)
    head, cells = table(rows)
    said = f"{data.path}: {len(data)} pictures; P and R: precision and recall at score {args.score:g}"
    notes = [said, *_notes(rows), *refused]
    if args.json:
        sys.stdout.write(json.dumps({"rows": rows, "refused": refused}, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join([*([to_text(head, cells)] if rows else []), *notes]) + "\n")
    if args.out:
        text = json.dumps({"dataset": str(data.path), "rows": rows, "refused": refused}, indent=1)
        write_text(args.out / "evaluate.json", text + "\n")
        listed = "".join(f"\n- {note}" for note in notes)
        write_text(args.out / "evaluate.md", to_markdown(head, cells) + listed + "\n")
        to_csv(args.out / "evaluate.csv", head, cells)
    return 1 if refused else 0


def score(
    model: str,
    precision: str,
    backend: str,
    data: DataSet,
    threshold: float = 0.25,
    calibration: str | None = None,
    progress: Any = lambda done, total: None,
) -> dict[str, Any]:
    """One row: a model opened in exactly this precision, and its figures on `data`."""
    from edgekit.engine.exact import open_exact
    from edgekit.evaluate.score import SCORING, evaluate
    from edgekit.tasks.yolo import Yolo, known_settings

    with (
        open_exact(model, precision, backend, calibration=calibration) as engine,
        Yolo(engine, **known_settings(model), **SCORING) as yolo,
    ):
        row = {"model": Path(model).name, "backend": engine.backend, "precision": engine.precision}
        return row | evaluate(yolo, data, threshold, progress) | {"why": engine.why}


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Head and cells."""
    from edgekit.report.tables import Absent

    absent = Absent("no object of this size, or nothing found")
    head = ["model", "back end", "precision", *(words for _, words in COLUMNS)]
    cells = [
        [row["model"], row["backend"], row["precision"]]
        + [absent if row.get(name) is None else row[name] for name, _ in COLUMNS]
        for row in rows
    ]
    return head, cells


def held_out(split: str) -> set[str]:
    """Names of the pictures that a training run kept for scoring."""
    try:
        return set(json.loads(Path(split).read_text(encoding="utf-8"))["held_out"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{split} is no split.json of `edgekit train`: {error}.") from error


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(f"{row['model']}: {note}" for row in rows for note in row["notes"]))


def _count(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} pictures" + ("\r\033[K" if done == total else ""))
