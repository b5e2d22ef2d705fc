"""Text files of lines: read with their numbers, written whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from edgekit.errors import EdgekitError, InputError
from edgekit.files import atomic_write

T = TypeVar("T")


def number(text: str, kind: Callable[[str], T], what: str) -> T:
    """`kind(text)`; ValueError names the column."""
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{what} is {text!r}, which is no number") from None


def lines(path: Path | str, skip: int = 0) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers from 1; the first `skip` left out."""
    for at, line in enumerate(read_text(path).splitlines(), 1):
        if at > skip and line.strip():
            yield at, line


def read_text(path: Path | str) -> str:
    """A text in UTF-8, with or without byte order mark; InputError says what is wrong with it."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def write_lines(path: Path | str, content: Iterable[str]) -> None:
    """Write lines, all or none; EdgekitError where that fails."""
    try:
        with atomic_write(path) as scratch, open(scratch, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in content)
    except OSError as error:
        raise EdgekitError(f"{path} cannot be written: {error.strerror or error}.") from error
