"""`edgekit prepare`: from a folder of videos to a whole set with the shipped detector; what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from grey_videos import even, make_grey
from made_set import make_set

from edgekit.cli import main
from edgekit.files import PACKAGE
from edgekit.prepare import ava_files as ava
from edgekit.prepare import people as who
from edgekit.prepare.ava_files import Layout
from edgekit.results import Detections, Frame, Tracks


def test_a_folder_of_videos_becomes_a_whole_set(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "videos", tmp_path / "set"
    (folder / "my sub").mkdir(parents=True)
    for name in ("人 walking, 1.MP4", "my sub/b.mp4"):
        shutil.copyfile(PACKAGE / "samples" / "people.mp4", folder / name)
    (folder / "broken.mkv").write_bytes(b"junk")
    table = tmp_path / "labels.tsv"
    table.write_text("clip\tlabel\tsplit\n人 walking, 1\twalk\ttrain\nb.mp4\tstroll\tval\n")
    command = [
        "prepare",
        "ava",
        str(folder),
        "--out",
        str(out),
        "--labels",
        str(table),
        "--short-side",
        "240",
    ]
    command += ["--seconds", "2", "--margin", "1", "--track-fps", "5", "--jobs", "1"]
    assert main(command) == 4  # one file was broken
    said = capfd.readouterr()
    assert "left out: broken.mkv: " in said.err
    assert "AVA_VALID_FRAMES = range(901, 902)" in said.out
    assert main(["prepare", "check", str(out)]) == 0
    layout = Layout(out)
    assert ava.read_labels(layout.labels) == {1: "stroll", 2: "walk"}
    rows = ava.read_csv(layout.truth("train"))
    assert len(rows) >= 3
    assert {(r.second, r.action) for r in rows} == {(901, 2)}
    assert len({r.person for r in rows}) == len(rows)
    assert [len(p) for p in ava.read_frame_list(layout.frame_list("val")).values()] == [60]
    # again: nothing is made anew, and what --actions leaves out is refused
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.jpg")}
    assert main([*command, "--quiet"]) == 4
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.jpg")} == before
    (tmp_path / "names.txt").write_text("walk\nrun\n")
    assert main([*command, "--actions", str(tmp_path / "names.txt")]) == 2
    assert "'stroll' is not in the list" in capfd.readouterr().err


class Finds:
    """A detector that finds one box to the left, one that is weak, and one outside the picture."""

    def __init__(self, tracked: bool) -> None:
        self.seen: list[int] = []
        self.tracked = tracked

    def __call__(self, frame: Frame) -> Detections:
        self.seen.append(frame.index)
        boxes = np.array([[0, 6, 16, 24], [4, 4, 9, 9], [40, 0, 50, 9]], np.float32)
        made = (boxes, np.array([0.9, 0.3, 0.8]), np.zeros(3, np.int64), ("person",))
        return Tracks(*made, np.array([5, 6, 7])) if self.tracked else Detections(*made)


@pytest.mark.parametrize(("tracked", "every"), [(True, 10), (False, 30)])
def test_people_of_key_frames_are_kept_as_shares(tmp_path: Path, tracked: bool, every: int) -> None:
    make_set(tmp_path)
    task, done = Finds(tracked), []
    found = who.find_people(tmp_path, "a_000", 95, task, every=every, score=0.5, done=done.append)
    assert task.seen == list(range(0, 95, every))
    assert sum(done) == 95
    numbers = [5, 5, 5, 5] if tracked else [1, 4, 7, 10]
    wanted = {900 + i: [who.Person((0.0, 0.25, 0.5, 1.0), 0.9, n)] for i, n in enumerate(numbers)}
    assert found == wanted
    who.write_people(tmp_path, "a_000", found, {"detector": "x"})
    assert who.read_people(tmp_path, "a_000", {"detector": "x"}) == wanted
    assert who.read_people(tmp_path, "a_000", {"detector": "y"}) is None
    cv2.imwrite(str(tmp_path / "empty.jpg"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "frames" / "a_000" / "a_000_000061.jpg").write_bytes(b"")
    with pytest.raises(ava.InputError, match=r"000061\.jpg cannot be read"):
        who.find_people(tmp_path, "a_000", 95, task)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "{t}/none"], "holds no clip yet"),
        (["{t}/nowhere", "--out", "{t}/o"], "nowhere is not there"),
        (["{t}/bad", "--out", "{t}/o"], "none of the videos could be read; the first, x.mp4: "),
        (["{t}/v.mp4", "--out", "{t}/v.mp4"], "is no folder to write in"),
        (["{t}/v.mp4", "--out", "{t}/o", "--group-by", "x"], "--group-by needs the table"),
        (["{t}/v.mp4", "--out", "{t}/o", "--track-fps", "7"], "--track-fps 7 does not divide 30"),
        (["{t}/v.mp4", "--out", "{t}/o", "--start", "60"], "from second 60 on"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    make_grey(tmp_path / "v.mp4", even(5))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.mp4").write_bytes(b"junk")
    assert main(["prepare", "ava", *(word.format(t=tmp_path) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_check_says_what_is_wrong_and_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_set(tmp_path)
    assert main(["prepare", "check", str(root)]) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"
    for i in range(1, 6):
        (root / "frames" / "a_000" / f"a_000_00000{i}.jpg").unlink()
    assert main(["prepare", "check", str(root)]) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[3:] == [f"{root}/frames/a_000: … and 2 more of this kind (--all names them)", "5 problems"]


def alive(group: int) -> list[str]:
    """The processes of a group that run; one that has ended and that nobody has asked about yet does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            found += [path.parent.name] * (state != "Z" and int(its_group) == group)
    return found


def test_ctrl_c_ends_all_processes_and_nobody_else_may_begin_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "videos", tmp_path / "set"
    folder.mkdir()
    make_grey(folder / "a.mp4", even(300), size=(640, 480))
    shutil.copyfile(folder / "a.mp4", folder / "b.mp4")
    words = ["prepare", "ava", str(folder), "--out", str(out), "--jobs", "2", "--steps", "pictures"]
    command = [sys.executable, "-m", "edgekit", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while process.poll() is None and len(list(out.glob("frames/.*.part/*.jpg"))) < 5:
            time.sleep(0.02)
        assert main(words) == 1
        assert "another `edgekit prepare` works on" in capsys.readouterr().err
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said.strip()) == (130, "edgekit: interrupted")
    assert not list(out.glob("clips/*.json"))
    end = time.monotonic() + 10
    while (left := alive(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []
