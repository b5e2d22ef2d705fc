"""YOLO's layout: images/ and labels/ of the same names, class names in data.yaml or classes.txt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, MissingError
from edgekit.evaluate.data import DataSet, Picture, list_images

EDGE = 0.01  # a box may leave the picture by this fraction of its side: rounding in label tools
NAME_FILES = ("classes.txt", "obj.names")


def read_yolo(folder: Path | str) -> DataSet:
    """Read `images/**.jpg` and `labels/**.txt` (lines `class cx cy w h`, fractions; empty means nothing).

    Raises:
        InputError: names the file and the line that is wrong.
    """
    folder = Path(folder)
    names = class_names(folder)
    pictures = []
    for image in list_images(folder / "images"):
        label = (folder / "labels" / image.relative_to(folder / "images")).with_suffix(".txt")
        if not label.is_file():
            raise InputError(
                f"there is no label file {label} for {image.name}; write an empty one if nothing is in it."
            )
        boxes, labels = parse_yolo(label, len(names))
        pictures.append(Picture(image, boxes, np.zeros(len(boxes), bool), labels))
    return DataSet(folder, tuple(pictures), names)


def parse_yolo(label: Path, classes: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes [N, 4] x1 y1 x2 y2 in fractions and classes [N] of one label file.

    Args:
        classes: how many there are; 0 where that is not known.
    """
    boxes, labels = [], []
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
        if kind < 0 or (classes and kind >= classes):
            raise InputError(f"{where}: class {kind} is unknown; the data set has {classes} classes, from 0.")
        cx, cy, w, h = values
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if not np.isfinite(values).all() or w <= 0 or h <= 0 or min(box) < -EDGE or max(box) > 1 + EDGE:
            raise InputError(
                f"{where}: box {values} is empty or leaves the picture; values are fractions 0 to 1."
            )
        boxes.append(box)
        labels.append(kind)
    return np.clip(np.asarray(boxes, np.float64).reshape(-1, 4), 0, 1), np.asarray(labels, np.int64)


def class_names(folder: Path) -> tuple[str, ...]:
    """Of data.yaml (or another .yaml with `names`), classes.txt or obj.names; () where none is there."""
    for file in (folder / name for name in NAME_FILES):
        if file.is_file():
            return tuple(filter(None, map(str.strip, file.read_text(encoding="utf-8").splitlines())))
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        names = _yaml(file).get("names")
        if isinstance(names, list):
            return tuple(map(str, names))
        if isinstance(names, dict) and set(names) == set(range(len(names))):
            return tuple(str(names[i]) for i in range(len(names)))
        if names is not None:
            raise InputError(f"{file}: names is neither a list nor a table 0: name, 1: name, ….")
    return ()


def _yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise MissingError(
            f"reading {file.name} needs PyYAML: pip install 'edgekit[evaluate]', or write the class names to "
            "classes.txt."
        ) from None
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no YAML: {str(error).splitlines()[0]}.") from error
    return content if isinstance(content, dict) else {}
