"""Several videos one after the other with the same networks, each into a folder of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.run_cli import _run

#: Endings of video files; a folder that holds one is taken for a folder of videos, not of pictures.
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")


def folder_videos(source: str) -> list[Path]:
    """The videos of the folder `source`, by name; [] where it is none or holds none."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEOS and path.is_file() and not path.name.startswith(".")
    )


def named(videos: Sequence[Path]) -> dict[str, Path]:
    """Each video under the name of its folder of results: without the ending, unless two are alike."""
    stems = [video.stem for video in videos]
    return {video.stem if stems.count(video.stem) == 1 else video.name: video for video in videos}


def run_each(
    args: argparse.Namespace,
    videos: Mapping[str, Path],
    make_task: Callable[[], Any],
    more_sinks: Sequence[Any] = (),
    begin: Callable[[Any, Path], None] = lambda task, video: None,
) -> int:
    """Run one task over videos; `begin(task, video)` prepares it for each.

    A video that fails is named, and the others go on. Returns 1 if one failed, else the highest code.
    """
    base = args.out or Path("out") / args.task
    codes, failed = [0], []
    with make_task() as task:
        for number, (name, video) in enumerate(videos.items(), 1):
            if not args.quiet:
                sys.stderr.write(f"[{number}/{len(videos)}] {name}\n")
            one = argparse.Namespace(**{**vars(args), "source": str(video), "out": base / name})
            task.reset()
            begin(task, video)
            try:
                codes.append(_run(one, lambda: nullcontext(task), more_sinks))
            except EdgekitError as error:
                failed.append(video.name)
                sys.stderr.write(f"edgekit: {video.name}: {error}\n")
            if codes[-1] == 130:
                break
    if failed:
        sys.stderr.write(f"edgekit: {len(failed)} of {len(videos)} videos failed: {', '.join(failed)}\n")
    return 130 if 130 in codes else 1 if failed else max(codes)
