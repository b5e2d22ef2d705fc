"""Which frames of a clip a network of action recognition sees. Integer arithmetic, nothing else.

The rules are those of TAO's ActionRecognitionNet: its page (`center`, `conv`) and, where the page says too
little, what its frame sampler does. Two slips of that are not repeated: floats that round the start of some
segments down by a frame, and training windows that begin a frame too late and end in the clip's beginning.
Every function takes the number of frames of a clip and returns their indices, int64; a clip that is too short
starts again at its beginning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

Indices = NDArray[np.int64]

#: How frames are picked: next to each other, or spread over the whole clip.
STRATEGIES = ("consecutive", "random_interval")

#: What of a clip is scored: its middle, `count` windows over its length, or windows side by side.
MODES = ("center", "conv", "all")


def center(frames: int, length: int, rate: int = 1) -> Indices:
    """The middle `length` frames, every `rate`-th: of 128 frames, 32 are 48 to 79.

    Args:
        frames: of the clip, 1 or more.
        length: frames wanted.
        rate: 2 takes every second frame.

    Returns:
        int64 [length].

    Raises:
        InputError: a number is less than 1.
    """
    check(frames, length, rate)
    return _from(max(0, _starts(frames, length, rate)) // 2, frames, length, rate)


def segments(frames: int, length: int, rate: int = 1, count: int = 10) -> Indices:
    """The possible starts in `count` equal parts, and `length` frames from the middle of each part.

    The parts are of the frames at which a window may start, so the last window still ends inside the clip.

    Returns:
        int64 [count, length]; [1, length] of a clip that has no more than one window, as all would be equal.

    Raises:
        InputError: a number is less than 1.
    """
    check(frames, length, rate, count)
    starts = _starts(frames, length, rate)
    if starts < 1:
        return _from(0, frames, length, rate)[None]
    first = (2 * np.arange(count, dtype=np.int64) + 1) * starts // (2 * count)
    return _from(first[:, None], frames, length, rate)


def sliding(frames: int, length: int, rate: int = 1, stride: int = 1) -> Indices:
    """Every window that fits, `stride` frames from start to start; one of a clip that is too short.

    Returns:
        int64 [windows, length].

    Raises:
        InputError: a number is less than 1.
    """
    check(frames, length, rate, stride=stride)
    last = max(0, frames - ((length - 1) * rate + 1))
    return _from(np.arange(0, last + 1, stride, dtype=np.int64)[:, None], frames, length, rate)


def side_by_side(frames: int, length: int, rate: int = 1) -> Indices:
    """Windows that share no frame; with a `rate` of 2 the frames between are a window of their own.

    Returns:
        int64 [windows, length].

    Raises:
        InputError: a number is less than 1.
    """
    check(frames, length, rate)
    blocks = np.arange(max(1, frames // (length * rate)), dtype=np.int64) * length * rate
    offsets = np.arange(rate if frames >= length * rate else 1, dtype=np.int64)
    return _from((blocks[:, None] + offsets).reshape(-1, 1), frames, length, rate)


def spread(frames: int, length: int) -> Indices:
    """The middle frame of each of `length` equal parts of the clip (TAO's strategy `random_interval`).

    Returns:
        int64 [length].

    Raises:
        InputError: a number is less than 1.
    """
    check(frames, length)
    return (2 * np.arange(length, dtype=np.int64) + 1) * frames // (2 * length)


def somewhere(
    frames: int, length: int, rate: int, rng: np.random.Generator, strategy: str = "consecutive"
) -> Indices:
    """Frames to learn from, drawn anew each time.

    Args:
        rng: draws.
        strategy: "consecutive": any window that fits, all equally likely; "random_interval": any frame of
            each of `length` equal parts, and of a clip that is too short any frames, in order.

    Returns:
        int64 [length].

    Raises:
        InputError: a number is less than 1, or there is no such strategy.
    """
    check(frames, length, rate)
    if _spreads(strategy):
        if frames < length:
            return np.sort(rng.integers(frames, size=length))
        part = frames // length
        return np.arange(length, dtype=np.int64) * part + rng.integers(part, size=length)
    last = max(0, frames - ((length - 1) * rate + 1))
    return _from(int(rng.integers(last + 1)), frames, length, rate)


def windows(
    frames: int,
    length: int,
    mode: str = "center",
    *,
    rate: int = 1,
    count: int = 10,
    strategy: str = "consecutive",
) -> Indices:
    """The windows of a clip that are scored: `center` one, `conv` up to `count`, `all` side by side.

    The strategy "random_interval" has no windows in `conv` and `all`: it takes every n-th frame, from the
    first, from the second and so on, and `count` says nothing.

    Returns:
        int64 [windows, length].

    Raises:
        InputError: a number is less than 1, or there is no such mode or strategy.
    """
    if mode not in MODES:
        raise InputError(f"There is no mode {mode!r} of windows; there are {', '.join(MODES)}.")
    if _spreads(strategy):
        check(frames, length, rate, count)
        part = frames // length
        if mode == "center" or not part:
            return spread(frames, length)[None]
        return np.arange(part, dtype=np.int64)[:, None] + np.arange(length, dtype=np.int64) * part
    if mode == "conv":
        return segments(frames, length, rate, count)
    return side_by_side(frames, length, rate) if mode == "all" else center(frames, length, rate)[None]


def inner(indices: Indices, length: int, strategy: str = "consecutive") -> Indices:
    """The shorter stream's frames inside those of the longer one, for a network of two streams.

    Args:
        indices: int64 [..., longer], the longer stream's frames.
        length: frames of the shorter stream.
        strategy: "consecutive": the middle ones; "random_interval": spread over them.

    Returns:
        int64 [..., length].
    """
    longer = indices.shape[-1]
    kept = spread(longer, length) if _spreads(strategy) else center(longer, length)
    return indices[..., kept]


def check(frames: int, length: int, rate: int = 1, count: int = 1, stride: int = 1) -> None:
    """InputError where a number is less than 1."""
    if frames < 1:
        raise InputError("A clip without frames has no window; remove its folder, or cut it again.")
    for name, value in (("length", length), ("rate", rate), ("count", count), ("stride", stride)):
        if value < 1:
            raise InputError(f"A window's {name} of {value} must be at least 1.")


def _starts(frames: int, length: int, rate: int) -> int:
    """How many starts a window has. TAO counts `rate` frames for the last one too, and so does this."""
    return frames - length * rate + 1


def _from(start: int | Indices, frames: int, length: int, rate: int) -> Indices:
    return (start + np.arange(length, dtype=np.int64) * rate) % frames


def _spreads(strategy: str) -> bool:
    if strategy not in STRATEGIES:
        raise InputError(f"There is no strategy {strategy!r}; there are {', '.join(STRATEGIES)}.")
    return strategy == "random_interval"
