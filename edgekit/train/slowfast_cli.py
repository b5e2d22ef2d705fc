"""`edgekit train slowfast`. PyTorch is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edgekit.errors import InputError


def add_parser(kinds: Any) -> None:
    """Add it to the subcommands of `edgekit train`."""
    parser = kinds.add_parser("slowfast", help="actions of people over time, on a set in AVA's layout")
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="the folder that `edgekit prepare ava` writes")
    add("--out", required=True, metavar="DIR", help="where checkpoints, log, curves and scores go")
    add("--config", default="board", metavar="NAME", help="board, r50, r101 or a name of the configurations")
    add("--epochs", type=int, default=20, metavar="N", help="passes over the key frames (default 20)")
    add("--batch", type=int, default=8, metavar="N", help="clips of one GPU (default 8)")
    add("--rate", type=float, help="highest learning rate (default: 0.1 for 64 clips, in proportion)")
    add("--steps", type=int, nargs="+", default=[0, 10, 15, 20], metavar="E", help="epochs of --factors")
    add("--factors", type=float, nargs="+", default=[1, 0.1, 0.01, 0.001], metavar="F", help="of the rate")
    add("--policy", choices=("steps", "cosine"), default="steps", help="of the learning rate")
    add("--warmup", type=float, default=5.0, metavar="E", help="epochs of a linear rise (default 5)")
    add("--first-rate", type=float, default=0.000125, help="at the rise's beginning (default 0.000125)")
    add("--decay", type=float, default=1e-7, help="weight decay, none on batch norms (default 1e-7)")
    add("--average", type=float, default=0.0, help="decay of the weights' moving average; 0: none")
    add("--balance", type=float, default=0.0, help="0: each key frame once; 1: actions equally often")
    add("--colour", type=float, default=0.0, help="strength of the colour jitter (upstream: 0.4)")
    add("--smooth", type=float, default=0.0, help="label smoothing")
    add("--jitter", type=int, nargs=2, default=[256, 320], metavar="PX", help="range of the short side")
    add("--crop", type=int, default=224, metavar="PX", help="side of the random square (default 224)")
    add(
        "--people",
        type=float,
        nargs=2,
        metavar="PX",
        help="cut around one person, its longer side in this range, instead of --jitter",
    )
    add("--span", type=int, metavar="N", help="pictures that a window covers (default: the configuration's)")
    add("--short-side", type=int, metavar="PX", help="of whole pictures (default: the configuration's)")
    add("--tempo", type=float, default=1.0, help="windows last up to this factor longer or shorter")
    add("--boxes", choices=("truth", "found", "both"), default="truth", help="to learn from")
    add("--held-boxes", choices=("truth", "found"), default="truth", help="to score")
    add("--fps", type=int, default=30, metavar="N", help="pictures a second in frames/ (default 30)")
    add("--start", metavar="FILE", help="begin with an official .pkl, a checkpoint or an ONNX export")
    add("--resume", metavar="CKPT", help="go on with an unfinished run (its last.ckpt)")
    add("--no-scores", action="store_true", help="do not score the split val")
    add("--check-every", type=int, default=1, metavar="E", help="epochs from score to score (default 1)")
    add("--cache", action="store_true", help="keep all pictures decoded in memory")
    add("--workers", type=int, default=2, metavar="N", help="processes that read pictures (default 2)")
    add("--device", choices=("cuda", "cpu"), help="default: the GPU if there is one")
    add("--devices", type=int, default=1, metavar="N", help="GPUs (or CPU processes), by Lightning's DDP")
    add("--precision", help="Lightning's (default: bf16-mixed on a GPU, 32-true on the CPU)")
    add("--seconds", type=float, metavar="S", help="stop after this time; go on with --resume")
    add(
        "--stride",
        type=int,
        metavar="N",
        help="note for `edgekit run slowfast`: frames between windows",
    )
    add("--seed", type=int, default=0)
    parser.set_defaults(run=run_slowfast)


SHORT = {"r50": "ava-32x2-r50", "r101": "ava-32x2-r101"}
REFERENCE = 64  # clips of a batch that upstream's rate of 0.1 is for


def run_slowfast(args: argparse.Namespace) -> int:
    """Train, and say how to export; returns the exit code."""
    from edgekit.train.cli import need_torch, say

    need_torch()
    from edgekit.train.slowfast import train_slowfast
    from edgekit.train.slowfast_module import SlowFastSettings

    for name in ("devices", "crop", "fps", "tempo", "check_every"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)} must be at least 1.")
    names = (
        *("epochs", "batch", "policy", "warmup", "first_rate", "decay"),
        *("average", "balance", "colour", "smooth", "seed"),
    )
    settings = SlowFastSettings(
        rate=0.1 * args.batch * args.devices / REFERENCE if args.rate is None else args.rate,
        steps=tuple(args.steps),
        factors=tuple(args.factors),
        **{name: getattr(args, name) for name in names},
    )
    look: dict[str, Any] = {"jitter": tuple(args.jitter), "crop": args.crop, "tempo": args.tempo}
    if args.people:
        look["people"] = tuple(args.people)
    same = ("boxes", "held_boxes", "fps", "start", "resume", "cache", "workers", "device", "devices")
    path = train_slowfast(
        args.data,
        args.out,
        SHORT.get(args.config, args.config),
        settings=settings,
        look=look,
        validate=not args.no_scores,
        notes={} if args.stride is None else {"stride": str(args.stride)},
        progress=sys.stderr.isatty(),
        report=say,
        **{
            name: getattr(args, name)
            for name in (*same, "span", "short_side", "precision", "seconds", "check_every")
        },
    )
    say(f"checkpoint: {path}\nexport it:  edgekit export slowfast {path} --out slowfast.onnx")
    return 0
