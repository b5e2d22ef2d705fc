"""`edgekit prepare actions`: videos become clips of classes, cut, split, continued; and their check."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from grey_videos import even, make_grey, which

from edgekit.cli import main
from edgekit.errors import InputError
from edgekit.prepare import action_plan as plans
from edgekit.prepare import actions
from edgekit.prepare.action_check import check_actions, place
from edgekit.prepare.action_folders import all_clips, count_classes, read_actions, read_clip, write_clip
from edgekit.prepare.action_split import Division
from edgekit.prepare.actions import How, make_clips
from edgekit.prepare.ava import Outcome
from edgekit.prepare.check import told
from edgekit.prepare.sources import find_videos


def no_bar(title: str, total: int) -> Callable[[int], None]:
    return lambda count: None


def order(folder: Path) -> list[int]:
    """Which pictures of its video a clip has."""
    return [which(cv2.imread(str(path))) for path in read_clip(folder).rgb]


def stamps(root: Path) -> dict[Path, int]:
    return {p.relative_to(root): p.stat().st_mtime_ns for p in root.rglob("*.[pj][np]g")}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two classes, odd names, a broken file and one that lies in no class's folder."""
    folder = tmp_path / "videos"
    for name in ("walk/a.mp4", "walk/人 1, b.MKV", "sit down/cam 2/a.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_grey(folder / name, even(12))
    (folder / "walk" / "broken.mp4").write_bytes(b"\0" * 5000)
    shutil.copyfile(folder / "walk" / "a.mp4", folder / "lost.mp4")
    return folder


def test_folders_of_videos_become_a_set_and_nothing_is_made_twice(
    tmp_path: Path, videos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, chart = tmp_path / "set", tmp_path / "classes.png"
    command = ["prepare", "actions", str(videos), "--out", str(out), "--flow", "dis", "--jobs", "2"]
    assert main([*command, "--chart", str(chart)]) == 4
    said = capfd.readouterr()
    assert "left out: walk/broken.mp4: " in said.err
    assert "left out: lost.mp4: it lies in no class's folder: give the one above" in said.err
    assert count_classes(out) == {"sit down": 1, "walk": 2}
    assert re.search(r"walk +2 +24 +0\.8", said.out)
    assert 'label_map: {"sit down": 0, "walk": 1}' in said.out
    clips = read_actions(out, {"sit down": 0, "walk": 1}, streams=("rgb", "of"))
    assert [(len(c.rgb), len(c.u), len(c.v)) for c in clips] == [(12, 11, 11)] * 3
    assert [c.name for c in clips][:2] == ["a", "1_b-" + clips[1].name[-6:]]
    assert all(order(c.folder) == list(range(12)) for c in clips)
    assert {p.name for p in out.iterdir()} == {"sit down", "walk"}  # no lock, no scratch: TAO lists it all
    assert cv2.imread(str(chart)) is not None
    assert main(["prepare", "check-actions", str(out)]) == 0
    assert capfd.readouterr().out == "nothing is wrong\n"
    assert main(["prepare", "check", str(out)]) == 2  # that is for AVA's layout
    assert f"is a set of actions: edgekit prepare check-actions {out}" in capfd.readouterr().err
    before = stamps(out)
    assert main([*command, "--quiet"]) == 4
    assert stamps(out) == before
    clips[0].rgb[3].unlink()  # what is not whole is made again, and what is asked otherwise
    assert main([*command, "--quiet", "--jobs", "1"]) == 4
    changed = {p for p, when in stamps(out).items() if when != before[p]}
    assert {p.parts[:2] for p in changed} == {("sit down", "a")}
    assert main([*command[:-4], "--short-side", "24", "--jobs", "1", "--quiet"]) == 4
    assert {cv2.imread(str(c.rgb[0])).shape for c in read_actions(out)} == {(24, 32, 3)}
    assert not read_actions(out)[0].u
    before = stamps(out)
    os.utime(videos / "walk" / "a.mp4")
    assert main([*command[:-4], "--short-side", "24", "--jobs", "1", "--quiet"]) == 4
    assert {p.parts[:2] for p, when in stamps(out).items() if when != before[p]} == {("walk", "a")}


def test_uneven_videos_run_at_their_mean_rate_or_at_one_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "v" / "walk").mkdir(parents=True)
    ms = [*range(0, 400, 40), *range(400, 1200, 80)]  # 25, then 12.5 a second
    path = make_grey(tmp_path / "v" / "walk" / "a.mp4", ms)
    make_grey(tmp_path / "v" / "walk" / "even.mp4", even(20, 15))
    command = ["prepare", "actions", str(tmp_path / "v"), "--quiet", "--jobs", "1"]
    assert main([*command, "--out", str(tmp_path / "own")]) == 0
    assert order(tmp_path / "own" / "walk" / "even") == list(range(20))
    assert main([*command, "--out", str(tmp_path / "fps"), "--fps", "25"]) == 0
    found = order(tmp_path / "fps" / "walk" / "a")
    assert found[:29] == [*range(10), *(i for i in range(10, 20) for _ in range(2))][:29]
    note = json.loads((tmp_path / "fps" / "walk" / "a" / "clip.json").read_text())
    assert (note["fps"], note["source"], note["asked"]["bytes"]) == (25.0, "walk/a.mp4", path.stat().st_size)
    assert main([*command, "--out", str(tmp_path / "slow"), "--fps", "5"]) == 0
    assert order(tmp_path / "slow" / "walk" / "a")[:4] == [2, 7, 11, 13]  # as FFmpeg's -r


def test_a_table_says_class_stretch_and_side(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, out, table = tmp_path / "v", tmp_path / "set", tmp_path / "t.csv"
    (folder / "x").mkdir(parents=True)
    for name in ("x/a.mp4", "b.mp4", "more.mp4"):
        make_grey(folder / name, even(60))
    table.write_text(
        "clip,label,start_s,end_s,split,person\n"
        "a,fall,0.5,1,train,anna\na,walk,1,,train,anna\na,walk,0,0.5,train,anna\n"
        "b.mp4,walk,,,val,ben\nnowhere,walk,,,,\n"
    )
    words = ["prepare", "actions", str(folder), "--out", str(out), "--labels", str(table)]
    assert main([*words, "--group-by", "person", "--jobs", "1"]) == 0
    said = capfd.readouterr().err
    assert "1 videos of the table are not here, the first: nowhere" in said
    assert "1 videos are not in the table, the first: more.mp4" in said
    assert "test has no clip of fall" in said
    found = {f"{side}/{f.parent.name}/{f.name}": order(f) for side, f in all_clips(out)}
    assert found == {
        "train/fall/a": list(range(15, 30)),
        "train/walk/a_000": [i % 36 for i in range(30, 60)],
        "train/walk/a_001": list(range(15)),
        "test/walk/b": [i % 36 for i in range(60)],
    }
    assert main(["prepare", "check-actions", str(out)]) == 0


def test_videos_are_cut_and_other_cuts_take_their_place(tmp_path: Path) -> None:
    folder, root = tmp_path / "v" / "walk", tmp_path / "set"
    folder.mkdir(parents=True)
    make_grey(folder / "a.mp4", even(75))
    make_grey(folder / "a_001.mp4", even(10))
    write_clip(root, "walk", "b", [np.zeros((4, 4, 3), np.uint8)], facts={"source": "walk/a.mp4"})  # recorded
    given = find_videos([tmp_path / "v"])

    def make(cuts: plans.Cuts) -> tuple[Outcome, dict[str, list[int]]]:
        outcome = Outcome()
        stretches = plans.by_folders(given, [tmp_path / "v"], outcome)
        planned = plans.plan(given, stretches, root, cuts, Division(), outcome)
        make_clips(planned, root, How(), outcome, bar=no_bar)
        return outcome, {c.name: order(c.folder) for c in read_actions(root) if c.name != "b"}

    _, found = make(plans.Cuts(1.0))
    assert {name: numbers[:1] + numbers[-1:] for name, numbers in found.items()} == {
        "a_000": [0, 29],
        "a_001": [30, 59 % 36],
        "a_001_000": [0, 9],  # shorter than asked, but all there is
    }
    outcome, found = make(plans.Cuts(1.0, 0.5))
    assert list(found) == ["a_000", "a_001", "a_001_000", "a_002", "a_003"]
    assert found["a_003"][0] == 45 % 36
    assert outcome.kept == ["a_000", "a_001_000"]
    outcome, found = make(plans.Cuts())
    assert sorted(found) == ["a", "a_001"]
    assert len(found["a"]) == 75
    assert any("a_002 went, since walk/a.mp4 is cut otherwise now" in note for note in outcome.notes)
    assert (root / "walk" / "b").is_dir()


def test_a_group_is_on_one_side_and_clips_move_with_it(tmp_path: Path) -> None:
    folder, root, table = tmp_path / "v", tmp_path / "set", tmp_path / "t.tsv"
    folder.mkdir()
    make_grey(folder / "p0_0.mp4", even(3))
    lines = []
    for person in range(4):
        for take in range(3):
            name = f"p{person}_{take}.mp4"
            if not (folder / name).exists():
                shutil.copyfile(folder / "p0_0.mp4", folder / name)
            lines.append(f"{name}\t{'walk' if take else 'sit'}\tperson {person}")
    table.write_text("\n".join(["video\taction\twho", *lines]))
    command = ["prepare", "actions", str(folder), "--out", str(root), "--labels", str(table)]
    command += ["--group-by", "who", "--jobs", "1", "--quiet", "--test", "0.5"]
    seen = []
    for seed in ("0", "1", "2"):
        assert main([*command, "--seed", seed]) == 0
        people = {side: {f.name[:2] for s, f in all_clips(root) if s == side} for side in ("train", "test")}
        assert [len(people["train"]), len(people["test"])] == [2, 2]
        assert not people["train"] & people["test"]
        assert len(all_clips(root)) == 12
        seen.append((people["test"], {p.parts[1:]: when for p, when in stamps(root).items()}))
    assert len({tuple(sorted(test)) for test, _ in seen}) > 1  # seeds differ
    assert seen[0][1] == seen[1][1] == seen[2][1]  # moved, not made again
    shutil.copytree(root / "train", root / "test", dirs_exist_ok=True)
    problems = [str(p) for p in check_actions(root)]
    assert any("is in train too" in p and "the score would lie" in p for p in problems)
    assert main([*command[:-2], "--test-videos", "person 3"]) == 0
    assert {f.name[:2] for side, f in all_clips(root) if side == "test"} == {"p3"}
    assert main(command[:-2]) == 0  # no split any more
    assert {side for side, _ in all_clips(root)} == {""}
    assert {p.name for p in root.iterdir()} == {"sit", "walk"}


def test_recorded_clips_are_split_by_person(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = [np.zeros((4, 4, 3), np.uint8)]
    for label in ("wave", "sit"):
        for person in ("anna", "ben", "cem", "dana"):
            for take in (1, 2):
                facts = {"person": person} if person == "anna" else None
                write_clip(tmp_path, label, f"{person}_{take}", picture, facts=facts)
        write_clip(tmp_path, label, "video_1", picture)  # nobody named: each for itself
    command = ["prepare", "actions", "--out", str(tmp_path), "--test", "0.4", "--quiet"]
    for seed in ("0", "1", "2"):
        assert main([*command, "--seed", seed]) == 0
        sides = {side: {f.name for s, f in all_clips(tmp_path) if s == side} for side in ("train", "test")}
        people = {side: {n.split("_")[0] for n in names if n[0] != "v"} for side, names in sides.items()}
        assert not people["train"] & people["test"]
        assert people["train"] | people["test"] == {"anna", "ben", "cem", "dana"}
        assert people["test"]
        assert len(all_clips(tmp_path)) == 18
        assert {p.name for p in tmp_path.iterdir()} == {"train", "test"}
    assert main([*command[:4], "--test-videos", "anna", "wave/video_1"]) == 0
    assert {f"{f.parent.name}/{f.name}" for side, f in all_clips(tmp_path) if side == "test"} == {
        *(f"{label}/anna_{take}" for label in ("wave", "sit") for take in (1, 2)),
        "wave/video_1",
    }
    capfd.readouterr()
    write_clip(tmp_path / "test", "wave", "ben_1", picture)
    assert main([*command[:4], "--test-videos", "cem"]) == 0
    assert "is there: name one of them anew" in capfd.readouterr().err


def test_videos_that_are_split_already_stay_so(tmp_path: Path) -> None:
    places = ("train/walk/a.mp4", "train/sit/b.mp4", "val/walk/cam/c.mp4")
    videos = {place: tmp_path / place for place in places}
    found = plans.by_folders(videos, [tmp_path], Outcome())
    assert {key: (own[0].label, own[0].split) for key, own in found.items()} == {
        "train/walk/a.mp4": ("walk", "train"),
        "train/sit/b.mp4": ("sit", "train"),
        "val/walk/cam/c.mp4": ("walk", "test"),
    }
    videos["train/d.mp4"] = tmp_path / "train/d.mp4"  # then these are classes
    found = plans.by_folders(videos, [tmp_path], Outcome())
    assert {(own[0].label, own[0].split) for own in found.values()} == {("train", ""), ("val", "")}


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder, out = tmp_path / "v" / "walk", tmp_path / "set"
    folder.mkdir(parents=True)
    make_grey(folder / "a.mp4", even(60), size=(160, 120))
    for name in ("b", "c", "d"):
        shutil.copyfile(folder / "a.mp4", folder / f"{name}.mp4")
    words = ["prepare", "actions", str(tmp_path / "v"), "--out", str(out), "--flow", "dis", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words, "--jobs", "1"], start_new_session=True
    )
    try:
        while process.poll() is None and not (out / "walk").is_dir():
            time.sleep(0.01)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    clips = read_actions(out, streams=("rgb", "of"))
    assert 1 <= len(clips) < 4
    assert all(len(clip.rgb) == 60 and len(clip.u) == 59 for clip in clips)
    assert all(".part: a run was killed here" in str(p) or ".lock" in str(p) for p in check_actions(out))
    before = stamps(out / "walk")
    assert main([*words, "--jobs", "1"]) == 0
    assert [len(clip.rgb) for clip in read_actions(out, streams=("rgb", "of"))] == [60] * 4
    assert before.items() < stamps(out / "walk").items()  # what was whole was not made again
    assert check_actions(out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "{t}/none"], "none holds no clip yet"),
        (["{t}/nowhere", "--out", "{t}/o"], "nowhere is not there"),
        (["{t}/bad", "--out", "{t}/o"], "none of the videos could be read; the first, walk/x.mp4: "),
        (["{t}/bad", "--out", "{t}/o", "--group-by", "x"], "--group-by needs the table"),
        (["{t}/bad", "--out", "{t}/o", "--short-side", "-1"], "--short-side -1 is below 0"),
        (["{t}/bad", "--out", "{t}/o", "--labels", "{t}/t.csv"], "t.csv names none of the videos; "),
        (["{t}/bad", "--out", "{t}/o", "--labels", "{t}/u.csv"], "u.csv:3: it ends (1 s) before it starts"),
        (["{t}/bad", "--out", "{t}/o", "--labels", "{t}/w.csv"], "w.csv:2: split is 'exam'; it is train,"),
        (["{t}/bad", "--out", "{t}/o", "--labels", "{t}/x.csv"], "no slash, no dot in front"),
    ],
)
def test_what_makes_no_set_is_refused_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "bad" / "walk").mkdir(parents=True)
    (tmp_path / "bad" / "walk" / "x.mp4").write_bytes(b"junk")
    (tmp_path / "t.csv").write_text("clip,label\ny,walk\n")
    (tmp_path / "u.csv").write_text("clip,label,start_s,end_s\nx,walk,,\nx,walk,2,1\n")
    (tmp_path / "w.csv").write_text("clip,label,split\nx,walk,exam\n")
    (tmp_path / "x.csv").write_text("clip,label\nx,../walk\n")
    assert main(["prepare", "actions", *(word.format(t=tmp_path) for word in words)]) == 2
    assert said in capfd.readouterr().err
    assert not list(tmp_path.glob("o/*"))


