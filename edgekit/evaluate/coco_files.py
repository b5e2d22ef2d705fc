"""COCO's layout: one annotation file in JSON, and a folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.evaluate.data import DataSet, Picture

PARTS = ("images", "annotations", "categories")


def annotation_file(folder: Path) -> Path | None:
    """The one annotation file of a folder or its annotations/; None where there is none.

    Raises:
        InputError: there are several; `instances_*` is taken where only one bears that name.
    """
    files = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    if len(files) > 1:
        files = [f for f in files if f.name.startswith("instances_")] or files
    if len(files) > 1:
        listed = ", ".join(f.name for f in files[:6])
        raise InputError(f"{folder} has several annotation files ({listed}); give the one meant.")
    return files[0] if files else None


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
        rows: dict[int, list[tuple[list[float], bool, int, float]]] = {key: [] for key in shapes}
        for note in content["annotations"]:
            x, y, w, h = (float(v) for v in note["bbox"])
            area = float(note.get("area", w * h))
            crowd = bool(note.get("iscrowd", 0) or note.get("ignore", 0))
            rows[note["image_id"]].append(([x, y, x + w, y + h], crowd, order[note["category_id"]], area))
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
        pictures.append(
            Picture(
                folder / name,
                corners / [width, height, width, height],
                np.asarray([row[1] for row in mine], bool),
                np.asarray([row[2] for row in mine], np.int64),
                np.asarray([row[3] for row in mine], np.float64) / (width * height),
            )
        )
    return DataSet(file, tuple(pictures), tuple(categories[key] for key in sorted(categories)))


def _pictures(file: Path, names: list[str]) -> Path:
    """The folder that holds the first picture; the likeliest one where none does."""
    bases = [file.parent, file.parent.parent] if file.parent.name == "annotations" else [file.parent]
    own = file.stem.rpartition("_")[2]
    folders = [base / part for base in bases for part in ("images", own, f"images/{own}", "")]
    return next((folder for folder in folders if (folder / names[0]).is_file()), folders[0])
