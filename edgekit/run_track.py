"""`edgekit run track`: source → detector → tracker → video, JSON lines with numbers, MOTChallenge's text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.run_cli import MODEL, _common, _count, _run, _share

if TYPE_CHECKING:
    from edgekit.tasks.track import Track

#: As in `edgekit.tracking.TRACKERS`, written out so that `--help` imports nothing heavy.
TRACKERS = ("bytetrack", "deepsort")


def add_track(tasks: Any) -> None:
    """Add `track` to the tasks of `run`."""
    track = tasks.add_parser("track", help="number the people: a detector and a tracker")
    _common(track)
    add_tracking(track)
    track.set_defaults(run=run_track)


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """What detector and tracker take."""
    parser.add_argument("--model", default="edgekit-person", help=f"what finds them: {MODEL}")
    parser.add_argument("--tracker", choices=TRACKERS, default="bytetrack", help="default: bytetrack")
    parser.add_argument(
        "--appearance",
        metavar="FILE",
        help="of deepsort: a re-identification network (.onnx, .plan), or histogram (default)",
    )
    parser.add_argument("--score", type=_share, help="lowest score that the tracker is given (default 0.1)")
    parser.add_argument(
        "--track-thresh", type=_share, help="of bytetrack: score from which a box is sure (default 0.5)"
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="follow these classes: names or numbers"
    )
    parser.add_argument(
        "--track-buffer", type=_count, metavar="N", help="frames for which somebody lost is looked for (30)"
    )


def open_asked(args: argparse.Namespace) -> Track:
    """The task that the arguments of `add_tracking` ask for.

    Raises:
        InputError: a setting of the other tracker.
    """
    from edgekit.tasks.track import open_track

    for name, tracker in (("appearance", "deepsort"), ("track_thresh", "bytetrack")):
        if getattr(args, name) is not None and args.tracker != tracker:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is of --tracker {tracker}; this one is {args.tracker}.")
    names = ("appearance", "score", "track_thresh", "classes", "track_buffer", "ops")
    given = {name: getattr(args, name, None) for name in names}  # `evaluate track` has no ops
    asked = {name: value for name, value in given.items() if value is not None}
    return open_track(args.model, args.precision, args.backend, tracker=args.tracker, **asked)


def run_track(args: argparse.Namespace) -> int:
    """Run detector and tracker over a source; returns the exit code."""
    from edgekit.tracking.mot import MotText

    def text(out: Path) -> MotText:
        return MotText(out / "tracks.txt")

    return _run(args, lambda: open_asked(args), [text])
