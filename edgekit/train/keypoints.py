"""Pictures with keypoints to learn from: COCO's form for any animal or person, and AnimalPose's own form.

AnimalPose (Cao et al., "Cross-Domain Adaptation for Animal Pose Estimation", 2019; its keypoints.json)
names its pictures by number in one mapping, writes boxes as xmin, ymin, xmax, ymax and each keypoint as
[x, y, visible]; COCO has a list of pictures, boxes as x, y, width, height and one flat list of keypoints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.topology import ANIMAL20, Topology, read_topology

NECK, SHOULDERS = "neck", ("left_shoulder", "right_shoulder")
FOLDERS = ("images", "train2017", "val2017", "")  # where the pictures are, beside the file or one above


@dataclass(frozen=True)
class PosePicture:
    """One picture and who is in it.

    Attributes:
        path: image file.
        size: width and height that the coordinates refer to; None for those of the file.
        keypoints: float32 [N, K, 3], x and y in pixels and how sure they are, 0 (unknown) to 1.
        boxes: float32 [N, 4], x1 y1 x2 y2 pixels.
        ignore: float32 [M, 4], regions with crowds or people nobody labelled: neither right nor wrong.
    """

    path: Path
    size: tuple[int, int] | None
    keypoints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    ignore: NDArray[np.float32]


@dataclass(frozen=True)
class PoseData:
    """The pictures of one file, and the topology of their keypoints."""

    topology: Topology
    pictures: tuple[PosePicture, ...]

    @property
    def people(self) -> int:
        return sum(len(p.keypoints) for p in self.pictures)


def read_keypoints(path: Path | str, topology: str | Path | Topology | None = None) -> PoseData:
    """Read an annotation file, or the one in a folder (`person_keypoints*.json`, `keypoints.json`, …).

    Args:
        topology: what to learn; by default the file's own category. Its keypoints are found by name in the
            file; a neck that the file lacks is made in the middle of the shoulders, as TrtPose does
            (tasks/human_pose/preprocess_coco_person.py).

    Raises:
        InputError: no such file, no keypoints in it, a picture is not there, or the topology does not fit.
    """
    path = annotation_file(Path(path).expanduser())
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as annotations: {error}.") from error
    if not isinstance(data, dict) or not {"images", "annotations"} <= data.keys():
        raise InputError(f"{path} holds no 'images' and 'annotations': it is no COCO or AnimalPose file.")
    animal = isinstance(data["images"], Mapping)
    own, wanted = (ANIMAL20, None) if animal else own_topology(data, path)
    chosen = read_topology(topology) if topology is not None else own
    columns = find_columns(chosen, own, path)
    try:
        images = _images(data["images"], path)
        people: dict[Any, list[Any]] = {key: [] for key in images}
        for row in data["annotations"]:
            if row["image_id"] in people and (wanted is None or row["category_id"] in wanted):
                people[row["image_id"]].append(read_person(row, own, columns, animal))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has an annotation that cannot be read: {error!r}.") from error
    pictures = tuple(_picture(*images[key], people[key], len(chosen)) for key in images)
    if not any(len(p.keypoints) for p in pictures):
        raise InputError(f"{path} has nobody with keypoints.")
    return PoseData(chosen, pictures)


def annotation_file(path: Path) -> Path:
    """The file itself, or the only likely one of a folder."""
    if not path.is_dir():
        return path
    for pattern in ("*keypoints*.json", "annotations/*keypoints*train*.json", "*.json"):
        if found := sorted(path.glob(pattern)):
            if len(found) > 1:
                raise InputError(f"{path} has {len(found)} annotation files; name one, {found[0].name}?")
            return found[0]
    raise InputError(f"{path} holds no annotation file; give a COCO keypoint .json.")


def own_topology(data: Mapping[str, Any], path: Path) -> tuple[Topology, set[Any]]:
    """The categories' keypoints, and the numbers of the categories that have them."""
    rows = [row for row in data.get("categories", ()) if isinstance(row, Mapping) and row.get("keypoints")]
    if not rows:
        raise InputError(f"{path} has no category with keypoints; it is no keypoint file.")
    if any(list(row["keypoints"]) != list(rows[0]["keypoints"]) for row in rows):
        raise InputError(f"the categories of {path} have different keypoints; keep those of one skeleton.")
    return Topology.from_category(rows[0], str(path)), {row.get("id") for row in rows}


def find_columns(chosen: Topology, own: Topology, path: Path) -> list[int]:
    """For each wanted keypoint its number in the file, or −1 for a neck to be made."""
    known = {name: k for k, name in enumerate(own.keypoints)}
    columns = []
    for name in chosen.keypoints:
        if name in known:
            columns.append(known[name])
        elif name == NECK and all(s in known for s in SHOULDERS):
            columns.append(-1)
        else:
            raise InputError(f"{path} has no keypoint {name!r}; it has {', '.join(known)}.")
    return columns


def read_person(
    row: Mapping[str, Any], own: Topology, columns: Sequence[int], animal: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    """Keypoints [K, 3], box x1 y1 x2 y2, and whether the region is to be ignored."""
    points = np.asarray(row.get("keypoints") or np.zeros(len(own) * 3), np.float32).reshape(len(own), 3)
    seen = points[:, 2].copy()
    sure = np.clip(np.asarray(row.get("keypoint_scores", np.ones(len(own))), np.float32), 0, 1)
    points = np.column_stack([points[:, :2], np.where(seen > 0, sure, 0)])
    box = np.array(row["bbox"], np.float32)
    if not animal:
        box[2:] += box[:2]
    if not np.isfinite(points).all() or box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"annotation {row.get('id')} has coordinates that are no numbers")
    ignore = bool(row.get("iscrowd") or row.get("ignore") is True or not (points[:, 2] > 0).any())
    made = points[[max(c, 0) for c in columns]]
    if -1 in columns:
        left, right = points[own.index(SHOULDERS)]
        neck = (left + right) / 2
        neck[2] = min(left[2], right[2])
        made[list(columns).index(-1)] = neck
    made[made[:, 2] == 0, :2] = 0
    return made.astype(np.float32), box, ignore


def _images(rows: Any, path: Path) -> dict[Any, tuple[Path, tuple[int, int] | None]]:
    if isinstance(rows, Mapping):
        return {int(key): (find_picture(str(name), path), None) for key, name in rows.items()}
    found = {}
    for row in rows:
        size = (int(row["width"]), int(row["height"])) if row.get("width") and row.get("height") else None
        found[row["id"]] = (find_picture(row["file_name"], path), size)
    return found


def find_picture(name: str, annotations: Path) -> Path:
    """The picture of an annotation file: beside it, in a usual folder there, or in one beside its folder."""
    for base in (annotations.parent, annotations.parent.parent):
        for folder in FOLDERS:
            if (file := base / folder / name).is_file():
                return file
    raise InputError(f"{annotations} names the picture {name}, which is not there; put it into images/.")


def _picture(path: Path, size: tuple[int, int] | None, people: Sequence[Any], count: int) -> PosePicture:
    kept = [p for p in people if not p[2]]
    return PosePicture(
        path,
        size,
        np.array([p[0] for p in kept], np.float32).reshape(-1, count, 3),
        np.array([p[1] for p in kept], np.float32).reshape(-1, 4),
        np.array([p[1] for p in people if p[2]], np.float32).reshape(-1, 4),
    )
