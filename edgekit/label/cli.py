"""`edgekit label`: pose labels for the user's own pictures, in COCO's form."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.label.file import LabelFile, Sheet
    from edgekit.label.labeller import Labeller
    from edgekit.label.sources import Item

#: Detector score from which somebody may be there, so that the place is no background.
WEAK = 0.15


def add_parser(subparsers: Any) -> None:
    """Add `label`."""
    parser = subparsers.add_parser(
        "label",
        help="label your own pictures with poses (COCO keypoints)",
        description="Let a detector and a pose model label pictures; what is not sure is masked. Look at "
        "the sheet of labelled pictures before you train on them.",
    )
    parser.add_argument("pictures", help="folder, picture, video, sample, or a .txt that lists pictures")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="labels.json to write")
    parser.add_argument(
        "--pose", default="edgekit-fastpose", help="pose model, top-down or TrtPose: name, .onnx or .plan"
    )
    parser.add_argument("--detector", default="edgekit-person", help="any YOLO, or none (TrtPose needs none)")
    parser.add_argument(
        "--classes", nargs="+", help="classes of the detector that are labelled (default: person, or all)"
    )
    parser.add_argument(
        "--boxes",
        metavar="DATASET",
        help="known boxes of the same pictures (YOLO or COCO); whom the detector finds besides is ignored",
    )
    for name, default, words in (
        ("score", 0.4, "lowest detector score of a person; the weaker are ignored"),
        ("sure", 0.2, "lowest score of a keypoint"),
        ("agree", 0.5, "how much the views must agree on a keypoint, 0 to 1"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{words} (default {default})")
    parser.add_argument("--least", type=int, default=3, help="sure keypoints a person needs (default 3)")
    parser.add_argument(
        "--smallest",
        type=float,
        default=32,
        metavar="PX",
        help="longer side of a person at least (default 32)",
    )
    parser.add_argument(
        "--views",
        type=int,
        default=2,
        help="how often each person is looked at: 2 with its mirror image (default), up to 6 top-down",
    )
    parser.add_argument(
        "--margin",
        type=float,
        help="black out what is farther from a person's box than half this share of it (default: keep all)",
    )
    parser.add_argument(
        "--every", type=int, default=10, metavar="N", help="of a video every Nth frame (default 10)"
    )
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    parser.add_argument(
        "--sheet", type=int, default=24, metavar="N", help="pictures on the sheet (0: no sheet)"
    )
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--force", action="store_true", help="write over labels that are there")
    more.add_argument("--add", action="store_true", help="add the pictures that an existing file lacks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label, write, say what was kept; returns the exit code."""
    from edgekit.label.file import LabelFile, Sheet
    from edgekit.label.sources import pictures

    check(args)
    bad: list[str] = []
    items = pictures(args, bad)
    with ExitStack() as stack:
        labeller, info = open_labeller(args, stack)
        file = LabelFile(args.out, labeller.topology, info)
        if args.add and args.out.exists():
            file.resume()
        sheet = Sheet(args.sheet)
        finished = label(items(file), labeller, file, sheet)
    if not file.images:
        if not finished:
            return 130
        raise InputError(
            f"{args.pictures}: no picture could be read; the first: {bad[0] if bad else 'none'}."
        )
    file.write(finished)
    shown = sheet_of(args.out)
    drawn = sheet.write(shown)
    sys.stdout.write("\n".join(summary(file, shown if drawn else None)) + "\n")
    for words in bad[:5]:
        sys.stderr.write(f"edgekit: left out: {words}\n")
    if len(bad) > 5:
        sys.stderr.write(f"edgekit: and {len(bad) - 5} more\n")
    if not finished:
        sys.stderr.write(f"edgekit: interrupted; {args.out} has what was labelled, --add goes on\n")
        return 130
    return 4 if bad else 0


