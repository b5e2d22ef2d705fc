"""`edgekit evaluate track`: MOTA, IDF1 and HOTA of tracks against MOTChallenge's ground truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.tracking.mot import MotBoxes, Sequence

#: What stands in the table, and its words there.
COLUMNS = ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "IDs", "recall", "precision", "objects", "tracks")

#: Where `edgekit run track` writes when it is not told.
FOUND = Path("out/track/tracks.txt")


def parser_for_track(prog: str) -> argparse.ArgumentParser:
    """The parser of `edgekit evaluate track`."""
    from edgekit.engine import PRECISIONS
    from edgekit.run_track import add_tracking

    parser = argparse.ArgumentParser(
        prog=f"{prog} track",
        description="MOTA, IDF1 and HOTA of tracks, against ground truth in MOTChallenge's text.",
    )
    parser.add_argument(
        "--gt", required=True, type=Path, help="gt.txt, or a sequence's folder that has gt/gt.txt"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--found", type=Path, metavar="TXT", help=f"tracks.txt of `edgekit run track` (default: {FOUND})"
    )
    what.add_argument("--source", help="run the tracker on this video or folder of pictures")
    add_tracking(parser)
    parser.add_argument("--precision", default="fp16", choices=PRECISIONS)
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write tracks.txt and evaluate.json there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Read or find tracks, score, print, write; returns the exit code."""
    from edgekit.evaluate.track import score_tracks
    from edgekit.report.tables import to_text, write_text
    from edgekit.tracking.mot import read_mot, read_sequence

    truth = read_sequence(args.gt)
    row: dict[str, Any] = {"sequence": truth.name}
    if args.source is None:
        if args.found is None and not FOUND.is_file():
            raise InputError(f"there is no {FOUND}; give --found with tracks, or --source with a video.")
        path = args.found or FOUND
        found = read_mot(path)
        row["found"] = str(path)
    else:
        found = _find(args)
        row |= {"found": args.source, "model": Path(args.model).name, "tracker": args.tracker}
    _same_video(truth, found)
    row |= score_tracks(truth.boxes, found)
    if args.json:
        sys.stdout.write(json.dumps(row, indent=1) + "\n")
    else:
        sys.stdout.write(to_text(["sequence", *COLUMNS], [[row[name] for name in ("sequence", *COLUMNS)]]))
        sys.stdout.write(f"\n{row['found']}; IoU 0.5; HOTA, DetA and AssA: mean over 0.05 to 0.95\n")
    if args.out:
        write_text(args.out / "evaluate.json", json.dumps(row, indent=1) + "\n")
    return 0


def _find(args: argparse.Namespace) -> MotBoxes:
    """Run detector and tracker over the source; what they find goes through MOTChallenge's text."""
    from tempfile import TemporaryDirectory

    from edgekit.camera import open_source
    from edgekit.run import run as run_task
    from edgekit.run_track import open_asked
    from edgekit.tracking.mot import MotText, read_mot

    with TemporaryDirectory() as scratch, open_source(args.source, policy="every") as source:
        if source.live:
            raise InputError(f"--source {args.source} is live; ground truth belongs to a file.")
        task: Any
        with open_asked(args) as task:
            sink = MotText((args.out or Path(scratch)) / "tracks.txt")
            run_task(source, task, [sink], model=args.model, progress=sys.stderr.isatty())
        return read_mot(sink.path)


def _same_video(truth: Sequence, found: MotBoxes) -> None:
    """InputError where tracks lie behind the end that seqinfo.ini tells."""
    last = int(found.frame.max(initial=0))
    if truth.length is not None and last > truth.length:
        raise InputError(
            f"tracks reach frame {last}, but {truth.name} has {truth.length} frames; are they of its video?"
        )
