"""The log as it is written: JSON lines, each handed over whole, in parts of bounded size."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekit.errors import InputError
from edgekit.limits import read_text
from edgekit.telemetry.sample import Event, Sample, boot_clock, event, wall_iso

#: Version of the layout, in the header of each part.
LAYOUT = 1
#: A part must hold its header and a few samples.
SMALLEST_PART = 16_000

#: What a line leaves out: the fields that hold no more than a sample holds anyway.
_DEFAULTS = Sample(0.0, "", "").to_dict()
for _always in ("t_boot_s", "t_wall_iso", "source", "seq"):
    del _DEFAULTS[_always]


class LogWriter:
    """Writes samples and events as JSON lines; fits as a listener: `sampler.add(writer.write)`.

    A line is one write to the operating system, so a killed process loses at most the line it was writing.
    `path` is the part being written. When it is full it becomes `run.1.jsonl`, the next one `run.2.jsonl`,
    and so on: 1 is the oldest, each number is used once, each part begins with the header.

    A disk that is full (or gone) does not end the log: `note` says so while it lasts, `lost` counts, and when
    there is room again an event "gap" in the log tells what is missing. Never is half a line left behind.

    Args:
        path: file to write; its folder is made.
        interval_s: seconds between samples.
        source: who measures.
        about: more for the header, such as the board.
        emulated: what is measured is an emulated board.
        max_bytes: size at which a new part begins; None: never.
        keep: full parts kept beside the one being written; older ones are deleted.
        append: go on in a log that is there, in a new part.

    Attributes:
        path: as given.
        lost: samples that could not be written.
        note: why none can be written at this moment; "" where all is well.

    Raises:
        InputError: `path` cannot be written, or holds a log already and `append` is False, or holds one of
            before the machine's last start, whose clock is another.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        interval_s: float,
        source: str,
        about: Mapping[str, Any] | None = None,
        emulated: bool = False,
        max_bytes: int | None = None,
        keep: int = 5,
        append: bool = False,
    ) -> None:
        self.path = Path(path)
        self.lost = 0
        self.note = ""
        if max_bytes is not None and max_bytes < SMALLEST_PART:
            raise InputError(f"parts of {max_bytes} bytes are too small; give {SMALLEST_PART} or more.")
        self._max_bytes, self._keep = max_bytes, max(0, keep)
        self._header = {
            "edgekit_log": LAYOUT,
            "interval_s": interval_s,
            "source": source,
            "emulated": emulated,
            "boot_id": boot_id(),
            **(about or {}),
        }
        self._lock = threading.Lock()
        self._fd = -1
        self._lost_now, self._why = 0, ""
        taken = parts(self.path)
        self._number = 1 + max((number for number, _ in taken), default=0)
        if taken or self.path.exists():
            self._check_old(append, taken)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size:
                self._retire()
            self._begin()
            self._put(b"")
        except OSError as error:
            if self._fd >= 0:
                self.close()
                self.path.unlink(missing_ok=True)  # empty
            raise InputError(
                f"{self.path} cannot be written: {error.strerror or error}; choose another name."
            ) from error

    def _check_old(self, append: bool, taken: list[tuple[int, Path]]) -> None:
        old = self.path if self.path.exists() else taken[-1][1]
        if not append:
            raise InputError(
                f"{old} exists; choose another name, delete it, or go on in it with --append (append=True)."
            )
        if old.is_file() and not old.stat().st_size:
            return
        header = read_header(old)
        if header.get("boot_id") != self._header["boot_id"]:
            raise InputError(
                f"{old} was written before this machine's last start, so its clock is another; "
                "choose another name."
            )

    def write(self, what: Sample | Event) -> None:
        """Append a line; after `close`, or while the disk is full, nothing."""
        row = what.to_dict()
        if isinstance(what, Sample):  # a third less to write and to read
            row = {
                name: value
                for name, value in row.items()
                if name not in _DEFAULTS or value != _DEFAULTS[name]
            }
        line = _line(row)
        with self._lock:
            if self._fd < 0:
                return
            try:
                if self._lost_now:
                    text = f"{self._lost_now} samples were not written: {self._why}"
                    self._put(_line(event("gap", text).to_dict()) + line)
                elif self._max_bytes and self._size and self._size + len(line) > self._max_bytes:
                    self._retire()
                    self._begin()
                    self._put(line)
                else:
                    self._put(line)
            except OSError as error:
                self._lost_now += isinstance(what, Sample)
                self.lost += isinstance(what, Sample)
                self._why = error.strerror or str(error)
                self.note = f"{self.path} cannot be written: {self._why}. The log goes on when it can be"
                return
            self.note, self._lost_now = "", 0

    def close(self) -> None:
        """Put everything on the disk. Nothing is written after this returns."""
        with self._lock:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                with suppress(OSError):  # a file system that refuses to sync
                    os.fsync(fd)
                os.close(fd)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # one part

    def _begin(self) -> None:
        """Open `path` anew. The header goes out with the first line that finds room, so no part lacks it."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, 0

    def _retire(self) -> None:
        """Rename the present part, and delete those that are too many."""
        if self.path.exists():  # it does not where the next part could not be begun, or someone deleted it
            self.path.rename(_part(self.path, self._number))
            self._number += 1
        for _, old in parts(self.path)[: -self._keep or None]:
            old.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        """Write all of `data` or, with OSError, nothing."""
        if not self._size:
            now = {"part": self._number, "t_boot_s": boot_clock(), "t_wall_iso": wall_iso()}
            data = _line({**self._header, **now}) + data
        try:
            done = 0
            while done < len(data):  # after a part of the data, the next call says why not all
                done += os.pwrite(self._fd, data[done:], self._size + done)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)


def boot_id() -> str:
    """Name of this start of the machine, "" where the kernel gives none; `t_boot_s` counts from it."""
    return read_text(Path("/proc/sys/kernel/random/boot_id")) or ""


def parts(path: Path) -> list[tuple[int, Path]]:
    """The full parts of a log and their numbers, oldest first; without `path` itself."""
    pattern = re.compile(re.escape(path.stem) + r"\.(\d+)" + re.escape(path.suffix))
    found = []
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if match := pattern.fullmatch(other.name):
                found.append((int(match[1]), other))
    return sorted(found)


def read_header(path: Path) -> dict[str, Any]:
    """The first line of a part.

    Raises:
        InputError: it cannot be read, or is no log of edgekit.
    """
    try:
        with open(path, "rb") as file:
            return header_of(file.readline(1 << 20), path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def header_of(line: bytes, path: Path) -> dict[str, Any]:
    """The header in the first line of `path`; InputError where it is none."""
    try:
        header = json.loads(line)
        layout = header["edgekit_log"]
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path}, line 1 is not the header of a log that `edgekit log` wrote.") from error
    if layout != LAYOUT:
        raise InputError(f"{path} has layout {layout!r}; this edgekit reads {LAYOUT}. Cure: a newer edgekit.")
    return dict(header)


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