def check(args: argparse.Namespace) -> None:
    """InputError for what can be told before any model is opened."""
    if args.every < 1:
        raise InputError(f"--every {args.every} takes no frame; give 1 or more.")
    if args.sheet < 0:
        raise InputError(f"--sheet {args.sheet} is below 0.")
    if args.out.suffix != ".json":
        raise InputError(f"--out {args.out} is no .json; give the file to write.")
    if args.out.is_dir() or args.out.parent.is_file():
        raise InputError(f"--out {args.out} is no place for a file.")
    for path in (args.out, *([sheet_of(args.out)] if args.sheet else [])):
        if path.exists() and not (args.force or args.add):
            raise InputError(f"{path} exists; --add adds to the labels, --force writes over them.")


def sheet_of(out: Path) -> Path:
    """Where the sheet goes; not `labels.jpg`, which may be the picture that is labelled."""
    return out.with_name(f"{out.stem}-sheet.jpg")


def open_labeller(args: argparse.Namespace, stack: ExitStack) -> tuple[Labeller, dict[str, Any]]:
    """The models in a Labeller, closed with the stack, and what the file says of them."""
    from edgekit import __version__
    from edgekit.engine import open_engine
    from edgekit.files import sha256
    from edgekit.label.labeller import Labeller, Limits
    from edgekit.models import find
    from edgekit.tasks.choose import kind_of
    from edgekit.tasks.topdown import TopDown, default_shapes

    limits = Limits(args.score, args.sure, args.agree, args.least, args.smallest)
    detector = None
    if args.detector != "none":
        from edgekit.tasks.yolo import open_yolo

        low = min(WEAK, args.score)
        detector = stack.enter_context(open_yolo(args.detector, args.precision, args.backend, score=low))
        named = list(detector.names or ())
        detector.classes = args.classes or (["person"] if "person" in named else None)
    engine = open_engine(args.pose, args.precision, args.backend, default_shapes(args.pose, args.backend))
    stack.callback(engine.close)
    kind = kind_of(args.pose, engine)
    pose: Any
    if kind == "trtpose":
        from edgekit.tasks.trtpose import trtpose_on

        pose = trtpose_on(engine, args.pose)
    elif kind == "topdown":
        pose = TopDown(engine)
    else:
        raise InputError(f"{args.pose} is no pose model but {kind}; give a top-down one or a TrtPose.")
    labeller = Labeller(pose, detector, limits=limits, views=args.views, margin=args.margin)
    used = {"pose": (args.pose, engine)}
    if detector is not None:
        used["detector"] = (args.detector, detector.engine)
    info = {
        "description": "Labels made by models (edgekit label); keypoints with v=0 are unknown, not absent.",
        "version": f"edgekit {__version__}",
        "date_created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "models": {
            role: {"name": Path(name).name, "sha256": sha256(find(name)), "precision": one.precision}
            for role, (name, one) in used.items()
        },
        "settings": {
            **vars(limits),
            "views": args.views,
            "margin": args.margin,
            "classes": args.classes,
            "boxes": bool(args.boxes),
        },
    }
    return labeller, info


def label(items: Iterator[Item], labeller: Labeller, file: LabelFile, sheet: Sheet) -> bool:
    """Label every picture; False where Ctrl-C ended it before the last."""
    try:
        for path, image, boxes in items:
            labels = labeller(image, *(boxes or ()))
            file.add(path, image.shape, labels)
            sheet.add(image, labels, labeller.topology)
            if sys.stderr.isatty():
                sys.stderr.write(
                    f"\r{len(file.images)} pictures, {len(file.annotations)} people and regions\033[K"
                )
    except KeyboardInterrupt:
        return False
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
    return True


def summary(file: LabelFile, sheet: Path | None) -> list[str]:
    """What the labels hold, in words."""
    from edgekit.label.file import statistics
    from edgekit.report.tables import to_text

    figures = statistics(file.annotations, file.topology)
    kept = [[name, share] for name, share in figures["kept"].items()]
    lines = [
        f"{len(file.images)} pictures: {figures['people']} people with {figures['keypoints']} sure "
        f"keypoints, {figures['masked']} masked; {figures['ignored']} people or regions ignored",
        *([to_text(["keypoint", "share of the people who have it"], kept)] if figures["people"] else []),
        f"labels  {file.path}",
    ]
    return [*lines, *([f"sheet   {sheet}: look at it before you train"] if sheet else [])]
