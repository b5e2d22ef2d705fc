"""`edgekit build`: make a plan and show what it is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgekit.engine import PRECISIONS, ShapeRanges
from edgekit.errors import InputError


def add_parser(subparsers: Any) -> None:
    """Add `build` to the command line."""
    parser = subparsers.add_parser(
        "build",
        help="build a TensorRT plan from ONNX",
        description="Build a TensorRT plan from an ONNX or .wts file, or reuse the one that still fits.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("model", metavar="MODEL", nargs="?", help="a name of `edgekit models`, or an ONNX file")
    what.add_argument("--wts", metavar="FILE", help="TrtPose's weights, built layer by layer")
    parser.add_argument("--topology", metavar="NAME", help="of --wts: human18 (default) or a category's JSON")
    parser.add_argument("--size", type=int, metavar="PX", help="side of the input of --wts (default 224)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument(
        "--shapes",
        metavar="NAME=MIN:OPT:MAX",
        help="of dynamic inputs: images=1x3x416x416:4x3x416x416:8x3x416x416 (commas between inputs)",
    )
    parser.add_argument("--target", metavar="SM", help="build ahead with TensorRT-RTX, for example sm86")
    parser.add_argument("--calibration", metavar="DIR", help="folder of pictures, for int8")
    parser.add_argument("--workspace", type=int, metavar="MiB", help="default: half of the free memory")
    parser.add_argument("--dla", type=int, metavar="CORE", help="run on this DLA core where it can")
    parser.add_argument("--graft", action="store_true", help="with the steps around the network inside")
    parser.add_argument(
        "--rows", type=int, metavar="N", help="of --graft: boxes that leave a YOLO, best first (default 1000)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="where to put the plan; of --graft also the grafted x.onnx, without a plan",
    )
    parser.add_argument("--force", action="store_true", help="build even if the plan still fits")
    parser.add_argument("--no-timing-cache", action="store_true", help="measure every layer anew")
    parser.add_argument("--layers", action="store_true", help="list the layers of the plan")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> int:
    """Build and print a table; returns the exit code."""
    from edgekit.engine.build import build
    from edgekit.engine.int8 import calibrated_with
    from edgekit.engine.shapes import parse_shapes
    from edgekit.models import find
    from edgekit.topology import read_topology

    path = Path(args.wts) if args.wts else find(args.model)
    if not args.wts and (args.topology or args.size):
        raise InputError("--topology and --size belong to --wts; an ONNX file has its own.")
    pictures, recipe = None, None
    if args.calibration:
        pictures, recipe = calibrated_with(args.model, path, args.calibration)
    if args.graft or args.rows is not None:
        path = _grafted(args)
        if args.out and Path(args.out) == path:
            return 0
    parts = parts_of(path, parse_shapes(args.shapes) if args.shapes else None)
    if len(parts) > 1 and args.out:
        raise InputError(f"{path.name} becomes two plans, around RoIAlign; leave --out away.")
    for number, (part, shapes) in enumerate(parts):
        plan = build(
            part,
            args.precision,
            shapes,
            target=args.target,
            workspace=args.workspace,
            dla=args.dla,
            calibration=pictures,
            preprocess=recipe,
            timing_cache=not args.no_timing_cache,
            progress=not args.quiet,
            force=args.force,
            out=args.out,
            topology=read_topology(args.topology) if args.topology else None,
            size=args.size,
        )
        rows = plan.table()
        width = max(len(label) for label, _ in rows)
        sys.stdout.write("\n" if number else "")
        sys.stdout.write("".join(f"{label:<{width}}  {value}\n" for label, value in rows))
        if args.layers:
            sys.stdout.write(layer_table(plan.layers()))
    return 0


def _grafted(args: argparse.Namespace) -> Path:
    """The grafted file that the plan is built of; written to `--out`, and all there is, if that is one."""
    from edgekit.engine.graft import graft_of
    from edgekit.engine.graft_files import ROWS, grafted_file
    from edgekit.engine.onnx_file import load_model

    if args.wts or not args.graft:
        raise InputError("--graft is of an ONNX file, and --rows is of --graft.")
    out = args.out if args.out and Path(args.out).suffix == ".onnx" else None
    path = grafted_file(args.model, ROWS if args.rows is None else args.rows, out=out)
    note = graft_of(load_model(path))
    sys.stdout.write(f"grafted  {path}\nsteps    {note.words() if note else ''}\n{'' if out else chr(10)}")
    return path


def parts_of(path: Path, shapes: ShapeRanges | None) -> list[tuple[Path, ShapeRanges | None]]:
    """What is built of a file, with its shapes: the file itself, or of a whole SlowFast its body and head.

    The task opens a SlowFast as these two, so these are the plans that it finds.
    """
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.shapes import model_inputs
    from edgekit.tasks.action_open import open_shapes as plan_range
    from edgekit.tasks.slowfast_open import open_shapes, split_files

    halves = split_files(path) if path.suffix == ".onnx" else None
    if halves is None:
        return [(path, shapes or (plan_range(path) if path.suffix == ".onnx" else None))]
    given = dict(shapes or {})
    parts: list[tuple[Path, ShapeRanges | None]] = []
    for half in halves:
        names = [spec.name for spec in model_inputs(load_model(half))]
        own = {name: given.pop(name) for name in names if name in given}
        parts.append((half, {**(open_shapes(half) or {}), **own}))
    if given:
        raise InputError(f"{path.name} has no input {min(given)!r} for --shapes, in body or head.")
    return parts


def layer_table(found: dict[str, Any]) -> str:
    """The layers as text: number, type, the types of what goes in and out, name."""
    lines = [f"\n{found['what']}:"]
    for i, layer in enumerate(found["layers"]):
        sides = [
            ",".join(sorted({t["dtype"] for t in layer.get(side, []) if t})) for side in ("inputs", "outputs")
        ]
        lines.append(f"{i:4}  {layer['type']:<16} {' → '.join(sides):<20} {layer['name']}")
    return "\n".join(lines) + "\n"
