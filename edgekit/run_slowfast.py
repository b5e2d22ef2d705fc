"""`edgekit run slowfast`: source → detector → tracker → SlowFast; a folder of videos one after the other."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgekit.run_cli import MODEL, _common, _count, _run
from edgekit.run_each import folder_videos, named, run_each
from edgekit.run_windowed import add_windowed, windowed_settings

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
    add_windowed(parser, stride=2)
    parser.add_argument("--span", type=_count, metavar="N", help="frames that a window covers (64)")
    parser.add_argument(
        "--short-side", type=_count, metavar="PIXELS", help="of the network's picture (the model's, 256)"
    )
    parser.add_argument(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="average each person's scores over time (default: yes)",
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

    return open_slowfast(
        args.model if args.head is None else (args.model, args.head),
        args.precision,
        args.backend,
        span=args.span,
        short_side=args.short_side,
        smooth=args.smooth,
        **windowed_settings(args),
    )
