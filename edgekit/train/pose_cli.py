"""`edgekit train trtpose` and `edgekit train fastpose`. PyTorch is imported when they run."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edgekit.errors import InputError

KINDS = {
    "trtpose": ("a bottom-up pose network: people or animals, any skeleton", "edgekit-trtpose"),
    "fastpose": ("a top-down pose network in FastPose's form", "edgekit-fastpose"),
}


def add_parsers(kinds: Any) -> None:
    """Add both to the subcommands of `edgekit train`."""
    for kind, (words, model) in KINDS.items():
        parser = kinds.add_parser(kind, help=words)
        add = parser.add_argument
        add("--data", required=True, help="COCO keypoint .json, AnimalPose's keypoints.json, or their folder")
        add("--out", required=True, metavar="DIR", help="where checkpoints, log and curves go")
        add(
            "--topology",
            metavar="NAME",
            help="coco17, human18, animal20, a COCO-category JSON (default: the data's)",
        )
        add(
            "--network", default=model, metavar="NAME", help=f"{model} or one of upstream's (default {model})"
        )
        add("--size", type=int, nargs="+", metavar="PX", help="side of the input, or height and width")
        add("--steps", type=int, metavar="N", help="batches to learn from (default 8000)")
        add("--epochs", type=float, metavar="N", help="passes over the data (instead of --steps)")
        add("--batch", type=int, default=128, metavar="N", help="of one GPU (default 128)")
        add("--rate", type=float, default=1e-3, help="highest learning rate (default 1e-3)")
        add("--slow", type=float, default=0.25, help="the backbone's rate as a part of --rate (default 0.25)")
        add(
            "--freeze",
            type=int,
            default=-1,
            metavar="N",
            help="the backbone's stem and first N blocks stay; 19: what edgekit-trtpose has of MultiPose",
        )
        add("--focus", type=float, default=0.0, help="how much more the keypoints count than the background")
        add("--average", type=float, default=0.999, help="decay of the weights' moving average")
        add(
            "--start",
            metavar="FILE",
            help=f"begin with a checkpoint or an ONNX file of the kit ({model}.onnx)",
        )
        add("--backbone", metavar="ONNX", help="begin with the layers of a MoveNet")
        add(
            "--held-out",
            default="0.1",
            metavar="SHARE",
            help="of the pictures, kept apart by likeness; or a split.json",
        )
        add("--devices", type=int, default=1, metavar="N", help="GPUs (or CPU processes), by Lightning's DDP")
        add("--device", choices=("cuda", "cpu"), help="default: the GPU if there is one")
        add("--resume", metavar="CKPT", help="go on with an unfinished run (its last.ckpt)")
        add("--seconds", type=float, metavar="S", help="stop after this time; go on with --resume")
        add("--check-every", type=int, default=500, metavar="N", help="steps between checkpoints")
        add("--seed", type=int, default=0)
        parser.set_defaults(run=run_pose)


def run_pose(args: argparse.Namespace) -> int:
    """Train, and say how to export; returns the exit code."""
    from edgekit.train.cli import need_torch, say

    need_torch()
    from edgekit.train.fastpose import train_fastpose
    from edgekit.train.trtpose import train_trtpose

    if args.devices < 1:
        raise InputError(f"--devices {args.devices} must be at least 1.")
    size = {} if args.size is None else {"size": read_size(args.size)}
    train: Any = train_trtpose if args.kind == "trtpose" else train_fastpose
    try:
        held: float | str = float(args.held_out)
    except ValueError:
        held = args.held_out
    names = (
        *(
            "topology",
            "network",
            "steps",
            "epochs",
            "batch",
            "rate",
            "slow",
            "freeze",
            "focus",
            "average",
            "start",
            "backbone",
        ),
        *("device", "devices", "resume", "seconds", "seed", "check_every"),
    )
    path = train(
        args.data,
        args.out,
        held_out=held,
        progress=sys.stderr.isatty(),
        report=say,
        **size,
        **{name: getattr(args, name) for name in names},
    )
    say(f"checkpoint: {path}\nexport it:  edgekit export {args.kind} {path} --out {args.kind}.onnx")
    return 0


def read_size(values: list[int]) -> tuple[int, int]:
    """Height and width of one or two numbers."""
    if len(values) > 2:
        raise InputError(f"--size takes one or two numbers, not {len(values)}.")
    return values[0], values[-1]
