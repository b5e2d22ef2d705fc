"""A picture, a folder of pictures or a glob as a source, in the order of their names."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.camera.source import Source
from edgekit.errors import InputError
from edgekit.results import Frame

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm")
JPEG = b"\xff\xd8"
PNG = b"\x89PNG"


def read_picture(path: Path | str) -> NDArray[np.uint8]:
    """Decode a picture as uint8 [H, W, 3] BGR, turned upright by its EXIF note.

    Grey becomes three equal channels, 16 bits become 8 (the upper byte), alpha is laid over white.

    Raises:
        InputError: the file is missing, empty, cut short or no picture.
    """
    path = Path(path)
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if data.size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")
    if data[:2].tobytes() == JPEG:  # three or one channel, 8 bits, perhaps to be turned: one decode does it
        return _decode(data, cv2.IMREAD_COLOR, path)
    stored = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if stored.ndim == 3 and stored.shape[2] == 4:
        return _over_white(stored)
    plain = stored.dtype == np.uint8 and stored.ndim == 3
    if plain and data[:4].tobytes() == PNG and b"eXIf" not in data.tobytes():
        return stored  # nothing to turn, and decoding takes most of the time
    if stored.dtype.kind == "f":  # OpenCV would clip it at 255; show the full range instead
        return _stretched(stored)
    return _decode(data, cv2.IMREAD_COLOR, path)  # OpenCV itself turns it upright and takes 16 bits to 8


def _decode(data: NDArray[np.uint8], flags: int, path: Path) -> NDArray:
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:  # a picture past OpenCV's pixel limit, for one
        raise InputError(f"{path} cannot be decoded: {error.err or error}.") from error
    if image is None:
        raise InputError(f"{path} cannot be decoded: it is cut short or no picture that OpenCV reads.")
    return image


def _over_white(bgra: NDArray) -> NDArray[np.uint8]:
    top = np.iinfo(bgra.dtype).max if bgra.dtype.kind == "u" else 1.0
    alpha = bgra[:, :, 3:].astype(np.float32) / top
    colour = bgra[:, :, :3].astype(np.float32) * (255.0 / top)
    return np.rint(colour * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)


def _stretched(values: NDArray) -> NDArray[np.uint8]:
    grey = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    out = np.rint((grey - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)
    return cv2.cvtColor(out, cv2.COLOR_GRAY2BGR) if out.ndim == 2 else np.ascontiguousarray(out[:, :, :3])


def picture_paths(path: Path) -> list[Path]:
    """The pictures that a file, folder or glob names, sorted as people count: 2 before 10."""
    if path.is_file():
        return [path]
    found = path.iterdir() if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns too
    kept = [p for p in found if p.suffix.lower() in PICTURES and p.is_file() and not p.name.startswith(".")]
    return sorted(kept, key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", str(p))])


class Pictures(Source):
    """Pictures as frames. A damaged one among others is left out and named in `note`."""

    def __init__(self, path: Path) -> None:
        self.spec = str(path)
        self._paths = picture_paths(path)
        if not self._paths:
            raise InputError(f"{path} holds no pictures; known endings are {', '.join(PICTURES)}.")
        self.length = len(self._paths)
        self.how = f"OpenCV, {self.length} picture{'s' if self.length > 1 else ''}"
        self._closed = False
        self._bad: list[str] = []
        first = self._first_readable()
        self.size = (first.shape[1], first.shape[0])

    def _first_readable(self) -> NDArray[np.uint8]:
        errors = []
        for path in self._paths:
            try:
                return read_picture(path)
            except InputError as error:
                errors.append(str(error))
        raise InputError(errors[0] if len(errors) == 1 else f"none of {len(errors)} pictures: {errors[0]}")

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            try:
                image = read_picture(path)
            except InputError as error:
                self._bad.append(path.name)
                self.note = f"{len(self._bad)} of {self.length} pictures left out; the last: {error}"
                continue
            yield Frame(image, index, float(index), str(path))

    def close(self) -> None:
        """End the iteration; nothing is held open between two pictures."""
        self._closed = True