def test_a_missing_gpu_method_ends_it_before_anything_is_made(
    tmp_path: Path, videos: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "cuda_NvidiaOpticalFlow_2_0", raising=False)
    monkeypatch.delattr(cv2.cuda, "NvidiaOpticalFlow_2_0", raising=False)
    assert main(["prepare", "actions", str(videos), "--out", str(tmp_path / "o"), "--flow", "nvof"]) == 3
    assert "use dis or farneback" in capfd.readouterr().err
    assert list((tmp_path / "o").iterdir()) == []


def test_a_group_on_both_sides_and_a_name_of_two_videos_are_refused(tmp_path: Path) -> None:
    keys = {key: tmp_path / key for key in ("x/a.mp4", "y/a.mp4", "b.mp4")}
    with pytest.raises(InputError, match=r"'a' of the table may be x/a\.mp4 or y/a\.mp4; write the path"):
        plans.by_table(keys, [plans.Stretch("a", "walk")], Outcome())
    table = [plans.Stretch("x/a.mp4", "walk", split="train", group="anna")]
    table += [plans.Stretch("b", "walk", split="test", group="anna")]
    stretches = plans.by_table(keys, table, Outcome())
    with pytest.raises(InputError, match=r"has b\.mp4 \(or its group anna\) in both train and test"):
        plans.plan(keys, stretches, tmp_path, plans.Cuts(), Division(), Outcome())


