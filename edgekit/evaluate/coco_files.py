"""COCO's layout: one annotation file in JSON, and a folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.data import DataSet, Picture
from edgekit.topology import Topology

PARTS = ("images", "annotations", "categories")
#: Box, crowd, class, area, keypoints and how many of them, in pixels.
_Row = tuple[list[float], bool, int, float, NDArray[np.float64] | None, int]


def annotation_file(folder: Path, keypoints: bool = False) -> Path | None:
    """The one annotation file of a folder or its annotations/; None where there is none.

    Of several, COCO's own names decide: `instances_*`, or `person_keypoints_*` for poses; and of those still
    several, whose pictures are there ("val2017" beside instances_val2017.json).

    Raises:
        InputError: there are several all the same.
    """
    files = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    for meant in (lambda f: _kind(f) == ("keypoints" if keypoints else "boxes"), _has_pictures):
        if len(files) > 1:
            files = [f for f in files if meant(f)] or files
    if len(files) > 1:
        listed = ", ".join(f.name for f in files[:6])
        raise InputError(f"{folder} has several annotation files ({listed}); give the one meant.")
    return files[0] if files else None


def _kind(file: Path) -> str:
    """What COCO's names say a file holds."""
    return "keypoints" if "keypoints" in file.name else "boxes" if file.name.startswith("instances_") else ""


def _has_pictures(file: Path) -> bool:
    """Whether the folder named like the file's last word is there."""
    own = file.stem.rpartition("_")[2]
    return any((base / part / own).is_dir() for base in _bases(file) for part in ("", "images"))


def _bases(file: Path) -> list[Path]:
    return [file.parent, file.parent.parent] if file.parent.name == "annotations" else [file.parent]


def read_coco(file: Path | str, images: Path | str | None = None) -> DataSet:
    """Read a COCO annotation file.

    Args:
        images: the folder of pictures; by default the one beside the file that holds them: images/, one
            of the file's own name ("val2017" for instances_val2017.json), or the file's.

    Raises:
        InputError: it is no annotation file, or a picture is missing.
    """
    file = Path(file)
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        shapes = {i["id"]: (i["file_name"], float(i["width"]), float(i["height"])) for i in content["images"]}
        categories = {c["id"]: str(c["name"]) for c in content["categories"]}
        order = {key: index for index, key in enumerate(sorted(categories))}
        topology, posed = _topology(content["categories"])
        rows: dict[int, list[_Row]] = {key: [] for key in shapes}
        for note in content["annotations"]:
            x, y, w, h = (float(v) for v in note["bbox"])
            area = float(note.get("area", w * h))
            crowd = bool(note.get("iscrowd", 0) or note.get("ignore", 0))
            points, known = _keypoints(note, topology if note["category_id"] in posed else None)
            label = order[note["category_id"]]
            rows[note["image_id"]].append(([x, y, x + w, y + h], crowd, label, area, points, known))
    except FileNotFoundError:
        raise InputError(f"there is no file {file}; give a COCO annotation file or a folder.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a COCO annotation file ({', '.join(PARTS)}): {error!r}.") from error
    if not shapes:
        raise InputError(f"{file} lists no pictures.")
    folder = Path(images) if images else _pictures(file, [name for name, _, _ in shapes.values()])
    pictures = []
    for key, (name, width, height) in shapes.items():
        if not (folder / name).is_file():
            raise InputError(f"{file} names {name}, which is not in {folder}.")
        mine = rows[key]
        corners = np.asarray([row[0] for row in mine], np.float64).reshape(-1, 4)
        count = len(topology.keypoints) if topology is not None else 0
        keypoints = np.zeros((len(mine), count, 3))
        for into, row in zip(keypoints, mine, strict=True):
            if row[4] is not None:
                into[:] = row[4] / [width, height, 1]
        pictures.append(
            Picture(
                folder / name,
                corners / [width, height, width, height],
                np.asarray([row[1] for row in mine], bool),
                np.asarray([row[2] for row in mine], np.int64),
                np.asarray([row[3] for row in mine], np.float64) / (width * height),
                keypoints,
                np.asarray([row[5] for row in mine], np.int64),
            )
        )
    return DataSet(file, tuple(pictures), tuple(categories[key] for key in sorted(categories)), topology)


def _topology(categories: list[dict[str, Any]]) -> tuple[Topology | None, set[int]]:
    """The keypoints of the first category that has some, and the ids of all that have the same."""
    named = {c["id"]: tuple(map(str, c["keypoints"])) for c in categories if c.get("keypoints")}
    for category in categories:
        if category["id"] in named:
            posed = {key for key, names in named.items() if names == named[category["id"]]}
            return Topology.from_category(category), posed
    return None, set()


def _keypoints(note: dict[str, Any], topology: Topology | None) -> tuple[NDArray[np.float64] | None, int]:
    """Keypoints [K, 3] in pixels and how many are labelled; None and −1 for what has none."""
    if topology is None:
        return None, -1
    if not note.get("keypoints"):
        return None, 0
    points = np.asarray(note["keypoints"], np.float64).reshape(len(topology.keypoints), 3)
    if not np.isfinite(points).all():
        raise ValueError("a keypoint that is no number")
    return points, int(note.get("num_keypoints", (points[:, 2] > 0).sum()))


def _pictures(file: Path, names: list[str]) -> Path:
    """The folder that holds the first picture; the likeliest one where none does."""
    own = file.stem.rpartition("_")[2]
    folders = [base / part for base in _bases(file) for part in ("images", own, f"images/{own}", "")]
    return next((folder for folder in folders if (folder / names[0]).is_file()), folders[0])
