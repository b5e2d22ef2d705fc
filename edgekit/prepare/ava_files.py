"""The files of AVA's layout (https://research.google.com/ava/download.html), read and written.

A set is one folder:

    frames/VIDEO/VIDEO_000001.jpg …    30 a second, numbered from 1
    frame_lists/{train,val}.csv        which pictures a video has, in order
    annotations/…                      boxes, actions, action list, seconds to leave out
    dataset.json                       what AVA's files do not say: see `Info`

Seconds count from 900, the minute at which AVA's own clips begin: the picture of second s is number
(s - 900) · 30 of its video, from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgekit.errors import InputError
from edgekit.prepare.text import lines, number, read_text, write_lines

#: Pictures a second, and the second that a clip's first picture has: AVA's.
FPS, FIRST_SECOND = 30, 900
#: Seconds that AVA labels: its clips are 901 s long, two at either end are left out.
AVA_SECONDS = range(902, 1799)
SPLITS = ("train", "val")
FRAME_LIST_HEADER = "original_vido_id video_id frame_id path labels"  # spelt so in the published lists

T = TypeVar("T")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layout:
    """Where each file of a set lies.

    Attributes:
        root: the set's folder.
    """

    root: Path

    @property
    def frames(self) -> Path:
        return self.root / "frames"

    @property
    def annotations(self) -> Path:
        return self.root / "annotations"

    @property
    def labels(self) -> Path:
        """The action list."""
        return self.annotations / "ava_action_list_v2.2_for_activitynet_2019.pbtxt"

    @property
    def info(self) -> Path:
        return self.root / "dataset.json"

    def frame_list(self, split: str) -> Path:
        return self.root / "frame_lists" / f"{split}.csv"

    def truth(self, split: str) -> Path:
        """Labelled people: `read_csv`."""
        return self.annotations / f"ava_{split}_v2.2.csv"

    def boxes(self, split: str) -> Path:
        """Found people with their scores, labelled or not: `read_boxes`."""
        name = {"train": "train_boxes_and_labels_include_negative_v2.2", "val": "val_boxes_and_labels"}[split]
        return self.annotations / "person_box_67091280_iou90" / f"ava_detection_{name}.csv"

    def excluded(self, split: str) -> Path:
        return self.annotations / f"ava_{split}_excluded_timestamps_v2.2.csv"


@dataclass(frozen=True)
class Row:
    """One line of a CSV: one person in one second does one thing.

    Attributes:
        video: name of the video.
        second: from 900.
        box: x1, y1, x2, y2 as shares of the picture's width and height, 0 to 1.
        action: number in the action list, from 1; None for a person without a label.
        person: number of the person in the video; None in lists of found boxes.
        score: of the detector; None in lists of labelled people.
    """

    video: str
    second: int
    box: Box
    action: int | None
    person: int | None = None
    score: float | None = None


def parse_row(line: str, *, scored: bool = False) -> Row:
    """One line of a CSV of labelled people, or (`scored`) of found boxes.

    Raises:
        ValueError: in words, what is wrong with the line's form; whether its values make sense is not asked.
    """
    fields = [field.strip() for field in line.rstrip("\r\n").split(",")]
    last = "score" if scored else "person"
    if len(fields) != 8 and not (len(fields) == 7 and not scored):  # AVA v2.0 has no person
        raise ValueError(f"{len(fields)} columns instead of 8 (video,second,x1,y1,x2,y2,action,{last})")
    if not fields[0]:
        raise ValueError("no video's name")
    second = number(fields[1], int, "second")
    x1, y1, x2, y2 = (
        number(f, float, name) for f, name in zip(fields[2:6], ("x1", "y1", "x2", "y2"), strict=True)
    )
    action = number(fields[6], int, "action") if fields[6] else None
    tail = fields[7] if len(fields) == 8 else ""
    if scored:
        return Row(fields[0], second, (x1, y1, x2, y2), action, score=number(tail, float, "score"))
    person = number(tail, int, "person") if tail else None
    return Row(fields[0], second, (x1, y1, x2, y2), action, person)


def read_csv(path: Path | str) -> list[Row]:
    """Labelled people (`ava_train_v2.2.csv`), in the file's order.

    Raises:
        InputError: the file cannot be read, or a line has not the form; it is named.
    """
    return _read(path, parse_row)


def read_boxes(path: Path | str) -> list[Row]:
    """Found people with scores, labelled or not (`ava_detection_…csv`), in the file's order.

    Raises:
        InputError: as of `read_csv`.
    """
    return _read(path, lambda line: parse_row(line, scored=True))


def write_csv(path: Path | str, rows: Iterable[Row]) -> None:
    """Write labelled people: seconds with four digits, boxes with three decimals, as AVA has them."""
    write_lines(path, (f"{_begin(row)},{'' if row.person is None else row.person}" for row in rows))


def write_boxes(path: Path | str, rows: Iterable[Row]) -> None:
    """Write found people with their scores; who has no label has an empty action."""
    write_lines(path, (f"{_begin(row)},{row.score or 0.0:.6f}" for row in rows))


def _begin(row: Row) -> str:
    box = ",".join(f"{value:.3f}" for value in row.box)
    return f"{row.video},{row.second:04d},{box},{'' if row.action is None else row.action}"


def parse_frame(line: str) -> tuple[str, int, int, str]:
    """One line of a frame list as (video, its number, the picture's number from 0, path under frames/).

    Raises:
        ValueError: what is wrong with its form.
    """
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} columns instead of 5 ({FRAME_LIST_HEADER})")
    return fields[0], number(fields[1], int, "video_id"), number(fields[2], int, "frame_id"), fields[3]


def read_frame_list(path: Path | str) -> dict[str, list[str]]:
    """Each video's pictures as paths under frames/, in the file's order. The first line is a header.

    Raises:
        InputError: as of `read_csv`.
    """
    videos: dict[str, list[str]] = {}
    for video, _, _, picture in _read(path, parse_frame, skip=1):
        videos.setdefault(video, []).append(picture)
    return videos


def write_frame_list(path: Path | str, videos: Mapping[str, Sequence[str]]) -> None:
    """Write a frame list: each video's pictures, paths under frames/."""
    write_lines(
        path,
        (
            FRAME_LIST_HEADER,
            *(
                f'{video} {number} {index} {picture} ""'
                for number, (video, pictures) in enumerate(videos.items())
                for index, picture in enumerate(pictures)
            ),
        ),
    )


def picture_name(video: str, index: int) -> str:
    """The path under frames/ of a video's picture, `index` from 0."""
    return f"{video}/{video}_{index + 1:06d}.jpg"


def read_labels(path: Path | str) -> dict[int, str]:
    """The action list as number → name; both forms that AVA publishes (`item`/`id`, `label`/`label_id`).

    Raises:
        InputError: it cannot be read, or an entry lacks name or number, or a number comes twice.
    """
    text = read_text(path)
    found: dict[int, str] = {}
    for block in re.finditer(r"(?:item|label)\s*\{([^{}]*)\}", text):
        name = re.search(r'\bname:\s*"([^"\n]+)"', block[1])
        number = re.search(r"\b(?:label_)?id:\s*(\d+)", block[1])
        line = text.count("\n", 0, block.start()) + 1
        if name is None or number is None:
            raise InputError(f'{path}:{line}: an entry needs name: "…" and id: a number.')
        if int(number[1]) in found:
            raise InputError(f"{path}:{line}: number {number[1]} comes twice.")
        found[int(number[1])] = name[1]
    if not found:
        raise InputError(f'{path} holds no action; an entry is: item {{ name: "walk" id: 12 }}.')
    return found


def write_labels(path: Path | str, names: Mapping[int, str]) -> None:
    """Write an action list, a line for each name and number as SlowFast's reader wants it.

    Raises:
        InputError: a name with a quotation mark, which that format has no way to write.
    """
    for name in names.values():
        if '"' in name or "\n" in name or not name.strip():
            raise InputError(
                f"{name!r} can be no action's name: no quotation marks, no line ends, not empty."
            )
    write_lines(
        path, (f'item {{\n  name: "{name}"\n  id: {number}\n}}' for number, name in sorted(names.items()))
    )


def parse_excluded(line: str) -> tuple[str, int]:
    """One line of the seconds left out; ValueError says what is wrong with its form."""
    fields = [field.strip() for field in line.rstrip("\r\n").split(",")]
    if len(fields) != 2:
        raise ValueError(f"{len(fields)} columns instead of 2 (video,second)")
    return fields[0], number(fields[1], int, "second")


def read_excluded(path: Path | str) -> set[tuple[str, int]]:
    """Seconds that neither train nor count, as (video, second).

    Raises:
        InputError: as of `read_csv`.
    """
    return set(_read(path, parse_excluded))


def write_excluded(path: Path | str, seconds: Iterable[tuple[str, int]]) -> None:
    """Write the seconds left out, sorted."""
    write_lines(path, (f"{video},{second:04d}" for video, second in sorted(seconds)))


@dataclass(frozen=True)
class Info:
    """What AVA's files do not say.

    Attributes:
        seconds: the labelled seconds, which SlowFast's code calls AVA_VALID_FRAMES.
        videos: what is known of each clip: "source", "start" (s in the source), "frames", "width",
            "height", "split".
    """

    seconds: range
    videos: Mapping[str, Mapping[str, Any]]


def read_info(root: Path | str) -> Info:
    """`dataset.json` of a set; where it has none (AVA's own, or made by hand) AVA's seconds.

    Raises:
        InputError: it is there and no such file.
    """
    path = Layout(Path(root)).info
    if not path.exists():
        return Info(AVA_SECONDS, {})
    try:
        data = json.loads(read_text(path))
        first, stop = (int(value) for value in data["AVA_VALID_FRAMES"])
        return Info(range(first, stop), dict(data["videos"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not what `edgekit prepare ava` wrote ({error!r}); run it again."
        ) from error


def write_info(root: Path | str, info: Info, **more: Any) -> None:
    """Write `dataset.json`; `more` stands in it too, for whoever reads it."""
    valid = [info.seconds.start, info.seconds.stop]
    data = {"AVA_VALID_FRAMES": valid, "fps": FPS, "first_second": FIRST_SECOND, **more}
    data["videos"] = {name: dict(video) for name, video in info.videos.items()}
    write_lines(Layout(Path(root)).info, [json.dumps(data, indent=1, ensure_ascii=False)])


def _read(path: Path | str, parse: Callable[[str], T], skip: int = 0) -> list[T]:
    found = []
    for at, line in lines(path, skip):
        try:
            found.append(parse(line))
        except ValueError as error:
            raise InputError(
                f"{path}:{at}: {error}; `edgekit prepare check` lists all that is wrong."
            ) from None
    return found
