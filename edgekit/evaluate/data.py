"""Labelled pictures from disk, in YOLO's or COCO's layout. Bad data gets one clear error."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.topology import Topology

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Picture:
    """One picture on disk and what is in it.

    Attributes:
        path: image file.
        boxes: float [N, 4], x1 y1 x2 y2 as fractions of width and height.
        ignore: bool [N]; true where the box is a crowd or unsure: neither an object nor background.
        labels: int64 [N], index into the data set's classes; by default all 0.
        areas: float64 [N], share of the picture that the object covers, by which COCO tells small from
            large; by default the box's.
        keypoints: float64 [N, K, 3], x and y as fractions of width and height, and COCO's v: 0 not labelled,
            1 hidden, 2 visible; K is 0 where the data set has none.
        num_keypoints: int64 [N], labelled keypoints; 0 where the pose is unsure (neither right nor wrong),
            −1 for a kind of object that has no keypoints; by default those with v > 0.
        labelled: false for pictures nobody labelled (they teach only through a teacher network).
    """

    path: Path
    boxes: NDArray[np.floating]
    ignore: NDArray[np.bool_]
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    areas: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    keypoints: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 3)))
    num_keypoints: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    labelled: bool = True

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if len(self.labels) != count:
            object.__setattr__(self, "labels", np.zeros(count, np.int64))
        if len(self.areas) != count:
            sides = self.boxes[:, 2:].astype(np.float64) - self.boxes[:, :2]
            object.__setattr__(self, "areas", sides.prod(1))
        if len(self.keypoints) != count:
            object.__setattr__(self, "keypoints", np.zeros((count, 0, 3)))
        if len(self.num_keypoints) != count:
            object.__setattr__(self, "num_keypoints", (self.keypoints[..., 2] > 0).sum(1))


@dataclass(frozen=True)
class DataSet:
    """Labelled pictures.

    Attributes:
        path: what was read.
        pictures: in the order of the file or of their names.
        names: the classes by number; empty where the data does not name them (YOLO without data.yaml).
        topology: the keypoints of its poses, or None where it has none.
    """

    path: Path
    pictures: tuple[Picture, ...]
    names: tuple[str, ...] = ()
    topology: Topology | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def only(self, stems: set[str]) -> DataSet:
        """The pictures with these names (without suffix).

        Raises:
            InputError: there are none.
        """
        kept = tuple(p for p in self.pictures if p.path.stem in stems)
        if not kept:
            raise InputError(f"no picture of {self.path} is among the {len(stems)} names of the split.")
        return replace(self, pictures=kept)

    @property
    def digest(self) -> str:
        """SHA-256 over names, sizes in bytes and labels: another one when the figures may be others."""
        kinds = self.names if self.topology is None else (self.names, self.topology.keypoints)
        total = hashlib.sha256(repr(kinds).encode())
        for picture in self.pictures:
            total.update(f"{picture.path.name} {picture.path.stat().st_size}\0".encode())
            arrays = [picture.boxes, picture.ignore, picture.labels, picture.areas]
            if self.topology is not None:
                arrays += [picture.keypoints, picture.num_keypoints]
            for array in arrays:
                total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()


def read_data(path: Path | str, keypoints: bool = False) -> DataSet:
    """A COCO `.json` file, a folder in COCO's layout, or one with images/ and labels/ (YOLO).

    Args:
        keypoints: poses are wanted: of several annotation files the one of keypoints.

    Raises:
        InputError: it is none of them, or something in it is missing or damaged.
    """
    from edgekit.evaluate.coco_files import annotation_file, read_coco
    from edgekit.evaluate.yolo_files import read_yolo

    path = Path(path).expanduser()
    if path.is_file() or path.suffix == ".json":
        return read_coco(path)
    if not path.is_dir():
        raise InputError(f"there is no data set {path}; give a folder (YOLO or COCO layout) or a COCO .json.")
    yolo = (path / "labels").is_dir()
    if (not yolo or keypoints) and (file := annotation_file(path, keypoints)) is not None:
        return read_coco(file)
    if yolo:
        return read_yolo(path)
    raise InputError(
        f"{path} holds no data set: it needs images/ and labels/ (YOLO), or a COCO .json with its pictures."
    )


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder and the folders in it, by path; `InputError` when there is none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder with images/ and labels/ in it.")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise InputError(f"no pictures in {folder} (looked for {', '.join(SUFFIXES)}).")
    return files


def load_image(path: Path) -> NDArray[np.uint8]:
    """BGR uint8 [H, W, 3]; `InputError` when the file is no picture."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} cannot be read as a picture; remove it or save it again.")
    return np.asarray(image, np.uint8)
