"""Video files, decoded by PyAV (FFmpeg), whatever cv2 was built with."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.camera.pace import Pace
from edgekit.camera.source import Source
from edgekit.errors import InputError, MissingError
from edgekit.results import Frame

#: Seconds that `close` waits for a thread that is decoding.
PATIENCE_S = 1.5
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def pyav() -> Any:
    """The module `av`, quiet; MissingError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingError("PyAV is not installed, so no video can be read; cure: pip install av") from error
    # FFmpeg's remarks on damaged files are told in our own words. None, not PANIC: any level lets FFmpeg's
    # threads wait for Python's lock, and closing a file that is still being decoded then never ends.
    av.logging.set_level(None)
    return av


def reason(error: BaseException) -> str:
    """FFmpeg's words for what went wrong."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def upright(frame: Any) -> NDArray[np.uint8]:
    """A decoded frame as uint8 BGR, turned as a phone's rotation note asks."""
    image = frame.to_ndarray(format="bgr24")
    turn = round(getattr(frame, "rotation", 0)) % 360
    return cv2.rotate(image, TURNS[turn]) if turn in TURNS else image


class VideoFile(Source):
    """The frames of a file in order. A damaged or cut file gives what it holds, and `note` says so.

    Args:
        path: the file.
        realtime: give each frame when its time has come, as a camera would (the source is then live);
            otherwise as fast as they are asked for. `Frame.t` is the medium's time in both cases.
        loop: begin again at the end; index and t go on.

    Raises:
        InputError: not there, of an unknown kind, without video, or without one frame that decodes.
        MissingError: PyAV is not installed.
    """

    def __init__(self, path: Path | str, *, realtime: bool = False, loop: bool = False) -> None:
        self.spec = str(path)
        self.live = realtime
        self._loop = loop
        self._pace = Pace()
        self._lock = threading.Lock()  # PyAV's objects must not be closed while another thread decodes
        self._index = 0
        self._offset = 0.0  # seconds of the rounds before this one
        self._last = 0.0
        self._round: _Round | None = _Round(self.spec)
        first = self._round.first
        self.size = (first.shape[1], first.shape[0])
        self.fps = self._round.fps
        self.length = None if loop else self._round.length
        self.how = (
            f"{self._round.how}{', in real time' if realtime else ''}{', again and again' if loop else ''}"
        )

    def _next(self) -> tuple[NDArray[np.uint8], float] | None:
        """The next picture and its time; None at the end or when closed."""
        with self._lock:
            try:
                if self._round is None or self._pace.stopped:
                    return None
                got = next(self._round.pictures, None)
                self.note = self.note or self._round.note
                if got is None and self._loop and self._index:
                    got = self._again()
            finally:
                if self._pace.stopped:
                    self._free()
        if got is None or self._pace.stopped:
            return None
        self._last = self._offset + got[1]
        return got[0], self._last

    def _again(self) -> tuple[NDArray[np.uint8], float] | None:
        self._free()
        self._offset = self._last + 1 / (self.fps or 25.0)
        try:
            self._round = _Round(self.spec)
        except InputError as error:  # replaced or removed meanwhile
            self.note = f"after {self._index} frames it could not be read again: {error}"
            return None
        return next(self._round.pictures, None)

    def __iter__(self) -> Iterator[Frame]:
        while (got := self._next()) is not None:
            image, t = got
            if self.live and not self._pace.wait(t):
                return
            yield Frame(image, self._index, t, self.spec)
            self._index += 1

    def _free(self) -> None:
        if self._round is not None:
            self._round.close()
            self._round = None

    def close(self) -> None:
        """Close the file; a thread that waits for a frame gets none."""
        self._pace.stop()
        if self._lock.acquire(timeout=PATIENCE_S):  # else the thread that decodes frees it when it is done
            try:
                self._free()
            finally:
                self._lock.release()


class _Round:
    """One go through a file: `pictures` gives (uint8 BGR, seconds since the first picture)."""

    def __init__(self, spec: str) -> None:
        self._av = pyav()
        self.note = ""
        try:
            self._container = self._av.open(spec)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{spec} does not open as a video: {reason(error)}. It is cut short or of an unknown kind."
            ) from error
        try:
            self._begin(spec)
        except BaseException:
            self._container.close()
            raise

    def _begin(self, spec: str) -> None:
        if not self._container.streams.video:
            raise InputError(f"{spec} holds no video stream (sound only?).")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.length = stream.frames or None
        kind = self._container.format.name.split(",")[0]
        self.how = f"PyAV {self._av.__version__}, {stream.codec_context.name} in {kind}, decoded in software"
        decoded = self._decode(stream)
        first = next(decoded, None)
        if first is None:
            raise InputError(
                f"{spec} holds no frame that can be decoded{': ' + self.note if self.note else ''}."
            )
        self.first = first[0]
        self.pictures = itertools.chain([first], decoded)

    def _decode(self, stream: Any) -> Iterator[tuple[NDArray[np.uint8], float]]:
        count, damaged, start, t = 0, 0, None, 0.0
        broken: str | None = None
        try:
            for packet in self._container.demux(stream):
                damaged += bool(packet.is_corrupt)
                try:
                    decoded = packet.decode()
                except self._av.FFmpegError as error:
                    broken = reason(error)
                    continue  # a damaged packet; what follows it may be whole
                for picture in decoded:
                    when = picture.time if picture.time is not None else count / (self.fps or 25.0)
                    start = when if start is None else start
                    t = max(t, when - start)  # in damaged files stamps may go back
                    damaged += bool(picture.is_corrupt)
                    count += 1
                    yield upright(picture), t
        except self._av.FFmpegError as error:
            broken = reason(error)
        self.note = self._said(count, t, damaged, broken)

    def _said(self, count: int, t: float, damaged: int, broken: str | None) -> str:
        """What is to be said of a file read to its end."""
        expected = self.length or 0
        if broken:
            return f"the video is damaged; {count} frames could be read: {broken}"
        if count < expected - max(2, expected // 100):  # edit lists drop a few on purpose
            return f"the video is cut short: {count} of {expected} frames could be read"
        # Matroska states its duration, not its frames; with sound in it the pictures may end earlier
        stated = (self._container.duration or 0) / 1e6
        alone = len(self._container.streams) == 1 and "matroska" in self._container.format.name
        if alone and stated - t > max(3 / (self.fps or 25.0), stated / 100):
            return f"the video is cut short: {t:.1f} of {stated:.1f} s could be read"
        return (
            f"the video is damaged; {count} frames could be read, {damaged} parts were broken"
            if damaged
            else ""
        )

    def close(self) -> None:
        self._container.close()
