"""Pictures and settings of a pose training: loaded, shrunk, split by likeness, checked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.data import load_image
from edgekit.train.keypoints import PoseData, PosePicture
from edgekit.train.likeness import clusters, describe, hold_out
from edgekit.train.pose_module import PoseSettings

Images = list[NDArray[np.uint8]]
Some = tuple[Images, list[PosePicture]]
ALIKE = 0.9  # pictures whose thumbnails' cosine is above this stay on one side of a split


def load_pictures(data: PoseData, long_side: int, workers: int = 8) -> Some:
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
    held = np.zeros(len(images), bool)
    if not isinstance(held_out, (int, float)):
        try:
            names = set(json.loads(Path(held_out).read_text(encoding="utf-8"))["held_out"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{held_out} is no split: it needs a list "held_out" of names.') from error
        held = np.array([p.path.stem in names or p.path.name in names for p in pictures])
    elif held_out > 0 and len(images) > 1:
        held = hold_out(clusters(describe(images), ALIKE), held_out)
    people = np.array([len(p.keypoints) > 0 for p in pictures])
    if not (people & ~held).any():
        raise InputError(f"No picture with people is left to learn from (held out: {held_out}).")
    taught, kept = ([n for n in range(len(images)) if held[n] == want] for want in (False, True))
    return tuple(([images[n] for n in part], [pictures[n] for n in part]) for part in (taught, kept))  # type: ignore[return-value]


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
