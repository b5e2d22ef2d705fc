"""`edgekit export prune`. PyTorch is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_parser(kinds: Any) -> None:
    """Add `prune` to the subcommands of `edgekit export`."""
    parser = kinds.add_parser("prune", help="a demo pose network with fewer channels")
    parser.add_argument("weights", metavar="FILE", help="a checkpoint of this kit, or its .onnx file")
    parser.add_argument(
        "--share", type=float, default=0.3, help="of each block's inner channels that goes (default 0.3)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help=".pt (to be trained on) or .onnx")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        help="pictures on which the channels are watched (default: frames of the sample clip)",
    )
    parser.add_argument("--by-weights", action="store_true", help="no pictures: far worse, but at once")
    parser.add_argument("--dynamic", action="store_true", help="leave the batch size of an .onnx open")
    parser.set_defaults(run=run_prune)


def run_prune(args: argparse.Namespace) -> int:
    """Prune and say what became of it; returns the exit code."""
    from edgekit.train.cli import need_torch

    need_torch()
    from edgekit.engine.int8 import sample_pictures
    from edgekit.train.prune import prune_file

    pictures = None if args.by_weights else args.pictures or sample_pictures()
    out = prune_file(args.weights, args.share, args.out, args.dynamic, pictures)
    sys.stdout.write(f"{out}: {out.stat().st_size / 1e6:.1f} MB\n")
    return 0
