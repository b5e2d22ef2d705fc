"""`edgekit run TASK`: source → task → annotated video, JSON lines and the end table."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.clocks import Summary

MODEL = "a name of `edgekit models`, .onnx or .plan"


def add_parser(subparsers: Any) -> None:
    """Add `run` and its tasks."""
    parser = subparsers.add_parser("run", help="run a task on a file, folder, camera or stream")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    yolo = tasks.add_parser("yolo", help="find objects with any YOLO")
    _common(yolo)
    yolo.add_argument("--model", default="edgekit-person", help=MODEL)
    yolo.add_argument("--score", type=_share, default=0.25, help="lowest score kept (default 0.25)")
    yolo.add_argument("--iou", type=_share, default=0.45, help="overlap that NMS allows (default 0.45)")
    yolo.add_argument("--max-det", type=_count, default=300, help="boxes a frame at most (default 300)")
    yolo.add_argument("--classes", nargs="+", metavar="CLASS", help="keep these classes: names or numbers")
    yolo.add_argument("--head", default="auto", help="output layout where it cannot be told from the model")
    yolo.set_defaults(run=run_yolo)
    trtpose = tasks.add_parser("trtpose", help="skeletons bottom-up: keypoints first, then people (TrtPose)")
    _common(trtpose)
    trtpose.add_argument("--model", default="edgekit-trtpose", help=MODEL)
    trtpose.add_argument(
        "--cmap-threshold", type=_share, default=0.1, help="lowest peak that is a keypoint (default 0.1)"
    )
    trtpose.add_argument(
        "--link-threshold", type=_share, default=0.1, help="lowest score of a limb (default 0.1)"
    )
    trtpose.add_argument(
        "--max-people", type=_count, default=100, help="people a frame at most (default 100)"
    )
    trtpose.add_argument("--score", type=_share, default=0.15, help="lowest score of a person (default 0.15)")
    trtpose.add_argument("--topology", help="COCO-category JSON, where the model does not note its own")
    _poses(trtpose)
    trtpose.set_defaults(run=run_trtpose)
    alphapose = tasks.add_parser(
        "alphapose", help="skeletons top-down: people first, then keypoints (AlphaPose)"
    )
    _common(alphapose)
    alphapose.add_argument("--model", default="edgekit-fastpose", help=MODEL)
    alphapose.add_argument("--detector", default="edgekit-person", help="what finds the people: any YOLO")
    alphapose.add_argument("--score", type=_share, help="lowest score of a box (default: the detector's)")
    alphapose.add_argument(
        "--flip", action="store_true", help="average with the mirrored crop: twice the work"
    )
    alphapose.add_argument("--no-nms", action="store_true", help="keep poses that are the same person twice")
    _poses(alphapose)
    alphapose.set_defaults(run=run_alphapose)
    from edgekit.run_action import add_action
    from edgekit.run_slowfast import add_slowfast
    from edgekit.run_track import add_track

    add_track(tasks)
    add_slowfast(tasks)
    add_action(tasks)


def _poses(parser: argparse.ArgumentParser) -> None:
    """What every task that gives poses takes."""
    parser.add_argument("--smooth", action="store_true", help="steady the keypoints (One-Euro filter)")
    parser.add_argument(
        "--format",
        nargs="+",
        default=[],
        choices=("alphapose", "coco"),
        help="write the results in AlphaPose's or COCO's JSON besides",
    )


def _common(parser: argparse.ArgumentParser) -> None:
    """What every task takes."""
    parser.add_argument(
        "--source",
        default="sample",
        help="sample, a video or picture, a folder, a camera number, csi, rtsp://… (default: sample)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        type=_option,
        dest="options",
        help="options of the source (see `edgekit sources`), as in: size=1280x720 fps=30",
    )
    parser.add_argument("--policy", choices=("latest", "every"), help="default: latest for a live source")
    parser.add_argument("--out", type=Path, help="folder for the results (default: out/TASK)")
    parser.add_argument("--precision", default="fp16", choices=("fp32", "fp16", "int8"))
    parser.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    parser.add_argument(
        "--ops",
        default="auto",
        choices=("auto", "host", "graft", "cuda"),
        help="steps around the network: host (NumPy, OpenCV), graft (inside its graph), cuda (kernels); "
        "auto: cuda where the network is on the GPU",
    )
    parser.add_argument("--frames", type=_count, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--sampler",
        default="auto",
        help="of power and heat: auto, jtop, sysfs, nvml, host, none, emulated:BOARD (default: auto)",
    )
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="S", help="seconds between its samples (default 0.5)"
    )
    parser.add_argument("--no-video", action="store_true", help="write no annotated video or pictures")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no table")


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _option(text: str) -> tuple[str, Any]:
    """`name=value`; the value is a size (1280x720), a number, yes or no, or else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not OPTION=VALUE")
    if size := re.fullmatch(r"(\d+)x(\d+)", value):
        return name, (int(size.group(1)), int(size.group(2)))
    if value.lower() in ("yes", "true", "no", "false"):
        return name, value.lower() in ("yes", "true")
    for number in (int, float):
        with suppress(ValueError):
            return name, number(value)
    return name, value


