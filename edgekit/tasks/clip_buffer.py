"""The last frames of a video, each scaled and normalised once, and SlowFast's two inputs made of them.

SlowFast's window covers `span` frames of the video. The fast path sees `frames` of them, evenly chosen, the
slow path every α-th of those (Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

Size = tuple[int, int]


def evenly(span: int, count: int) -> NDArray[np.int64]:
    """Numbers of `count` frames spread over `span`: `torch.linspace(0, span - 1, count).long()`.

    The upstream demo chooses so. PyTorch counts in float32, from both ends to the middle, and cuts what is
    behind the point; a plain division gives another frame here and there.
    """
    if count == 1:
        return np.zeros(1, np.int64)
    last, number = span - 1, np.arange(count)
    step = float(np.float32(last) / np.float32(count - 1))
    exact = np.where(number < count // 2, step * number, last - step * (count - 1 - number))
    return exact.astype(np.float32).astype(np.int64)


@dataclass(frozen=True)
class Fit:
    """How a picture becomes the network's.

    Attributes:
        source: (height, width) of the picture.
        content: (height, width) it is scaled to.
        canvas: (height, width) of the network's picture; what is right of and below the content is the mean
            colour.
        scale: pixels of the network's picture for one of the source, the same along both sides.
    """

    source: Size
    content: Size
    canvas: Size
    scale: float

    def boxes(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [N, 4] of the source in the network's picture, cut at the content's edges."""
        high, wide = self.content
        return np.clip(xyxy * np.float32(self.scale), 0, np.array([wide, high, wide, high], np.float32))


def fit_short_side(source: Size, short_side: int) -> Fit:
    """Scaled so that the short side is `short_side` pixels, the long one cut to whole pixels.

    1920×1080 with 256 becomes 455×256 (SlowFast's `datasets/cv2_transform.py`, scale and scale_boxes).
    """
    low, high = sorted(source)
    long_side = math.floor(high / low * short_side)
    content = (short_side, long_side) if source[0] <= source[1] else (long_side, short_side)
    return Fit(source, content, content, long_side / high)


def fit_within(source: Size, size: Size) -> Fit:
    """Scaled to lie in the upper left of `size` (height, width), for a network of fixed size."""
    scale = min(size[0] / source[0], size[1] / source[1])
    content = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
    return Fit(source, content, size, scale)


