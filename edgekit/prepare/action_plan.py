"""Which parts of which videos become clips of which class, and on which side of the split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError
from edgekit.prepare.action_folders import is_name
from edgekit.prepare.action_split import Division, say_missing
from edgekit.prepare.actions import Part, read_set
from edgekit.prepare.ava import SHORT_S, Outcome
from edgekit.prepare.decode import duration
from edgekit.prepare.labels import read_rows, words_of
from edgekit.prepare.sources import digest, names_for
from edgekit.prepare.text import number

#: Words for the sides of the split that a table may use.
SIDES = {"": "", "train": "train", "training": "train", "test": "test", "val": "test", "validation": "test"}


@dataclass(frozen=True)
class Stretch:
    """A stretch of a video with one action.

    Attributes:
        video: path under the folder given, file name or stem.
        label: the class.
        start, end: seconds of the video; None: to its end.
        split: "train", "test" or "".
        group: what is to be on one side of the split; "" where the table does not say.
    """

    video: str
    label: str
    start: float = 0.0
    end: float | None = None
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Cuts:
    """Which pieces of a stretch become clips.

    Attributes:
        seconds: how long each is; None: the whole stretch is one.
        every: seconds from one's start to the next one's; None: they touch. A last one that would be cut
            short is left out, unless it is the only one.
    """

    seconds: float | None = None
    every: float | None = None


def read_stretches(path: Path | str, group_by: str | None = None) -> list[Stretch]:
    """A table (commas, semicolons or tabs, with a header) of stretches.

    Columns, with the other words of `labels.COLUMNS`: video and action; start_s and end_s (empty: from the
    beginning, to the end); split (train, test or val). Others do not matter, but for that of `group_by`.

    Raises:
        InputError: a column is missing, or a line makes no sense; it is named.
    """
    found = []
    for line, cell, group in read_rows(path, group_by):
        try:
            start = number(cell["start"], float, "start_s") if cell["start"] else 0.0
            end = number(cell["end"], float, "end_s") if cell["end"] else None
            if not 0 <= start < (float("inf") if end is None else end):
                raise ValueError(f"it ends ({end:g} s) before it starts ({start:g} s)")
            if not cell["video"] or not is_name(cell["action"]):
                raise ValueError("no video, or an action that is no folder's name: no slash, no dot in front")
            if cell["split"].lower() not in SIDES:
                raise ValueError(f"split is {cell['split']!r}; it is train, test or empty")
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}.") from None
        side = SIDES[cell["split"].lower()]
        found.append(Stretch(cell["video"], cell["action"], start, end, side, group))
    return found


def by_folders(
    videos: Mapping[str, Path], given: Iterable[Path], outcome: Outcome
) -> dict[str, list[Stretch]]:
    """Each video as one stretch of the class whose folder it lies in, the first below the one given.

    Where all lie at train/CLASS/ or test/CLASS/ (or val), these are the sides of the split.
    """
    roots = [one for one in given if one.is_dir()]
    places = {
        key: next((path.relative_to(one).parts for one in roots if path.is_relative_to(one)), ())
        for key, path in videos.items()
    }
    split = all(len(parts) > 2 and parts[0] in SIDES for parts in places.values())
    found = {}
    for key, parts in places.items():
        if len(parts) > 1:
            found[key] = [Stretch(key, parts[1], split=SIDES[parts[0]]) if split else Stretch(key, parts[0])]
        else:
            words = "it lies in no class's folder: give the one above (CLASS/VIDEO.mp4), or --labels TABLE."
            outcome.bad.append((key, InputError(words)))
    return found


def by_table(
    videos: Mapping[str, Path], table: Sequence[Stretch], outcome: Outcome
) -> dict[str, list[Stretch]]:
    """The stretches that a table has of each video; videos without any are told.

    Raises:
        InputError: a line could mean two videos.
    """
    known: dict[str, list[str]] = {}
    for key in videos:
        for word in {key, *words_of(key)}:
            known.setdefault(word, []).append(key)
    found: dict[str, list[Stretch]] = {}
    missing = set()
    for stretch in table:
        keys = [stretch.video] if stretch.video in videos else known.get(stretch.video, [])
        if len(keys) > 1:
            raise InputError(f"{stretch.video!r} of the table may be {' or '.join(keys)}; write the path.")
        if keys:
            found.setdefault(keys[0], []).append(stretch)
        else:
            missing.add(stretch.video)
    for what, some in (
        ("videos of the table are not here", sorted(missing)),
        ("videos are not in the table", [key for key in videos if key not in found]),
    ):
        outcome.notes += [f"{len(some)} {what}, the first: {some[0]}"] if some else []
    return found


def plan(
    videos: Mapping[str, Path],
    stretches: Mapping[str, Sequence[Stretch]],
    root: Path,
    cuts: Cuts,
    division: Division,
    outcome: Outcome,
) -> list[Part]:
    """The parts that become clips; a video that does not open is noted as bad.

    Args:
        videos: as of `find_videos`.
        stretches: of each video.
        root: the set; names that it has given stay.
        cuts, division: of each stretch, and of all.
        outcome: takes the bad ones and the notes.

    Raises:
        InputError: the table has a group on both sides.
    """
    by_label: dict[str, list[str]] = {}
    for key, own in stretches.items():
        for label in dict.fromkeys(stretch.label for stretch in own):
            by_label.setdefault(label, []).append(key)
    sides = _sides(stretches, division)
    parts, there = [], read_set(root)
    for label, keys in sorted(by_label.items()):
        taken = _taken(there, label)
        used = {name for name, key in taken.items() if key.startswith("\0")}
        for key, name in names_for(keys, taken).items():
            own = [stretch for stretch in stretches[key] if stretch.label == label]
            try:
                pieces = [piece for stretch in own for piece in _pieces(videos[key], stretch, cuts)]
            except EdgekitError as error:
                outcome.bad.append((key, error))
                continue
            group = _group(key, stretches[key])
            one = Part(name, name, label, sides.get(key, ""), key, videos[key], group=group)
            several = cuts.seconds is not None or len(pieces) > 1
            for count, (start, seconds) in enumerate(pieces):
                own_name = f"{name}_{count:03d}" if several else name
                if own_name in used:  # a video that is called as another one's piece
                    own_name = f"{name}-{digest(key)}_{count:03d}"
                used.add(own_name)
                parts.append(replace(one, name=own_name, start=start, seconds=seconds))
    say_missing([(part.split, part.label) for part in parts], outcome)
    return parts


def _pieces(path: Path, stretch: Stretch, cuts: Cuts) -> list[tuple[float, float | None]]:
    """(start, seconds) of a stretch's clips."""
    if cuts.seconds is None:
        return [(stretch.start, None if stretch.end is None else stretch.end - stretch.start)]
    length = duration(path)
    end = length if stretch.end is None else min(stretch.end, length)
    starts, every = [stretch.start], cuts.every or cuts.seconds
    while starts[-1] + every + cuts.seconds <= end + SHORT_S:
        starts.append(starts[-1] + every)
    return [(start, min(cuts.seconds, max(end - start, 0.0))) for start in starts]


def _taken(there: Mapping[Path, Mapping[str, Any]], label: str) -> dict[str, str]:
    """The names of a class's videos with their keys; names of clips of other origin belong to no video."""
    notes = {folder.name: note for folder, note in there.items() if folder.parent.name == label}
    return {str(n["video"]): str(n["source"]) for n in notes.values() if "asked" in n} | {
        name: f"\0{name}" for name, note in notes.items() if "asked" not in note
    }


def _group(key: str, own: Sequence[Stretch]) -> str:
    return next((stretch.group for stretch in own if stretch.group), key)


def _sides(stretches: Mapping[str, Sequence[Stretch]], division: Division) -> dict[str, str]:
    """key → side of the split; {} where nothing is split."""
    groups = {key: _group(key, own) for key, own in stretches.items()}
    fixed: dict[str, str] = {}
    for key, own in stretches.items():
        for said in {stretch.split for stretch in own if stretch.split}:
            if fixed.setdefault(groups[key], said) != said:
                raise InputError(f"the table has {key} (or its group {groups[key]}) in both train and test.")
    return division.sides(groups, fixed)