def run_yolo(args: argparse.Namespace) -> int:
    """Run a YOLO over a source; returns the exit code."""
    from edgekit.tasks.yolo import Yolo, open_yolo

    def make() -> Yolo:
        return open_yolo(
            args.model,
            args.precision,
            args.backend,
            score=args.score,
            iou=args.iou,
            max_det=args.max_det,
            classes=args.classes,
            head=args.head,
            ops=args.ops,
        )

    return _run(args, make)


def run_trtpose(args: argparse.Namespace) -> int:
    """Run TrtPose over a source; returns the exit code."""
    from edgekit.tasks.trtpose import TrtPose, open_trtpose

    def make() -> TrtPose:
        return open_trtpose(
            args.model,
            args.precision,
            args.backend,
            cmap_threshold=args.cmap_threshold,
            link_threshold=args.link_threshold,
            max_people=args.max_people,
            score=args.score,
            topology=args.topology,
            smooth=args.smooth,
            ops=args.ops,
        )

    return _run(args, make)


def run_alphapose(args: argparse.Namespace) -> int:
    """Run detector and pose network over a source; returns the exit code."""
    from edgekit.tasks.alphapose import AlphaPose, open_alphapose

    def make() -> AlphaPose:
        return open_alphapose(
            args.model,
            args.precision,
            args.backend,
            detector=args.detector,
            score=args.score,
            flip=args.flip,
            nms=not args.no_nms,
            smooth=args.smooth,
            ops=args.ops,
        )

    return _run(args, make)


def _run(args: argparse.Namespace, make_task: Any, more_sinks: Sequence[Any] = ()) -> int:
    """Open the source, make the task, run, write the table. Everything opened is closed.

    `more_sinks` make sinks of their own in the folder they are given.
    """
    from edgekit.camera import open_source
    from edgekit.run import run
    from edgekit.runlog import RunLog
    from edgekit.watchdog import keep_alive

    out = args.out or Path("out") / args.task
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder.")
    with ExitStack() as stack, _stop_on_signal() as stop:
        source = stack.enter_context(open_source(args.source, policy=args.policy, **dict(args.options)))
        task = stack.enter_context(make_task())
        sinks = _sinks(out, source, not args.no_video, getattr(args, "format", ()))
        sinks += [make(out) for make in more_sinks]
        log = RunLog(out, sampler=args.sampler, interval=args.interval, asked=_asked(args))
        quiet, limit = args.quiet, args.frames
        news = keep_alive()  # to systemd, where it started this
        summary = run(
            source,
            task,
            [*sinks, *news],
            model=args.model,
            limit=limit,
            stop=stop,
            progress=not quiet,
            log=log,
        )
    table = out / "table.txt"
    table.write_text(summary.table() + "\n", encoding="utf-8")
    if not args.quiet:
        _say(summary, [*(sink.path for sink in sinks), table])
    if summary.note:
        sys.stderr.write(f"edgekit: {summary.note}\n")
    return 130 if summary.interrupted else 4 if summary.note else 0


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of this command, for the log of the run."""
    kept = {name: value for name, value in vars(args).items() if name not in ("run", "command", "debug")}
    return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def _sinks(out: Path, source: Any, pictured: bool, formats: Sequence[str]) -> list[Any]:
    from edgekit.camera.pictures import Pictures
    from edgekit.pose_formats import FORMATS
    from edgekit.sinks import JsonLines, PictureFolder, Video

    sinks: list[Any] = [JsonLines(out / "results.jsonl")]
    sinks += [FORMATS[name](out / f"{name}-results.json") for name in formats]
    if pictured:
        still = isinstance(source, Pictures)
        sinks.append(Video(out / "annotated.mp4", 2.0 if still else source.fps))
        if still:
            sinks.append(PictureFolder(out / "annotated"))
    return sinks


def _say(summary: Summary, paths: list[Path]) -> None:
    names = {".mp4": "video", ".jsonl": "JSON lines", ".json": "JSON", ".txt": "table", "": "pictures"}
    lines = [summary.table(), ""]
    names |= {"tracks.txt": "tracks", "windows.txt": "windows"}
    lines += [f"{names.get(path.name, names[path.suffix]):<11}{path}" for path in paths if path.exists()]
    sys.stdout.write("\n".join(lines) + "\n")


@contextmanager
def _stop_on_signal() -> Iterator[Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = Event()

    def ask(number: int, _: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
