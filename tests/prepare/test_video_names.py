"""Names of videos: each its own, plain, and the same again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.prepare.sources import find_videos, names_for


def test_odd_names_become_plain_ones_that_differ() -> None:
    keys = ["a b.MP4", "a,b.mp4", "sub/a_b.avi", "视频.mp4", "음악.mp4", "-x1.mp4", "é.mov", "A_B.mkv"]
    keys += ["v.1.mp4", "….mp4"]
    names = names_for(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names.values())
    assert len({name.lower() for name in names.values()}) == len(keys)
    assert names["a b.MP4"] == "a_b"
    assert names["-x1.mp4"] == "-x1"
    assert names["v.1.mp4"] == "v.1"


def test_a_name_stays_when_videos_come_and_go() -> None:
    before = names_for(["b/x.mp4", "c/x.mp4", "视频.mp4"])
    taken = {name: key for key, name in before.items()}
    after = names_for(["a/x.mp4", "b/x.mp4", "视频.mp4"], taken)
    assert after["b/x.mp4"] == before["b/x.mp4"] == "x"
    assert after["视频.mp4"] == before["视频.mp4"]
    assert after["a/x.mp4"] not in taken


def test_videos_are_found_below_a_folder_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("a.MP4", "sub/b.webm", "sub/notes.txt", ".trash/c.mp4", "sub/._d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    other = tmp_path / "sub" / "notes.txt"
    assert list(find_videos([tmp_path])) == ["a.MP4", "sub/b.webm"]
    assert list(find_videos([tmp_path / "a.MP4", tmp_path])) == ["a.MP4", "sub/b.webm"]
    assert list(find_videos([other])) == ["notes.txt"]
    assert list(find_videos([tmp_path], tmp_path / "sub")) == ["a.MP4"]


def test_absent_folders_and_empty_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not there"):
        find_videos([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no video in"):
        find_videos([tmp_path])
