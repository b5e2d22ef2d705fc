"""Labels: the list of actions, tables of who does what from when to when, and labels given by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import InputError
from edgekit.prepare import ava_files as ava
from edgekit.prepare.ava_files import Box, Row
from edgekit.prepare.people import Person
from edgekit.prepare.text import lines, number

#: Columns of a table and other words for them that are understood.
COLUMNS = {
    "video": ("video", "clip", "file", "filename", "name"),
    "action": ("action", "label", "class", "activity"),
    "start": ("start_s", "start", "from", "begin"),
    "end": ("end_s", "end", "to", "stop"),
    "person": ("person", "person_id", "track_id"),
    "split": ("split", "set"),
}
#: A box labelled by hand and a found one are the same person from this overlap on; PASCAL VOC's and AVA's.
SAME_PERSON = 0.5


@dataclass(frozen=True)
class Segment:
    """A stretch of a video in which somebody does something.

    Attributes:
        video: file name, path or stem of the video, or name of a clip.
        action: the action's name.
        start, end: seconds of the video, whatever clips are cut of it; both belong to the stretch.
        person: number of the person in the clip, "largest", or "" for everybody.
        split: "train", "val" or "".
        group: what is to be on one side of the split; "" where the table does not say.
    """

    video: str
    action: str
    start: float = 0.0
    end: float = float("inf")
    person: str = ""
    split: str = ""
    group: str = ""


def read_names(path: Path | str) -> dict[int, str]:
    """Actions of a .pbtxt, or of a text with one name a line, numbered from 1.

    Raises:
        InputError: no such file, or a name comes twice, or there is none.
    """
    if Path(path).suffix == ".pbtxt":
        return ava.read_labels(path)
    names = [line.strip() for _, line in lines(path)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise InputError(f"{path}: {f'{twice[0]!r} comes twice' if twice else 'no action'}; one name a line.")
    return dict(enumerate(names, 1))


def read_segments(path: Path | str, group_by: str | None = None) -> list[Segment]:
    """A table (commas, semicolons or tabs, with a header) of stretches.

    Columns: video and action; start_s and end_s (empty: from the beginning, to the end); person; split. What
    else there is does not matter, but for the one that `group_by` names.

    Raises:
        InputError: a column is missing, or a line makes no sense; it is named.
    """
    segments = []
    for line, cell, group in read_rows(path, group_by):
        try:
            segments.append(_segment(cell, group))
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}.") from None
    return segments


def read_rows(path: Path | str, group_by: str | None = None) -> list[tuple[int, dict[str, str], str]]:
    """The lines of a table as it stands: number, cells by the names of `COLUMNS`, and the group.

    Raises:
        InputError: a column is missing, or there is no line.
    """
    text = "\n".join(line for _, line in lines(path))
    head = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = [name.strip() for name in reader.fieldnames or ()]
    at = {key: next((w for w in words if w in columns), None) for key, words in COLUMNS.items()}
    for key in ("video", "action"):
        if at[key] is None:
            raise InputError(
                f"{path} has no column {key!r} (or {', '.join(COLUMNS[key][1:])}); its first line names "
                f"the columns, as in: video,start_s,end_s,action. Found: {', '.join(columns) or 'nothing'}."
            )
    if group_by is not None and group_by not in columns:
        raise InputError(f"{path} has no column {group_by!r}; it has {', '.join(columns)}.")
    rows = []
    for line, raw in enumerate(reader, 2):
        row = {(name or "").strip(): (value or "").strip() for name, value in raw.items() if name}
        cell = {key: row.get(name, "") if name else "" for key, name in at.items()}
        rows.append((line, cell, row.get(group_by, "") if group_by else ""))
    if not rows:
        raise InputError(f"{path} holds no line under its header.")
    return rows


def _segment(cell: Mapping[str, str], group: str) -> Segment:
    if not cell["video"] or not cell["action"]:
        raise ValueError("no video or no action")
    start = number(cell["start"], float, "start_s") if cell["start"] else 0.0
    end = number(cell["end"], float, "end_s") if cell["end"] else float("inf")
    if not 0 <= start <= end:
        raise ValueError(f"it ends ({end:g} s) before it starts ({start:g} s)")
    person, split = cell["person"].lower(), cell["split"].lower()
    if person not in ("", "largest") and not person.isdigit():
        raise ValueError(f"person is {person!r}; it is a number, largest, or empty for everybody")
    if split not in ("", *ava.SPLITS):
        raise ValueError(f"split is {split!r}; it is train, val or empty")
    return Segment(cell["video"], cell["action"], start, end, person, split, group)


def write_segments(path: Path, segments: Sequence[Segment]) -> None:
    """Write stretches as `read_segments` reads them, their groups in the column `group`."""
    from edgekit.label.file import write_whole

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("video", "start_s", "end_s", "action", "person", "split", "group"))
    for s in segments:
        end = "" if s.end == float("inf") else s.end
        writer.writerow((s.video, s.start, end, s.action, s.person, s.split, s.group))
    write_whole(path, out.getvalue().encode())


def names_of(segments: Iterable[Segment]) -> dict[int, str]:
    """The actions of a table in alphabetical order, numbered from 1."""
    return dict(enumerate(sorted({s.action for s in segments}), 1))


def number_of(names: Mapping[int, str], action: str) -> int:
    """An action's number, told by its name, or by the number itself.

    Raises:
        InputError: the list has no such action.
    """
    lower = {name.lower(): number for number, name in names.items()}
    if action.lower() in lower:
        return lower[action.lower()]
    if action.isdigit() and int(action) in names:
        return int(action)
    some = ", ".join(list(names.values())[:6])
    raise InputError(
        f"the action {action!r} is not in the list ({some} …); correct it, or give the list with --actions."
    )


def belongs(segment: Segment, clip: str, source: str) -> bool:
    """Whether a stretch is of this clip: told by the video's path, file name or stem, or the clip's name."""
    return segment.video in (clip, source, *words_of(source))


def words_of(source: str) -> tuple[str, str]:
    """File name and stem of a path."""
    file = source.rsplit("/", 1)[-1]
    return file, file.rsplit(".", 1)[0]


def by_segments(
    segments: Iterable[Segment], names: Mapping[int, str], t: float, people: Sequence[Person]
) -> list[tuple[Person, list[int]]]:
    """The people of a key frame at `t` seconds of the video whom stretches label, with their actions."""
    found: dict[int, list[int]] = {}
    for s in segments:
        if not s.start <= t <= s.end:
            continue
        action = number_of(names, s.action)
        for row, one in enumerate(people):
            wanted = row == largest(people) if s.person == "largest" else s.person in ("", str(one.person))
            if wanted and action not in found.setdefault(row, []):
                found[row].append(action)
    return [(people[row], sorted(actions)) for row, actions in sorted(found.items()) if actions]


def largest(people: Sequence[Person]) -> int:
    """The row of the largest box."""
    areas = [(p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) for p in people]
    return areas.index(max(areas))


def by_hand(rows: Sequence[Row], people: Sequence[Person]) -> list[tuple[Person, list[int]]]:
    """The people of a key frame that was labelled by hand, with their actions; [] for who does nothing.

    A found box takes the labels of the box that was labelled where the two overlap enough, so that labels
    outlive another detector; a labelled box that nothing overlaps stands for itself.
    """
    labelled: dict[Box, tuple[int, list[int]]] = {}
    for row in rows:
        _, actions = labelled.setdefault(row.box, (row.person or 0, []))
        if row.action is not None and row.action not in actions:
            actions.append(row.action)
    result: list[tuple[Person, list[int]]] = []
    left = dict(labelled)
    for one in people:
        near = max(left, key=lambda box: overlap(box, one.box), default=None)
        if near is not None and overlap(near, one.box) >= SAME_PERSON:
            result.append((one, sorted(left.pop(near)[1])))
        else:
            result.append((one, []))
    alone = [
        (Person(box, 1.0, person), sorted(actions)) for box, (person, actions) in left.items() if actions
    ]
    return result + alone


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return width * height / (both - width * height)
