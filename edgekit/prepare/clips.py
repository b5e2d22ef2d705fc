"""Clips of the videos as numbered JPEGs: what a set's `frames` and `keyframes` hold."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, InputError
from edgekit.files import atomic_write
from edgekit.prepare.ava_files import FPS, picture_name
from edgekit.prepare.decode import Remarks, pictures


@dataclass(frozen=True)
class Cut:
    """How pictures are made of a clip.

    Attributes:
        short_side: pixels of the shorter side; None leaves the size. Only made smaller, never larger.
        quality: of the JPEGs, 1 to 100; 95 comes nearest to the tables of FFmpeg's `-q:v 1`.
    """

    short_side: int | None = None
    quality: int = 95


@dataclass(frozen=True)
class Clip:
    """A part of a video.

    Attributes:
        name: of the clip; a video of one clip gives it its own.
        video: name of the video.
        key: the video's path under the folder it was found in.
        path: the file.
        start, seconds: the part.
    """

    name: str
    video: str
    key: str
    path: Path
    start: float
    seconds: float

    def asked(self, cut: Cut) -> dict[str, Any]:
        """What the pictures depend on: the file as it is now, the part, and how they are made."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}.") from error
        file = {"key": self.key, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        return {**file, "start": self.start, "seconds": self.seconds, **asdict(cut)}


def state_file(root: Path, name: str) -> Path:
    """Where a clip that is whole is noted."""
    return root / "clips" / f"{name}.json"


def read_states(root: Path) -> dict[str, dict[str, Any]]:
    """The clips of a set that are whole, sorted by name: "asked", "video", "source", "frames", "width",
    "height", "made" (another each time) and "note".
    """
    found = {}
    for path in sorted((root / "clips").glob("*.json")):
        with suppress(ValueError, KeyError, OSError, TypeError):  # no such file: the clip is made again
            state = json.loads(path.read_text(encoding="utf-8"))
            found[path.stem] = {**state, "frames": int(state["frames"]), "made": str(state["made"])}
    return found


def is_whole(root: Path, name: str, state: dict[str, Any]) -> bool:
    """Whether a clip has all its pictures."""
    try:
        return sum(1 for _ in (root / "frames" / name).iterdir()) == state["frames"]
    except OSError:
        return False


def extract(
    clip: Clip, root: Path, cut: Cut, *, threads: int = 0, done: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Write a clip's pictures: all in place and noted, or none.

    `keyframes` gets those of the whole seconds, one a second, as links where the file system has them.

    Args:
        clip, cut: what.
        root: the set's folder.
        threads: of the decoder; 0: as many as it likes.
        done: told after each picture how many stand in the stream for it.

    Returns:
        The clip's state.

    Raises:
        InputError: as of `decode.pictures`.
        EdgekitError: the pictures cannot be written.
    """
    asked, made = clip.asked(cut), uuid.uuid4().hex
    frames, keys = root / "frames", root / "keyframes"
    scratch, key_scratch = frames / f".{clip.name}.part", keys / f".{clip.name}.part"
    remarks = Remarks()
    try:
        for folder in (scratch, key_scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        count, size = 0, (0, 0)
        for image, times in pictures(clip.path, clip.start, clip.seconds, threads=threads, remarks=remarks):
            size = size if count else _size(image, cut.short_side)
            jpeg = _encode(image, size, cut.quality)
            first = scratch / Path(picture_name(clip.name, count)).name
            first.write_bytes(jpeg)
            for index in range(count, count + times):  # a picture that stays stands on the disk once
                name = Path(picture_name(clip.name, index)).name
                if index > count:
                    _link(first, scratch / name)
                if index % FPS == 0:
                    _link(first, key_scratch / Path(picture_name(clip.name, index // FPS)).name)
            count += times
            done(times)
        state_file(root, clip.name).unlink(missing_ok=True)
        for folder, whole in ((scratch, frames / clip.name), (key_scratch, keys / clip.name)):
            shutil.rmtree(whole, ignore_errors=True)
            folder.replace(whole)
        facts = {"frames": count, "width": size[0], "height": size[1], "note": remarks.text}
        state = {"video": clip.video, "source": clip.key, **facts, "made": made, "asked": asked}
        with atomic_write(state_file(root, clip.name)) as path:
            path.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        return state
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        for folder in (scratch, key_scratch):
            shutil.rmtree(folder, ignore_errors=True)


def cannot_write(root: Path, error: OSError) -> EdgekitError:
    """The error for a folder that takes no more, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"the disk of {root} is full; free some space and run the same command again, it goes on where "
            "it stopped (--short-side 256 makes smaller pictures)."
        )
    return EdgekitError(f"{error.filename or root} cannot be written: {error.strerror or error}.")


class DiskFullError(EdgekitError):
    """No room is left: it would be the same for every other video."""


def remove(root: Path, name: str) -> None:
    """Take a clip out of a set: its note first, then its pictures and boxes."""
    state_file(root, name).unlink(missing_ok=True)
    (root / "boxes" / f"{name}.json").unlink(missing_ok=True)
    for folder in ("frames", "keyframes"):
        shutil.rmtree(root / folder / name, ignore_errors=True)


def _size(image: NDArray[np.uint8], short_side: int | None) -> tuple[int, int]:
    """(width, height) of a clip's pictures."""
    height, width = image.shape[:2]
    scale = min(1.0, (short_side or min(height, width)) / min(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encode(image: NDArray[np.uint8], size: tuple[int, int], quality: int) -> bytes:
    if image.shape[1::-1] != size:  # also where the size changes inside the video
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good
    return data.tobytes()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # FAT, some network shares
        shutil.copyfile(source, target)
