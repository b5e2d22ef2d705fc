"""Each thing that can be wrong with a set: a whole one is broken on purpose, and the words are looked for."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_set import make_set

from edgekit.errors import InputError
from edgekit.prepare.ava_files import Layout, read_info
from edgekit.prepare.check import check, told
from edgekit.prepare.check_pictures import Problem, jpeg_size

GOOD = "a_000,0901,0.100,0.200,0.400,0.900,2,1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    def copy(source: str, target: str) -> None:  # pictures as links: `paint` takes the old one away first
        (os.link if source.endswith(".jpg") else shutil.copyfile)(source, target)

    return Path(shutil.copytree(whole, tmp_path / "set", copy_function=copy))


def edit(name: str, old: str, new: str, count: int = 1) -> Callable[[Path], None]:
    """Replace something in a file: breaks the set in one place."""

    def work(folder: Path) -> None:
        path = folder / name
        before = path.read_text()
        assert re.search(old, before, re.MULTILINE), f"{old} is not in {name}"
        path.write_text(re.sub(old, new, before, count=count, flags=re.MULTILINE))

    return work


def paint(name: str, data: bytes | None = None) -> Callable[[Path], None]:
    """Another picture: of another size, or these bytes."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((10, 20, 3), np.uint8))

    def work(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).write_bytes(jpeg.tobytes() if data is None else data)

    return work


TRAIN, VAL = "annotations/ava_train_v2.2.csv", "annotations/ava_val_v2.2.csv"
LIST, VAL_LIST = "frame_lists/train.csv", "frame_lists/val.csv"
NAMES = "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"
FOUND = "annotations/person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv"
OUT = "annotations/ava_val_excluded_timestamps_v2.2.csv"
FRAME, LATE = "frames/a_000/a_000_000007.jpg", "frames/a_000/a_000_000099.jpg"
HEAD = "original_vido_id video_id frame_id path labels\n"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        # folders and files
        (lambda f: shutil.rmtree(f / "frames"), r"frames: this folder is missing"),
        (lambda f: (f / TRAIN).unlink(), r"ava_train_v2\.2\.csv: cannot be read: No such file"),
        (lambda f: (f / OUT).unlink(), r"ava_val_excluded_timestamps_v2\.2\.csv: cannot be read"),
        (lambda f: (f / LIST).unlink(), r"train\.csv: cannot be read"),
        (lambda f: (f / "dataset.json").write_text("{}"), r"dataset\.json: .*is not what"),
        # pictures
        (lambda f: (f / FRAME).unlink(), r"a_000_000007\.jpg: this picture is listed, but missing"),
        (lambda f: shutil.rmtree(f / "frames/a_000"), r"the pictures of a_000 are missing, 95 are listed"),
        (lambda f: (f / FRAME).rename(f / LATE), r"1 pictures are not in .*99\.jpg"),
        (paint(FRAME), r"000007\.jpg: 20x10 pixels, but the first picture of a_000 has 32x24"),
        (paint(FRAME, b""), r"000007\.jpg: this is no whole JPEG"),
        (paint(FRAME, b"\xff\xd8\xff\xe0\x00\x04ab"), r"000007\.jpg: this is no whole JPEG"),
        # frame lists
        (edit(LIST, HEAD, ""), r"train\.csv:1: the first line is a picture, but is skipped as the header"),
        (edit(LIST, r"^a_000 0 6 .*\n", ""), r"train\.csv:8: picture 7 of a_000 stands where 6 belongs"),
        (edit(LIST, r"^a_000 0 6 .*\n", ""), r"94 of 95 pictures of a_000 are listed"),
        (edit(LIST, r"a_000/a_000_000007", "a_000/a_000_000008"), r"train\.csv:8: path .*8\.jpg is not that"),
        (edit(LIST, r"a_000 0 6 a_000/", "a 000 0 6 a_000/"), r"train\.csv:8: 6 columns instead of 5"),
        (edit(LIST, r"^a_001 1 ", "a_001 0 ", 0), r"train\.csv:97: video_id 0 is not of a_001 alone"),
        (edit(LIST, r"frame_id", "frame_number"), None),  # whatever the header says, it is one
        # labelled people
        (edit(TRAIN, r"\A", "video,second,x1,y1,x2,y2,action,person\n"), r"csv:1: this file has no header"),
        (edit(TRAIN, r"\A.*\n", "a_000,0901,1,2,3\n"), r"train_v2\.2\.csv:1: 5 columns instead of 8"),
        (edit(TRAIN, r"0\.100,0\.200", "64,48"), r"csv:1: the box is not within 0 and 1; cure: boxes"),
        (edit(TRAIN, r"0\.400", "0.050"), r"csv:1: the box has no area: x2 <= x1"),
        (edit(TRAIN, r",2,1$", ",9,1"), r"csv:1: action 9 is not in the action list; cure: add it"),
        (edit(TRAIN, r",2,1$", ",0,1"), r"csv:1: action 0 is not in the action list; cure: ids begin at 1"),
        (edit(TRAIN, r",2,1$", ",,1"), r"csv:1: no action"),
        (edit(TRAIN, r",2,1$", ",walk,1"), r"csv:1: action is 'walk', which is no number"),
        (edit(TRAIN, r"0901", "1"), r"csv:1: second 1 is outside AVA_VALID_FRAMES, 901 to 902.*add 900"),
        (edit(TRAIN, r"0901", "0911"), r"csv:1: second 911 is outside AVA_VALID_FRAMES.*ava_helper\.py"),
        (edit(TRAIN, r"0901", "0911"), r"csv:1: second 911 is past the end of a_000, which has 95 pictures"),
        (edit(TRAIN, r"\A(.*\n)", r"\1\1"), r"csv:2: the same as line 1"),
        (edit(TRAIN, r"\Aa_000", "c_000"), r"csv:1: c_000 is not in frame_lists/train\.csv; cure: list its"),
        (edit(TRAIN, r"\Aa_000", "b_000"), r"csv:1: b_000 is not in .*; cure: it is in val\.csv: move"),
        (lambda f: (f / VAL).write_text(""), r"ava_val_v2\.2\.csv: nobody is labelled for val"),
        # found people
        (edit(FOUND, r",,0\.95.*$", ",,"), r"boxes_and_labels\.csv:1: score is ''"),
        (edit(FOUND, r",,0\.95.*$", ",,7"), r"boxes_and_labels\.csv:1: score 7 is not between 0 and 1"),
        (lambda f: (f / FOUND).write_text(""), r"no person for val"),
        (lambda f: (f / FOUND).write_text(""), r"nobody is found in b_000, which frame_lists/val\.csv lists"),
        # seconds left out
        (lambda f: (f / OUT).write_text("b_000,0901\n"), r"val_v2\.2\.csv:1: a label in b_000 901, which"),
        (lambda f: (f / OUT).write_text("b_000 0901\n"), r"timestamps_v2\.2\.csv:1: 1 columns instead of 2"),
        # the action list
        (lambda f: (f / NAMES).write_text("walk\nsit\n"), r"pbtxt: .*holds no action"),
        (edit(NAMES, r"  id: 2", ""), r"pbtxt:5: an entry needs name"),
        (edit(NAMES, r"  id: 2", "  id: 1"), r"pbtxt:5: number 1 comes twice"),
        (edit(NAMES, r"  id: 1", "  id: 0"), r"pbtxt: 'sit' has id 0; cure: ids begin at 1"),
        (edit(NAMES, r"  id: 1", "  id: 81"), r"pbtxt: id 81 is above 80"),
        (edit(NAMES, r'\{\n  name: "sit"\n', '{ name: "sit"\n'), r"pbtxt: SlowFast's reader wants"),
        # one video on both sides
        (
            lambda f: (f / VAL_LIST).write_text((f / LIST).read_text()),
            r"val\.csv: a_000 is in train\.csv too: the score would lie",
        ),
        (edit("dataset.json", r'"video": "b"', '"video": "a"'), r"val\.csv: b_000 is a clip of a, as"),
    ],
)  # fmt: skip
def test_each_fault_is_named(folder: Path, spoil: Callable[[Path], object], words: str | None) -> None:
    spoil(folder)
    lines = told(check(folder), 10**9)
    if words is None:
        assert lines == ["nothing is wrong"]
    else:
        assert any(re.search(words, line) for line in lines[:-1]), "\n".join(lines)


