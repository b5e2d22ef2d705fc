"""What is wrong with a set of actions, class/video/{rgb,u,v}: each thing with its place and cure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from edgekit.errors import InputError
from edgekit.prepare.action_folders import (
    ENDINGS,
    NOTE,
    all_clips,
    class_folders,
    clip_folders,
    read_clip,
    read_note,
    sides,
)
from edgekit.prepare.check_pictures import Problem, jpeg_size

AGAIN = "make the clip again: delete its folder and run `edgekit prepare actions`"
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def check_actions(root: Path | str, label_map: Mapping[str, int] | None = None) -> list[Problem]:
    """Look through a set, ours or TAO's, split into train/ and test/ or not.

    Pictures are looked at by their headers and ends: what is cut short is found, a wrong pixel is not.

    Args:
        root: its folder.
        label_map: class → index, as of a training's specification; None: not looked at.

    Returns:
        What is wrong, side by side and class by class; [] for a whole set. str() of one is a line.

    Raises:
        InputError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is no folder; give the one that holds a folder for each class.")
    problems: list[Problem] = []
    found = sides(root)
    for side, folder in sorted(found.items()):
        labels = [one for one in class_folders(folder) if side or one.name not in found]
        _strays(folder, problems, labels if side or len(found) == 1 else None)
        if label_map is not None:
            _label_map(folder, label_map, {one.name for one in labels}, problems)
        for label in labels:
            _strays(label, problems)
            clips = clip_folders(label)
            if not clips:
                _say(
                    problems, label, "this class has no clip", "record or prepare some, or delete its folder"
                )
            for clip in clips:
                _clip(clip, problems)
    if len(found) > 1:
        _leaks(root, problems)
    return problems


def place(problem: Problem) -> Path:
    """Where like problems are told together: the class's folder."""
    at = problem.file
    while at.parent != at and at.name and not _is_clip(at):
        at = at.parent
    return at.parent if _is_clip(at) else problem.file


def _is_clip(folder: Path) -> bool:
    return any((folder / kind).is_dir() for kind in ("rgb", "u", "v"))


def _say(problems: list[Problem], file: Path, what: str, cure: str) -> None:
    problems.append(Problem(file, None, what, cure))


def _strays(folder: Path, problems: list[Problem], labels: list[Path] | None = None) -> None:
    """Whatever is no folder of a class or a clip: TAO takes it for one."""
    for path in sorted(folder.iterdir()):
        if path.name == ".part":
            _say(problems, path, "a run was killed here", "delete it, or run `edgekit prepare actions` again")
        elif path.name.startswith(".") or not path.is_dir():
            _say(problems, path, "TAO would take this for a class or a clip", "move it somewhere else")
    if labels == []:
        cure = "the clips lie at CLASS/VIDEO/rgb/000000.png: give the folder above the classes"
        _say(problems, folder, "there is no class", cure)


def _label_map(folder: Path, label_map: Mapping[str, int], labels: set[str], problems: list[Problem]) -> None:
    if sorted(label_map.values()) != list(range(len(label_map))):
        words = ", ".join(f"{name}: {index}" for name, index in label_map.items())
        what = f"label_map numbers its classes otherwise than 0 to {len(label_map) - 1} ({words})"
        _say(problems, folder, what, "give each class another number, from 0")
    for name in sorted(labels - set(label_map)):
        known = ", ".join(label_map)
        cure = f"rename the folder to one of {known}, or add it to label_map"
        _say(problems, folder / name, "this class is not in label_map", cure)
    for name in sorted(set(label_map) - labels):
        cure = "add clips, or take it out of label_map"
        _say(problems, folder / name, "label_map has this class, but it has no folder", cure)