def test_no_two_clips_of_a_class_have_one_name(tmp_path: Path) -> None:
    write_clip(tmp_path, "walk", "c", [np.zeros((4, 4, 3), np.uint8)])  # recorded
    videos = {key: tmp_path / key for key in ("a.mp4", "a_000.mp4", "c.mp4", "x/a.mp4")}
    stretches = {key: [plans.Stretch(key, "walk")] for key in videos}
    stretches["a.mp4"] = [plans.Stretch("a.mp4", "walk", start) for start in (0.0, 2.0)]
    stretches["a.mp4"].append(plans.Stretch("a.mp4", "sit"))
    planned = plans.plan(videos, stretches, tmp_path, plans.Cuts(), Division(), Outcome())
    names = [(part.label, part.name) for part in planned]
    assert names[:4] == [("sit", "a"), ("walk", "a_000"), ("walk", "a_001"), names[3]]
    assert len({*names, ("walk", "c")}) == len(planned) + 1 == 7


def jpeg(size: tuple[int, int] = (12, 16)) -> bytes:
    return cv2.imencode(".jpg", np.full(size, 128, np.uint8))[1].tobytes()


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty class": (
        lambda r: (r / "sit").mkdir(),
        "set/sit: this class has no clip; cure: record or prepare",
    ),
    "no rgb": (lambda r: shutil.rmtree(r / "walk" / "a"), "nothing is wrong"),
    "no pictures": (
        lambda r: (r / "walk/c/u").mkdir(parents=True),
        "walk/c: rgb/ is missing; cure: pictures",
    ),
    "empty rgb": (lambda r: (r / "walk/c/rgb").mkdir(parents=True), "walk/c: rgb/ is empty; cure: pictures"),
    "flow alone": (lambda r: shutil.rmtree(r / "walk/a/rgb"), "walk/a/rgb: no pictures, but flow"),
    "no v": (lambda r: shutil.rmtree(r / "walk/a/v"), "walk/a/v: u/ has 3 pictures, v/ none; cure: the flow"),
    "fewer v": (
        lambda r: (r / "walk/a/v/000002.jpg").unlink(),
        "walk/a: 3 pictures in u/, but 2 in v/ | walk/a/v: 2 pictures, where 4 in rgb/ have 3 between them",
    ),
    "as many u": (
        lambda r: [(r / f"walk/a/{k}/000003.jpg").write_bytes(jpeg()) for k in "uv"],
        "walk/a/u: 4 pictures, where 4 in rgb/ have 3 | walk/a/v: 4 pictures",
    ),
    "gap": (
        lambda r: (r / "walk/a/u/000002.jpg").rename(r / "walk/a/u/000004.jpg"),
        "walk/a/u: after 000001 comes 000004: a gap in the numbering",
    ),
    "tail": (
        lambda r: (r / "walk/b/rgb/000003.png").unlink(),
        "walk/b: 4 pictures are noted in clip.json, 3",
    ),
    "names": (
        lambda r: (r / "walk/b/rgb/000003.png").rename(r / "walk/b/rgb/x3.png"),
        "walk/b/rgb/x3.png: the name is no number; cure: name the pictures 000000",
    ),
    "lengths": (
        lambda r: (r / "walk/b/rgb/000003.png").rename(r / "walk/b/rgb/3.png"),
        "walk/b/rgb: the numbers have different lengths",
    ),
    "cut PNG": (
        lambda r: (r / "walk/b/rgb/000001.png").write_bytes((r / "walk/b/rgb/000001.png").read_bytes()[:-9]),
        "walk/b/rgb/000001.png: this picture cannot be read: it is cut short",
    ),
    "empty PNG": (
        lambda r: (r / "walk/b/rgb/000001.png").write_bytes(b""),
        "000001.png: this picture cannot",
    ),
    "cut JPEG": (
        lambda r: (r / "walk/a/u/000001.jpg").write_bytes(jpeg()[:-5]),
        "walk/a/u/000001.jpg: this picture cannot be read",
    ),
    "sizes": (
        lambda r: cv2.imwrite(str(r / "walk/b/rgb/000002.png"), np.zeros((8, 9, 3), np.uint8)),
        "walk/b/rgb/000002.png: 9x8 pixels, but the first has 16x12",
    ),
    "u and v": (
        lambda r: [(r / f"walk/a/v/00000{i}.jpg").write_bytes(jpeg((3, 4))) for i in range(3)],
        "walk/a: the pictures of u/ and v/ have different sizes",
    ),
    "quarter": (  # as TAO's own tool writes flow: 1/4 of the size; nothing is wrong with it
        lambda r: [
            (r / f"walk/a/{k}/00000{i}.jpg").write_bytes(jpeg((3, 4))) for i in range(3) for k in "uv"
        ],
        "nothing is wrong",
    ),
    "stray": (
        lambda r: (r / "notes.txt").write_text("x"),
        "notes.txt: TAO would take this for a class or a clip",
    ),
    "hidden": (lambda r: (r / "walk/.DS_Store").write_text("x"), "walk/.DS_Store: TAO would take this"),
    "no picture": (
        lambda r: (r / "walk/b/rgb/x.txt").write_text("x"),
        "walk/b/rgb: x.txt is no picture, but TAO counts it as one",
    ),
    "nothing": (lambda r: shutil.rmtree(r / "walk"), "set: there is no class; cure: the clips lie at"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_told_by_its_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    root, (break_it, words) = tmp_path / "set", BREAKS[name]
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (12, 16, 3)).astype(np.uint8) for _ in range(4)]
    flow = lambda one, other: np.zeros((*one.shape[:2], 2), np.float32)  # noqa: E731
    write_clip(root, "walk", "a", pictures, flow=flow)
    write_clip(root, "walk", "b", pictures)
    break_it(root)
    code = main(["prepare", "check-actions", str(root)])
    said = capfd.readouterr().out.splitlines()
    assert code == (0 if words == "nothing is wrong" else 2)
    for wanted, line in zip(words.split(" | "), said, strict=False):
        assert wanted in line
    assert len(said) == len(words.split(" | ")) + (code == 2)  # and how many there are


