"""`edgekit train`, `edgekit evaluate` and the trainer's part of `edgekit export`.

PyTorch is imported when a command runs, not to show its help.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgekit.errors import MissingError


def add_train_parser(subparsers: Any) -> None:
    """Add `train` and what it trains."""
    kinds = subparsers.add_parser("train", help="train a model (extra [train])").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    parser = kinds.add_parser("detector", help="a small person detector")
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="a YOLO folder (images/, labels/) or a COCO file"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for checkpoints, log and split")
    parser.add_argument("--teacher", metavar="FILE", help="a YOLOX ONNX file that also teaches")
    parser.add_argument("--extra", metavar="DIR", help="pictures without labels, for the teacher to label")
    parser.add_argument(
        "--check", nargs="*", default=(), metavar="PATH", help="data scored at the end, never trained on"
    )
    parser.add_argument("--steps", type=int, help="batches to learn from (default 12000)")
    parser.add_argument("--batch", type=int, help="pictures a batch (default 128)")
    parser.add_argument("--size", type=int, help="side of the square input (default 416)")
    parser.add_argument("--rate", type=float, help="highest learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, help="default 0")
    parser.add_argument(
        "--lead", choices=("labels", "teacher"), help="whose word counts more (default: labels)"
    )
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the data kept for scoring")
    parser.add_argument(
        "--no-backbone", action="store_true", help="start from random weights, not ImageNet's"
    )
    parser.add_argument("--resume", metavar="FILE", help="go on with an unfinished run")
    parser.add_argument("--start", metavar="FILE", help="begin with the weights of a finished run")
    parser.add_argument("--seconds", type=float, help="stop after this time, to be resumed")
    parser.add_argument("--device", help="cuda or cpu (default: cuda where there is one)")
    parser.set_defaults(run=train)


def add_evaluate_parser(subparsers: Any) -> None:
    """Add `evaluate` and what it scores."""
    kinds = subparsers.add_parser("evaluate", help="score a model against labelled pictures").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    parser = kinds.add_parser("detector", help="COCO's AP of people, by pycocotools")
    parser.add_argument("--data", required=True, metavar="PATH", help="a YOLO folder or a COCO file")
    parser.add_argument(
        "--model", default="edgekit-person", help="a name of `edgekit models`, .onnx or .plan"
    )
    parser.add_argument(
        "--split", metavar="FILE", help="split.json of a training: score its held-out pictures"
    )
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    parser.set_defaults(run=evaluate)


def add_export_parser(kinds: Any) -> None:
    """Add `detector` to the kinds of `edgekit export`."""
    parser = kinds.add_parser("detector", help="a checkpoint of `edgekit train detector` to ONNX")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("--out", required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--dynamic-batch", action="store_true", help="leave the batch size open")
    parser.set_defaults(run=export)


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingError("training needs PyTorch; cure: pip install 'edgekit[train]'") from error


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def train(args: argparse.Namespace) -> int:
    """`edgekit train detector`; returns the exit code."""
    _need_torch()
    from edgekit.train.detector import Settings, train_detector
    from edgekit.train.network import backbone_file

    names = ("steps", "batch", "size", "rate", "seed", "lead")
    settings = Settings(**{n: getattr(args, n) for n in names if getattr(args, n) is not None})
    path = train_detector(
        args.data,
        args.out,
        settings,
        teacher=args.teacher,
        backbone=None if args.no_backbone else str(backbone_file()),
        extra=args.extra,
        check=args.check,
        resume=args.resume,
        start=args.start,
        device=args.device,
        held_out=args.held_out,
        seconds=args.seconds,
        report=_say,
    )
    _say(f"{path}; next: edgekit export detector {path} --out detector.onnx")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """`edgekit evaluate detector`; returns the exit code. Needs pycocotools, not PyTorch."""
    from edgekit.train.evaluate import evaluate_detector

    figures = evaluate_detector(args.model, args.data, args.split, args.backend, args.precision)
    for name, value in figures.items():
        _say(f"{name:<10}{value:.3f}")
    return 0


def export(args: argparse.Namespace) -> int:
    """`edgekit export detector`; returns the exit code."""
    _need_torch()
    from edgekit.train.export import export_detector

    out = export_detector(args.checkpoint, Path(args.out), args.dynamic_batch)
    _say(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0
