"""Pictures at a constant rate, against a plain search for the picture whose place each is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from grey_videos import even, make_grey, which

from edgekit.errors import InputError
from edgekit.prepare.decode import Remarks, duration, pictures, steady


def played(path: Path, start: float = 0.0, seconds: float = 100.0) -> list[int]:
    """Which picture stands in each place."""
    return [which(image) for image, times in pictures(path, start, seconds) for _ in range(times)]


def wanted(stamps_ms: list[int], start: float, seconds: float, hold: float = 1 / 30) -> list[int]:
    """The last picture whose nearest place is not after place k, for each k: plain search."""
    times = [(ms - stamps_ms[0]) / 1000 - start for ms in stamps_ms]
    places = [math.floor(t * 30 + 0.5 + 1e-6) for t in times]
    end = max(math.floor((times[-1] + hold) * 30 + 0.5 + 1e-6), 1)
    count = min(round(seconds * 30), end)
    return [max(i for i, p in enumerate(places) if p <= max(k, places[0])) % 36 for k in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_places_of_random_stamps_are_those_of_a_plain_search(seed: int) -> None:
    random = np.random.default_rng(seed)
    stamps = np.cumsum(random.integers(1, 200, 30)).tolist()
    start, seconds = float(random.uniform(0, 2)), float(random.uniform(0.1, 4))
    zero = stamps[0]
    given = ((i % 36, (ms - zero) / 1000) for i, ms in enumerate(stamps))
    got = [i for i, times in steady(given, start, round(seconds * 30), 1 / 30) for _ in range(times)]
    assert got == wanted(stamps, start, seconds)


@pytest.mark.parametrize("fps", [15, 25, 29.97, 60])
def test_each_rate_becomes_30_a_second(tmp_path: Path, fps: float) -> None:
    stamps = even(30, fps)
    path = make_grey(tmp_path / "v.mkv", stamps)
    got = played(path)
    assert abs(len(got) - 30 * 30 / fps) <= 1.5
    assert got[: len(got) - 2] == wanted(stamps, 0.0, 100.0)[: len(got) - 2]


def test_a_variable_rate_stands_still_where_the_source_does(tmp_path: Path) -> None:
    stamps = [0, 33, 67, 700, 733, 1500, 1517, 1533]
    got = played(make_grey(tmp_path / "v.mp4", stamps))
    assert got[:46] == wanted(stamps, 0.0, 100.0)[:46]
    assert got.count(2) == 19  # from 67 ms to 700 ms


def test_a_part_far_in_is_the_same_as_counted_from_the_beginning(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(240))
    whole = played(path)
    assert len(whole) == 240
    for start in (0.5, 5.0, 6.35):  # the second and third are sought
        first = math.floor(start * 30 + 0.5)
        assert played(path, start, 1.0) == whole[first : first + 30]


def test_a_transport_stream_that_begins_late_is_sought_too(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.ts", even(240))
    whole = played(path)
    assert played(path, 6.0, 1.0) == whole[180:210]


def test_a_raw_stream_without_times_counts_its_pictures(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.m2v", even(40), codec="mpeg2video")
    got = played(path)
    assert abs(len(got) - 40) <= 1
    assert got[:30] == [i % 36 for i in range(30)]
    assert duration(path) == pytest.approx(40 / 30, abs=0.2)


def test_a_part_past_the_end_is_refused(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(10))
    with pytest.raises(InputError, match="no picture that can be decoded from second 7 on"):
        played(path, 7.0)


def test_a_file_cut_short_gives_what_it_holds_and_junk_is_refused(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.avi", even(120), codec="mpeg4")
    data = path.read_bytes()
    noise = np.random.default_rng(1).integers(0, 255, 1500, np.uint8).tobytes()
    path.write_bytes(data[: len(data) // 2] + noise + data[len(data) // 2 + 1500 :])
    remarks = Remarks()
    assert sum(times for _, times in pictures(path, 0, 100, remarks=remarks)) > 50
    assert "damaged" in remarks.text
    path.write_bytes(b"no video at all")
    with pytest.raises(InputError, match="does not open as a video"):
        played(path)


def test_times_that_a_file_does_not_say_are_measured(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mkv", even(45), live="1")  # a live stream states no duration
    assert duration(path) == pytest.approx(1.5, abs=0.05)
