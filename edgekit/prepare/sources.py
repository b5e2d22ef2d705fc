"""The videos of a folder, and names for them that AVA's files can hold."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgekit.errors import InputError

#: Endings of files that are taken for videos; a file that is named itself may have any.
ENDINGS = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc"),
    *(".ivf", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".mxf", ".nut", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


def find_videos(given: Iterable[Path | str], besides: Path | None = None) -> dict[str, Path]:
    """The videos of folders (with all below them) and files, as key → path, sorted by key.

    A key is the path under the folder given, or the file's name; where two folders hold the same, the whole
    path.

    Args:
        given: folders and files.
        besides: a folder whose files do not count: that of the set itself.

    Raises:
        InputError: a path is not there, or none of them holds a video.
    """
    found: dict[str, Path] = {}
    for one in map(Path, given):
        if one.is_dir():
            inside = sorted(p for p in one.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
            hidden = [p for p in inside if any(part.startswith(".") for part in p.relative_to(one).parts)]
            own = [p for p in inside if besides and p.resolve().is_relative_to(besides.resolve())]
            keyed = [(p.relative_to(one).as_posix(), p) for p in inside if p not in (*hidden, *own)]
        elif one.is_file():
            keyed = [(one.name, one)]
        else:
            raise InputError(f"{one} is not there; give videos, or folders that hold some.")
        for key, path in keyed:
            if path.absolute() not in (p.absolute() for p in found.values()):
                found[key if key not in found else path.absolute().as_posix()] = path
    if not found:
        places = ", ".join(str(one) for one in given)
        raise InputError(f"no video in {places}; files that end in {' '.join(ENDINGS)} are looked for.")
    return dict(sorted(found.items()))


def names_for(keys: Iterable[str], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """A name for each key: its stem where that is plain, else what is left of it and a number of the key.

    Frame lists are split at spaces, CSVs at commas, and SlowFast's readers take the machine's own encoding:
    so names have ASCII letters, digits, "_", "-" and "." alone. The same key always gets the same name,
    unless it was free before and is `taken` now.

    Args:
        keys: of `find_videos`.
        taken: name → key of the videos that a set has already; they keep theirs.
    """
    known = {key: name for name, key in (taken or {}).items()}
    used = {name.lower() for name in taken or ()}  # some file systems know no case
    names = {}
    for key in keys:
        name = known.get(key)
        if name is None:
            stem = re.sub(r"\.[^./]*$", "", key.rsplit("/", 1)[-1])
            plain = re.sub(
                r"[^A-Za-z0-9._-]+",
                "_",
                unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode(),
            )
            plain = plain.strip("_. ")
            letters = sum(c.isalnum() for c in unicodedata.normalize("NFC", stem))
            whole = plain and sum(c.isalnum() for c in plain) == letters
            name = plain if whole else f"{plain or 'video'}-{digest(key)}"
            if name.lower() in used:
                name = f"{name}-{digest(key)}"
        used.add(name.lower())
        names[key] = name
    return names


def digest(key: str) -> str:
    """Six characters that tell keys apart."""
    return hashlib.sha256(unicodedata.normalize("NFC", key).encode()).hexdigest()[:6]
