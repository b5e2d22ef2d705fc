"""The long steps to a set in AVA's layout, pictures and people: each goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError
from edgekit.prepare import clips
from edgekit.prepare import people as who
from edgekit.prepare.ava_files import FPS
from edgekit.prepare.clips import Clip, Cut
from edgekit.prepare.decode import duration
from edgekit.prepare.jobs import extract_all
from edgekit.prepare.sources import names_for

Progress = Callable[[int], None]
#: A clip may be shorter than asked by as much: files state their length no better.
SHORT_S = 0.1


@dataclass(frozen=True)
class Parts:
    """Which parts of a video become clips.

    Attributes:
        start: second of the first one.
        seconds: how long each is.
        every: seconds from one's start to the next one's; None: one clip a video. A last one that would be
            cut short is left out.
        most: clips a video at most.
    """

    start: float = 0.0
    seconds: float = 100.0
    every: float | None = None
    most: int | None = None


@dataclass(frozen=True)
class Finder:
    """What finds the people.

    Attributes:
        detector: any YOLO.
        tracker: a name of `edgekit.tracking.TRACKERS`, or None: a number for each box.
        fps: pictures a second that the tracker sees; divides 30.
        score: lowest score of a person.
        precision, backend: as of `edgekit.open_engine`.
    """

    detector: str = "edgekit-person"
    tracker: str | None = "bytetrack"
    fps: int = 10
    score: float = 0.4
    precision: str = "fp16"
    backend: str = "auto"


@dataclass
class Outcome:
    """What a step did.

    Attributes:
        made, kept: clips that were made, and that were there already.
        bad: what could not be read: name and reason.
        notes: what else is to be said.
    """

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    bad: list[tuple[str, EdgekitError]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Work on a set as the only one.

    Raises:
        EdgekitError: another process works on it, or its folder cannot be made.
    """
    import fcntl

    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise InputError(f"{root} is no folder to write in: {error.strerror}; give another --out.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EdgekitError(f"another `edgekit prepare` works on {root}; wait until it is done.") from None
    finally:
        os.close(handle)


def plan(videos: Mapping[str, Path], root: Path, parts: Parts, outcome: Outcome) -> list[Clip]:
    """The clips of the videos; a video that does not open is noted as bad.

    Args:
        videos: as of `find_videos`.
        root: the set; names that it has given stay.
        parts: of each video.
        outcome: takes the bad ones.
    """
    taken = {state["video"]: state["source"] for state in clips.read_states(root).values()}
    found = []
    for key, name in names_for(videos, taken).items():
        try:
            starts = _starts(videos[key], parts)
        except EdgekitError as error:
            outcome.bad.append((key, error))
            continue
        for number, start in enumerate(starts):
            own = name if parts.every is None else f"{name}_{number:03d}"
            found.append(Clip(own, name, key, videos[key], start, parts.seconds))
    return found


def _starts(path: Path, parts: Parts) -> list[float]:
    if parts.every is None:
        return [parts.start]
    length = duration(path)
    starts = [parts.start]
    while starts[-1] + parts.every + parts.seconds <= length + SHORT_S and len(starts) != parts.most:
        starts.append(starts[-1] + parts.every)
    return starts


def make_pictures(
    planned: Sequence[Clip],
    root: Path,
    cut: Cut,
    outcome: Outcome,
    *,
    jobs: int = 1,
    bar: Callable[[str, int], Progress],
) -> None:
    """Write what pictures are missing; clips of the same videos that are not planned any more go.

    Args:
        planned: as of `plan`.
        root, cut, jobs: as of `extract_all`.
        outcome: is told what was made, kept, and bad.
        bar: makes a progress bar of a title and how many pictures are to come.

    Raises:
        EdgekitError: as of `extract_all`.
    """
    states = clips.read_states(root)
    wanted = {clip.name for clip in planned}
    videos = {clip.video for clip in planned}
    for name, state in states.items():
        if state["video"] in videos and name not in wanted:
            clips.remove(root, name)
            outcome.notes.append(f"the clip {name} went, since {state['source']} is cut otherwise now")
    todo = []
    for clip in planned:
        known = states.get(clip.name)
        if known and known["asked"] == clip.asked(cut) and clips.is_whole(root, clip.name, known):
            outcome.kept.append(clip.name)
        else:
            todo.append(clip)
    total = sum(_expected(clip) for clip in todo)
    for clip, error in extract_all(todo, root, cut, jobs=jobs, progress=bar("pictures", total)):
        outcome.bad.append((clip.key, error))
    after = clips.read_states(root)
    for clip in todo:
        now = after.get(clip.name)
        if now and now["asked"] == clip.asked(cut):
            outcome.made.append(clip.name)
            outcome.notes += [f"{clip.key}: {now['note']}"] * bool(now["note"])


def _expected(clip: Clip) -> int:
    try:
        left = min(clip.seconds, max(0.0, duration(clip.path) - clip.start))
    except EdgekitError:  # told when it is opened
        left = 0.0
    return round(left * FPS)


def find_everybody(root: Path, finder: Finder, outcome: Outcome, bar: Callable[[str, int], Progress]) -> None:
    """Find the people of each clip for which this finder has not done it yet.

    Raises:
        InputError: the detector or a setting does not fit.
    """
    from edgekit.files import sha256
    from edgekit.models import find

    if not 0 < finder.fps <= FPS or FPS % finder.fps:
        raise InputError(f"--track-fps {finder.fps} does not divide {FPS}; give 30, 15, 10, 6, 5, 3, 2 or 1.")
    states = clips.read_states(root)
    settings = {**asdict(finder), "detector": sha256(find(finder.detector))}
    todo = {
        name: state
        for name, state in states.items()
        if who.read_people(root, name, {**settings, "of": state["made"]}) is None
    }
    outcome.kept += [name for name in states if name not in todo]
    if not todo:
        return
    progress = bar("people", sum(state["frames"] for state in todo.values()))
    every = FPS // finder.fps if finder.tracker else FPS
    with open_finder(finder) as task:
        for name, state in todo.items():
            if hasattr(task, "reset"):
                task.reset()
            try:
                found = who.find_people(
                    root, name, state["frames"], task, every=every, score=finder.score, done=progress
                )
            except InputError as error:
                outcome.bad.append((name, error))
                continue
            who.write_people(root, name, found, {**settings, "of": state["made"]})
            outcome.made.append(name)


def open_finder(finder: Finder) -> Any:
    """The task: a `Track`, or a `Yolo` where nothing tracks; looks for people where the model knows them."""
    from edgekit.tasks.track import open_track
    from edgekit.tasks.yolo import open_yolo

    if finder.tracker is None:
        task: Any = open_yolo(finder.detector, finder.precision, finder.backend, score=finder.score)
        detector = task
    else:
        task = open_track(finder.detector, finder.precision, finder.backend, tracker=finder.tracker)
        detector = task.detector
    if "person" in (detector.names or ()):
        detector.classes = ["person"]
    return task
