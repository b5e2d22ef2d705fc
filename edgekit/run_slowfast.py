"""`edgekit run slowfast`: source → detector → tracker → SlowFast; a folder of videos one after the other."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.run_cli import MODEL, _common, _count, _run, _share
from edgekit.run_each import folder_videos, named, run_each
from edgekit.run_track import TRACKERS

if TYPE_CHECKING:
    from edgekit.tasks.slowfast import SlowFast


def add_slowfast(tasks: Any) -> None:
    """Add `slowfast` to the tasks of `run`."""
    about = "what the people of a video do: tracks and SlowFast"
    more = "A folder of videos as --source: one after the other, each into a folder of its own under --out."
    parser = tasks.add_parser("slowfast", help=about, description=f"{about}. {more}")
    _common(parser)
    parser.add_argument("--model", default="edgekit-slowfast", help=MODEL)
    parser.add_argument("--head", help="the network's head, where --model is its body alone")
    parser.add_argument("--detector", default="edgekit-person", help="what finds the people: any YOLO")
    parser.add_argument("--tracker", choices=TRACKERS, default="bytetrack", help="default: bytetrack")
    parser.add_argument("--appearance", metavar="FILE", help="of deepsort: a network, or histogram (default)")
    parser.add_argument("--threshold", type=_share, help="lowest score shown (default: the model's, 0.3)")
    parser.add_argument(
        "--stride", "--every", type=_count, metavar="N", help="frames from one window to the next (2)"
    )
    parser.add_argument("--span", type=_count, metavar="N", help="frames that a window covers (64)")
    parser.add_argument(
        "--short-side", type=_count, metavar="PIXELS", help="of the network's picture (the model's, 256)"
    )
    parser.add_argument(
        "--cold",
        choices=("wait", "pad"),
        default="wait",
        help="before the first window is full: say nothing, or repeat the first frame (default: wait)",
    )
    parser.add_argument(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="average each person's scores over time (default: yes)",
    )
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="hold the picture until the network is done (default: for files, not for live sources)",
    )
    parser.set_defaults(run=run_slowfast)


def run_slowfast(args: argparse.Namespace) -> int:
    """Run SlowFast over a source, or over each video of a folder; returns the exit code."""
    videos = folder_videos(args.source)
    if videos:
        return run_each(args, named(videos), lambda: open_asked(args))
    return _run(args, lambda: open_asked(args))


def open_asked(args: argparse.Namespace) -> SlowFast:
    """The task that the arguments ask for."""
    from edgekit.tasks.slowfast import open_slowfast

    if args.appearance is not None and args.tracker != "deepsort":
        raise InputError(f"--appearance is of --tracker deepsort; this one is {args.tracker}.")
    return open_slowfast(
        args.model if args.head is None else (args.model, args.head),
        args.precision,
        args.backend,
        detector=args.detector,
        tracker=args.tracker,
        tracking={} if args.appearance is None else {"appearance": args.appearance},
        threshold=args.threshold,
        stride=args.stride,
        span=args.span,
        short_side=args.short_side,
        smooth=args.smooth,
        cold=args.cold,
        wait=args.wait,
    )
