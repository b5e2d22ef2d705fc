"""`edgekit bench`: the stages of a model on this machine, timed frame by frame, nothing drawn or written."""

from __future__ import annotations

import argparse
import sys
from itertools import cycle, islice
from typing import Any

from edgekit.errors import InputError

WARM_UP = 10  # frames: lazy initialisation, caches, clocks that rise


def add_parser(subparsers: Any) -> None:
    """Add `bench`."""
    parser = subparsers.add_parser("bench", help="time a model's stages on this machine")
    parser.add_argument(
        "model", nargs="?", default="edgekit-person", help="a name of `edgekit models`, .onnx, .plan"
    )
    parser.add_argument(
        "--source", default="sample", help="frames to use, decoded beforehand (default: sample)"
    )
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="frames timed (default 200)")
    parser.add_argument("--precision", default="fp16", choices=("fp32", "fp16", "int8"))
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=bench)


def bench(args: argparse.Namespace) -> int:
    """Time `args.model` over frames held in memory; returns the exit code."""
    import json

    from edgekit.camera import open_source
    from edgekit.clocks import StageClock, Summary
    from edgekit.tasks.yolo import open_yolo

    if args.frames < 1:
        raise InputError(f"--frames {args.frames}: time at least one frame.")
    with open_source(args.source) as source:
        frames = list(islice(source, 64))  # enough variety, little memory
    clock = StageClock()
    with open_yolo(args.model, args.precision, args.backend) as task:
        engine = task.engine
        for frame in islice(cycle(frames), WARM_UP):
            task(frame)
        summary = Summary(
            source.spec, args.model, engine.backend, engine.precision, engine.device, engine.why
        )
        for frame in islice(cycle(frames), args.frames):
            summary.found += len(task(frame))
            clock.add(task.times)
            summary.frames += 1
            summary.seconds += sum(task.times.values())
    summary.stages = {name: row for name, row in clock.table().items() if name in ("pre", "infer", "post")}
    sys.stdout.write(json.dumps(summary.to_dict(), indent=2) if args.json else summary.table())
    sys.stdout.write("\n")
    return 0
