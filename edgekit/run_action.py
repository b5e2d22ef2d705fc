"""`edgekit run action`: source → ActionRecognitionNet; folders of pictures as TAO has them, one or many."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.results import Actions, Frame, Result
from edgekit.run_cli import MODEL, _common, _count, _run
from edgekit.run_each import folder_videos, named, run_each
from edgekit.run_windowed import add_windowed, windowed_settings
from edgekit.sinks import open_for_writing

if TYPE_CHECKING:
    from edgekit.tasks.action import ActionRecognition

ABOUT = "one action for each window of a video (ActionRecognitionNet)"
MORE = """
--source may be a folder of pictures, as TAO's video_1 (its rgb is taken); or a folder of such folders, a
class or a whole data set, or of videos: one after the other, each into a folder of its own under --out. Each
window gives a line of windows.txt, "[0..31] : walk 0.9312", shown too where the source is a folder.
"""


def add_action(tasks: Any) -> None:
    """Add `action` to the tasks of `run`."""
    parser = tasks.add_parser("action", help=ABOUT, description=f"{ABOUT}. {MORE}")
    _common(parser)
    parser.add_argument("--model", default="edgekit-action", help=MODEL)
    parser.add_argument(
        "--labels", metavar="FILE|A,B,C", help="names of the classes (default: the model's, or class0 …)"
    )
    add_windowed(parser, stride=1)
    parser.add_argument(
        "--sample-rate", type=_count, metavar="N", help="a window has every N-th frame (the model's, 1)"
    )
    parser.add_argument(
        "--center_crop",
        "--center-crop",
        action="store_true",
        default=None,
        help="short side to 256, then the middle, instead of stretching the picture",
    )
    parser.add_argument(
        "--smaller_edge", "--smaller-edge", type=_count, metavar="PIXELS", help="of --center_crop (256)"
    )
    parser.add_argument(
        "--input_2d",
        "--input-2d",
        action="store_true",
        help="the model is a 2d one: read from its input, and only checked here",
    )
    parser.add_argument(
        "--people",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="look at each tracked person, not at the whole picture (default: as the model notes)",
    )
    parser.add_argument(
        "--smooth", action="store_true", help="average the probabilities over time (default: no)"
    )
    parser.set_defaults(run=run_action)


def run_action(args: argparse.Namespace) -> int:
    """Run ActionRecognitionNet over a source, or over each video of a folder; returns the exit code."""
    many = named(folder_videos(args.source)) or picture_folders(args.source)
    opened: list[ActionRecognition] = []

    def make() -> ActionRecognition:
        opened.append(open_asked(args))
        return opened[0]

    def lines(out: Path) -> WindowLines:
        shown = Path(args.source).expanduser().is_dir() and not args.quiet
        return WindowLines(out / "windows.txt", opened[0].span, shown)

    def begin(task: ActionRecognition, video: Path) -> None:
        task.total = length_of(video, args.frames)

    if list(many) not in ([], [""]):
        return run_each(args, many, make, [lines], begin)
    folder = many.get("", Path(args.source).expanduser())
    one = argparse.Namespace(**{**vars(args), "source": str(folder) if many else args.source})

    def make_one() -> ActionRecognition:
        task = make()
        begin(task, folder)
        return task

    return _run(one, make_one, [lines])


def open_asked(args: argparse.Namespace) -> ActionRecognition:
    """The task that the arguments ask for.

    Raises:
        InputError: --input_2d, and the model is a 3d one.
    """
    from edgekit.tasks.action import open_action
    from edgekit.tasks.action_nets import read_labels

    task = open_action(
        args.model,
        args.precision,
        args.backend,
        people=args.people,
        names=read_labels(args.labels) if args.labels is not None else None,
        sample_rate=args.sample_rate,
        center_crop=args.center_crop,
        smaller_edge=args.smaller_edge,
        smooth=args.smooth,
        **windowed_settings(args),
    )
    stream = next(iter(task.net.streams.values()))
    if args.input_2d and not stream.flat:
        task.close()
        raise InputError(f"--input_2d: {args.model} is a 3d model ({stream.name}); leave the option away.")
    return task


def picture_folders(source: str) -> dict[str, Path]:
    """The folders of pictures that `source` is or holds, each under its path in it; {} for another source.

    A folder whose `rgb` holds pictures stands for that one, as TAO's video_1; `u` and `v` are not looked at.
    The source itself has the name "".
    """
    root = Path(source).expanduser()
    if not root.is_dir():
        return {}
    found: dict[str, Path] = {}
    for folder in (root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/"))):
        inside = folder / "rgb"
        own = inside if _has_pictures(inside) else folder if _has_pictures(folder) else None
        if own is None or {folder, folder.parent / "rgb"} & set(found.values()):
            continue  # rgb, u or v of a folder that was found
        found["" if folder == root else str(folder.relative_to(root))] = own
        if folder == root:
            break
    return found


def _has_pictures(folder: Path) -> bool:
    from edgekit.camera.pictures import PICTURES

    return folder.is_dir() and any(path.suffix.lower() in PICTURES for path in folder.iterdir())


def length_of(source: Path, limit: int | None) -> int | None:
    """Frames of a folder of pictures, no more than the limit; None for another source."""
    from edgekit.camera.pictures import picture_paths

    if not source.is_dir():
        return None
    count = len(picture_paths(source))
    return count if limit is None else min(count, limit)


class WindowLines:
    """A line for each window, "[0..31] : walk 0.9312"; of people with their numbers, "[0..31] : #3 walk …".

    As NVIDIA's stand-alone sample prints them: the frames, the likeliest class, its probability.

    Args:
        path: of the file.
        span: frames that a window covers.
        shown: write the lines to the standard output too.
    """

    picture_side = None

    def __init__(self, path: Path, span: int, shown: bool) -> None:
        self.path, self._span, self._shown = path, span, shown
        self._frames = self._windows = 0
        self._file = open_for_writing(path)

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Add the lines of a window, where this frame brought one."""
        self._frames += 1
        if not isinstance(result, Actions) or not result.frames:
            return
        self._windows += 1
        for line in window_lines(result):
            self._file.write(line + "\n")
            if self._shown:
                sys.stdout.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; a video too short for a window is told of."""
        self._file.close()
        if 0 < self._frames < self._span and not self._windows:
            words = f"{self._frames} frames are fewer than the {self._span} of a window"
            sys.stderr.write(f"edgekit: {words}: nothing was looked at; --cold pad looks all the same.\n")


def window_lines(actions: Actions) -> list[str]:
    """The lines of a window: the likeliest class of each row that has scores."""
    frames = spell_frames(actions.frames)
    lines = []
    for row, scores in enumerate(actions.scores):
        if actions.known is not None and not actions.known[row]:
            continue
        number = "" if actions.track_id is None else f"#{actions.track_id[row]} "
        best = int(scores.argmax())
        lines.append(f"{frames} : {number}{actions.names[best]} {scores[best]:.4f}")
    return lines


def spell_frames(frames: tuple[int, ...]) -> str:
    """[0..31], [0,2..62] with a step, or all of them where they have none."""
    steps = set(np.diff(frames).tolist())
    if len(frames) < 3 or len(steps) != 1 or steps == {0}:
        return f"[{','.join(map(str, frames))}]"
    second = "" if steps == {1} else f",{frames[1]}"
    return f"[{frames[0]}{second}..{frames[-1]}]"