def test_a_label_map_must_fit_and_like_faults_are_told_together(tmp_path: Path) -> None:
    for label in ("walk", "squat"):
        for count in range(5):
            write_clip(tmp_path, label, str(count), [np.zeros((4, 4, 3), np.uint8)])
    assert check_actions(tmp_path, {"squat": 0, "walk": 1}) == []
    found = [str(p) for p in check_actions(tmp_path, {"walk": 0, "squa": 2})]
    assert "label_map numbers its classes otherwise than 0 to 1 (walk: 0, squa: 2)" in found[0]
    assert "squat: this class is not in label_map; cure: rename the folder to one of walk, squa" in found[1]
    assert "squa: label_map has this class, but it has no folder" in found[2]
    for count in range(5):
        (tmp_path / "walk" / str(count) / "rgb" / "000000.png").write_bytes(b"")
    lines = told(check_actions(tmp_path), 3, place)
    assert len(lines) == 5
    assert lines[3] == f"{tmp_path}/walk: … and 2 more of this kind (--all names them)"
    with pytest.raises(InputError, match="is no folder; give the one that holds a folder for each class"):
        check_actions(tmp_path / "none")


@pytest.mark.train  # reads the spec with OmegaConf
def test_a_spec_names_the_classes_that_a_set_must_have(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "set", "walk", "a", [np.zeros((4, 4, 3), np.uint8)])
    (tmp_path / "spec.yaml").write_text("dataset:\n  label_map:\n    walk: 0\n    sit: 1\n")
    assert main(["prepare", "check-actions", str(tmp_path / "set"), "-e", str(tmp_path / "spec.yaml")]) == 2
    assert "sit: label_map has this class, but it has no folder" in capfd.readouterr().out


def test_what_a_part_asks_is_readable_json(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    part = actions.Part("a", "a", "walk", "", "a.mp4", path)
    assert json.loads(json.dumps(part.asked(How()))) == part.asked(How())
    with pytest.raises(InputError, match="cannot be read"):
        actions.Part("a", "a", "walk", "", "b.mp4", tmp_path / "b.mp4").asked(How())
