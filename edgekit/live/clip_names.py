"""What recorded clips are called: class/PERSON_N."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.errors import InputError

#: Whose clip it is where nobody is named: the videos are then called as in TAO's own text, video_1 and on.
NOBODY = "video"


def person_of(name: str) -> str:
    """Who performs in a clip, from its folder's name: "anna" of "anna_12"; "video" where nobody was named."""
    return name.rpartition("_")[0] or name


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
    taken = [path.name.rpartition("_") for path in folder.glob(f"{who}_*")]
    numbers = [int(number) for name, _, number in taken if name == who and number.isdigit()]
    return f"{who}_{max(numbers, default=0) + 1}"
