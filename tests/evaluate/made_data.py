"""Made-up data sets, in both layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def picture(file: Path, height: int = 20, width: int = 40) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.zeros((height, width, 3), np.uint8))
    return file


def yolo_set(folder: Path, labels: dict[str, str | None], names: str = "") -> Path:
    """{name of the picture: text of its labels}, None for no file."""
    for name, text in labels.items():
        picture(folder / "images" / f"{name}.png")
        if text is not None:
            file = folder / "labels" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (folder / "labels").mkdir(exist_ok=True)
    if names:
        (folder / "classes.txt").write_text(names)
    return folder


def coco_set(
    file: Path,
    notes: list[dict[str, Any]],
    categories: dict[int, str],
    images: str = "images",
    count: int = 1,
) -> Path:
    """An annotation file and its pictures (40×20), in the folder `images` beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": 3 + i, "file_name": f"{i}.png", "width": 40, "height": 20} for i in range(count)]
    for row in rows:
        picture(file.parent / images / row["file_name"])
    listed = [{"id": key, "name": name} for key, name in categories.items()]
    notes = [{"image_id": 3, "iscrowd": 0, **note} for note in notes]
    file.write_text(json.dumps({"images": rows, "annotations": notes, "categories": listed}))
    return file
