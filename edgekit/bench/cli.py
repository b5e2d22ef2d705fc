"""`edgekit bench`: models, back ends, precisions and batches, measured side by side."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.engine import PRECISIONS

#: Back ends as in `cases.MEASURED`, written out so that `--help` imports nothing heavy.
BACKENDS = ("tensorrt", "onnxruntime-cpu", "onnxruntime-cuda", "pytorch")


def add_parser(subparsers: Any) -> None:
    """Add `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="latency, throughput, power and memory of models, back ends and precisions",
        description="Measure models on this machine: each back end, precision and batch in its own process.",
    )
    add = parser.add_argument
    add("model", nargs="*", help="names of `edgekit models`, .onnx or .plan (default edgekit-person)")
    add("--precision", nargs="+", choices=PRECISIONS, help="default: fp32, and fp16 where the GPU has it")
    add("--batch", nargs="+", type=int, metavar="N", help="pictures at once (default 1)")
    add("--backend", nargs="+", choices=BACKENDS, help="default: those that are here")
    add("--engine", action="store_true", help="the bare engine only")
    add("--pipeline", action="store_true", help="the whole pipeline only (default: both, apart)")
    add("--detector", metavar="NAME", help="finds the people for a top-down pose model")
    add("--tables", choices=("alphapose",), help="its three tables: detector, pose network, both")
    add("--seconds", type=float, default=3.0, metavar="S", help="timed for at least so long (default 3)")
    add("--iterations", type=int, default=20, metavar="N", help="and so many calls (default 20)")
    add("--warm-up", type=float, default=0.5, metavar="S", help="seconds before that (default 0.5)")
    add("--time-limit", type=float, default=1800, metavar="S", help="end a case after this time")
    add("--sampler", default="auto", help="auto, jtop, sysfs, nvml, host, none, emulated:BOARD")
    add("--subtract-idle", action="store_true", help="leave the idle power out of watts and joules")
    add("--dataset", metavar="DIR", help="labelled pictures: AP beside speed (YOLO or COCO layout)")
    add("--calibration", metavar="DIR", help="pictures for int8 (default: frames of the sample clip)")
    add(
        "--baseline",
        default="",
        metavar="BACKEND[:PRECISION]",
        help="of speed-ups (default: pytorch, or the CPU)",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep the rows there (a second call goes on), and write tables",
    )
    for name in ("html", "markdown", "csv"):
        add(f"--{name}", action="store_true", help=f"write {name} only (default with --out: all three)")
    add("--again", action="store_true", help="measure what --out has already, too")
    add("--strict", action="store_true", help="exit 1 where a row is not clean, failed or was not measured")
    add("--json", action="store_true", help="print the rows as JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit code."""
    from edgekit.bench.cases import Settings
    from edgekit.bench.output import FORMATS, write
    from edgekit.bench.sweep import sweep

    formats = [name for name in FORMATS if getattr(args, name)]
    out = args.out or (Path("out/bench") if formats else None)
    both = args.engine == args.pipeline
    settings = Settings(
        models=args.model or ["edgekit-person"],
        precisions=args.precision,
        batches=args.batch or [1],
        backends=args.backend,
        parts=("engine", "pipeline") if both else ("engine",) if args.engine else ("pipeline",),
        seconds=args.seconds,
        iterations=args.iterations,
        warm_up=args.warm_up,
        time_limit=args.time_limit,
        sampler=args.sampler,
        subtract_idle=args.subtract_idle,
        detector=args.detector or Settings.detector,
        dataset=args.dataset,
        calibration=args.calibration,
        out=out,
        again=args.again,
        baseline=args.baseline,
    )
    if args.tables:
        return _tables(args, settings)
    with _terminated_as_interrupted():
        found = sweep(settings, say=_say)
    if args.json:
        whole = {"about": found.about, "rows": found.rows, "pareto": found.pareto(), "notes": found.notes}
        sys.stdout.write(json.dumps(whole, indent=1) + "\n")
    elif found.rows or not found.stopped:
        sys.stdout.write(found.text() + "\n")
    if out is not None and found.rows:
        paths = write(found, out, formats or FORMATS, "edgekit " + shlex.join(sys.argv[1:]))
        sys.stderr.write(f"written: {', '.join(map(str, paths))}\n")
    if found.stopped:
        sys.stderr.write(
            "edgekit: interrupted; the rows measured are kept\n" if out else "edgekit: interrupted\n"
        )
        return 130
    good = [row for row in found.rows if "failed" not in row]
    if args.strict and (found.unclean or found.failed or found.notes):
        return 1
    return 0 if good else 1


def _tables(args: argparse.Namespace, settings: Any) -> int:
    """`--tables alphapose`: measure, print, write."""
    from dataclasses import replace

    from edgekit.bench.output import FORMATS, tables_text, write_tables
    from edgekit.bench.tables import alphapose, pairs
    from edgekit.errors import InputError

    if len(args.model) > 1 or args.engine or args.pipeline or args.dataset:
        raise InputError("--tables takes one pose model, and its own parts: leave out what else was given.")
    settings = replace(settings, dataset=None)
    made = []
    with _terminated_as_interrupted():
        for detector, model in pairs(args.model[0] if args.model else None, args.detector):
            made.append(alphapose(settings, detector, model, args.batch, _say))
            if made[-1].found[-1].stopped:
                break
    rows = [row for tables in made for row in tables.rows]
    if args.json:
        sys.stdout.write(
            json.dumps({"rows": rows, "notes": [n for t in made for n in t.notes]}, indent=1) + "\n"
        )
    else:
        sys.stdout.write("\n\n".join(tables_text(tables) for tables in made) + "\n")
    if settings.out is not None and rows:
        kinds = [name for name in FORMATS if getattr(args, name)] or FORMATS
        paths = write_tables(made, settings.out, kinds, "edgekit " + shlex.join(sys.argv[1:]))
        _say(f"written: {', '.join(map(str, paths))}")
    if any(found.stopped for tables in made for found in tables.found):
        _say("edgekit: interrupted")
        return 130
    return 0 if any("failed" not in row for row in rows) else 1


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a sweep as Ctrl-C does: rows whole, worker ended."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
