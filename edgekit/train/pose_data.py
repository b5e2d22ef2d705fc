"""Pictures and settings of a pose training: loaded, shrunk, split by likeness, checked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.data import load_image
from edgekit.train.keypoints import PoseData, PosePicture
from edgekit.train.likeness import clusters, describe, hold_out

Images = list[NDArray[np.uint8]]


@dataclass
class PoseSettings:
    """What a pose training needs to know; stored in its checkpoints. `size` is height and width."""

    size: tuple[int, int]
    batch: int = 128
    steps: int = 8000
    rate: float = 1e-3
    slow: float = 0.25  # the backbone's learning rate, as a part of `rate`
    freeze: int = -1  # this many first blocks of the backbone, and its stem, stay as they are; −1: none;
    # 19: edgekit-trtpose's whole way to the heat maps of COCO's keypoints
    focus: float = 0.0  # how much more a cell counts where the target is 1: weight 1 + focus · target
    decay: float = 0.02
    warmup: int = 200
    average: float = 0.999
    calm: float = 0.15  # share of the steps at the end with mild augmentation
    seed: int = 0
    long_side: int = 512  # pictures are kept at most this large
    check_every: int = 500  # steps between looks at the held-out pictures and checkpoints


class Some(NamedTuple):
    """Pictures, loaded, and the number of the group of alike ones that each is of."""

    images: Images
    pictures: list[PosePicture]
    groups: NDArray[np.int64]


ALIKE = 0.9  # pictures whose thumbnails' cosine is above this stay on one side of a split


def load_pictures(data: PoseData, long_side: int, workers: int = 8) -> tuple[Images, list[PosePicture]]:
    """BGR uint8 images, shrunk (never grown) to `long_side`, and the pictures with their sizes filled in."""

    def one(picture: PosePicture) -> tuple[NDArray[np.uint8], PosePicture]:
        image = load_image(picture.path)
        height, width = image.shape[:2]
        picture = replace(picture, size=picture.size or (width, height))
        ratio = long_side / max(height, width)
        if ratio < 1:
            small = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        return image, picture

    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(one, data.pictures))
    return [image for image, _ in rows], [picture for _, picture in rows]


def split_pictures(data: PoseData, held_out: float | Path | str, long_side: int) -> tuple[Some, Some]:
    """What to learn from, and what is held out: groups of pictures that look alike, or those of a file."""
    images, pictures = load_pictures(data, long_side)
    groups = clusters(describe(images), ALIKE)
    held = np.zeros(len(images), bool)
    if not isinstance(held_out, (int, float)):
        try:
            names = set(json.loads(Path(held_out).read_text(encoding="utf-8"))["held_out"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{held_out} is no split: it needs a list "held_out" of names.') from error
        held = np.array([p.path.stem in names or p.path.name in names for p in pictures])
    elif held_out > 0 and len(images) > 1:
        held = hold_out(groups, held_out)
    people = np.array([len(p.keypoints) > 0 for p in pictures])
    if not (people & ~held).any():
        raise InputError(f"No picture with people is left to learn from (held out: {held_out}).")
    taught, kept = (np.flatnonzero(held == want) for want in (False, True))

    def some(part: NDArray[np.int64]) -> Some:
        return Some([images[n] for n in part], [pictures[n] for n in part], groups[part])

    return some(taught), some(kept)


def make_plan(
    settings: dict[str, Any],
    size: tuple[int, int],
    steps: int | None,
    epochs: float | None,
    count: int,
    default: int,
) -> PoseSettings:
    """Settings with the number of steps; `InputError` for what cannot be."""
    batch = settings.get("batch", PoseSettings.batch)
    if steps and epochs:
        raise InputError("Give steps or epochs, not both.")
    for name, value in {**settings, "steps": steps or 1, "epochs": epochs or 1}.items():
        if name in ("batch", "rate", "steps", "epochs") and value <= 0:
            raise InputError(f"{name} {value} must be more than 0.")
    if epochs:
        steps = max(1, round(epochs * count / batch))
    steps = steps or default
    try:
        return PoseSettings(size, steps=steps, **{"warmup": min(200, steps // 10 + 1), **settings})
    except TypeError as error:
        raise InputError(f"There is no such setting: {error}.") from error
