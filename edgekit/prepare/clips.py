"""Clips of the videos as numbered JPEGs: what a set's `frames` and `keyframes` hold."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
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
from edgekit.results import Detections, Frame
from edgekit.sinks import Video


@dataclass(frozen=True)
class Cut:
    """How pictures are made of a clip.

    Attributes:
        short_side: pixels of the shorter side; None leaves the size. Only made smaller, never larger.
        quality: of the JPEGs, 1 to 100; 95 comes nearest to the tables of FFmpeg's `-q:v 1`.
        video: write each clip as a video too, videos/NAME.mp4.
    """

    short_side: int | None = None
    quality: int = 95
    video: bool = False


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
    asked, remarks = clip.asked(cut), Remarks()
    kinds = {kind: root / kind / f".{clip.name}.part" for kind in ("frames", "keyframes")}
    video = root / "videos" / f".{clip.name}.part.mp4"
    try:
        for folder in kinds.values():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        source = pictures(clip.path, clip.start, clip.seconds, threads=threads, remarks=remarks)
        with ExitStack() as stack:
            film = stack.enter_context(closing(Video(video, FPS))) if cut.video else None
            count, size = _write(source, clip.name, cut, kinds, film, done)
        remove(root, clip.name)
        for kind, folder in kinds.items():
            folder.replace(root / kind / clip.name)
        if cut.video:
            video.replace(root / "videos" / f"{clip.name}.mp4")
        facts = {"frames": count, "width": size[0], "height": size[1], "note": remarks.text}
        made = {"made": uuid.uuid4().hex, "asked": asked}
        state = {"video": clip.video, "source": clip.key, **facts, **made}
        with atomic_write(state_file(root, clip.name)) as path:
            path.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        return state
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        for folder in kinds.values():
            shutil.rmtree(folder, ignore_errors=True)
        video.unlink(missing_ok=True)


def _write(
    source: Iterator[tuple[NDArray[np.uint8], int]],
    name: str,
    cut: Cut,
    folders: Mapping[str, Path],
    film: Video | None,
    done: Callable[[int], None],
) -> tuple[int, tuple[int, int]]:
    """Write all pictures; returns how many, and their (width, height)."""
    count, size = 0, (0, 0)
    for image, times in source:
        size = size if count else size_for(image, cut.short_side)
        fitted = _fitted(image, size)
        first = folders["frames"] / Path(picture_name(name, count)).name
        first.write_bytes(_encode(fitted, cut.quality))
        for index in range(count, count + times):
            if index > count:  # a picture that stays stands on the disk once
                _link(first, folders["frames"] / Path(picture_name(name, index)).name)
            if index % FPS == 0:
                _link(first, folders["keyframes"] / Path(picture_name(name, index // FPS)).name)
            if film is not None:
                film.write(Frame(fitted, index, index / FPS), Detections(), fitted)
        count += times
        done(times)
    return count, size


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
    (root / "videos" / f"{name}.mp4").unlink(missing_ok=True)
    for folder in ("frames", "keyframes"):
        shutil.rmtree(root / folder / name, ignore_errors=True)


def size_for(image: NDArray[np.uint8], short_side: int | None) -> tuple[int, int]:
    """(width, height) of a clip's pictures."""
    height, width = image.shape[:2]
    scale = min(1.0, (short_side or min(height, width)) / min(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if image.shape[1::-1] == size:
        return image
    # also where the size changes inside the video
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _encode(image: NDArray[np.uint8], quality: int) -> bytes:
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good
    return data.tobytes()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # FAT, some network shares
        shutil.copyfile(source, target)
