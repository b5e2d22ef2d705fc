"""What clips are called, class/PERSON_N, and who is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import InputError

#: Whose clip it is where nobody is named: the videos are then called as in TAO's own text, video_1 and on.
NOBODY = "video"


def person_of(name: str) -> str:
    """Who performs in a clip, from its folder's name: "anna" of "anna_12", `NOBODY` of "video_3".

    A name without a number at its end tells nobody, and comes back as it is.
    """
    who, _, number = name.rpartition("_")
    return who if who and number.isdecimal() else name


def group_of(folder: Path, note: Mapping[str, Any]) -> str:
    """Who or what a clip must stay together with, where a set is split.

    That is the group that it was prepared with, the person who was recorded, or `person_of` its name; where
    that is nobody, each clip is for itself.
    """
    for word in ("group", "person"):
        if note.get(word):
            return str(note[word])
    who = person_of(folder.name)
    return f"{folder.parent.name}/{folder.name}" if who in (NOBODY, folder.name) else who


def plain_name(text: str, what: str) -> str:
    """`text` without spaces around it, if it can be a folder's name everywhere.

    Raises:
        InputError: it is empty, or has other characters than letters, digits, - and _.
    """
    name = text.strip()
    if not name:
        raise InputError(f"a {what} needs a name.")
    if not re.fullmatch(r"\w[\w-]*", name) or len(name) > 60:
        raise InputError(
            f"{name!r} cannot be the name of a {what}, since folders are called so; "
            "it takes up to 60 letters, digits, - and _."
        )
    return name


def free_name(folder: Path, who: str) -> str:
    """`who_N` in a class's folder: one above the highest N that is there."""
    names = [path.name for path in folder.glob(f"{who}_*")]
    numbers = [int(name[len(who) + 1 :]) for name in names if person_of(name) == who]
    return f"{who}_{max(numbers, default=0) + 1}"
