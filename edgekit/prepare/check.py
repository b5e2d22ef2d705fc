"""What is wrong with a set of AVA's layout, each thing with its file, line and cure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edgekit.errors import InputError
from edgekit.prepare import ava_files as ava
from edgekit.prepare import text
from edgekit.prepare.ava_files import FIRST_SECOND, FPS, FRAME_LIST_HEADER, SPLITS, Info, Layout, Row
from edgekit.prepare.check_pictures import Problem, check_pictures

T = TypeVar("T")
#: Ids of actions that SlowFast's code takes (its `Ava` data set asserts 1 to 80).
MOST_ACTIONS = 80


@dataclass
class _Set:
    """What has been read of a set so far."""

    layout: Layout
    info: Info
    problems: list[Problem] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    pictures: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # split → video → paths
    rows: dict[str, list[tuple[int, Row]]] = field(default_factory=dict)  # split → line and row

    @property
    def known(self) -> Collection[int]:
        """Ids that a line may have. A list with gaps, as AVA's, only says which of its 80 are scored."""
        gaps = sorted(self.names) != list(range(1, len(self.names) + 1))
        return range(1, MOST_ACTIONS + 1) if gaps else self.names

    def say(self, file: Path, line: int | None, what: str, cure: str) -> None:
        self.problems.append(Problem(file, line, what, cure))

    def parsed(self, path: Path, parse: Callable[[str], T], cure: str, skip: int = 0) -> list[tuple[int, T]]:
        """The lines of a file that have the form; the others become problems."""
        try:
            lines = list(text.lines(path, skip))
        except InputError as error:
            self.say(path, None, str(error).removeprefix(f"{path} ").rstrip("."), cure)
            return []
        good = []
        for at, line in lines:
            try:
                good.append((at, parse(line)))
            except ValueError as error:
                head = at == 1 and str(error).startswith("second is")
                what = "this file has no header, but the first line is one" if head else str(error)
                self.say(path, at, what, "delete the line" if head else cure)
        return good


def check(root: Path | str) -> list[Problem]:
    """Look through a set, ours or any other of this layout.

    Args:
        root: its folder, with annotations/, frame_lists/ and frames/.

    Returns:
        What is wrong, in the order of its files; [] for a whole set.

    Raises:
        InputError: there is no such folder.
    """
    layout = Layout(Path(root))
    if not layout.root.is_dir():
        raise InputError(f"{root} is no folder; give the one with annotations/, frame_lists/ and frames/.")
    one = _Set(layout, Info(ava.AVA_SECONDS, {}))
    try:
        one.info = ava.read_info(root)
    except InputError as error:
        one.say(layout.info, None, str(error).rstrip("."), "make it again with `edgekit prepare ava`")
    if not _folders(one):
        return one.problems
    _action_list(one)
    for split in SPLITS:
        _frame_list(one, split)
    for split in SPLITS:
        _labelled(one, split)
        _found(one, split)
        _left_out(one, split)
    _leaks(one)
    check_pictures(layout, one.pictures, one.info, one.problems)
    return one.problems


def place(problem: Problem) -> Path:
    """Where like problems are told together: the file, or the folder of pictures."""
    return problem.file.parent if problem.file.suffix == ".jpg" else problem.file


