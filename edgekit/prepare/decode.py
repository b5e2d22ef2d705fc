"""Pictures of a part of a video at a constant rate, decoded as they are asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.video import pyav, reason, upright
from edgekit.errors import InputError
from edgekit.prepare.ava_files import FPS

T = TypeVar("T")
#: Parts that begin earlier are decoded from the file's beginning: seeking would save nothing.
WORTH_SEEKING_S = 5.0


@dataclass
class Remarks:
    """What a file turned out to be: `text` is "" for a whole one."""

    text: str = ""


def steady(
    stamped: Iterator[tuple[T, float]], start: float, most: int, hold: float, fps: float = FPS
) -> Iterator[tuple[T, int]]:
    """Pictures with how often each stands in a stream of `fps` a second, never 0 times.

    A picture takes the place nearest to its time stamp and stays until the next one's place, as with
    FFmpeg's `-r`; of two for one place the later is taken.

    Args:
        stamped: pictures with their seconds, which do not go back.
        start: second that is place 0; what comes before it only fills up to it.
        most: places in all.
        hold: seconds that the last picture stays.
        fps: places a second.
    """
    place, last, at = 0, None, start
    for picture, at in stamped:
        until = min(_nearest(at - start, fps), most)
        if last is not None and until > place:
            yield last, until - place
            place = until
        last = picture
        if place >= most:
            return
    until = min(max(_nearest(at - start + hold, fps), 1), most)
    if last is not None and at + hold > start and until > place:
        yield last, until - place


def _nearest(seconds: float, fps: float) -> int:
    return math.floor(seconds * fps + 0.5 + 1e-6)


def pictures(
    path: Path | str,
    start: float,
    seconds: float,
    *,
    fps: float = FPS,
    threads: int = 0,
    remarks: Remarks | None = None,
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Upright pictures, uint8 [H, W, 3] BGR, with how often each stands: see `steady`.

    Args:
        path: the video.
        start: seconds after its first picture; the nearest 1/fps is taken, so that pictures at `fps` a
            second do not fall half-way between two places.
        seconds: how long; at the file's end it is less.
        fps: places a second.
        threads: of the decoder; 0: as many as FFmpeg likes.
        remarks: told what is damaged.

    Raises:
        InputError: not there, of an unknown kind, without video, or without a picture that decodes.
    """
    most, remarks, start = _nearest(seconds, fps), remarks or Remarks(), _nearest(start, fps) / fps
    count, stamped = 0, _stamped(path, start, threads, remarks)
    for picture, times in steady(stamped, start, most, 1 / own_rate(path), fps):
        count += times
        yield upright(picture), times
    if not count:
        words = f": {remarks.text}" if remarks.text else ""
        raise InputError(f"{path} holds no picture that can be decoded from second {start:g} on{words}.")


def own_rate(path: Path | str) -> float:
    """Pictures a second of a file, the mean where they come unevenly.

    Raises:
        InputError: as of `pictures`.
    """
    with opened(path) as (_, stream):
        return float(stream.average_rate or stream.guessed_rate or 25)


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream; closed in any case."""
    av = pyav()
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{path} does not open as a video: {reason(error)}. It is cut short or of an unknown kind."
        ) from error
    try:
        if not container.streams.video:
            raise InputError(f"{path} holds no video stream (sound only?).")
        yield container, container.streams.video[0]
    finally:
        container.close()


def duration(path: Path | str) -> float:
    """Seconds that a file says it lasts; where it says nothing, its packets are gone through.

    Raises:
        InputError: as of `pictures`.
    """
    with opened(path) as (container, stream):
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return float(container.duration / 1e6)
        count, times = 0, []
        for packet in container.demux(stream):
            count += packet.size > 0
            if packet.pts is not None:
                times.append(float(packet.pts * packet.time_base))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        return max(times) - min(times) + 1 / rate if times else count / rate


def _stamped(path: Path | str, start: float, threads: int, remarks: Remarks) -> Iterator[tuple[Any, float]]:
    """(picture, seconds since the file's first picture), from `start` or somewhat earlier."""
    if start >= WORTH_SEEKING_S:
        with opened(path) as (container, stream):
            stream.thread_type, stream.thread_count = "AUTO", threads
            first = next(_decoded(container, stream, Remarks()), None)
            if first is not None and first.time is not None and _seek(container, stream, first.time + start):
                decoded = _decoded(container, stream, remarks)
                found = next(decoded, None)
                # some formats land behind the place asked for, or cannot tell where they are
                if found is not None and found.time is not None and found.time - first.time <= start:
                    yield from _clocked(itertools.chain([found], decoded), first.time, 0.0)
                    return
    with opened(path) as (container, stream):
        stream.thread_type, stream.thread_count = "AUTO", threads
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        yield from _clocked(_decoded(container, stream, remarks), None, 1 / rate)


def _seek(container: Any, stream: Any, second: float) -> bool:
    try:
        container.seek(int(second / stream.time_base), stream=stream)
    except (pyav().FFmpegError, OSError, ValueError):
        return False
    return True


def _clocked(decoded: Iterator[Any], base: float | None, step: float) -> Iterator[tuple[Any, float]]:
    """Each picture with its seconds after `base`; without stamps they are `step` apart."""
    t = 0.0
    for count, picture in enumerate(decoded):
        when = picture.time if picture.time is not None else count * step
        base = when if base is None else base
        t = max(t, when - base)  # in damaged files stamps may go back
        yield picture, t


def _decoded(container: Any, stream: Any, remarks: Remarks) -> Iterator[Any]:
    """The pictures of a stream; damaged packets are left out and remarked."""
    error_kind = pyav().FFmpegError
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except error_kind as error:
                remarks.text = f"the video is damaged: {reason(error)}"
                continue  # what follows it may be whole
            for picture in decoded:
                if picture.is_corrupt:
                    remarks.text = remarks.text or "the video is damaged: some pictures are broken"
                yield picture
    except error_kind as error:
        remarks.text = f"the video is damaged: {reason(error)}"
