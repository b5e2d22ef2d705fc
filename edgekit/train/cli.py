"""`edgekit train` and `edgekit export detector`. PyTorch is imported when they run."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edgekit.errors import InputError, MissingError
from edgekit.train import action_cli, pose_cli, slowfast_cli


def add_train_parser(subparsers: Any) -> None:
    """Add `train` and its kinds."""
    kinds = subparsers.add_parser("train", help="train a model (extra [train])").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    parser = kinds.add_parser("detector", help="the small person detector")
    parser.add_argument(
        "--data", required=True, help="folder with images/ and labels/ (YOLO), or a COCO .json"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where checkpoint, split and log go")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the pictures (or give --steps)")
    parser.add_argument("--steps", type=int, metavar="N", help="batches to learn from (default 7900)")
    parser.add_argument("--batch", type=int, default=128, metavar="N")
    parser.add_argument("--size", type=int, default=416, metavar="PX", help="side of the square input")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument(
        "--calm", type=float, default=0.15, help="share of the steps at the end with mild augmentation"
    )
    parser.add_argument("--teacher", metavar="ONNX", help="YOLOX file whose answers are learnt too")
    parser.add_argument(
        "--lead", choices=("labels", "teacher"), default="labels", help="which counts for more"
    )
    parser.add_argument("--extra", metavar="DIR", help="pictures without labels, for the teacher")
    parser.add_argument(
        "--extra-share", type=float, default=0.12, help="of the pictures drawn, those of --extra"
    )
    parser.add_argument(
        "--backbone", metavar="PTH", help="ImageNet weights (default: the installed package's)"
    )
    parser.add_argument("--scratch", action="store_true", help="no ImageNet weights")
    parser.add_argument(
        "--check", action="append", default=[], metavar="DATA", help="score on this too; repeatable"
    )
    parser.add_argument("--start", metavar="PT", help="begin with the weights of a finished run")
    parser.add_argument(
        "--hold", type=int, default=0, metavar="N", help="with --start: first steps that leave it be"
    )
    parser.add_argument("--average", type=float, default=0.9998, help="decay of the weights' moving average")
    parser.add_argument(
        "--rare", type=float, default=0.5, help="how much more unlike pictures are drawn (0 to 1)"
    )
    parser.add_argument("--resume", metavar="PT", help="go on with an unfinished run")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="stop after this time; go on with --resume"
    )
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the pictures kept for scoring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: the GPU if there is one")
    parser.set_defaults(run=run_train)
    pose_cli.add_parsers(kinds)
    slowfast_cli.add_parser(kinds)
    action_cli.add_parser(kinds, "train")


def add_export_parser(kinds: Any) -> None:
    """Add `detector` to the subcommands of `edgekit export`."""
    parser = kinds.add_parser("detector", help="a trained person detector to ONNX")
    parser.add_argument("checkpoint", metavar="PT", help="checkpoint of `edgekit train detector`")
    parser.add_argument("--out", required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--dynamic", action="store_true", help="leave the batch size open")
    parser.add_argument("--blend", metavar="PT", help="mix in the weights of a second checkpoint")
    parser.add_argument("--share", type=float, default=0.35, help="how much of the second (default 0.35)")
    parser.set_defaults(run=run_export)


def need_torch() -> None:
    """Raise `MissingError` where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingError("Training needs PyTorch: pip install 'edgekit[train]'.") from None


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def run_train(args: argparse.Namespace) -> int:
    """`edgekit train detector`."""
    need_torch()
    from edgekit.train.data import read_people
    from edgekit.train.detector import train_detector
    from edgekit.train.network import backbone_file
    from edgekit.train.trainer import Settings

    for name in ("batch", "size", "rate"):
        if getattr(args, name) <= 0:
            raise InputError(f"--{name} {getattr(args, name)} must be more than 0.")
    if args.epochs and args.steps:
        raise InputError("Give --epochs or --steps, not both.")
    steps = args.steps or 7900
    if args.epochs:
        steps = max(1, round(args.epochs * len(read_people(args.data)) * (1 - args.held_out) / args.batch))
    settings = Settings(
        size=args.size,
        batch=args.batch,
        steps=steps,
        rate=args.rate,
        warmup=min(500, steps // 8 + 1),
        calm=args.calm,
        seed=args.seed,
        lead=args.lead,
        rare=args.rare,
        extra_share=args.extra_share,
        average=args.average,
        hold=args.hold,
    )
    backbone = None if args.scratch else args.backbone or str(backbone_file())
    path = train_detector(
        args.data,
        args.out,
        settings,
        args.teacher,
        backbone,
        args.extra,
        args.check,
        args.resume,
        args.start,
        args.device,
        args.held_out,
        args.seconds,
        report=say,
    )
    say(f"checkpoint: {path}\nexport it:  edgekit export detector {path} --out person.onnx")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """`edgekit export detector`."""
    need_torch()
    from edgekit.train.export import export_detector

    path = export_detector(args.checkpoint, args.out, args.dynamic, args.blend, args.share)
    sys.stdout.write(f"{path}\n")
    return 0
