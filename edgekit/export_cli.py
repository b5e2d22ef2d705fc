"""`edgekit export`: write a trained, Darknet, TrtPose, AlphaPose, SlowFast or action model as ONNX."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `export` and its kinds. The trainer's kinds import PyTorch only when they run."""
    from edgekit import darknet
    from edgekit.train import action_cli, prune_cli, slowfast_export_cli
    from edgekit.train import cli as train

    kinds = subparsers.add_parser("export", help="write a trained or Darknet model as ONNX").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    darknet.add_parser(kinds)
    train.add_export_parser(kinds)
    _add_pose(kinds, "trtpose", "TrtPose weights (upstream's release or a checkpoint) to ONNX or .wts")
    _add_pose(kinds, "fastpose", "FastPose weights (AlphaPose's or a checkpoint) to ONNX or .wts")
    prune_cli.add_parser(kinds)
    slowfast_export_cli.add_parser(kinds)
    action_cli.add_parser(kinds, "export")


def _add_pose(kinds: Any, kind: str, words: str) -> None:
    parser = kinds.add_parser(kind, help=words)
    parser.add_argument("weights", metavar="WEIGHTS", help="a .pth state dict, or a checkpoint of this kit")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .onnx or .wts file to write")
    parser.add_argument("--topology", metavar="NAME", help="coco17, human18, animal20, a COCO-category JSON")
    if kind == "trtpose":
        parser.add_argument("--size", type=int, metavar="PX", help="side of the square input")
    parser.add_argument("--dynamic", action="store_true", help="leave the batch size open")
    parser.set_defaults(run=run_pose)


def run_pose(args: argparse.Namespace) -> int:
    """`edgekit export trtpose` and `edgekit export fastpose`: returns the exit code."""
    from edgekit.train.cli import need_torch

    need_torch()
    from edgekit.train.pose_export import export_pose, load_pose

    task = "trtpose" if args.kind == "trtpose" else "topdown"
    net = load_pose(args.weights, task, args.topology, getattr(args, "size", None))
    out = export_pose(net, args.out, args.dynamic)
    sys.stdout.write(f"{out}: {out.stat().st_size / 1e6:.1f} MB\n")
    return 0
