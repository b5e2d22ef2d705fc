"""MOTChallenge's text: one line a box, `frame, id, left, top, width, height, …`; frames are counted from 1.

What a tracker found (and MOT15's ground truth) has ten columns: after the box a confidence and x, y, z of
the world, or -1. Ground truth since MOT16 has nine: after the box a flag (0: not considered), the class
(1: pedestrian) and the visible share (Milan et al.: "MOT16: A Benchmark for Multi-Object Tracking", 2016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, InputError
from edgekit.results import Detections, Frame, Result
from edgekit.sinks import open_for_writing

PEDESTRIAN = 1


class MotText:
    """A sink: MOTChallenge's text of the tracks; whole lines, also after a kill."""

    picture_side = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_for_writing(path)

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Append a line for each track of the frame."""
        if not isinstance(result, Detections) or result.track_id is None:
            raise InputError(f"{self.path} wants tracks; these are {type(result).__name__} without numbers.")
        size = result.xyxy[:, 2:] - result.xyxy[:, :2]
        lines = [
            f"{frame.index + 1},{track},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{score:.4f},-1,-1,-1\n"
            for track, (x, y), (w, h), score in zip(
                result.track_id, result.xyxy[:, :2], size, result.score, strict=True
            )
        ]
        try:
            self._file.write("".join(lines))
            self._file.flush()
        except OSError as error:
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, eq=False)
class MotBoxes:
    """The boxes of a MOTChallenge file, one a row.

    Attributes:
        frame: int64 [N], from 1.
        track_id: int64 [N].
        xyxy: float64 [N, 4], pixels.
        confidence: float64 [N]; of ground truth 0 where a box is not considered. 1 where the file has none.
        label: int64 [N], MOT16's class, or None in a file without classes.
    """

    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    label: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: NDArray) -> MotBoxes:
        label = None if self.label is None else self.label[rows]
        return MotBoxes(self.frame[rows], self.track_id[rows], self.xyxy[rows], self.confidence[rows], label)

    def rows_by_frame(self) -> dict[int, NDArray[np.int64]]:
        """For each frame that has boxes their rows."""
        order = np.argsort(self.frame, kind="stable")
        frames, starts, counts = np.unique(self.frame[order], return_index=True, return_counts=True)
        return {
            int(frame): order[start : start + count]
            for frame, start, count in zip(frames, starts, counts, strict=True)
        }


def read_mot(path: Path | str) -> MotBoxes:
    """Read a MOTChallenge file: ground truth or what a tracker found.

    Raises:
        InputError: the file cannot be read, or a line of it, which is named: too few columns, no number,
            a frame before 1, a side below 0, a number twice in a frame, other columns than the first line.
    """
    path = Path(path)
    rows: list[list[float]] = []
    seen: dict[tuple[float, float], int] = {}
    for number, words in _lines(path):
        row = _row(f"{path}, line {number}", words, len(rows[0]) if rows else None)
        before = seen.setdefault((row[0], row[1]), number)
        if before != number:
            twice = f"frame {row[0]:.0f} has the number {row[1]:.0f} already, in line {before}"
            raise InputError(f"{path}, line {number}: {twice}.")
        rows.append(row)
    table = np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else 6)
    xyxy = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], 1)
    confidence = table[:, 6] if table.shape[1] > 6 else np.ones(len(table))
    label = table[:, 7].astype(np.int64) if table.shape[1] == 9 else None
    return MotBoxes(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), xyxy, confidence, label)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{path} cannot be read: {reason}; give a text file of MOTChallenge.") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.replace(",", " ").split()


def _row(where: str, words: list[str], columns: int | None) -> list[float]:
    """The cells of one line as numbers, checked."""
    if len(words) < 6:
        raise InputError(f"{where} has {len(words)} columns; frame, id, left, top, width, height are needed.")
    if columns is not None and len(words) != columns:
        raise InputError(f"{where} has {len(words)} columns, the lines before have {columns}.")
    row = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{where}: {word!r} is no number.")
        row.append(value)
    if row[0] < 1 or any(value != int(value) for value in row[:2]):
        raise InputError(f"{where}: frame {words[0]}, number {words[1]}: give whole numbers, frames from 1.")
    if row[4] < 0 or row[5] < 0:
        raise InputError(f"{where}: a box of {words[4]}×{words[5]} pixels makes no sense.")
    return row


@dataclass(frozen=True)
class Sequence:
    """A sequence's ground truth, and what its seqinfo.ini says of it.

    Attributes:
        path: of gt.txt.
        boxes: its boxes.
        name: of the sequence; of the file where no seqinfo.ini lies beside it.
        length: frames, or None where nothing says so.
    """

    path: Path
    boxes: MotBoxes
    name: str
    length: int | None = None


def read_sequence(path: Path | str) -> Sequence:
    """Ground truth as a file, or as a sequence's folder with gt/gt.txt.

    Raises:
        InputError: as of `read_mot`; seqinfo.ini cannot be read; there is no box.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "gt" / "gt.txt"
    boxes = read_mot(path)
    if not len(boxes):
        raise InputError(f"{path} holds no box.")
    info = path.parent.parent / "seqinfo.ini" if path.parent.name == "gt" else path.parent / "seqinfo.ini"
    if not info.is_file():
        return Sequence(path, boxes, path.parent.parent.name if path.parent.name == "gt" else path.stem)
    reader = ConfigParser()
    try:
        reader.read(info, encoding="utf-8")
        length = reader.getint("Sequence", "seqLength")
        name = reader.get("Sequence", "name", fallback=info.parent.name)
    except (Error, ValueError, OSError) as error:
        raise InputError(f"{info} is no seqinfo.ini of MOTChallenge: {error}.") from error
    return Sequence(path, boxes, name, length)