def _clip(folder: Path, problems: list[Problem]) -> None:
    clip = read_clip(folder, streams=())
    if not clip.rgb and not (clip.u or clip.v):
        what = "rgb/ is empty" if (folder / "rgb").is_dir() else "rgb/ is missing"
        _say(problems, folder, what, f"pictures lie at rgb/000000.png …; {AGAIN}")
        return
    if not clip.rgb:
        _say(problems, folder / "rgb", "no pictures, but flow: good for a network of flow alone", AGAIN)
    for one, other in (("u", "v"), ("v", "u")):
        if getattr(clip, one) and not getattr(clip, other):
            what = f"{one}/ has {len(getattr(clip, one))} pictures, {other}/ none"
            _say(problems, folder / other, what, f"the flow takes both; {AGAIN}")
    if clip.u and clip.v and len(clip.u) != len(clip.v):
        _say(problems, folder, f"{len(clip.u)} pictures in u/, but {len(clip.v)} in v/", AGAIN)
    for kind, paths in (("u", clip.u), ("v", clip.v)):
        if clip.rgb and paths and len(paths) != len(clip.rgb) - 1:
            what = (
                f"{len(paths)} pictures, where {len(clip.rgb)} in rgb/ have {len(clip.rgb) - 1} between them"
            )
            _say(problems, folder / kind, what, AGAIN)
    noted = read_note(folder).get("frames")
    if clip.rgb and noted is not None and noted != len(clip.rgb):
        what = f"{noted} pictures are noted in {NOTE}, {len(clip.rgb)} are in rgb/"
        _say(problems, folder, what, AGAIN)
    for kind, paths in (("rgb", clip.rgb), ("u", clip.u), ("v", clip.v)):
        if paths:
            _numbering(folder / kind, paths, problems)
            _pictures(paths, problems)
    if _first_size(clip.u) != _first_size(clip.v) and clip.u and clip.v:
        _say(problems, folder, "the pictures of u/ and v/ have different sizes", AGAIN)


def _numbering(folder: Path, paths: tuple[Path, ...], problems: list[Problem]) -> None:
    others = sorted(p.name for p in folder.iterdir() if not p.name.lower().endswith(ENDINGS))
    if others:
        what = f"{others[0]} is no picture, but TAO counts it as one"
        _say(problems, folder, what, "move it somewhere else")
    odd = [path for path in paths if not path.stem.isdigit()]
    if odd:
        _say(problems, odd[0], "the name is no number", "name the pictures 000000, 000001 …")
        return
    widths = {len(path.stem) for path in paths}
    if len(widths) > 1:
        _say(problems, folder, "the numbers have different lengths, so that names are out of order", AGAIN)
        return
    numbers = [int(path.stem) for path in paths]
    for number, following in pairwise(numbers):
        if following != number + 1:
            what = (
                f"after {number:06d} comes {following:06d}" if following > number else "a number comes twice"
            )
            _say(problems, folder, f"{what}: a gap in the numbering", AGAIN)
            break


def _pictures(paths: tuple[Path, ...], problems: list[Problem]) -> None:
    first: tuple[int, int] | None = None
    for path in paths:
        size = picture_size(path)
        if size is None:
            _say(problems, path, "this picture cannot be read: it is cut short, or no picture", AGAIN)
        elif first is not None and size != first:
            what = f"{size[0]}x{size[1]} pixels, but the first has {first[0]}x{first[1]}"
            _say(problems, path, what, "write all pictures of a clip in one size")
        first = first or size


def _first_size(paths: tuple[Path, ...]) -> tuple[int, int] | None:
    return picture_size(paths[0]) if paths else None


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a PNG or JPEG by its header; None for what is neither, or ends too early."""
    try:
        if path.suffix.lower() != ".png":
            return jpeg_size(path)
        with open(path, "rb") as file:
            head = file.read(33)
            if len(head) < 33 or head[:8] != PNG or head[12:16] != b"IHDR":
                return None
            file.seek(-len(PNG_END), 2)
            if file.read() != PNG_END:
                return None
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    except OSError:
        return None


def _leaks(root: Path, problems: list[Problem]) -> None:
    """Clips of one video, or of one person, on both sides: the score would lie."""
    seen: dict[str, dict[str, Path]] = {}
    for side, folder in all_clips(root):
        note = read_note(folder)
        for word in ("group", "person", "source"):
            if note.get(word) and (word != "source" or "asked" in note):
                seen.setdefault(str(note[word]), {}).setdefault(side, folder)
    for what, places in seen.items():
        if {"train", "test"} <= set(places):
            words = f"{what} is in train too ({places['train'].name}): the score would lie"
            _say(
                problems, places["test"], words, "keep a video and a person on one side: `--group-by COLUMN`"
            )
