"""What the live view saves: snapshots and recordings under `out/live/`, named by the time."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.draw import draw
from edgekit.errors import EdgekitError
from edgekit.files import atomic_write
from edgekit.results import Frame, Result
from edgekit.sinks import Video

FOLDER = Path("out") / "live"


def new_path(suffix: str) -> Path:
    """A path in `out/live/` that is not taken: `2026-03-14_15-09-26.jpg`, then `…-26-2.jpg`."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, number = FOLDER / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = FOLDER / f"{stem}-{number}{suffix}"
    return path


def snapshot(frame: Frame, result: Result) -> Path:
    """Save a frame with its result drawn on it, at full size, as JPEG; returns the path.

    Raises:
        EdgekitError: it cannot be written.
    """
    path = new_path(".jpg")
    done, jpeg = cv2.imencode(".jpg", draw(frame, result), [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    try:
        with atomic_write(path) as scratch:
            scratch.write_bytes(jpeg.tobytes())
    except OSError as error:
        raise _not_written(path, error) from error
    return path


def _not_written(path: Path, error: OSError) -> EdgekitError:
    return EdgekitError(f"{path} cannot be written: {error.strerror or error}.")


class Recording:
    """A video of the view as a sink. What goes wrong ends the recording and is kept; the session goes on.

    Args:
        fps: frames a second, if known.

    Attributes:
        path: the video.
        error: what ended it, or None.

    Raises:
        EdgekitError: the file cannot be made.
    """

    def __init__(self, fps: float | None = None) -> None:
        self.path = new_path(".mp4")
        self.error: Exception | None = None
        self.closed = False
        self._video = Video(self.path, fps)
        self._start = time.monotonic()
        self._end: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has been going, or went."""
        return (self._end or time.monotonic()) - self._start

    @property
    def picture_side(self) -> int | None:
        """Full size, and nothing any more after an error."""
        return None if self.closed else 0

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Encode one drawing."""
        if self.closed or picture is None:
            return
        try:
            self._video.write(frame, result, picture)
        except Exception as error:  # whatever the encoder or the disk says, the camera must go on
            self.error = error
            self.close()

    def close(self) -> None:
        """Finish the file; what is in it up to here plays."""
        if self.closed:
            return
        self.closed, self._end = True, time.monotonic()
        try:
            self._video.close()
        except Exception as error:
            self.error = self.error or error
