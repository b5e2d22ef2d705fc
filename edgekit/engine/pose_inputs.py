"""What pose networks are calibrated with: TrtPose's own preprocessing, and crops of people for top-down nets.

A top-down network never sees a whole picture: one calibrated with whole pictures gets the wrong scales.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine import calibration as cal
from edgekit.engine.shapes import model_inputs, specs
from edgekit.errors import InputError
from edgekit.files import data_dir

if TYPE_CHECKING:
    import onnx

#: Finds the people whose crops calibrate; it ships.
DETECTOR = "edgekit-person"
#: A person must be that sure, or the crop may show a lamp post.
SURE = 0.5


@dataclass(frozen=True)
class CropInput:
    """Crops of people, BGR uint8 of the input's size → its tensor: (RGB / 255 − mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: list[NDArray[np.uint8]]) -> NDArray:
        from edgekit.ops.letterbox import to_tensor

        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (self.mean, self.std))
        array: NDArray = (to_tensor(images) - mean) / std
        return array


@dataclass(frozen=True)
class Described:
    """A model file as an engine that does not run: enough to tell its task and prepare its input."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Described:
        notes = {p.key: p.value for p in model.metadata_props}
        return cls(model_inputs(model), specs(model.graph.output), notes)


@dataclass(frozen=True)
class TrtPoseInput:
    """Whole pictures through TrtPose's own preprocessing.

    Attributes:
        model: as given; the shelf may know more of it than the file.
        file: its notes say how pictures are fitted and scaled.
    """

    model: str
    file: Described = field(repr=False)

    def __call__(self, images: list[NDArray[np.uint8]]) -> NDArray:
        from edgekit.tasks.trtpose import trtpose_on

        task = trtpose_on(self.file, self.model, ops="host")  # type: ignore[arg-type]
        return next(iter(task.preprocess(images)[0].values())).copy()


def crop_input(notes: Mapping[str, str]) -> CropInput:
    """Of a top-down network, by its notes; AlphaPose's numbers where it has none."""
    from edgekit.ops.crops import MEAN
    from edgekit.tasks.trtpose_input import noted_three

    return CropInput(noted_three(notes, "mean", MEAN), noted_three(notes, "std", (1.0, 1.0, 1.0)))


def people_in(folder: Path | str, size: tuple[int, int]) -> Path:
    """A folder with the people of a folder's pictures, each a crop of (height, width), made on first use.

    Raises:
        InputError: there are no pictures, or nobody is in them.
        MissingError: the detector is not here.
    """
    from edgekit.models import find

    pictures = cal.pictures(folder)
    parts = [cal.digest(pictures), find(DETECTOR).name, str(size), str(SURE)]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
    kept = data_dir() / "built" / "calibration" / f"people-{digest}"
    if kept.is_dir():
        return kept
    crops = _crops(pictures, size)
    if not crops:
        raise InputError(
            f"{DETECTOR} finds nobody in the pictures of {folder}; a top-down pose network is calibrated "
            "with people: give pictures of some."
        )
    _write(crops, kept)
    return kept


def _crops(pictures: Sequence[Path], size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Everybody found, in the order of the pictures; at most `cal.MOST`, spread evenly."""
    import cv2

    from edgekit.ops.crops import centre_and_size, crop_matrices
    from edgekit.tasks.yolo import open_yolo

    crops: list[NDArray[np.uint8]] = []
    with open_yolo(DETECTOR, "fp32", "onnxruntime-cpu", score=SURE) as yolo:
        for file in pictures:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                continue
            boxes = yolo(np.asarray(image, np.uint8)).xyxy
            for matrix in crop_matrices(*centre_and_size(boxes, size[1] / size[0]), size):
                crops.append(cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR))
    if len(crops) <= cal.MOST:
        return crops
    return [crops[i] for i in np.linspace(0, len(crops) - 1, cal.MOST).astype(int)]


def _write(crops: Sequence[NDArray[np.uint8]], folder: Path) -> None:
    """Write the folder whole or not at all."""
    import cv2

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        for i, crop in enumerate(crops):
            cv2.imwrite(str(made / f"{i:04}.png"), crop)
        with suppress(OSError):  # another process was quicker
            made.rename(folder)
