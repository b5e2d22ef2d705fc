"""What is wrong with a set's pictures: missing, cut short, of several sizes, not listed."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.prepare.ava_files import Info, Layout


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a set.

    Attributes:
        file: where.
        line: its line, from 1; None for the file as a whole.
        what: is wrong.
        cure: what to do.
    """

    file: Path
    line: int | None
    what: str
    cure: str

    @property
    def kind(self) -> str:
        """The same for what differs in numbers and names alone."""
        return re.sub(r"\S*\d\S*", "#", self.what)

    def __str__(self) -> str:
        at = "" if self.line is None else f":{self.line}"
        return f"{self.file}{at}: {self.what}; cure: {self.cure}"


def check_pictures(
    layout: Layout,
    listed: Mapping[str, Mapping[str, list[str]]],
    info: Info,
    problems: list[Problem],
) -> None:
    """Look at every picture that the frame lists name, by its header and its end.

    Args:
        layout: of the set.
        listed: split → video → paths under frames/.
        info: the set's.
        problems: takes what is wrong.
    """
    for split, videos in listed.items():
        for video, paths in videos.items():
            _check_video(layout, split, video, paths, info, problems)


def _check_video(
    layout: Layout, split: str, video: str, paths: list[str], info: Info, problems: list[Problem]
) -> None:
    def say(file: Path, what: str, cure: str) -> None:
        problems.append(Problem(file, None, what, cure))

    folder = layout.frames / video
    again = "run `edgekit prepare ava` again, or write the pictures anew"
    there = {p.name for p in folder.glob("*.jpg")} if folder.is_dir() else set()
    wanted = {Path(path).name for path in paths if Path(path).parent.name == video}
    if not there:
        say(folder, f"the pictures of {video} are missing, {len(paths)} are listed for {split}", again)
        return
    for name in sorted(wanted - there):
        say(folder / name, "this picture is listed, but missing", again)
    for path in sorted(p for p in paths if Path(p).parent.name != video):
        if not (layout.frames / path).is_file():
            say(layout.frames / path, "this picture is listed, but missing", again)
    if more := sorted(there - wanted):
        what = f"{len(more)} pictures are not in frame_lists/{split}.csv, the first: {more[0]}"
        say(folder, what, "list every picture; the window would end too early")
    noted = info.videos.get(video, {}).get("frames", len(paths))
    if noted != len(paths):
        say(layout.frame_list(split), f"{len(paths)} of {noted} pictures of {video} are listed", again)
    first: tuple[int, int] | None = None
    for name in sorted(wanted & there):
        size = jpeg_size(folder / name)
        if size is None:
            say(folder / name, "this is no whole JPEG", again)
        elif first is not None and size != first:
            what = f"{size[0]}x{size[1]} pixels, but the first picture of {video} has {first[0]}x{first[1]}"
            say(folder / name, what, "write all pictures of a video in one size")
        first = first or size


def jpeg_size(path: Path) -> tuple[int, int] | None:
    """(width, height) by the header; None for what is no JPEG, or one that ends too early (ISO 10918-1)."""
    with open(path, "rb") as file:
        head = file.read(4096)
        if len(head) < 4 or head[:2] != b"\xff\xd8":
            return None
        file.seek(-2, 2)
        if file.read(2) != b"\xff\xd9":
            return None
        found = _frame_size(head)
        if found is None:  # cameras write notes and a small picture before it
            file.seek(0)
            found = _frame_size(file.read(1 << 18))
    return found


def _frame_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