class Frames:
    """The last `span` frames of a video: which of them a window has, and how they are scaled.

    Frames that a live source drops are not there: the window then covers a longer time. Frames of another
    size begin the ring anew (`add` says so). Where the frames are is told by the class that builds on this
    one: `make` makes room for a size, `keep` takes a frame.

    Args:
        span: frames of the video that a window covers.
        frames: of them the fast path's (T).
        alpha: the slow path has every alpha-th of those.
        short_side: of the network's picture, pixels; or
        size: (height, width) of it, where the network has a fixed one.
        mean, std: of the pixels / 255, each one number or one a channel (R, G, B).
        pad: before `span` frames have come, act as if the first one had been there all the time.

    Attributes:
        middle: number, in the window, of the frame whose boxes go with it (`span // 2`, as upstream).
        fast_frames, slow_frames: numbers, in the window, of the frames that the two paths see.
        every: the slow path's places among those of the fast one.
        tables: for R, G and B the normalised value of every byte, float32 [256].
        count: frames since the last reset.
        fit: how the present source is scaled, None before its first frame.

    Raises:
        InputError: the settings do not fit each other.
    """

    def __init__(
        self,
        *,
        span: int = 64,
        frames: int = 32,
        alpha: int = 4,
        short_side: int = 256,
        size: Size | None = None,
        mean: float | tuple[float, ...] = 0.45,
        std: float | tuple[float, ...] = 0.225,
        pad: bool = False,
    ) -> None:
        if not 1 <= frames <= span:
            raise InputError(f"span={span} frames are too few: the network looks at {frames} of them.")
        if alpha < 1 or frames % alpha:
            raise InputError(f"alpha={alpha} does not divide the {frames} frames of the fast path.")
        if short_side < 16:
            raise InputError(f"short_side={short_side} leaves no features; give 16 pixels or more.")
        self.span, self.middle, self.pad = span, span // 2, pad
        self.fast_frames = evenly(span, frames)
        self.every = evenly(frames, frames // alpha)
        self.slow_frames = self.fast_frames[self.every]
        self.count = 0
        self.fit: Fit | None = None
        self._short_side, self._size = short_side, size
        self.tables = _tables(mean, std)

    @property
    def ready(self) -> bool:
        """There is a window."""
        return self.count >= (1 if self.pad else self.span)

    def reset(self) -> None:
        """Forget the frames, as before another video."""
        self.count = 0

    @property
    def first(self) -> int:
        """Number of the window's first frame; below 0 the first one that came stands in for it.

        Raises:
            InputError: there is no window yet.
        """
        if not self.ready:
            raise InputError(f"a window has {self.span} frames, and {self.count} have come so far.")
        return self.count - self.span

    def add(self, image: NDArray[np.uint8]) -> bool:
        """Keep a frame, uint8 [H, W, 3] BGR; True where that began the ring anew."""
        anew = self.fit is None or self.fit.source != image.shape[:2]
        if anew:
            source, fixed = (image.shape[0], image.shape[1]), self._size
            self.fit = (
                fit_short_side(source, self._short_side) if fixed is None else fit_within(source, fixed)
            )
            self.count = 0
            self.make(self.fit)
        assert self.fit is not None
        self.keep(image, self.fit, self.count % self.span)
        self.count += 1
        return anew

    def make(self, fit: Fit) -> None:
        """Make room for frames of another size."""
        raise NotImplementedError

    def keep(self, image: NDArray[np.uint8], fit: Fit, place: int) -> None:
        """Scale a frame and put it into the ring."""
        raise NotImplementedError


class ClipBuffer(Frames):
    """A ring of the last `span` frames as the network sees them; its memory does not grow.

    A frame is scaled and normalised when it comes, never again, however many windows it is in. Arguments,
    attributes and errors are those of `Frames`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._ring = np.zeros((3, 0, 0, 0), np.float32)
        self._fast = self._slow = np.zeros((1, 3, 0, 0, 0), np.float32)

    def window(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The two inputs for the last `span` frames; the next call writes over them.

        Returns:
            slow: float32 [1, 3, T/α, H, W] and fast: float32 [1, 3, T, H, W], RGB, normalised.

        Raises:
            InputError: there is no window yet.
        """
        numbers = np.maximum(self.fast_frames + self.first, 0) % self.span
        # mode="clip" lets take write where it shall; the default goes through a copy
        np.take(self._ring, numbers, axis=1, out=self._fast[0], mode="clip")
        np.take(self._fast[0], self.every, axis=1, out=self._slow[0], mode="clip")
        return self._slow, self._fast

    def make(self, fit: Fit) -> None:
        """See `Frames`."""
        frames, few = len(self.fast_frames), len(self.every)
        if self._ring.shape[2:] != fit.canvas:
            self._ring = np.zeros((3, self.span, *fit.canvas), np.float32)
            self._fast = np.zeros((1, 3, frames, *fit.canvas), np.float32)
            self._slow = np.zeros((1, 3, few, *fit.canvas), np.float32)
        else:
            self._ring[...] = 0  # another content's edge may lie elsewhere

    def keep(self, image: NDArray[np.uint8], fit: Fit, place: int) -> None:
        """See `Frames`."""
        height, width = fit.content
        if image.shape[:2] != fit.content:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        for channel, table in enumerate(self.tables):  # BGR in, RGB planes out
            plane = self._ring[channel, place, :height, :width]
            cv2.LUT(cv2.extractChannel(image, 2 - channel), table, dst=plane)


def _tables(mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> list[NDArray[np.float32]]:
    """For each of R, G, B the normalised value of every byte, in float32 and upstream's order."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    means, stds = (np.broadcast_to(np.asarray(given, np.float32), 3) for given in (mean, std))
    if not (stds > 0).all():
        raise InputError(f"std={std} must be over 0.")
    return [(values - m) / s for m, s in zip(means, stds, strict=True)]
