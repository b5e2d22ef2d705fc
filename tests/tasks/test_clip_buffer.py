"""The ring of frames against a plain re-derivation that keeps every frame and makes each window anew."""

from __future__ import annotations

import math
import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.tasks import clip_buffer
from edgekit.tasks.clip_buffer import ClipBuffer, evenly, fit_short_side, fit_within

RNG = np.random.default_rng(64)


def pictures(count: int, height: int = 36, width: int = 50) -> list[NDArray[np.uint8]]:
    return list(RNG.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def plain_window(
    frames: list[NDArray[np.uint8]], side: int, fast: NDArray, alpha: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A window as the user's document makes it, in float64: all frames scaled, normalised and turned."""
    made = []
    for frame in frames:
        height, width = frame.shape[:2]
        if width < height:
            size = (side, math.floor(height / width * side))
        else:
            size = (math.floor(width / height * side), side)
        scaled = frame if size == (width, height) else cv2.resize(frame, size)
        made.append((scaled[:, :, ::-1].astype(np.float64) / 255 - 0.45) / 0.225)
    clip = np.array(made).transpose(3, 0, 1, 2)[:, fast]
    slow = np.trunc(np.linspace(0, len(fast) - 1, len(fast) // alpha)).astype(int)
    return clip[None][:, :, slow], clip[None]


def test_the_numbers_are_pytorchs() -> None:
    """Golden values: torch.linspace(0, span - 1, count).long() of PyTorch 2.13."""
    assert evenly(64, 32).tolist() == [*range(0, 62, 2), 63]
    assert evenly(32, 8).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert evenly(148, 64)[27] == 62  # 27 · 147 / 63 is 63, but float32 lies just below
    assert evenly(5, 1).tolist() == [0]


@pytest.mark.train
def test_the_numbers_are_this_pytorchs() -> None:
    import torch

    for span in (*range(1, 80), 128, 148, 172, 184, 256):
        for count in (n for n in (1, 2, 3, 4, 8, 16, 31, 32, 64) if n <= span):
            wanted = torch.linspace(0, span - 1, count).long().tolist()
            assert evenly(span, count).tolist() == wanted, (span, count)


@pytest.mark.parametrize(("height", "width"), [(36, 50), (50, 36), (32, 57), (24, 24)])
@pytest.mark.parametrize(("span", "count", "alpha"), [(8, 4, 2), (7, 4, 4), (5, 5, 1)])
def test_each_window_equals_one_made_anew(height: int, width: int, span: int, count: int, alpha: int) -> None:
    frames = pictures(3 * span, height, width)
    buffer = ClipBuffer(span=span, frames=count, alpha=alpha, short_side=32)
    for number, frame in enumerate(frames):
        assert buffer.add(frame) == (number == 0)
        assert buffer.ready == (number >= span - 1)
        if not buffer.ready:
            with pytest.raises(InputError, match=f"a window has {span} frames"):
                buffer.window()
            continue
        slow, fast = buffer.window()
        wanted = plain_window(frames[number - span + 1 : number + 1], 32, buffer.fast_frames, alpha)
        assert slow.flags.c_contiguous
        assert fast.flags.c_contiguous
        assert slow.dtype == fast.dtype == np.float32
        np.testing.assert_allclose(slow, wanted[0], atol=1e-6)
        np.testing.assert_allclose(fast, wanted[1], atol=1e-6)


def test_the_seeds_window() -> None:
    """64 frames read, 32 of them fast, 8 slow, the boxes of frame 32, 256×455 of full HD."""
    buffer = ClipBuffer()
    assert buffer.middle == 32
    assert buffer.slow_frames.tolist() == [0, 8, 16, 26, 34, 44, 52, 63]
    fit = fit_short_side((1080, 1920), 256)
    assert fit.canvas == (256, 455)
    np.testing.assert_allclose(
        fit.boxes(np.array([[192.0, 108, 1920, 1080]])), [[45.5, 25.59, 455, 255.94]], atol=0.01
    )


def test_before_the_window_is_full_the_first_frame_stands_in() -> None:
    frames = pictures(12)
    buffer = ClipBuffer(span=8, frames=4, alpha=2, short_side=32, pad=True)
    assert not buffer.ready
    for number, frame in enumerate(frames):
        buffer.add(frame)
        seen = [frames[max(0, n)] for n in range(number - 7, number + 1)]
        np.testing.assert_allclose(
            buffer.window()[1], plain_window(seen, 32, buffer.fast_frames, 2)[1], atol=1e-6
        )


def test_no_frame_is_prepared_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    resize = cv2.resize
    monkeypatch.setattr(clip_buffer.cv2, "resize", lambda *a, **k: calls.append(1) or resize(*a, **k))
    buffer = ClipBuffer(span=8, frames=4, alpha=2, short_side=32)
    for frame in pictures(40):
        buffer.add(frame)
        if buffer.ready:
            buffer.window()
    assert len(calls) == 40


def test_another_size_begins_anew() -> None:
    buffer = ClipBuffer(span=4, frames=4, alpha=2, short_side=32)
    for frame in pictures(6):
        buffer.add(frame)
    assert buffer.ready
    other = pictures(4, 50, 36)
    assert buffer.add(other[0])
    assert (buffer.count, buffer.ready) == (1, False)
    for frame in other[1:]:
        assert not buffer.add(frame)
    np.testing.assert_allclose(
        buffer.window()[1], plain_window(other, 32, buffer.fast_frames, 2)[1], atol=1e-6
    )


def test_after_a_reset_nothing_is_left_of_what_was() -> None:
    frames = pictures(10)
    buffer = ClipBuffer(span=4, frames=2, alpha=2, short_side=32)
    for frame in frames[:6]:
        buffer.add(frame)
    buffer.reset()
    assert not buffer.ready
    for frame in frames[6:]:
        buffer.add(frame)
    np.testing.assert_allclose(
        buffer.window()[1], plain_window(frames[6:], 32, buffer.fast_frames, 2)[1], atol=1e-6
    )


def test_a_network_of_fixed_size_gets_the_whole_picture() -> None:
    """Nothing is stretched; beside the picture lies the mean colour, also after a picture of other form."""
    buffer = ClipBuffer(span=2, frames=2, alpha=1, size=(32, 64))
    for shape in ((32, 64), (64, 64), (20, 80)):
        for frame in pictures(2, *shape):
            buffer.add(frame)
        _, fast = buffer.window()
        assert buffer.fit is not None
        high, wide = buffer.fit.content
        assert fast.shape == (1, 3, 2, 32, 64)
        assert (high, wide) == {(32, 64): (32, 64), (64, 64): (32, 32), (20, 80): (16, 64)}[shape]
        assert not fast[..., high:, :].any()
        assert not fast[..., wide:].any()
        assert fast[..., :high, :wide].any(axis=(0, 1, 2)).all()
    assert fit_within((1080, 1920), (256, 455)).content == (256, 455)
    np.testing.assert_array_equal(
        fit_within((64, 64), (32, 64)).boxes(np.array([[-5, 8, 99, 32.0]])), [[0, 4, 32, 16]]
    )


def test_means_and_deviations_are_those_of_red_green_blue() -> None:
    buffer = ClipBuffer(span=1, frames=1, alpha=1, short_side=16, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    buffer.add(np.full((16, 16, 3), (51, 102, 255), np.uint8))  # blue, green, red
    assert buffer.window()[1][0, :, 0, 0, 0].tolist() == pytest.approx([1.0, -0.2, -3.2])


def test_memory_is_flat_over_5000_frames() -> None:
    frames = pictures(16, 24, 24)
    buffer = ClipBuffer(span=64, frames=32, alpha=4, short_side=16)
    for number in range(200):
        buffer.add(frames[number % 16])
    buffer.window()
    tracemalloc.start()
    try:
        for number in range(5000):
            buffer.add(frames[number % 16])
            if number % 50 == 0:
                buffer.window()
        assert tracemalloc.get_traced_memory()[0] < 50_000  # one frame of the ring alone has 3072 bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"span": 16}, "span=16 frames are too few"),
        ({"alpha": 5}, "alpha=5 does not divide"),
        ({"short_side": 4}, "short_side=4"),
        ({"std": 0.0}, "std=0.0"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ClipBuffer(**settings)
