"""What `run slowfast` and `run action` ask alike: who finds the people, and how windows are looked at."""

from __future__ import annotations

import argparse
from typing import Any

from edgekit.errors import InputError
from edgekit.run_cli import _count, _share
from edgekit.run_track import TRACKERS

#: As in `edgekit.tasks.windowed.COLD`, written out so that `--help` imports nothing heavy.
COLD = ("wait", "pad")


def add_windowed(parser: argparse.ArgumentParser, *, stride: int) -> None:
    """The options; `stride` is that of a model which notes none, for the help."""
    parser.add_argument("--detector", default="edgekit-person", help="what finds the people: any YOLO")
    parser.add_argument("--tracker", choices=TRACKERS, default="bytetrack", help="default: bytetrack")
    parser.add_argument("--appearance", metavar="FILE", help="of deepsort: a network, or histogram (default)")
    parser.add_argument("--threshold", type=_share, help="lowest score shown (default: the model's, 0.3)")
    parser.add_argument(
        "--stride",
        "--every",
        type=_count,
        metavar="N",
        help=f"frames from one window to the next (default: the model's, {stride})",
    )
    parser.add_argument(
        "--cold",
        choices=COLD,
        default="wait",
        help="before the first window is full: say nothing, or repeat the first frame (default: wait)",
    )
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="hold the picture until the network is done (default: for files, not for live sources)",
    )


def windowed_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of `open_slowfast` and `open_action` that the options of `add_windowed` ask for.

    Raises:
        InputError: --appearance, and the tracker is another.
    """
    if args.appearance is not None and args.tracker != "deepsort":
        raise InputError(f"--appearance is of --tracker deepsort; this one is {args.tracker}.")
    names = ("detector", "tracker", "threshold", "stride", "cold", "wait", "ops")
    tracking = {} if args.appearance is None else {"appearance": args.appearance}
    return {name: getattr(args, name) for name in names} | {"tracking": tracking}
