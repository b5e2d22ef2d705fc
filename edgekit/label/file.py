"""Labels as a COCO annotation file of keypoints, its statistics, and pictures of it to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.draw import draw
from edgekit.errors import EdgekitError, InputError
from edgekit.files import atomic_write
from edgekit.label.labeller import Labels
from edgekit.label.views import AREA
from edgekit.results import Frame, Poses
from edgekit.topology import Topology

#: Settings that must be the same where labels are added to a file.
SAME = ("models", "settings")


class LabelFile:
    """A COCO annotation file in the making: `add` pictures, then `write`.

    People have keypoints with v 2 (sure) or 0 (masked, coordinates 0), `keypoint_scores` (one a keypoint, of
    the model) and `unsure` (numbers of the keypoints that the model gave and that were masked). Regions with
    `iscrowd` 1 hold people of whom nothing is sure: trainers and pycocotools leave them out.

    Args:
        path: of the .json.
        topology: the skeleton, which becomes the category.
        info: what made the labels; kept under "info".
    """

    def __init__(self, path: Path, topology: Topology, info: Mapping[str, Any]) -> None:
        self.path, self.topology, self.info = path, topology, dict(info)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.names: set[str] = set()

    def name_of(self, picture: Path) -> str:
        """A picture's `file_name`: from the file's folder where it lies in there, else its whole path."""
        picture = picture.absolute()
        folder = self.path.absolute().parent
        return picture.relative_to(folder).as_posix() if picture.is_relative_to(folder) else str(picture)

    def has(self, picture: Path) -> bool:
        """Whether the picture is in the file already."""
        return self.name_of(picture) in self.names

    def add(self, picture: Path, shape: tuple[int, ...], labels: Labels) -> None:
        """Add one picture, [H, W, …], with its labels."""
        name = self.name_of(picture)
        number = len(self.images) + 1
        self.names.add(name)
        self.images.append({"id": number, "file_name": name, "width": shape[1], "height": shape[0]})
        for row in range(len(labels)):
            first = len(self.annotations) + 1
            self.annotations.append({"id": first, "image_id": number, **annotation(labels, row)})

    def resume(self) -> None:
        """Take in what the file holds already.

        Raises:
            InputError: it is no file of labels, or other models or settings made it.
        """
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
            before = {key: old["info"][key] for key in SAME}
            names = {row["file_name"] for row in old["images"]}
            images, annotations = list(old["images"]), list(old["annotations"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} is no file of `edgekit label` ({error!r}); give another --out, or --force."
            ) from error
        if before != {key: json.loads(json.dumps(self.info[key])) for key in SAME}:
            raise InputError(
                f"{self.path} was made by other models or settings; give those, another --out, or --force."
            )
        self.images, self.annotations, self.names = images, annotations, names

    def write(self, finished: bool = True) -> None:
        """Write the file: whole, or not at all.

        Raises:
            EdgekitError: it cannot be written.
        """
        people = statistics(self.annotations, self.topology)
        info = {**self.info, "finished": finished, "statistics": {"pictures": len(self.images), **people}}
        content = {
            "info": info,
            "images": self.images,
            "annotations": self.annotations,
            "categories": [self.topology.to_category()],
        }
        write_whole(self.path, json.dumps(content, ensure_ascii=False).encode())


def annotation(labels: Labels, row: int) -> dict[str, Any]:
    """One row of labels as COCO has it, without its ids of row and picture."""
    left, top, right, bottom = labels.xyxy[row].astype(float).tolist()
    crowd, sure, points = bool(labels.crowd[row]), labels.sure[row], labels.keypoints[row]
    kept = np.zeros_like(sure) if crowd else sure
    flat = np.column_stack([np.round(points[:, :2].astype(np.float64), 2), np.full(len(points), 2)])
    flat[~kept] = 0
    width, height = right - left, bottom - top
    return {
        "category_id": 1,
        "bbox": [round(v, 2) for v in (left, top, width, height)],
        "area": round(width * height * AREA, 2),
        "iscrowd": int(crowd),
        "num_keypoints": int(kept.sum()),
        "keypoints": [int(v) if v == int(v) else v for v in flat.ravel().tolist()],
        "keypoint_scores": [round(float(v), 4) for v in points[:, 2]],
        "unsure": np.flatnonzero((points[:, 2] > 0) & ~kept).tolist(),
        "score": round(float(labels.score[row]), 4),
    }


def statistics(annotations: list[dict[str, Any]], topology: Topology) -> dict[str, Any]:
    """How many people and regions there are, and each keypoint's share among the people."""
    people = [row for row in annotations if not row["iscrowd"]]
    seen = np.array([row["keypoints"][2::3] for row in people]).reshape(-1, len(topology)) > 0
    share = seen.mean(axis=0) if len(people) else np.zeros(len(topology))
    return {
        "people": len(people),
        "ignored": len(annotations) - len(people),
        "keypoints": int(seen.sum()),
        "masked": sum(len(row["unsure"]) for row in people),
        "kept": {name: round(float(v), 4) for name, v in zip(topology.keypoints, share, strict=True)},
    }


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it; EdgekitError where that fails."""
    try:
        with atomic_write(path) as scratch:
            scratch.write_bytes(content)
    except OSError as error:
        raise EdgekitError(f"{path} cannot be written: {error.strerror or error}.") from error


class Sheet:
    """Some of the labelled pictures as one picture, evenly from all of them.

    Args:
        most: pictures on it.
        side: of each, in pixels.
    """

    def __init__(self, most: int, side: int = 480) -> None:
        self.most, self.side = most, side
        self.tiles: list[NDArray[np.uint8]] = []
        self._step, self._seen = 1, 0

    def add(self, image: NDArray[np.uint8], labels: Labels, topology: Topology) -> None:
        """Offer a labelled picture; one without people or regions is not shown."""
        if not self.most or not len(labels):
            return
        if self._seen % self._step == 0:
            if len(self.tiles) == 2 * self.most:  # every second one makes room
                self.tiles, self._step = self.tiles[::2], 2 * self._step
            if self._seen % self._step == 0:
                self.tiles.append(self._tile(image, labels, topology))
        self._seen += 1

    def _tile(self, image: NDArray[np.uint8], labels: Labels, topology: Topology) -> NDArray[np.uint8]:
        points = labels.keypoints * labels.sure[..., None]
        poses = Poses(points, labels.score, topology.keypoints, topology.skeleton)[~labels.crowd]
        scale = self.side / max(image.shape[:2])
        size = tuple(max(1, round(n * scale)) for n in image.shape[1::-1])
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        for box in (labels.xyxy[labels.crowd] * scale).round().astype(int).tolist():
            _hatch(small, *box)
        moved = Poses(
            poses.keypoints * np.array([scale, scale, 1], np.float32),
            poses.score,
            poses.names,
            poses.skeleton,
        )
        canvas = np.full((size[1], self.side, 3), 255, np.uint8)
        canvas[:, : size[0]] = draw(Frame(small), moved)
        masked = (labels.keypoints[..., 2] > 0) & ~labels.sure & ~labels.crowd[:, None]
        for x, y in labels.keypoints[masked][:, :2] * scale:
            if 0 <= x < size[0] and 0 <= y < size[1]:
                cv2.drawMarker(
                    canvas, (round(float(x)), round(float(y))), (0, 0, 255), cv2.MARKER_TILTED_CROSS, 5
                )
        return canvas

    def write(self, path: Path) -> bool:
        """Write the sheet as JPEG; False where there is nothing to show."""
        if not self.tiles:
            return False
        shown = [
            self.tiles[i]
            for i in np.linspace(0, len(self.tiles) - 1, min(self.most, len(self.tiles))).astype(int)
        ]
        columns = min(4, len(shown))
        rows = [_row(shown[i : i + columns], columns * self.side) for i in range(0, len(shown), columns)]
        good, data = cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
        if not good:
            raise EdgekitError(f"{path} cannot be encoded as JPEG.")
        write_whole(path, data.tobytes())
        return True


def _row(tiles: list[NDArray[np.uint8]], width: int) -> NDArray[np.uint8]:
    """Tiles side by side on white."""
    row = np.full((max(tile.shape[0] for tile in tiles), width, 3), 255, np.uint8)
    left = 0
    for tile in tiles:
        row[: tile.shape[0], left : left + tile.shape[1]] = tile
        left += tile.shape[1]
    return row


def _hatch(image: NDArray[np.uint8], left: int, top: int, right: int, bottom: int) -> None:
    """Stripe a region that is ignored."""
    part = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if part.size:
        rows, columns = np.indices(part.shape[:2])
        part[(rows + columns) % 6 < 2] = (128, 128, 128)
