"""Who is where in a clip's key frames: boxes of our detector, numbers of our tracker."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.prepare.ava_files import FIRST_SECOND, FPS, Box, picture_name
from edgekit.prepare.clips import cannot_write
from edgekit.results import Detections, Frame


@dataclass(frozen=True)
class Person:
    """Somebody in a key frame.

    Attributes:
        box: x1, y1, x2, y2 as shares of the picture, three decimals, of some area.
        score: of the detector.
        person: number in the clip, the same in all its key frames where a tracker gave it.
    """

    box: Box
    score: float
    person: int


People = dict[int, list[Person]]  # by second


def find_people(
    root: Path,
    name: str,
    frames: int,
    task: Callable[[Frame], Detections],
    *,
    every: int = 3,
    score: float = 0.4,
    done: Callable[[int], None] = lambda _: None,
) -> People:
    """Run a detector, or a `Track`, over a clip; whom it finds in the key frames is kept.

    Args:
        root, name, frames: the set, the clip and how many pictures it has.
        task: gives Detections; with `track_id` they keep these numbers, else each box has its own.
        every: pictures from one that is looked at to the next; divides 30, so that key frames are met.
        score: lowest score kept.
        done: told after each picture how many are behind.

    Raises:
        InputError: a picture cannot be read.
    """
    if FPS % every:
        raise InputError(f"every {every}th picture leaves out key frames; give a number that divides {FPS}.")
    people: People = {}
    given = 0
    for index in range(0, frames, every):
        path = root / "frames" / picture_name(name, index)
        image = cv2.imread(str(path))
        if image is None:
            raise InputError(f"{path} cannot be read; delete the folder and run the same command again.")
        found = task(Frame(np.asarray(image, np.uint8), index, index / FPS, name))
        done(min(every, frames - index))
        if index % FPS:
            continue
        height, width = image.shape[:2]
        kept = people[FIRST_SECOND + index // FPS] = []
        for row in range(len(found)):
            given += 1
            box = shares(found.xyxy[row].tolist(), width, height)
            if box is not None and found.score[row] >= score:
                number = given if found.track_id is None else int(found.track_id[row])
                kept.append(Person(box, round(float(found.score[row]), 6), number))
    return people


def shares(xyxy: list[float], width: int, height: int) -> Box | None:
    """Pixels as shares of the picture, cut at its edges, three decimals; None where nothing is left."""
    sides = (width, height, width, height)
    x1, y1, x2, y2 = (round(min(max(v / n, 0.0), 1.0), 3) for v, n in zip(xyxy, sides, strict=True))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def boxes_file(root: Path, name: str) -> Path:
    """Where the people of a clip are noted."""
    return root / "boxes" / f"{name}.json"


def write_people(root: Path, name: str, people: People, settings: dict[str, Any]) -> None:
    """Note the people of a clip and what found them."""
    rows = [[s, *p.box, p.score, p.person] for s, found in sorted(people.items()) for p in found]
    try:
        with atomic_write(boxes_file(root, name)) as path:
            path.write_text(json.dumps({"settings": settings, "rows": rows}), encoding="utf-8")
    except OSError as error:
        raise cannot_write(root, error) from error


def read_people(root: Path, name: str, settings: dict[str, Any] | None = None) -> People | None:
    """The people of a clip; None where none were looked for, or (`settings`) otherwise than now."""
    with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        data = json.loads(boxes_file(root, name).read_text(encoding="utf-8"))
        if settings is not None and data["settings"] != settings:
            return None
        people: People = {}
        for second, x1, y1, x2, y2, score, person in data["rows"]:
            people.setdefault(int(second), []).append(Person((x1, y1, x2, y2), score, int(person)))
        return people
    return None
