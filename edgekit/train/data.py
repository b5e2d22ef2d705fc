"""Pictures to train on: the people of a labelled set, and pictures without labels, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.data import Picture, list_images, load_image, read_data

PERSON = "person"


def read_people(path: Path | str) -> list[Picture]:
    """The pictures of a data set with its people; other named classes are left out.

    Raises:
        InputError: it cannot be read, or its classes have no names and are not one.
    """
    data = read_data(path)
    if data.names:
        named = [i for i, name in enumerate(data.names) if name.lower() == PERSON]
        if not named:
            raise InputError(f"{path} has no class {PERSON!r}; its classes are {', '.join(data.names[:8])}.")
        return [_only(picture, named[0]) for picture in data.pictures]
    for picture in data.pictures:
        if picture.labels.any():
            raise InputError(
                f"the labels of {picture.path} have class {picture.labels.max()}; this detector has "
                "one class, 0 (person). Name the classes in classes.txt."
            )
    return list(data.pictures)


def _only(picture: Picture, label: int) -> Picture:
    mine = picture.labels == label
    return Picture(picture.path, np.clip(picture.boxes[mine], 0, 1), picture.ignore[mine])


def read_unlabelled(folder: Path | str) -> list[Picture]:
    """Pictures of a folder (or its `images/`) without labels."""
    folder = Path(folder)
    folder = folder / "images" if (folder / "images").is_dir() else folder
    nobody = np.zeros((0, 4), np.float32)
    return [Picture(f, nobody, np.zeros(0, bool), labelled=False) for f in list_images(folder)]


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
