"""`edgekit evaluate`: average precision of models against labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from edgekit.engine import PRECISIONS
from edgekit.errors import EdgekitError, InputError

if TYPE_CHECKING:
    from edgekit.evaluate.data import DataSet

#: As in `edgekit.evaluate.opened`, written out so that `--help` imports nothing heavy.
DETECTOR = "edgekit-person"
#: What else can be scored: the first word, and the function that makes its parser.
KINDS = {
    "track": "edgekit.evaluate.track_cli:parser_for_track",
    "actions": "edgekit.train.action_cli:parser_for_evaluate",
}
#: Columns of the table: (figure, as the head says it). One that no row has, poses or boxes, is left out.
COLUMNS = (
    ("AP", "AP"),
    ("AP50", "AP50"),
    ("AP75", "AP75"),
    ("APs", "AP small"),
    ("APm", "AP medium"),
    ("APl", "AP large"),
    ("AR100", "AR"),  # of boxes; "AR" of poses
    ("P", "P"),
    ("R", "R"),
    ("ms", "ms"),
)


def add_parser(subparsers: Any) -> None:
    """Add `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model against labelled pictures",
        description="COCO average precision of models on a data set, one row a model and precision. "
        "`edgekit evaluate track` scores tracks instead, `edgekit evaluate actions` a checkpoint of "
        "`edgekit train actions`: see their --help.",
    )
    _hand_over(parser)
    parser.add_argument("model", nargs="+", help="names of `edgekit models`, .onnx or .plan: YOLO or pose")
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="DIR",
        help="folder with images/ and labels/ (YOLO), a folder in COCO's layout, or a COCO .json; poses need "
        "one of keypoints",
    )
    parser.add_argument("--detector", default=DETECTOR, help="finds the people for a top-down pose network")
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


def _hand_over(parser: argparse.ArgumentParser) -> None:
    """Let `evaluate track …` and the like be read by parsers of their own; no model can be called so."""
    usual = parser.parse_known_args

    def parse(args: Any = None, namespace: Any = None) -> Any:
        if args and args[0] in KINDS:
            own = resolve_name(KINDS[args[0]])(parser.prog)
            return own.parse_known_args(args[1:], namespace)
        return usual(args, namespace)

    parser.parse_known_args = parse  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    """Score, print, write; returns the exit code: 1 where a model could not be scored as asked."""
    from edgekit.report.tables import to_csv, to_markdown, to_text, write_text

    if not 0 <= args.score <= 1:
        raise InputError(f"--score {args.score} is not between 0 and 1.")
    data = Wanted(args.dataset, held_out(args.split) if args.split else None)
    rows, refused = [], []
    for model in args.model:
        for precision in args.precision:
            try:
                row = score(
                    model, precision, args.backend, data, args.score, args.calibration, args.detector, _count
                )
            except EdgekitError as error:
                if len(args.model) == len(args.precision) == 1:
                    raise
                refused.append(f"{model} {precision}: {error}")
                continue
            rows.append(row)
    head, cells = table(rows)
    notes = [*data.words(), *_notes(rows), *refused]
    if any("P" in row for row in rows):
        notes.append(f"P and R: precision and recall at score {args.score:g}")
    if args.json:
        sys.stdout.write(json.dumps({"rows": rows, "refused": refused}, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join([*([to_text(head, cells)] if rows else []), *notes]) + "\n")
    if args.out:
        text = json.dumps({"dataset": args.dataset, "rows": rows, "refused": refused}, indent=1)
        write_text(args.out / "evaluate.json", text + "\n")
        listed = "".join(f"\n- {note}" for note in notes)
        write_text(args.out / "evaluate.md", to_markdown(head, cells) + listed + "\n")
        to_csv(args.out / "evaluate.csv", head, cells)
    return 1 if refused else 0


class Wanted:
    """A data set, read when a model wants it: for boxes, or for keypoints.

    Args:
        path: as of `read_data`.
        stems: only the pictures of these names; None: all.
    """

    def __init__(self, path: Path | str, stems: set[str] | None = None) -> None:
        self.path, self.stems = path, stems
        self._read: dict[bool, DataSet] = {}
        if not Path(path).expanduser().exists():
            self(False)  # is refused before a model is opened

    def __call__(self, keypoints: bool) -> DataSet:
        from edgekit.evaluate.data import read_data

        if keypoints not in self._read:
            data = read_data(self.path, keypoints)
            self._read[keypoints] = data if self.stems is None else data.only(self.stems)
        return self._read[keypoints]

    def words(self) -> list[str]:
        """What was read, a line each."""
        return list(dict.fromkeys(f"{d.path}: {len(d)} pictures" for d in self._read.values()))


def score(
    model: str,
    precision: str,
    backend: str,
    data: Wanted,
    threshold: float = 0.25,
    calibration: str | None = None,
    detector: str = DETECTOR,
    progress: Any = lambda done, total: None,
) -> dict[str, Any]:
    """One row: a model opened in exactly this precision, and its figures on `data`."""
    from edgekit.engine.exact import open_exact
    from edgekit.evaluate.opened import exact_task
    from edgekit.evaluate.score import evaluate
    from edgekit.tasks.choose import kind_of

    with open_exact(model, precision, backend, calibration=calibration) as engine:
        kind = kind_of(model, engine)
        labelled = data(kind != "yolo")
        row = {"model": Path(model).name, "backend": engine.backend, "precision": engine.precision}
        if kind == "topdown":
            row["detector"] = Path(detector).name
        with exact_task(engine, model, scored=True, detector=detector, calibration=calibration) as task:
            return row | evaluate(task, labelled, threshold, progress) | {"why": engine.why}


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Head and cells."""
    from edgekit.report.tables import Absent

    absent = Absent("no object of this size, or nothing found")
    shown = [(name, words) for name, words in COLUMNS if any(name in row for row in rows) or name == "AR100"]
    head = ["model", "back end", "precision", *(words for _, words in shown)]
    cells = [
        [row["model"], row["backend"], row["precision"]]
        + [absent if (value := _figure(row, name)) is None else value for name, _ in shown]
        for row in rows
    ]
    return head, cells


def _figure(row: dict[str, Any], name: str) -> Any:
    return row.get("AR") if name == "AR100" and "AR" in row else row.get(name)


def held_out(split: str) -> set[str]:
    """Names of the pictures that a training run kept for scoring."""
    try:
        return set(json.loads(Path(split).read_text(encoding="utf-8"))["held_out"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{split} is no split.json of `edgekit train`: {error}.") from error


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    found = [f"{row['model']}: people found by {row['detector']}" for row in rows if "detector" in row]
    found += [f"{row['model']}: {note}" for row in rows for note in row["notes"]]
    return list(dict.fromkeys(found))


def _count(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} pictures" + ("\r\033[K" if done == total else ""))
