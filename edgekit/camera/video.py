"""Video files and network streams, decoded by PyAV (FFmpeg), whatever cv2 was built with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.camera.source import Source
from edgekit.errors import InputError, MissingError
from edgekit.results import Frame

TIMEOUT_S = 10.0
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingError("PyAV is not installed, so no video can be read; cure: pip install av") from error
    av.logging.set_level(av.logging.PANIC)  # FFmpeg's remarks on damaged files are told in our own words
    return av


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _upright(frame: Any) -> NDArray[np.uint8]:
    """A decoded frame as uint8 BGR, turned as a phone's rotation note asks."""
    image = frame.to_ndarray(format="bgr24")
    turn = round(getattr(frame, "rotation", 0)) % 360
    return cv2.rotate(image, TURNS[turn]) if turn in TURNS else image


class VideoFile(Source):
    """Every frame of a file, in order. A file cut in the middle gives what it holds, and `note` says so."""

    def __init__(self, path: Path) -> None:
        self._av = _pyav()
        self.spec = str(path)
        try:
            self._container = self._av.open(self.spec)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{path} does not open as a video: {_reason(error)}. It is cut short or of an unknown kind."
            ) from error
        try:
            self._open(path)
        except BaseException:
            self._container.close()
            raise

    def _open(self, path: Path) -> None:
        if not self._container.streams.video:
            raise InputError(f"{path} holds no video stream (sound only?).")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.length = stream.frames or None
        self._frames = self._decode(stream)
        first = next(self._frames, None)
        if first is None:
            raise InputError(
                f"{path} holds no frame that can be decoded{': ' + self.note if self.note else ''}."
            )
        self._first: Frame | None = first
        self.size = (first.width, first.height)

    def _decode(self, stream: Any) -> Iterator[Frame]:
        index, start = 0, None
        broken: str | None = None
        try:
            for packet in self._container.demux(stream):
                try:
                    decoded = packet.decode()
                except self._av.FFmpegError as error:
                    broken = _reason(error)
                    continue  # a damaged packet; what follows it may be whole
                for picture in decoded:
                    t = picture.time if picture.time is not None else index / (self.fps or 25.0)
                    start = t if start is None else start
                    yield Frame(_upright(picture), index, max(0.0, t - start), self.spec)
                    index += 1
        except self._av.FFmpegError as error:
            broken = _reason(error)
        expected = self.length or 0
        if broken:
            self.note = f"the video is damaged after {index} frames: {broken}"
        elif index < expected - max(2, expected // 100):  # edit lists drop a few on purpose
            self.note = f"the video is cut short: {index} of {expected} frames could be read"

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._frames

    def close(self) -> None:
        """Close the file."""
        self._frames.close()  # type: ignore[attr-defined]  # a generator
        self._container.close()


class Stream(Source):
    """A network stream (RTSP over TCP, HTTP, …); `t` is `time.monotonic()` when the frame was decoded."""

    live = True

    def __init__(self, url: str) -> None:
        self._av = _pyav()
        self.spec = url
        options = {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"}
        try:
            self._container = self._av.open(
                url, options=options if url.startswith("rtsp") else {}, timeout=(TIMEOUT_S, TIMEOUT_S)
            )
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{url} does not open: {_reason(error)}. Check the address, the user name and the network."
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{url} carries no video.")
        stream = self._container.streams.video[0]
        self.size = (stream.width, stream.height)
        rate = stream.average_rate
        self.fps = float(rate) if rate else None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        try:
            for picture in self._container.decode(video=0):
                yield Frame(_upright(picture), index, time.monotonic(), self.spec)
                index += 1
        except self._av.FFmpegError as error:
            self.note = f"the stream broke off after {index} frames: {_reason(error)}"

    def close(self) -> None:
        """Close the connection."""
        with suppress(self._av.FFmpegError):
            self._container.close()
