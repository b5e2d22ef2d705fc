"""Clips of actions from videos, in the folders of `action_folders`: what `edgekit prepare actions` does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, InputError
from edgekit.ops.flow import SCALING, open_flow
from edgekit.ops.resize import resize
from edgekit.prepare.action_folders import SPLITS, all_clips, read_clip, read_note, write_clip
from edgekit.prepare.action_split import drop_empty
from edgekit.prepare.ava import Outcome, Progress
from edgekit.prepare.clips import size_for
from edgekit.prepare.decode import Remarks, duration, own_rate, pictures
from edgekit.prepare.jobs import extract_all

#: A part without an end goes on as long as the file does.
END_S = 1e6


@dataclass(frozen=True)
class How:
    """How pictures are made of a clip.

    Attributes:
        short_side: pixels of the shorter side, 256 as TAO's crops want it; None leaves the size. Only made
            smaller, never larger.
        fps: pictures a second; None: the video's own, the mean where they come unevenly.
        flow: a method of `edgekit.ops.flow`, but for auto; None: no flow.
    """

    short_side: int | None = 256
    fps: float | None = None
    flow: str | None = None


@dataclass(frozen=True)
class Part:
    """A part of a video that becomes a clip.

    Attributes:
        name: of the clip.
        video: name of the video; the clip has the same where it is the only one of its class.
        label: its class.
        split: "train", "test", or "" where nothing is split.
        key: the video's path under the folder it was found in.
        path: the file.
        start, seconds: the part; None: to the end.
        group: whatever shares one, such as a person, is on one side of the split.
    """

    name: str
    video: str
    label: str
    split: str
    key: str
    path: Path
    start: float = 0.0
    seconds: float | None = None
    group: str = ""

    def folder(self, root: Path) -> Path:
        """Of the clip."""
        return root / self.split / self.label / self.name

    def asked(self, how: How) -> dict[str, Any]:
        """What the pictures depend on: the file as it is now, the part, and how they are made."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}.") from error
        file = {"key": self.key, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        return {**file, "start": self.start, "seconds": self.seconds, **asdict(how)}


def make_clip(
    part: Part, root: Path, how: How, *, threads: int = 0, done: Callable[[int], None] = lambda _: None
) -> None:
    """Write a part's pictures and flow: whole, or not at all.

    Args:
        part, how: what.
        root: the set's folder.
        threads: of the decoder and of OpenCV; 0: as many as they like.
        done: told after each picture.

    Raises:
        InputError: as of `decode.pictures` and `write_clip`.
        EdgekitError: the pictures cannot be written.
    """
    if threads:
        cv2.setNumThreads(threads)
    fps = how.fps or own_rate(part.path)
    facts: dict[str, Any] = {
        "video": part.video,
        "source": part.key,
        "start": part.start,
        "group": part.group,
        "asked": part.asked(how),
    }
    if how.flow:
        facts["flow_scaling"] = SCALING
    frames = _frames(part, how, fps, threads, facts, done)
    with closing(open_flow(how.flow)) if how.flow else nullcontext() as flow:
        write_clip(
            root / part.split, part.label, part.name, frames, flow=flow, fps=fps, replace=True, facts=facts
        )


def _frames(
    part: Part, how: How, fps: float, threads: int, facts: dict[str, Any], done: Callable[[int], None]
) -> Iterator[NDArray[np.uint8]]:
    remarks, size = Remarks(), (0, 0)
    seconds = END_S if part.seconds is None else part.seconds
    for image, times in pictures(part.path, part.start, seconds, fps=fps, threads=threads, remarks=remarks):
        size = size if size[0] else size_for(image, how.short_side)
        small = resize(image, (size[1], size[0]))  # as the networks' inputs are made smaller
        for _ in range(times):
            yield small
        done(times)
    facts["note"] = remarks.text  # known only now; `write_clip` notes the facts after the last picture


def read_set(root: Path) -> dict[Path, dict[str, Any]]:
    """The clips of a set, split or not, with their notes."""
    return {folder: read_note(folder) for _, folder in all_clips(root)} if root.is_dir() else {}


def is_whole(folder: Path, note: Mapping[str, Any]) -> bool:
    """Whether a clip has all the pictures that its note tells of."""
    clip = read_clip(folder, streams=())
    flows = note.get("frames", 0) - 1 if note.get("flow") else 0
    return (len(clip.rgb), len(clip.u), len(clip.v)) == (note.get("frames"), flows, flows)


def make_clips(
    planned: Sequence[Part],
    root: Path,
    how: How,
    outcome: Outcome,
    *,
    jobs: int = 1,
    bar: Callable[[str, int], Progress],
) -> None:
    """Write what clips are missing; what of the same videos is not planned any more goes.

    Args:
        planned: as of `action_plan.plan`.
        root, how, jobs: as of `make_clip` and `extract_all`.
        outcome: is told what was made, kept, and bad.
        bar: makes a progress bar of a title and how many pictures are to come.

    Raises:
        EdgekitError: as of `extract_all`.
    """
    for split in ("", *SPLITS):  # what a killed run left
        shutil.rmtree(root / split / ".part", ignore_errors=True)
    there = _settle(planned, root, read_set(root), outcome)
    todo = []
    for part in planned:
        note = there.get(part.folder(root), {})
        if note.get("asked") == part.asked(how) and is_whole(part.folder(root), note):
            outcome.kept.append(part.name)
        else:
            todo.append(part)
    progress = bar("pictures", sum(_expected(part, how) for part in todo))
    bad = extract_all(todo, root, how, jobs=jobs, progress=progress, work=make_clip)
    outcome.bad += [(part.key, error) for part, error in bad]
    failed = {part for part, _ in bad}
    for part in todo:
        if part not in failed:
            outcome.made.append(part.name)
            words = read_note(part.folder(root)).get("note")
            outcome.notes += [f"{part.key}: {words}"] * bool(words)


def _settle(
    planned: Sequence[Part], root: Path, there: dict[Path, dict[str, Any]], outcome: Outcome
) -> dict[Path, dict[str, Any]]:
    """Move clips that are on another side of the split now, and delete those that are not wanted any more."""
    wanted = {part.folder(root): part for part in planned}
    sources = {part.key for part in planned}
    places = {(p.label, p.name): folder for folder, p in wanted.items()}
    settled = {}
    for folder, note in there.items():
        place = places.get((folder.parent.name, folder.name))
        if folder in wanted or "asked" not in note or note["source"] not in sources:
            settled[folder] = note
        elif place is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.replace(place)
            settled[place] = note
        else:
            shutil.rmtree(folder)
            outcome.notes.append(f"{folder} went, since {note['source']} is cut otherwise now")
    drop_empty(folder.parent for folder in there)
    return settled


def _expected(part: Part, how: How) -> int:
    try:
        left = max(0.0, duration(part.path) - part.start)
        return round(
            min(END_S if part.seconds is None else part.seconds, left) * (how.fps or own_rate(part.path))
        )
    except EdgekitError:  # told when it is opened
        return 0


def class_table(root: Path) -> dict[str, dict[str, list[float]]]:
    """What a set holds: split ("" where there is none) → class → [clips, pictures, seconds]."""
    table: dict[str, dict[str, list[float]]] = {}
    for split, folder in all_clips(root):
        note = read_note(folder)
        row = table.setdefault(split, {}).setdefault(folder.parent.name, [0, 0, 0.0])
        frames = note.get("frames") or len(read_clip(folder, streams=()).rgb)
        row[0], row[1] = row[0] + 1, row[1] + frames
        row[2] += frames / note["fps"] if note.get("fps") else 0.0
    return table


def label_map_line(labels: Sequence[str]) -> str:
    """The classes as a line of a training's specification: `label_map: {"sit": 0, "walk": 1}`."""
    return "label_map: " + json.dumps({name: i for i, name in enumerate(sorted(labels))}, ensure_ascii=False)
