"""`edgekit prepare`: a data set of one's own videos."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.prepare.annotate import Counts
    from edgekit.prepare.ava import Outcome

STEPS = ("pictures", "people", "lists")


def add_parser(subparsers: Any) -> None:
    """Add `prepare` and its kinds."""
    parser = subparsers.add_parser("prepare", help="make a data set of your own videos")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    one = kinds.add_parser(
        "ava",
        help="in AVA's layout, as SlowFast reads it",
        description="Cut videos into clips, write their pictures, find and number the people, label them by "
        "a table, and write AVA's files. Run again it goes on where it stopped; without VIDEOS it makes "
        "people and lists of what is there.",
    )
    one.add_argument("videos", nargs="*", type=Path, metavar="VIDEOS", help="folders or files")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    one.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="default: all, in this order")
    clips = one.add_argument_group("clips")
    clips.add_argument("--start", type=_seconds, default=0.0, metavar="S", help="where the first one begins")
    clips.add_argument("--seconds", type=_some, default=100.0, metavar="S", help="of each (default 100)")
    clips.add_argument(
        "--every", type=_some, metavar="S", help="one clip each S seconds (default: one a video)"
    )
    clips.add_argument("--clips", type=_count, metavar="N", help="with --every: so many a video at most")
    clips.add_argument("--short-side", type=_count, metavar="PX", help="make larger pictures smaller")
    clips.add_argument("--quality", type=_percent, default=95, help="of the JPEGs, 1 to 100 (default 95)")
    clips.add_argument("--film", action="store_true", help="write each clip as a video too: videos/NAME.mp4")
    clips.add_argument("--jobs", type=_count, metavar="N", help="processes (default: one a CPU, 4 at most)")
    found = one.add_argument_group("people")
    found.add_argument("--detector", default="edgekit-person", help="any YOLO that finds people")
    found.add_argument("--tracker", default="bytetrack", help="numbers them; none: each box for itself")
    found.add_argument(
        "--track-fps", type=_count, default=10, metavar="N", help="pictures a second it sees (default 10)"
    )
    found.add_argument("--score", type=_share, default=0.4, help="lowest score of a person (default 0.4)")
    found.add_argument("--precision", default="fp16", choices=("fp32", "fp16", "int8"))
    found.add_argument("--backend", default="auto", help="auto, tensorrt, onnxruntime[-cpu|-cuda]")
    made = one.add_argument_group("labels and split")
    made.add_argument(
        "--labels",
        type=Path,
        metavar="TABLE",
        help="CSV or TSV with video,action and, if you like, start_s,end_s,person,split",
    )
    made.add_argument("--group-by", metavar="COLUMN", help="of the table: never split what is equal there")
    made.add_argument(
        "--actions",
        metavar="FILE",
        help="names one a line, a .pbtxt, or ava80 (default: the table's; without one AVA's 80)",
    )
    made.add_argument("--val", type=_share, default=0.2, help="share of the videos to validate (default 0.2)")
    made.add_argument("--val-videos", nargs="+", default=[], metavar="PATTERN", help="these, and no others")
    made.add_argument("--seed", type=int, default=0, help="of the split")
    made.add_argument(
        "--margin", type=_seconds, default=2.0, metavar="S", help="no key frames so near the ends (default 2)"
    )
    one.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    one.set_defaults(run=run_ava)
    check = kinds.add_parser("check", help="name each thing wrong in a set of AVA's layout")
    check.add_argument("folder", type=Path, metavar="DIR", help="folder of the set")
    check.add_argument("--all", action="store_true", help="name all of many equal things")
    check.set_defaults(run=run_check)
    from edgekit.prepare.action_cli import add_parsers

    parsers = {"some": _some, "share": _share, "count": _count, "percent": _percent}
    add_parsers(kinds, parsers)


def _number(kind: Callable[[str], Any], good: Callable[[Any], bool], words: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        if not good(value):
            raise argparse.ArgumentTypeError(f"{text} is not {words}")
        return value

    return parse


_seconds = _number(float, lambda v: 0 <= v < float("inf"), "0 or more seconds")
_some = _number(float, lambda v: 0 < v < float("inf"), "more than 0 seconds")
_share = _number(float, lambda v: 0 <= v <= 1, "between 0 and 1")
_count = _number(int, lambda v: v >= 1, "1 or more")
_percent = _number(int, lambda v: 1 <= v <= 100, "between 1 and 100")


def run_ava(args: argparse.Namespace) -> int:
    """Make or complete a set; returns the exit code."""
    from edgekit.prepare import ava, labels, lists
    from edgekit.prepare.ava_files import read_labels
    from edgekit.prepare.clips import Cut, read_states
    from edgekit.prepare.sources import find_videos

    if args.group_by and not args.labels:
        raise InputError("--group-by needs the table of --labels, whose column it names.")
    table = labels.read_segments(args.labels, args.group_by) if args.labels else None
    names = _names(args.actions)
    if not args.videos and not read_states(args.out):
        raise InputError(f"give folders or files with videos; {args.out} holds no clip yet.")
    videos = find_videos(args.videos, args.out) if args.videos else {}
    outcome = ava.Outcome()
    with ava.alone(args.out), bars(args.quiet) as bar:
        if "pictures" in args.steps and videos:
            parts = ava.Parts(args.start, args.seconds, args.every, args.clips)
            planned = ava.plan(videos, args.out, parts, outcome)
            cut, jobs = (
                Cut(args.short_side, args.quality, args.film),
                args.jobs or min(4, os.cpu_count() or 1),
            )
            ava.make_pictures(planned, args.out, cut, outcome, jobs=jobs, bar=bar)
            if outcome.bad and not (outcome.made or outcome.kept):
                key, error = outcome.bad[0]
                raise InputError(f"none of the videos could be read; the first, {key}: {error}")
        if "people" in args.steps:
            finder = ava.Finder(
                args.detector,
                None if args.tracker == "none" else args.tracker,
                args.track_fps,
                args.score,
                args.precision,
                args.backend,
            )
            ava.find_everybody(args.out, finder, outcome, bar)
        counts = None
        if "lists" in args.steps:
            division = lists.Division(args.val, args.seed, tuple(args.val_videos), args.margin)
            counts = lists.make_lists(args.out, division, outcome, table=table, names=names)
    if counts and not args.quiet:
        from edgekit.prepare.ava_files import Layout

        sys.stdout.write("\n".join(summary(args.out, counts, read_labels(Layout(args.out).labels))) + "\n")
    return say(outcome)


def _names(actions: str | None) -> dict[int, str] | None:
    if actions is None:
        return None
    if actions == "ava80":
        from edgekit.action_names import AVA80

        return dict(enumerate(AVA80, 1))
    from edgekit.prepare.labels import read_names

    return read_names(actions)


def summary(root: Path, counts: Mapping[str, Counts], names: Mapping[int, str]) -> list[str]:
    """What a set holds, in words."""
    from edgekit.prepare.ava_files import FPS, read_info
    from edgekit.report.tables import to_text

    info = read_info(root)
    rows = [[split, c.videos, c.seconds, c.boxes, c.labels, c.waiting] for split, c in counts.items()]
    done = {n: [names[n], *((c.actions or {}).get(n, 0) for c in counts.values())] for n in names}
    lines = [
        to_text(["split", "clips", "key frames", "people", "labels", "key frames to label"], rows),
        "",
    ]
    used = [row for row in done.values() if any(row[1:])]
    if used:
        lines += [to_text(["action", *counts], used), ""]
    lines += [
        f"{len(info.videos)} clips, {sum(v['frames'] for v in info.videos.values()) / FPS:.0f} s; "
        f"AVA_VALID_FRAMES = range({info.seconds.start}, {info.seconds.stop})",
        f"set    {root}",
        f"check  edgekit prepare check {root}",
    ]
    if not used:
        lines.append(
            "nothing is labelled yet: give --labels TABLE, or in a notebook edgekit.live.label_actions"
        )
    return lines


def say(outcome: Outcome) -> int:
    """Tell what is to be said of a run; returns its exit code, 4 where something was left out."""
    notes = outcome.notes
    for words in notes[:10]:
        sys.stderr.write(f"edgekit: {words}\n")
    if len(notes) > 10:
        sys.stderr.write(f"edgekit: and {len(notes) - 10} remarks more\n")
    for key, error in outcome.bad:
        sys.stderr.write(f"edgekit: left out: {key}: {error}\n")
    return 4 if outcome.bad else 0


@contextmanager
def bars(quiet: bool) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A maker of progress bars; none is left behind."""
    from tqdm import tqdm

    made: list[Any] = []

    def bar(title: str, total: int) -> Callable[[int], None]:
        one = tqdm(total=total, desc=title, unit="picture", leave=False, disable=quiet or None)
        made.append(one)

        def more(count: int) -> None:
            one.update(count)

        return more

    try:
        yield bar
    finally:
        for one in made:
            one.close()


def run_check(args: argparse.Namespace) -> int:
    """Say what is wrong with a set; 2 where something is."""
    from edgekit.prepare.check import check, told

    if not (args.folder / "annotations").exists() and next(args.folder.glob("*/**/rgb/*.png"), None):
        raise InputError(f"{args.folder} is a set of actions: edgekit prepare check-actions {args.folder}")
    problems = check(args.folder)
    for line in told(problems, 10**9 if args.all else 3):
        sys.stdout.write(line + "\n")
    return 2 if problems else 0
