"""What a V4L2 camera offers (format, size, rate) and which of it to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgekit.camera import v4l2_ioctl as v4l2
from edgekit.errors import InputError

#: Formats that are decoded here, the best first: JPEG passes any USB port, raw pictures of a webcam fill
#: USB 2 at 640×480 and 30 FPS.
FORMATS = ("MJPG", "JPEG", "YUYV", "UYVY", "NV12", "BGR3", "RGB3", "GREY")
DEFAULT_SIZE = (640, 480)
DEFAULT_FPS = 30.0
#: What is tried where a camera states a range instead of a list.
USUAL_SIZES = ((320, 240), (640, 480), (800, 600), (1280, 720), (1920, 1080), (3840, 2160))
USUAL_RATES = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 60.0, 90.0, 120.0)
SAME_RATE = 0.5  # 29.97 is what people call 30
SHOWN = 6


@dataclass(frozen=True, order=True)
class Mode:
    """A way to take pictures.

    Attributes:
        format: the kernel's four letters: "MJPG", "YUYV", …
        width, height: pixels.
        fps: frames a second; None where the driver does not say.
    """

    format: str
    width: int
    height: int
    fps: float | None = None

    def __str__(self) -> str:
        rate = "" if self.fps is None else f" at {self.fps:.4g} FPS"
        return f"{self.format} {self.width}×{self.height}{rate}"


def modes(fd: int, size: tuple[int, int] | None = None, fps: float | None = None) -> list[Mode]:
    """All modes of the open camera `fd`, in its own order.

    Where it states ranges, the usual sizes and rates in them, and `size` and `fps` if they fit.
    """
    found = []
    for code in _formats(fd):
        for width, height in dict.fromkeys(_sizes(fd, code, size)):
            rates: list[float | None] = list(dict.fromkeys(_rates(fd, code, width, height, fps)))
            found += [Mode(v4l2.fourcc_name(code), width, height, rate) for rate in rates or [None]]
    return found


def _formats(fd: int) -> Iterator[int]:
    for index in range(64):
        one = v4l2.FormatDescription(index=index, type=v4l2.CAPTURE)
        if not v4l2.listed(fd, "ENUM_FMT", one):
            return
        yield one.pixelformat


def _sizes(fd: int, code: int, asked: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
    for index in range(256):
        one = v4l2.FrameSize(index=index, pixel_format=code)
        if not v4l2.listed(fd, "ENUM_FRAMESIZES", one):
            if index == 0:  # the driver lists none: the present size, and what it makes of the asked one
                now = v4l2.Format(type=v4l2.CAPTURE)
                v4l2.call(fd, "G_FMT", now)
                yield from [asked] if asked else [(now.width, now.height)]
            return
        if one.type == v4l2.DISCRETE:
            yield one.values[0], one.values[1]
            continue
        low_w, high_w, step_w, low_h, high_h, step_h = one.values
        for width, height in dict.fromkeys((*USUAL_SIZES, (high_w, high_h), *([asked] if asked else []))):
            fits = (width - low_w) % max(1, step_w) == 0 and (height - low_h) % max(1, step_h) == 0
            if low_w <= width <= high_w and low_h <= height <= high_h and fits:
                yield width, height
        return


def _rates(fd: int, code: int, width: int, height: int, asked: float | None) -> Iterator[float]:
    for index in range(64):
        one = v4l2.FrameInterval(index=index, pixel_format=code, width=width, height=height)
        if not v4l2.listed(fd, "ENUM_FRAMEINTERVALS", one):
            return
        numerator, denominator, slow, per = one.values[:4]
        if one.type == v4l2.DISCRETE:
            if numerator:
                yield denominator / numerator
            continue
        fastest, slowest = denominator / max(1, numerator), per / max(1, slow)
        wanted = (*USUAL_RATES, fastest, *([asked] if asked else []))
        yield from (rate for rate in wanted if slowest <= rate <= fastest)
        return


def choose(
    offered: Sequence[Mode],
    size: tuple[int, int] | None,
    fps: float | None,
    format: str | None,
    name: str,
) -> Mode:
    """The mode that is asked for; what is not said is 640×480, 30 FPS and the first of `FORMATS`, or near.

    Raises:
        InputError: the camera `name` has no such mode; the message lists those near it.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InputError(f"size={size!r} cannot be; give (width, height) in pixels.")
    if fps is not None and not 0 < fps < 10_000:
        raise InputError(f"fps={fps!r} cannot be; give frames a second.")
    if format is not None and format not in FORMATS:
        raise InputError(f"format={format!r} is not read here; known are {', '.join(FORMATS)}.")
    readable = [m for m in offered if m.format in FORMATS and m.width > 0 and m.height > 0]
    if not readable:
        given = ", ".join(dict.fromkeys(mode.format for mode in offered)) or "none"
        raise InputError(f"{name} gives no format that is read here ({', '.join(FORMATS)}), but {given}.")
    fitting = [
        mode
        for mode in readable
        if format in (None, mode.format)
        and size in (None, (mode.width, mode.height))
        and (fps is None or mode.fps is None or abs(mode.fps - fps) <= SAME_RATE)
    ]
    key = _distance(size or DEFAULT_SIZE, fps or DEFAULT_FPS)
    if fitting:
        return min(fitting, key=lambda mode: (*key(mode), FORMATS.index(mode.format)))
    asked = " ".join(
        text
        for text in (format or "", f"{size[0]}×{size[1]}" if size else "", f"at {fps:g} FPS" if fps else "")
        if text
    )
    near = sorted(readable, key=lambda mode: (mode.format not in (format, None), *key(mode)))[:SHOWN]
    raise InputError(f"{name} has no mode {asked}; near it: {'; '.join(str(mode) for mode in near)}.")


def _distance(size: tuple[int, int], fps: float) -> Callable[[Mode], tuple[float, float]]:
    """A sort key: how far a mode's size, then its rate, is from this one; twice and half are as far."""

    def key(mode: Mode) -> tuple[float, float]:
        area = abs(math.log(mode.width * mode.height / (size[0] * size[1])))
        shape = abs(math.log(mode.width * size[1] / (mode.height * size[0])))
        return round(area + shape, 3), abs(math.log((mode.fps or fps) / fps))

    return key
