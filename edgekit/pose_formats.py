"""Poses in the result files of others: AlphaPose's JSON and COCO's keypoint results.

Both are a list with one entry a person:

    {"image_id", "category_id": 1, "keypoints": [x, y, s, x, y, s, …], "score"}

AlphaPose (docs/output.md, `write_json` in alphapose/utils/pPose_nms.py): `image_id` is the picture's file
name, of a video "<frame>.jpg"; s is the keypoint's score; "box" [x, y, w, h] and "idx" (track) where known.
COCO (https://cocodataset.org/#format-results): `image_id` is a number, s is the flag v: 1 found, 0 not.
A person with COCO's 17 keypoints and more (a neck) is written with these 17, in COCO's order.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.pictures import PICTURES
from edgekit.errors import EdgekitError, InputError
from edgekit.results import Frame, Poses, Result
from edgekit.sinks import open_for_writing
from edgekit.topology import COCO17, Topology

END = b"\n]"


def as_coco17(poses: Poses) -> Poses:
    """The poses with COCO's 17 keypoints in COCO's order, by name; others as they are."""
    if poses.names == COCO17.keypoints or not set(COCO17.keypoints) <= set(poses.names):
        return poses
    order = [poses.names.index(name) for name in COCO17.keypoints]
    return Poses(
        poses.keypoints[:, order],
        poses.score,
        COCO17.keypoints,
        COCO17.skeleton,
        poses.xyxy,
        poses.track_id,
    )


def picture_name(frame: Frame) -> str:
    """The file name of a picture; of a video's or camera's frame "<index>.jpg", as AlphaPose names it."""
    name = Path(frame.source).name
    return name if Path(name).suffix.lower() in PICTURES else f"{frame.index}.jpg"


class _JsonList(ABC):
    """A sink that writes one JSON list, whole at every moment.

    It grows in "<name>.part", which a killed run leaves behind as a valid list, and gets its name at `close`.

    Args:
        path: the file.

    Raises:
        InputError: the folder cannot be written, or a frame's result is no `Poses`.
        EdgekitError: the disk refuses.
    """

    picture_side = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._end = 0  # where the list's own end stands
        self._file: Any = open_for_writing(self._part, binary=True)
        try:
            self._put("[")
        except EdgekitError:
            self._file.close()
            raise

    def _put(self, text: str) -> None:
        """Write over the list's end and end it anew: where the disk refuses, with what was there before."""
        data = text.encode()
        try:
            self._write_at(self._end, data + END)
            self._end += len(data)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
                self._write_at(self._end, END)
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def _write_at(self, start: int, data: bytes) -> None:
        self._file.seek(start)
        left = memoryview(data)
        while left:  # one call as a rule: a kill falls before it or after it
            left = left[self._file.write(left) :]

    @abstractmethod
    def rows(self, frame: Frame, poses: Poses) -> list[dict[str, Any]]:
        """The entries of one frame."""

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Add the frame's people."""
        if not isinstance(result, Poses):
            raise InputError(f"{self.path.name} takes poses, not {type(result).__name__}; run a pose task.")
        rows = [json.dumps(row) for row in self.rows(frame, as_coco17(result))]
        if rows:
            self._put((",\n" if self._end > 1 else "\n") + ",\n".join(rows))

    def close(self) -> None:
        """Give the file its name; a second call does nothing."""
        if self._file.closed:
            return
        try:
            with self._file:
                os.fsync(self._file.fileno())
            self._part.replace(self.path)
        except OSError as error:
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error


class AlphaPoseJson(_JsonList):
    """AlphaPose's `alphapose-results.json`, its default form."""

    def rows(self, frame: Frame, poses: Poses) -> list[dict[str, Any]]:
        """See `_JsonList`."""
        rows = []
        for i, keypoints in enumerate(poses.keypoints):
            row = {
                "image_id": picture_name(frame),
                "category_id": 1,
                "keypoints": _numbers(keypoints),
                "score": _number(poses.score[i]),
            }
            if poses.xyxy is not None:
                x1, y1, x2, y2 = poses.xyxy[i].astype(np.float64)
                row["box"] = _numbers(np.array([x1, y1, x2 - x1, y2 - y1]))
            if poses.track_id is not None:
                row["idx"] = int(poses.track_id[i])
            rows.append(row)
        return rows


class CocoJson(_JsonList):
    """COCO's keypoint results, as pycocotools' `loadRes` takes them.

    `image_id` is the number at the end of a picture's name (COCO's own files are named by it, and AlphaPose
    reads it so), of a video the frame's index.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pictures: dict[int, str] = {}

    def rows(self, frame: Frame, poses: Poses) -> list[dict[str, Any]]:
        """See `_JsonList`."""
        key, name = image_number(frame), picture_name(frame)
        if self._pictures.setdefault(key, name) != name:
            raise InputError(
                f"{name} and {self._pictures[key]} would both be image {key} in COCO's results; "
                "name the pictures by different numbers, or write --format alphapose, which keeps names."
            )
        keypoints = poses.keypoints.copy()
        keypoints[..., 2] = keypoints[..., 2] > 0
        return [
            {
                "image_id": key,
                "category_id": 1,
                "keypoints": _numbers(points),
                "score": _number(score),
            }
            for points, score in zip(keypoints, poses.score, strict=True)
        ]


def image_number(frame: Frame) -> int:
    """The number that ends a picture's name, else the frame's index."""
    number = re.search(r"(\d+)$", Path(picture_name(frame)).stem)
    return int(number.group()) if number else frame.index


#: `--format` of `edgekit run`: what writes it.
FORMATS: Mapping[str, type[AlphaPoseJson] | type[CocoJson]] = {"alphapose": AlphaPoseJson, "coco": CocoJson}


def read_poses(path: Path | str, topology: Topology | None = None) -> dict[str | int, Poses]:
    """Read either form back: {image_id: Poses}, people in the file's order.

    Args:
        path: a file of `AlphaPoseJson`, `CocoJson` or AlphaPose itself, or what a killed run left (".part").
        topology: names of the keypoints; default: COCO's for 17, else none.

    Raises:
        InputError: the file cannot be read or is of another form.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.") from error
    wanted = ("image_id", "keypoints", "score")
    if not isinstance(rows, list) or not all(isinstance(r, Mapping) and set(wanted) <= set(r) for r in rows):
        raise InputError(f"{path} is no list of people with {', '.join(wanted)}.")
    by_image: dict[str | int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row)
    return {key: _poses(people, topology, f"{path}, image {key}") for key, people in by_image.items()}


def _poses(people: list[Mapping[str, Any]], topology: Topology | None, where: str) -> Poses:
    try:
        keypoints = np.array([row["keypoints"] for row in people], np.float32).reshape(len(people), -1, 3)
        boxes = [row["box"] for row in people if "box" in row]
        box = np.array(boxes, np.float32).reshape(-1, 4) if len(boxes) == len(people) else None
        ids = [np.ravel(row["idx"])[0] for row in people if "idx" in row]  # AlphaPose lists what it merged
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{where}: the numbers of a person do not fit: {error}.") from error
    if box is not None:
        box[:, 2:] += box[:, :2]
    known = topology or (COCO17 if keypoints.shape[1] == len(COCO17) else None)
    return Poses(
        keypoints,
        np.array([row["score"] for row in people], np.float32),
        known.keypoints if known else (),
        known.skeleton if known else (),
        box,
        np.array(ids, np.int64) if len(ids) == len(people) else None,
    )


def _number(value: Any) -> float:
    return round(float(value), 4)


def _numbers(values: NDArray) -> list[float]:
    return [_number(value) for value in values.ravel()]
