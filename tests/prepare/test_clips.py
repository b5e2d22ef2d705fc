"""Clips as pictures: names, sizes, key frames; what is killed counts for nothing; a bad video stops none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from grey_videos import STEP, even, make_grey, which

from edgekit.errors import EdgekitError, InputError
from edgekit.prepare.ava import Outcome, Parts, make_pictures, plan
from edgekit.prepare.clips import Clip, Cut, DiskFullError, cannot_write, extract, is_whole, read_states
from edgekit.prepare.decode import pictures
from edgekit.prepare.jobs import extract_all
from edgekit.prepare.sources import find_videos


def clip_of(path: Path, name: str = "v", start: float = 0.0, seconds: float = 100.0) -> Clip:
    return Clip(name, name, path.name, path, start, seconds)


def no_bar(title: str, total: int):
    return lambda count: None


def test_pictures_are_numbered_from_1_and_key_frames_are_each_30th(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(65))
    state = extract(clip_of(path), tmp_path / "set", Cut())
    frames = sorted((tmp_path / "set" / "frames" / "v").iterdir())
    assert [p.name for p in frames] == [f"v_{i:06d}.jpg" for i in range(1, 66)]
    assert [which(cv2.imread(str(p))) for p in frames] == [i % 36 for i in range(65)]
    keys = sorted((tmp_path / "set" / "keyframes" / "v").iterdir())
    assert [p.name for p in keys] == ["v_000001.jpg", "v_000002.jpg", "v_000003.jpg"]
    assert [p.read_bytes() for p in keys] == [frames[i].read_bytes() for i in (0, 30, 60)]
    assert (state["frames"], state["width"], state["height"], state["note"]) == (65, 64, 48, "")
    assert read_states(tmp_path / "set") == {"v": state}
    assert is_whole(tmp_path / "set", "v", state)


def test_short_side_makes_smaller_never_larger(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(2), size=(64, 48))
    for side, size in ((24, (32, 24)), (480, (64, 48))):
        state = extract(clip_of(path), tmp_path / "set", Cut(short_side=side))
        assert (state["width"], state["height"]) == size
    assert cv2.imread(str(tmp_path / "set" / "frames" / "v" / "v_000001.jpg")).shape == (48, 64, 3)


def test_a_clip_is_a_video_too_where_that_is_asked(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(30, 15))
    clip, root = clip_of(path, start=0.5, seconds=1.0), tmp_path / "set"
    extract(clip, root, Cut(video=True))
    assert [p.name for p in (root / "videos").iterdir()] == ["v.mp4"]
    found = [image for image, times in pictures(root / "videos" / "v.mp4", 0, 9) for _ in range(times)]
    frames = sorted((root / "frames" / "v").iterdir())
    greys = [float(cv2.imread(str(p)).mean()) for p in frames]
    assert [float(image.mean()) for image in found] == pytest.approx(greys, abs=STEP - 1)
    assert len(found) == 30
    assert frames[1].stat().st_ino == frames[2].stat().st_ino  # 15 a second: each stands on the disk once
    extract(clip, root, Cut())
    assert list((root / "videos").iterdir()) == []


def test_what_is_killed_counts_for_nothing_and_is_made_whole_the_next_time(tmp_path: Path) -> None:
    path = make_grey(tmp_path / "v.mp4", even(60))
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from edgekit.prepare.clips import Clip, Cut, extract\n"
        "left = [40]\n"
        "def done(n):\n    left[0] -= n\n    left[0] > 0 or os.kill(os.getpid(), signal.SIGKILL)\n"
        "path = Path(sys.argv[1])\n"
        "extract(Clip('v', 'v', path.name, path, 0.0, 100.0), path.parent / 'set', Cut(), done=done)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    root = tmp_path / "set"
    assert read_states(root) == {}
    assert not (root / "frames" / "v").exists()
    assert list((root / "frames").iterdir())  # what it had written, hidden
    outcome = Outcome()
    make_pictures([clip_of(path)], root, Cut(), outcome, bar=no_bar)
    assert outcome.made == ["v"]
    assert sorted(p.name for p in (root / "frames").iterdir()) == ["v"]
    assert len(list((root / "frames" / "v").iterdir())) == 60


def test_only_what_is_missing_or_has_changed_is_made_again(tmp_path: Path) -> None:
    videos = {name: make_grey(tmp_path / name, even(20)) for name in ("a.mp4", "b.mp4", "c.mp4")}
    root = tmp_path / "set"

    def again(quality: int = 95) -> Outcome:
        outcome = Outcome()
        planned = plan(videos, root, Parts(), outcome)
        make_pictures(planned, root, Cut(quality=quality), outcome, bar=no_bar)
        return outcome

    assert again().made == ["a", "b", "c"]
    assert again().kept == ["a", "b", "c"]
    (root / "frames" / "a" / "a_000007.jpg").unlink()
    make_grey(videos["b.mp4"], even(25))
    os.utime(videos["b.mp4"], ns=(1, 1))
    outcome = again()
    assert (outcome.made, outcome.kept) == (["a", "b"], ["c"])
    assert read_states(root)["b"]["frames"] == 25
    assert again(80).made == ["a", "b", "c"]
    (root / "clips" / "c.json").write_text("{")
    assert again(80).made == ["c"]


def test_one_clip_each_second_of_a_video_and_the_old_ones_go(tmp_path: Path) -> None:
    videos = {"a.mp4": make_grey(tmp_path / "a.mp4", even(100))}  # 3.33 s
    root, outcome = tmp_path / "set", Outcome()
    make_pictures(plan(videos, root, Parts(), outcome), root, Cut(), outcome, bar=no_bar)
    parts = Parts(start=0.5, seconds=1.0, every=1.0)
    planned = plan(videos, root, parts, outcome)
    assert [(c.name, c.video, c.start) for c in planned] == [("a_000", "a", 0.5), ("a_001", "a", 1.5)]
    make_pictures(planned, root, Cut(), outcome, bar=no_bar)
    states = read_states(root)
    assert {name: state["frames"] for name, state in states.items()} == {"a_000": 30, "a_001": 30}
    assert sorted(p.name for p in (root / "frames").iterdir()) == ["a_000", "a_001"]
    assert any("the clip a went" in note for note in outcome.notes)
    assert len(plan(videos, root, Parts(seconds=1.0, every=0.5, most=3), outcome)) == 3


def test_several_processes_make_the_same_and_one_bad_video_stops_none(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a b.mp4", "é.MKV", "c.mp4"):
        make_grey(folder / name, even(40))
    (folder / "broken.mp4").write_bytes(b"\0" * 5000)
    clips = [
        Clip(name, name, key, path, 0.0, 1.0)
        for name, (key, path) in zip("abcd", find_videos([folder]).items(), strict=True)
    ]
    counted: list[int] = []
    bad = extract_all(clips, tmp_path / "set", Cut(), jobs=2, progress=counted.append)
    assert [clip.key for clip, _ in bad] == ["broken.mp4"]
    assert "broken.mp4 does not open as a video" in str(bad[0][1])
    assert [state["frames"] for state in read_states(tmp_path / "set").values()] == [30, 30, 30]
    assert sum(counted) == 90
    assert not [p for p in (tmp_path / "set" / "frames").iterdir() if p.name.startswith(".")]


def test_a_full_disk_ends_it_all_and_leaves_nothing_half(tmp_path: Path, monkeypatch) -> None:
    path = make_grey(tmp_path / "v.mp4", even(10))
    real = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "v_000005.jpg":
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError, match="is full; free some space and run the same command again"):
        extract_all([clip_of(path), clip_of(path, "w")], tmp_path / "set", Cut())
    assert read_states(tmp_path / "set") == {}
    assert list((tmp_path / "set" / "frames").iterdir()) == []


def test_other_reasons_not_to_write_are_told_in_words(tmp_path: Path) -> None:
    error = cannot_write(tmp_path, PermissionError(13, "Permission denied", "x.jpg"))
    assert isinstance(error, EdgekitError)
    assert str(error) == "x.jpg cannot be written: Permission denied."
    with pytest.raises(InputError, match="cannot be read"):
        clip_of(tmp_path / "gone.mp4").asked(Cut())