def told(problems: Sequence[Problem], most: int = 3, place: Callable[[Problem], Path] = place) -> list[str]:
    """The problems as lines of text; of those of one kind and place the first `most`."""
    if not problems:
        return ["nothing is wrong"]
    kinds: dict[tuple[Path, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((place(problem), problem.kind), []).append(problem)
    lines = []
    for (where, _), alike in kinds.items():
        lines += [str(problem) for problem in alike[:most]]
        if len(alike) > most:
            lines.append(f"{where}: … and {len(alike) - most} more of this kind (--all names them)")
    return [*lines, f"{len(problems)} problem{'s' * (len(problems) > 1)}"]


def _folders(one: _Set) -> bool:
    """Whether the three folders are where SlowFast's configuration points to."""
    good = True
    for name in ("annotations", "frame_lists", "frames"):
        if not (one.layout.root / name).is_dir():
            deeper = [p for p in one.layout.root.glob(f"*/{name}") if p.is_dir()]
            cure = f"give {deeper[0].parent}" if deeper else "make it with `edgekit prepare ava`"
            one.say(one.layout.root / name, None, "this folder is missing", cure)
            good = False
    return good


def _action_list(one: _Set) -> None:
    path = one.layout.labels
    cure = 'an entry is three lines: item {, then   name: "walk", then   id: 12, and }'
    try:
        one.names = ava.read_labels(path)
    except InputError as error:
        words = str(error).removeprefix(f"{path}").lstrip(": ").rstrip(".")
        at, _, rest = words.partition(": ")
        line, what = (int(at), rest) if at.isdigit() else (None, words)
        one.say(path, line, what, cure)
        return
    if 0 in one.names:
        one.say(path, None, f"{one.names[0]!r} has id 0", "ids begin at 1: add 1 to each, in the CSVs too")
    if max(one.names) > MOST_ACTIONS:
        words = f"id {max(one.names)} is above {MOST_ACTIONS}, which SlowFast's code refuses"
        one.say(path, None, words, "number the actions from 1, and give fewer")
    plain_text = [line for _, line in text.lines(path)]
    plain = sum(line.startswith("  name:") for line in plain_text)
    numbered = sum(line.startswith(("  id:", "  label_id:")) for line in plain_text)
    if plain != len(one.names) or numbered != len(one.names):
        one.say(path, None, "SlowFast's reader wants name and id on lines of their own, two spaces in", cure)


def _frame_list(one: _Set, split: str) -> None:
    path = one.layout.frame_list(split)
    cure = f'a line is: VIDEO 0 0 VIDEO/VIDEO_000001.jpg "" ({FRAME_LIST_HEADER}); no spaces in names'
    lines = one.parsed(path, ava.parse_frame, cure, skip=1)
    if path.is_file():
        head = next(text.lines(path), (1, ""))
        fields = head[1].split()
        if head[0] == 1 and len(fields) == 5 and fields[1].isdigit() and fields[2].isdigit():
            what = "the first line is a picture, but is skipped as the header"
            one.say(path, 1, what, f"put this line above it: {FRAME_LIST_HEADER}")
    videos: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    owners: dict[int, str] = {}
    for at, (video, number, index, picture) in lines:
        own = videos.setdefault(video, [])
        if numbers.setdefault(video, number) != number or owners.setdefault(number, video) != video:
            one.say(path, at, f"video_id {number} is not of {video} alone", "number the videos from 0")
        if index != len(own):
            what = f"picture {index} of {video} stands where {len(own)} belongs: out of order, or a gap"
            one.say(path, at, what, "list every picture once, in order, frame_id from 0")
        if picture != ava.picture_name(video, index):
            what = f"path {picture} is not that of picture {index}, {ava.picture_name(video, index)}"
            one.say(
                path, at, what, "name the pictures VIDEO/VIDEO_000001.jpg, from 1, and list them in order"
            )
        own.append(picture)
    one.pictures[split] = videos


def _valid(one: _Set, path: Path, at: int, row: Row, split: str) -> None:
    """What a line of either kind of CSV must hold to."""
    x1, y1, x2, y2 = row.box
    if not all(0.0 <= v <= 1.0 for v in row.box):
        what = "the box is not within 0 and 1"
        one.say(path, at, what, "boxes are shares: divide x by the picture's width, y by its height")
    elif x2 <= x1 or y2 <= y1:
        one.say(path, at, "the box has no area: x2 <= x1 or y2 <= y1", "the order is x1,y1,x2,y2")
    if row.action is not None and row.action not in one.known:
        what = f"action {row.action} is not in the action list"
        zero = row.action == 0
        cure = (
            "ids begin at 1: add 1 to all" if zero else f"add it to {one.layout.labels.name}, or correct it"
        )
        one.say(path, at, what, cure)
    seconds = one.info.seconds
    if row.second not in seconds:
        what = f"second {row.second} is outside AVA_VALID_FRAMES, {seconds.start} to {seconds.stop - 1}"
        low = row.second < FIRST_SECOND
        cure = (
            f"seconds count from {FIRST_SECOND}: add {FIRST_SECOND} to all"
            if low
            else "set AVA_VALID_FRAMES (SlowFast: ava_helper.py) to your clips' length, or drop the line"
        )
        one.say(path, at, what, cure)
    pictures = one.pictures.get(split, {}).get(row.video)
    if pictures is None:
        other = [s for s in SPLITS if row.video in one.pictures.get(s, {})]
        what = f"{row.video} is not in frame_lists/{split}.csv"
        cure = f"it is in {other[0]}.csv: move the line or the video" if other else "list its pictures there"
        one.say(path, at, what, cure)
    elif row.second >= FIRST_SECOND and (row.second - FIRST_SECOND) * FPS >= len(pictures):
        end = FIRST_SECOND + (len(pictures) - 1) // FPS
        what = f"second {row.second} is past the end of {row.video}, which has {len(pictures)} pictures"
        one.say(path, at, what, f"its last second is {end}: drop the line, or cut a longer clip")


def _labelled(one: _Set, split: str) -> None:
    path = one.layout.truth(split)
    lines = one.parsed(path, ava.parse_row, "a line is: video,0902,x1,y1,x2,y2,action,person")
    seen: dict[Row, int] = {}
    for at, row in lines:
        _valid(one, path, at, row, split)
        if row.action is None:
            one.say(path, at, "no action", "drop the line; who has no label stands in the found boxes alone")
        if row in seen:
            one.say(path, at, f"the same as line {seen[row]}", "drop one of them")
        seen.setdefault(row, at)
    one.rows[split] = lines
    if path.is_file() and not lines:
        what = f"nobody is labelled for {split}"
        cure = "label with edgekit.live.label_actions or `edgekit prepare ava --labels TABLE`"
        alone = split == "val" and len({v["video"] for v in one.info.videos.values()}) == 1
        one.say(path, None, what, "one video cannot be split: add videos" if alone else cure)


def _found(one: _Set, split: str) -> None:
    path = one.layout.boxes(split)
    cure = "a line is: video,0902,x1,y1,x2,y2,,score"
    lines = one.parsed(path, lambda line: ava.parse_row(line, scored=True), cure)
    for at, row in lines:
        _valid(one, path, at, row, split)
        if row.score is not None and not 0.0 <= row.score <= 1.0:
            one.say(path, at, f"score {row.score:g} is not between 0 and 1", "the 8th column is the score")
    there = {row.video for _, row in lines} | {row.video for _, row in one.rows[split] if split == "train"}
    for video in one.pictures.get(split, {}):
        if video not in there:
            what = f"nobody is found in {video}, which frame_lists/{split}.csv lists"
            one.say(path, None, what, "SlowFast stops at such a video: take it out of the frame list")
    if path.is_file() and not lines:
        one.say(path, None, f"no person for {split}", "lower --score, or look whether the videos show people")


def _left_out(one: _Set, split: str) -> None:
    path = one.layout.excluded(split)
    if split == "train" and not path.exists():  # SlowFast reads that of val alone
        return
    lines = one.parsed(path, ava.parse_excluded, "a line is: video,0902")
    out = {key for _, key in lines}
    for at, row in one.rows[split]:
        if (row.video, row.second) in out:
            what = f"a label in {row.video} {row.second}, which {path.name} leaves out"
            one.say(one.layout.truth(split), at, what, "drop one of the two lines")


def _leaks(one: _Set) -> None:
    for video in one.pictures.get("train", {}):
        if video in one.pictures.get("val", {}):
            what = f"{video} is in train.csv too: the score would lie"
            one.say(one.layout.frame_list("val"), None, what, "keep each video in one split")
    sides: dict[str, dict[str, str]] = {}
    for name, facts in one.info.videos.items():
        for split in SPLITS:
            if name in one.pictures.get(split, {}):
                sides.setdefault(str(facts.get("video", name)), {})[split] = name
    for video, by_split in sides.items():
        if len(by_split) > 1 and by_split["train"] != by_split["val"]:
            what = f"{by_split['val']} is a clip of {video}, as {by_split['train']} of train.csv is"
            one.say(one.layout.frame_list("val"), None, what, "keep all clips of a video in one split")
