"""Pictures and boxes from disk: YOLO folders, COCO files, plain folders. Bad data gets one clear error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
EDGE = 0.01  # a box may leave the picture by this fraction of its side: rounding in label tools


@dataclass(frozen=True)
class Picture:
    """One picture on disk and the people in it.

    Attributes:
        path: image file.
        boxes: float32 [N, 4], x1 y1 x2 y2 as fractions of width and height.
        ignore: bool [N]; true where the box is a crowd or unsure: neither a person nor background.
        labelled: false for pictures nobody labelled (they teach only through a teacher network).
    """

    path: Path
    boxes: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    labelled: bool = True


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder by name; `InputError` when there is none."""
    if not folder.is_dir():
        raise InputError(f"No folder {folder}. Give a folder with images/ and labels/ in it.")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"No pictures in {folder} (looked for {', '.join(SUFFIXES)}).")
    return files


def read_yolo(folder: Path | str) -> list[Picture]:
    """Read `images/*.jpg` and `labels/*.txt` (lines `0 cx cy w h`, fractions; an empty file means nobody)."""
    folder = Path(folder)
    pictures = []
    for image in list_images(folder / "images"):
        label = folder / "labels" / f"{image.stem}.txt"
        if not label.is_file():
            raise InputError(
                f"No label file {label} for {image.name}. Write an empty one if nobody is in it."
            )
        boxes = parse_yolo(label)
        pictures.append(Picture(image, boxes, np.zeros(len(boxes), bool)))
    return pictures


def parse_yolo(label: Path) -> NDArray[np.float32]:
    """Boxes of one label file, float32 [N, 4] x1 y1 x2 y2 in fractions; errors name file and line."""
    boxes = []
    for number, line in enumerate(label.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{label}:{number}"
        fields = line.split()
        try:
            kind, values = int(fields[0]), [float(v) for v in fields[1:]]
        except ValueError:
            raise InputError(f"{where}: '{line.strip()}' is not 'class cx cy w h' in numbers.") from None
        if len(values) != 4:
            raise InputError(f"{where}: {len(values)} numbers after the class, expected 4 (cx cy w h).")
        if kind != 0:
            raise InputError(f"{where}: class {kind} is unknown; this detector has one class, 0 (person).")
        cx, cy, w, h = values
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if not np.isfinite(values).all() or w <= 0 or h <= 0 or min(box) < -EDGE or max(box) > 1 + EDGE:
            raise InputError(
                f"{where}: box {values} is empty or leaves the picture; values are fractions 0 to 1."
            )
        boxes.append(box)
    return np.clip(np.asarray(boxes, np.float32).reshape(-1, 4), 0, 1)


def read_coco(file: Path | str, images: Path | str | None = None, category: int = 1) -> list[Picture]:
    """Read a COCO annotation file; `images` is the picture folder (default: `images/` beside the file)."""
    file = Path(file)
    folder = Path(images) if images else file.parent / "images"
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        shapes = {i["id"]: (i["file_name"], float(i["width"]), float(i["height"])) for i in content["images"]}
        people: dict[int, list[tuple[list[float], bool]]] = {key: [] for key in shapes}
        for note in content["annotations"]:
            if note["category_id"] == category:
                people[note["image_id"]].append((note["bbox"], bool(note.get("iscrowd", 0))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a COCO annotation file: {error!r}.") from error
    pictures = []
    for key, (name, width, height) in shapes.items():
        if not (folder / name).is_file():
            raise InputError(f"{file} names {name}, which is not in {folder}.")
        xywh = np.asarray([b for b, _ in people[key]], np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1) / [width, height, width, height]
        crowd = np.asarray([c for _, c in people[key]], bool)
        pictures.append(Picture(folder / name, np.clip(boxes, 0, 1).astype(np.float32), crowd))
    return pictures


def read_unlabelled(folder: Path | str) -> list[Picture]:
    """Pictures of a folder (or its `images/`) without labels."""
    folder = Path(folder)
    folder = folder / "images" if (folder / "images").is_dir() else folder
    nobody = np.zeros((0, 4), np.float32)
    return [Picture(f, nobody, np.zeros(0, bool), labelled=False) for f in list_images(folder)]


def read_data(path: Path | str) -> list[Picture]:
    """A COCO `.json` file or a YOLO folder."""
    return read_coco(path) if str(path).endswith(".json") else read_yolo(path)


def load_image(path: Path) -> NDArray[np.uint8]:
    """BGR uint8 [H, W, 3]; `InputError` when the file is no picture."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} cannot be read as a picture. Remove it or save it again.")
    return np.asarray(image, np.uint8)


def load_images(pictures: Sequence[Picture], long_side: int, workers: int = 8) -> list[NDArray[np.uint8]]:
    """All pictures as BGR uint8, shrunk (never grown) to `long_side`."""

    def one(picture: Picture) -> NDArray[np.uint8]:
        image = load_image(picture.path)
        ratio = long_side / max(image.shape[:2])
        if ratio >= 1:
            return image
        width, height = (max(1, round(side * ratio)) for side in (image.shape[1], image.shape[0]))
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, pictures))