def test_a_whole_set_has_no_fault_with_and_without_its_own_notes(whole: Path, folder: Path) -> None:
    assert check(whole) == []
    (folder / "dataset.json").unlink()  # then AVA's own seconds are the valid ones
    kinds = {problem.kind for problem in check(folder)}
    assert kinds == {"second # is outside AVA_VALID_FRAMES, # to #"}


def test_a_list_with_gaps_only_says_what_is_scored(folder: Path) -> None:
    edit(NAMES, "  id: 2", "  id: 3")(folder)
    assert check(folder) == []  # action 2 is labelled, as the rare ones of AVA are
    edit(TRAIN, r",2,1$", ",81,1")(folder)
    assert [problem.line for problem in check(folder)] == [1]


def test_a_set_one_folder_deeper_is_pointed_to(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "up" / "ava")
    assert f"give {tmp_path / 'up' / 'ava'}" in str(check(tmp_path / "up")[0])
    with pytest.raises(InputError, match="is no folder"):
        check(tmp_path / "nowhere")


def test_a_single_video_that_cannot_be_split_is_told(folder: Path) -> None:
    data = json.loads((folder / "dataset.json").read_text())
    data["videos"] = {name: facts for name, facts in data["videos"].items() if facts["video"] == "a"}
    (folder / "dataset.json").write_text(json.dumps(data))
    for path in (folder / VAL, folder / FOUND):
        path.write_text("")
    (folder / VAL_LIST).write_text(HEAD)
    assert any("one video cannot be split" in str(problem) for problem in check(folder))


def test_many_alike_are_told_once_with_their_number() -> None:
    path = Path("a.csv")
    many = [Problem(path, i, f"second {i} is late", "drop it") for i in range(9)]
    lines = told([*many, Problem(path, None, "no person", "look")])
    assert lines[:3] == [f"a.csv:{i}: second {i} is late; cure: drop it" for i in range(3)]
    assert lines[3] == "a.csv: … and 6 more of this kind (--all names them)"
    assert lines[4:] == ["a.csv: no person; cure: look", "10 problems"]


def test_sizes_of_jpegs_are_what_opencv_says(tmp_path: Path) -> None:
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        image = np.random.default_rng(2).integers(0, 255, (37, 53, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "a.jpg"), image, flags)
        assert jpeg_size(tmp_path / "a.jpg") == (53, 37)
    data = (tmp_path / "a.jpg").read_bytes()
    notes = b"\xff\xe1\xc3\x50" + bytes(0xC350 - 2)  # 50 kB, as of a camera
    (tmp_path / "a.jpg").write_bytes(data[:2] + notes + data[2:])
    assert jpeg_size(tmp_path / "a.jpg") == (53, 37)
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    assert jpeg_size(tmp_path / "a.jpg") is None


def test_the_layout_is_that_of_the_set(whole: Path) -> None:
    layout = Layout(whole)
    for path in (layout.truth("train"), layout.boxes("train"), layout.excluded("val"), layout.labels):
        assert path.is_file()
    assert read_info(whole).seconds == range(901, 903)
