"""`edgekit prepare actions` and `check-actions`: a set of actions of one's own videos."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.prepare.action_split import Division

FLOWS = ("none", "auto", "dis", "farneback", "nvof", "cuda")


def add_parsers(kinds: Any, number: dict[str, Callable[[str], Any]]) -> None:
    """Add the two kinds.

    Args:
        kinds: the subparsers of `edgekit prepare`.
        number: parsers of arguments: "some", "share", "count", "percent".
    """
    one = kinds.add_parser(
        "actions",
        help="in folders CLASS/VIDEO/{rgb,u,v}, as TAO's action_recognition reads them",
        description="Write the pictures of videos, and their optical flow if you like, into CLASS/VIDEO/rgb, "
        "u and v. The class is the folder that a video lies in, or what a table says. Run again it goes on "
        "where it stopped; without VIDEOS it splits what is there, such as recorded clips, finds the flow "
        "that they lack, or writes shards.",
    )
    one.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEOS", help="folders CLASS/VIDEO.mp4, or files"
    )
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    one.add_argument(
        "--labels",
        type=Path,
        metavar="TABLE",
        help="CSV or TSV with clip,label and, if you like, start_s,end_s,split: instead of folders",
    )
    clips = one.add_argument_group("clips")
    clips.add_argument("--seconds", type=number["some"], metavar="S", help="cut into clips of S seconds")
    clips.add_argument(
        "--every", type=number["some"], metavar="S", help="one each S seconds (default: end to end)"
    )
    clips.add_argument(
        "--fps", type=number["some"], metavar="N", help="pictures a second (default: the video's)"
    )
    clips.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PX",
        help="make larger pictures smaller (default 256, which TAO's crops want; 0 leaves them)",
    )
    clips.add_argument(
        "--flow",
        choices=FLOWS,
        default="none",
        help="optical flow: dis and farneback on the CPU, nvof and cuda on a GPU, if OpenCV was built so",
    )
    clips.add_argument(
        "--jobs", type=number["count"], metavar="N", help="processes (default: one a CPU, 4 at most)"
    )
    split = one.add_argument_group("split into DIR/train and DIR/test")
    split.add_argument("--test", type=number["share"], default=0.0, metavar="SHARE", help="of the videos")
    split.add_argument("--test-videos", nargs="+", default=[], metavar="PATTERN", help="these, and no others")
    split.add_argument(
        "--group-by", metavar="COLUMN", help="of the table: never split what is equal there, as a person"
    )
    split.add_argument("--seed", type=int, default=0, help="of the split and of the shards' order")
    shards = one.add_argument_group("shards")
    shards.add_argument(
        "--shards", type=Path, metavar="DIR", help="write the set as WebDataset tars there too"
    )
    shards.add_argument(
        "--per-shard", type=number["count"], default=100, metavar="N", help="clips (default 100)"
    )
    shards.add_argument(
        "--shard-quality",
        type=number["percent"],
        metavar="Q",
        help="pictures as JPEGs (default: as they are)",
    )
    one.add_argument("--chart", type=Path, metavar="PNG", help="a picture of how many clips each class has")
    one.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    one.set_defaults(run=run_actions)
    check = kinds.add_parser("check-actions", help="name each thing wrong in a set of actions")
    check.add_argument("folder", type=Path, metavar="DIR", help="folder of the set, split or not")
    check.add_argument("-e", "--spec", type=Path, metavar="YAML", help="whose label_map the classes must fit")
    check.add_argument("--chart", type=Path, metavar="PNG", help="a picture of how many clips each class has")
    check.add_argument("--all", action="store_true", help="name all of many equal things")
    check.set_defaults(run=run_check)


def run_actions(args: argparse.Namespace) -> int:
    """Make or complete a set; returns the exit code."""
    from edgekit.prepare.action_folders import all_clips
    from edgekit.prepare.action_split import split_set
    from edgekit.prepare.ava import Outcome, alone
    from edgekit.prepare.cli import bars, say

    if args.group_by and not args.labels:
        raise InputError("--group-by needs the table of --labels, whose column it names.")
    if args.short_side < 0:
        raise InputError(f"--short-side {args.short_side} is below 0; 0 leaves the size of the pictures.")
    if not args.videos and not (args.out.is_dir() and all_clips(args.out)):
        raise InputError(f"give folders CLASS/VIDEO.mp4, or files; {args.out} holds no clip yet.")
    outcome = Outcome()
    with alone(args.out), bars(args.quiet) as bar:
        try:
            if args.videos:
                _make(args, outcome, bar)
            elif args.test or args.test_videos:
                split_set(args.out, _division(args), outcome)
        finally:
            (args.out / ".lock").unlink(missing_ok=True)  # TAO takes all in the folder for a class
        if args.flow != "none" and not args.videos:
            _find_flow(args, bar)
        if args.shards:
            _write_shards(args, bar)
    if args.chart:
        draw_classes(args.out, args.chart)
    if not args.quiet:
        sys.stdout.write("\n".join(summary(args.out)) + "\n")
    return say(outcome)


def _division(args: argparse.Namespace) -> Division:
    from edgekit.prepare.action_split import Division

    return Division(args.test, args.seed, tuple(args.test_videos))


def _make(args: argparse.Namespace, outcome: Any, bar: Any) -> None:
    from edgekit.ops.flow import open_flow
    from edgekit.prepare import action_plan as plans
    from edgekit.prepare import actions
    from edgekit.prepare.sources import find_videos

    flow = None if args.flow == "none" else open_flow(args.flow).name  # here, so that it fails at once
    table = plans.read_stretches(args.labels, args.group_by) if args.labels else None
    videos = find_videos(args.videos, args.out)
    if table is None:
        stretches = plans.by_folders(videos, args.videos, outcome)
    else:
        stretches = plans.by_table(videos, table, outcome)
        if not stretches:
            raise InputError(f"{args.labels} names none of the videos; {outcome.notes[-1]}.")
    cuts = plans.Cuts(args.seconds, args.every)
    planned = plans.plan(videos, stretches, args.out, cuts, _division(args), outcome)
    how = actions.How(args.short_side or None, args.fps, flow)
    jobs = args.jobs or min(4, os.cpu_count() or 1)
    actions.make_clips(planned, args.out, how, outcome, jobs=jobs, bar=bar)
    if outcome.bad and not (outcome.made or outcome.kept):
        key, error = outcome.bad[0]
        raise InputError(f"none of the videos could be read; the first, {key}: {error}")


def _find_flow(args: argparse.Namespace, bar: Any) -> None:
    from edgekit.ops.flow import open_flow
    from edgekit.prepare.action_flow import add_flow
    from edgekit.prepare.action_folders import all_clips

    pictures = sum(len(list((folder / "rgb").glob("*"))) for _, folder in all_clips(args.out))
    with closing(open_flow(args.flow)) as flow:
        add_flow(args.out, flow, done=bar("flow", pictures))


def _write_shards(args: argparse.Namespace, bar: Any) -> None:
    from edgekit.prepare.action_folders import all_clips, read_clip
    from edgekit.prepare.action_shards import write_shards

    by_side: dict[str, list[Any]] = {}
    for side, folder in all_clips(args.out):
        by_side.setdefault(side, []).append(read_clip(folder, folder.parent.name))
    for side, clips in by_side.items():
        done = bar(f"shards {side}".strip(), sum(len(clip.rgb) + len(clip.u) for clip in clips))
        settings = {"per_shard": args.per_shard, "quality": args.shard_quality, "seed": args.seed}
        write_shards(clips, args.shards / side, **settings, done=done)


def summary(root: Path) -> list[str]:
    """What a set holds, in words."""
    from edgekit.prepare.actions import class_table, label_map_line
    from edgekit.report.tables import to_text

    table = class_table(root)
    labels = sorted({label for rows in table.values() for label in rows})
    head = ["class"]
    for side in table:
        head += [f"{side} clips".strip(), "pictures", "seconds"]
    rows: list[list[Any]] = []
    for label in labels:
        counts = [table[side].get(label, [0, 0, 0.0]) for side in table]
        rows.append(
            [label, *(v for n, frames, seconds in counts for v in (int(n), int(frames), f"{seconds:.1f}"))]
        )
    train = root / "train" if "train" in table else root
    return [
        to_text(head, rows),
        "",
        f"set    {', '.join(str(root / side) for side in table)}",
        f"spec   dataset.train_dataset_dir={train}  {label_map_line(labels)}",
        f"check  edgekit prepare check-actions {root}",
    ]


def draw_classes(root: Path, path: Path) -> None:
    """Write the picture of how many clips each class has, a panel a side of the split."""
    from matplotlib.figure import Figure

    from edgekit.files import atomic_write
    from edgekit.plots_confusion import classes
    from edgekit.prepare.actions import class_table

    table = class_table(root)
    if not table:
        raise InputError(f"{root} holds no clip to draw.")
    most = max(len(rows) for rows in table.values())
    figure = Figure(figsize=(6 * len(table), 1.2 + 0.32 * most), layout="constrained")
    for axis, (side, rows) in zip(
        figure.subplots(1, len(table), squeeze=False).flat, table.items(), strict=True
    ):
        classes({label: int(row[0]) for label, row in rows.items()}, axis=axis, title=f"{side} clips".strip())
    try:
        with atomic_write(path) as scratch:
            figure.savefig(scratch, format="png", dpi=120)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def run_check(args: argparse.Namespace) -> int:
    """Say what is wrong with a set; 2 where something is."""
    from edgekit.prepare.action_check import check_actions, place
    from edgekit.prepare.check import told

    label_map = None
    if args.spec:
        from edgekit.train.action_spec import as_written

        label_map = as_written(args.spec, (), lambda line: None).dataset.label_map
    problems = check_actions(args.folder, label_map)
    for line in told(problems, 10**9 if args.all else 3, place):
        sys.stdout.write(line + "\n")
    if args.chart:
        draw_classes(args.folder, args.chart)
    return 2 if problems else 0
