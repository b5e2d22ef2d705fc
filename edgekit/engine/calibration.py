"""Calibration inputs for int8: a folder of pictures, put through the model's input recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.errors import InputError

Preprocess = Callable[[list[NDArray[np.uint8]]], NDArray]
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
#: More pictures than this change the scales little and cost time; they are taken evenly over the folder.
MOST = 256


@dataclass(frozen=True)
class Recipe:
    """How a YOLO model wants its pictures; see `edgekit.ops.letterbox`. The defaults are v5, v8 and 11.

    Attributes:
        style: "ultralytics", "yolox" or "darknet" letterbox.
        pad: grey of the border; None is the style's own.
        rgb: RGB, else BGR.
        unit: divided by 255, else 0 to 255.
    """

    style: str = "ultralytics"
    pad: int | None = None
    rgb: bool = True
    unit: bool = True

    def prepare(self, images: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> NDArray:
        """BGR uint8 pictures → float32 [N, 3, height, width]."""
        from edgekit.ops.letterbox import letterbox, to_tensor

        canvases = [letterbox(image, size, style=self.style, pad=self.pad)[0] for image in images]
        return to_tensor(canvases, rgb=self.rgb, unit=self.unit)


def pictures(folder: Path | str) -> list[Path]:
    """The picture files of a folder, sorted; at most `MOST`, spread evenly.

    Raises:
        InputError: no such folder, or no pictures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"the calibration folder {folder} is not a folder.")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file())
    if not found:
        raise InputError(f"the calibration folder {folder} holds no pictures ({', '.join(PICTURES)}).")
    if len(found) <= MOST:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, MOST).astype(int)]


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 over names and contents of the calibration pictures."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def picture_feeds(
    paths: Sequence[Path], spec: TensorSpec, preprocess: Preprocess | Recipe | None = None
) -> Iterator[Mapping[str, NDArray]]:
    """One feed a batch of pictures.

    Args:
        paths: picture files; one that cannot be read is left out.
        spec: the model's picture input; [N, 3, H, W], all sizes known.
        preprocess: BGR uint8 pictures → the array the model wants; by default `Recipe()`.

    Raises:
        InputError: no picture can be read, or `preprocess` gives another shape.
    """
    import cv2

    shape = tuple(n or 1 for n in spec.shape)
    preprocess = preprocess or Recipe()
    used = 0
    batch: list[NDArray[np.uint8]] = []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        batch.append(np.asarray(image, np.uint8))
        if len(batch) == shape[0]:
            used += 1
            yield {spec.name: _prepared(batch, shape, spec, preprocess)}
            batch = []
    if batch:  # the last batch is filled up with its own pictures
        used += 1
        whole = (batch * shape[0])[: shape[0]]
        yield {spec.name: _prepared(whole, shape, spec, preprocess)}
    if not used:
        raise InputError(f"none of the {len(paths)} calibration pictures can be read.")


def _prepared(
    batch: list[NDArray[np.uint8]], shape: tuple[int, ...], spec: TensorSpec, preprocess: Preprocess | Recipe
) -> NDArray:
    if isinstance(preprocess, Recipe):
        array: NDArray = preprocess.prepare(batch, (shape[2], shape[3]))
    else:
        array = preprocess(batch)
    if array.shape != shape:
        raise InputError(
            f"the preprocessing made {list(array.shape)} for calibration; {spec.name!r} is {list(shape)}."
        )
    return np.ascontiguousarray(array, np.float32)


def picture_input(inputs: Sequence[TensorSpec], opt: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    """The one picture input of a model, its dynamic sizes taken from the opt shapes.

    Raises:
        InputError: the model has other inputs than one [N, 3, H, W].
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] not in (3, None):
        raise InputError(
            "calibration from pictures needs a model with one input [N, 3, H, W]; this one has "
            f"{', '.join(map(str, inputs))}. In Python, give calibration=[{{name: array}}, …]."
        )
    spec = inputs[0]
    return TensorSpec(spec.name, opt.get(spec.name, spec.shape), spec.dtype)
