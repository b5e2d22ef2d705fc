"""Frame arithmetic of action recognition: the page's examples, and plain loops over exact fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from edgekit.action_windows import (
    center,
    inner,
    segments,
    side_by_side,
    sliding,
    somewhere,
    spread,
    windows,
)
from edgekit.errors import InputError

random = np.random.default_rng(5)
#: (frames, length, rate, count or stride): short clips and long ones, windows that just fit and that do not
CASES = [
    *([int(n) for n in random.integers(1, (300, 40, 4, 14))] for _ in range(300)),
    *((length * rate + more, length, rate, 3) for length in (1, 7) for rate in (1, 3) for more in (-1, 0, 1)),
]
CASES = [case for case in CASES if case[0] > 0]


def taken(frames: int, start: int, length: int, rate: int) -> list[int]:
    """Frames one after the other; at the clip's end it begins again."""
    found, at = [], start
    for _ in range(length):
        found.append(at % frames)
        at += rate
    return found


def test_the_page_says_48_to_79() -> None:
    assert center(128, 32).tolist() == list(range(48, 80))
    assert center(128, 32).dtype == np.int64


def test_ten_segments_begin_at_the_middles_of_ten_parts() -> None:
    found = segments(128, 32)
    assert found.shape == (10, 32)
    # 97 frames can begin a window of 32; a tenth of them is 9.7, the first middle 4.85
    assert found[:, 0].tolist() == [4, 14, 24, 33, 43, 53, 63, 72, 82, 92]
    assert (np.diff(found, axis=1) == 1).all()
    assert found.max() == 123


@pytest.mark.parametrize("frames", [1, 5, 31])
def test_a_short_clip_begins_again(frames: int) -> None:
    wanted = [k % frames for k in range(32)]
    assert center(frames, 32).tolist() == wanted
    for found in (segments(frames, 32), sliding(frames, 32), side_by_side(frames, 32)):
        assert found.tolist() == [wanted]


def test_center_is_the_middle() -> None:
    for frames, length, rate, _ in CASES:
        found = center(frames, length, rate)
        starts = frames - length * rate + 1
        assert found.tolist() == taken(frames, floor(Fraction(max(starts, 0), 2)), length, rate)
        if starts > 0:  # as many frames before as behind, but for one
            assert abs(found[0] - (frames - (found[-1] + rate))) <= 1


def test_segments_by_fractions() -> None:
    for frames, length, rate, count in CASES:
        starts = frames - length * rate + 1
        part = Fraction(starts, count)
        wanted = [taken(frames, floor(part * k + part / 2), length, rate) for k in range(count)]
        found = segments(frames, length, rate, count)
        assert found.tolist() == (wanted if starts > 0 else [taken(frames, 0, length, rate)])
        if starts > 0:
            assert (np.diff(found, axis=1) == rate).all()  # none of them wraps


def test_sliding_by_a_loop() -> None:
    for frames, length, rate, stride in CASES:
        wanted, start = [taken(frames, 0, length, rate)], stride
        while start + (length - 1) * rate < frames:
            wanted.append(taken(frames, start, length, rate))
            start += stride
        assert sliding(frames, length, rate, stride).tolist() == wanted


def test_sliding_as_the_sample() -> None:
    found = sliding(300, 32)
    assert found.shape == (269, 32)
    assert found[1].tolist() == list(range(1, 33))
    assert found[-1, -1] == 299


def test_side_by_side_shares_no_frame() -> None:
    for frames, length, rate, _ in CASES:
        found = side_by_side(frames, length, rate)
        if frames >= length * rate:
            assert len(np.unique(found)) == found.size == frames // (length * rate) * length * rate
            assert found.max() < frames
            assert (np.diff(found, axis=1) == rate).all()
        else:
            assert found.tolist() == [taken(frames, 0, length, rate)]


def test_spread_is_the_middle_of_each_part() -> None:
    for frames, length, *_ in CASES:
        part = Fraction(frames, length)
        assert spread(frames, length).tolist() == [floor(part * k + part / 2) for k in range(length)]


def test_somewhere_is_anywhere_equally_often() -> None:
    random = np.random.default_rng(1)
    found = np.stack([somewhere(20, 8, 2, random) for _ in range(3000)])
    assert (np.diff(found, axis=1) == 2).all()  # none wraps
    counts = Counter(found[:, 0].tolist())
    assert sorted(counts) == list(range(6))  # 15 frames are covered
    assert max(counts.values()) < 1.25 * min(counts.values())


def test_somewhere_in_a_short_clip_begins_at_its_start() -> None:
    assert somewhere(5, 8, 1, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_random_frame_of_each_part() -> None:
    random = np.random.default_rng(2)
    found = np.stack([somewhere(35, 8, 1, random, "random_interval") for _ in range(500)])
    for k in range(8):  # parts of 4 frames
        assert set(found[:, k].tolist()) == {4 * k, 4 * k + 1, 4 * k + 2, 4 * k + 3}
    short = somewhere(5, 8, 1, random, "random_interval")
    assert (np.diff(short) >= 0).all()
    assert set(short.tolist()) <= set(range(5))


def test_the_same_seed_draws_the_same() -> None:
    for strategy in ("consecutive", "random_interval"):
        a, b = (somewhere(90, 16, 2, np.random.default_rng(7), strategy).tolist() for _ in range(2))
        assert a == b


def test_windows_by_mode_and_strategy() -> None:
    assert windows(128, 32).tolist() == [center(128, 32).tolist()]
    assert windows(128, 32, "conv", count=4).tolist() == segments(128, 32, count=4).tolist()
    assert windows(128, 32, "all", rate=2).tolist() == side_by_side(128, 32, 2).tolist()
    spaced = {"strategy": "random_interval"}
    assert windows(128, 32, **spaced).tolist() == [spread(128, 32).tolist()]
    every = windows(128, 32, "conv", **spaced)
    assert every.tolist() == [list(range(k, 128, 4)) for k in range(4)]
    assert windows(20, 32, "all", **spaced).tolist() == [spread(20, 32).tolist()]


def test_the_shorter_stream_lies_inside() -> None:
    assert inner(np.arange(48, 80), 10).tolist() == list(range(59, 69))
    assert inner(segments(128, 32), 10)[:, 0].tolist() == [15, 25, 35, 44, 54, 64, 74, 83, 93, 103]
    assert inner(center(64, 10, 3), 4).tolist() == center(64, 10, 3)[3:7].tolist()
    assert inner(spread(100, 10), 5, "random_interval").tolist() == [15, 35, 55, 75, 95]
    assert inner(np.arange(7), 7).tolist() == list(range(7))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: center(0, 3), "A clip without frames"),
        (lambda: center(9, 0), "length of 0"),
        (lambda: segments(9, 3, 0), "rate of 0"),
        (lambda: segments(9, 3, 1, 0), "count of 0"),
        (lambda: sliding(9, 3, 1, 0), "stride of 0"),
        (lambda: windows(9, 3, "centre"), "no mode 'centre' of windows; there are center, conv, all"),
        (lambda: windows(9, 3, strategy="random"), "no strategy 'random'"),
        (lambda: somewhere(0, 3, 1, np.random.default_rng(), "random_interval"), "without frames"),
    ],
)
def test_what_cannot_be(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
