"""`edgekit export slowfast`. PyTorch is imported when it runs on weights; an ONNX file needs none."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edgekit.errors import InputError


def add_parser(kinds: Any) -> None:
    """Add `slowfast` to the kinds of `edgekit export`."""
    parser = kinds.add_parser(
        "slowfast", help="SlowFast weights, or a whole SlowFast in another form, to ONNX"
    )
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="upstream's .pkl or .pyth, a checkpoint of this kit, or a whole .onnx",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the .onnx file to write")
    parser.add_argument(
        "--form",
        choices=("whole", "split", "grid"),
        default="whole",
        help="whole: one graph with RoiAlign; split: FILE-body.onnx and FILE-head.onnx around RoIAlign; "
        "grid: one graph with GridSample, for TensorRT-RTX",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="fix the picture's size (default: open, but for grid)",
    )
    parser.add_argument("--config", metavar="NAME", help="the network, where the file does not say")
    parser.add_argument("--half-weights", action="store_true", help="round weights to what float16 holds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit export slowfast`: returns the exit code."""
    size = tuple(args.size) if args.size else None
    if args.weights.endswith(".onnx"):
        from edgekit.engine.roi_files import convert

        if args.config or args.half_weights:
            raise InputError("--config and --half-weights are for weights, not for an ONNX file.")
        files = convert(args.weights, args.out, args.form, size)
    else:
        from edgekit.train.cli import need_torch

        need_torch()
        from edgekit.train.slowfast_export import export_slowfast
        from edgekit.train.slowfast_weights import load_slowfast

        net = load_slowfast(args.weights, args.config)
        files = export_slowfast(net, args.out, args.form, size, args.half_weights)
    for out in files:
        sys.stdout.write(f"{out}: {out.stat().st_size / 1e6:.1f} MB\n")
    return 0
