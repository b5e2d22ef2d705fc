"""Logs of samples: written as JSON lines, read back as columns."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.telemetry.log_columns import Columns, Log, words
from edgekit.telemetry.log_writer import LogWriter, header_of, parts
from edgekit.telemetry.sample import Event

__all__ = ["Log", "LogWriter", "read_log"]

Row = dict[str, Any]

#: Lines parsed at once: the parser shares their keys, and only so many are held as dictionaries.
_BATCH = 4000


def read_log(path: Path | str) -> Log:
    """Read a log: all its parts, joined in order. A last line that a kill cut is left out.

    A part that is missing between others is told by an event "gap" in `events`.

    Args:
        path: the file given to `edgekit log --out`, one part of it, or a folder that holds one log.

    Raises:
        InputError: it cannot be read or is no log; the message names the file and the line.
    """
    with _no_collection():
        return _read(Path(path))


def _read(path: Path) -> Log:
    path = _in_folder(path)
    files = _all_parts(path)
    columns = Columns()
    events: list[Event] = []
    lines: list[bytes] = []
    header: Row = {}
    for number, file in files:
        head, rows = _read_lines(file)
        if head is None:  # begun, and killed before its first line
            continue
        if lost := _lost_before(head, header, number):
            events.append(_at_head(head, lost))
        header, first = head, 2
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            parsed = _parse(batch, file, first + start)
            kept = [i for i, row in enumerate(parsed) if "event" not in row]
            events += [_event(row, file, first + start + i) for i, row in enumerate(parsed) if "event" in row]
            columns.add_checked([parsed[i] for i in kept], file, [first + start + i for i in kept])
            lines += [batch[i] for i in kept]
    if not header:
        raise InputError(f"{path} is empty: the log was ended before its first line.")
    if files[-1][1] != path:
        events.append(_at_head(header, f"{path} is not here; the log ends with its part {files[-1][1].name}"))
    return columns.log(header, events, lines)


@contextmanager
def _no_collection() -> Iterator[None]:
    """The garbage collector looks at every one of a million cells again and again; there are no cycles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _in_folder(path: Path) -> Path:
    """`path`, or the one log in it: a run's `samples.jsonl`, else the only one that has a header."""
    if not path.is_dir():
        return path
    if (path / "samples.jsonl").is_file():
        return path / "samples.jsonl"
    files = sorted(path.glob("*.jsonl"))
    logs = [file for file in files if not any(file in [p for _, p in parts(other)] for other in files)]
    if len(logs) != 1:
        names = ", ".join(file.name for file in logs) or "none"
        raise InputError(f"{path} is a folder that should hold one log; it holds {names}. Give the file.")
    return logs[0]


def _all_parts(path: Path) -> list[tuple[int, Path]]:
    """Numbers and files of a log, oldest first; the newest has the number after the last."""
    files = parts(path)
    if path.is_file():
        files.append((files[-1][0] + 1 if files else 1, path))
    if not files:
        raise InputError(f"{path} does not exist.")
    return files


def _lost_before(head: Row, previous: Mapping[str, Any], number: int) -> str:
    """What is missing between the part of header `previous` ({}: none) and this one; "" if nothing."""
    number, last = int(head.get("part", number)), int(previous.get("part", 0))
    if number <= last + 1:
        return ""
    lost = f"part {last + 1}" if number == last + 2 else f"parts {last + 1} to {number - 1}"
    return f"{lost} of the log not here" + ("" if last else ": deleted since there were too many, or by hand")


def _at_head(head: Row, text: str) -> Event:
    return Event(float(head.get("t_boot_s", 0.0)), str(head.get("t_wall_iso", "")), "gap", text)


def _read_lines(path: Path) -> tuple[Row | None, list[bytes]]:
    """Header and whole lines of a part; no header where the file is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    lines = data.split(b"\n")
    lines.pop()  # nothing after the last newline, or a line that a kill cut
    if not lines:
        if data.strip(b"\0"):
            header_of(data, path)  # not even the header is whole, or it is another file
        return None, []
    return header_of(lines[0], path), lines[1:]


def _parse(lines: list[bytes], path: Path, first: int) -> list[Row]:
    """Lines as dictionaries; `first` is the number of the first one."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
        if len(rows) == len(lines) and all(type(row) is dict for row in rows):
            return list(rows)
    except ValueError:
        pass
    for number, line in enumerate(lines, first):
        try:
            if not isinstance(json.loads(line), dict):
                raise ValueError("it is no JSON object")
        except ValueError as error:
            raise InputError(f"{path}, line {number} is damaged: {error}.") from error
    raise AssertionError("a batch fails where a line of it does")


def _event(row: Row, path: Path, line: int) -> Event:
    try:
        return Event(float(row["t_boot_s"]), str(row["t_wall_iso"]), str(row["event"]), str(row["text"]))
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path}, line {line} is no event: {words(error)}.") from error
