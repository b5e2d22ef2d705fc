"""AVA's files of a set, read by plain readers written from what SlowFast's data set does with them."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import pytest
from made_set import LEFT, NAMES, RIGHT, add_clip, make_set

from edgekit.action_names import AVA80
from edgekit.errors import InputError
from edgekit.prepare import ava_files as ava
from edgekit.prepare.annotate import annotate, hand_file, key_seconds, split_by_group
from edgekit.prepare.ava import Outcome
from edgekit.prepare.ava_files import Layout, Row
from edgekit.prepare.labels import Segment
from edgekit.prepare.lists import Division, make_lists
from edgekit.prepare.people import write_people

BOXES = "annotations/person_box_67091280_iou90/ava_detection_"


def load(root: Path, split: str, valid: range, threshold: float = 0.8):
    """Key frames as SlowFast would train on (or validate) them: {(video, second): {box text: labels}}.

    Frame lists split at white space, their header skipped; CSVs split at commas; a row of found boxes counts
    from the threshold on; a row's second must be a valid one; every listed video must have a box.
    """
    with open(root / "frame_lists" / f"{split}.csv") as file:
        next(file)
        videos: dict[str, list[str]] = {}
        for line in file:
            name, _, _, path, _ = line.split()
            videos.setdefault(name, []).append(f"{root}/frames/{path}")
    if split == "train":
        files = [(root / "annotations/ava_train_v2.2.csv", False)]
        files.append((root / f"{BOXES}train_boxes_and_labels_include_negative_v2.2.csv", True))
    else:
        files = [(root / f"{BOXES}val_boxes_and_labels.csv", True)]
    boxes: dict[str, dict[int, dict[str, list[int]]]] = {}
    for path, scored in files:
        for row in csv.reader(path.read_text().splitlines()):
            if scored and float(row[7]) < threshold:
                continue
            second = boxes.setdefault(row[0], {s: {} for s in valid})[int(row[1])]
            second.setdefault(",".join(row[2:6]), []).append(int(row[6]) if row[6] else -1)
    assert set(boxes) == set(videos)
    keys = {(v, s): found for v, seconds in boxes.items() for s, found in seconds.items() if found}
    for video, second in keys:
        index = (second - 900) * 30
        assert index < len(videos[video])
        assert cv2.imread(videos[video][index]) is not None
    return keys


def text(box: tuple[float, ...]) -> str:
    return ",".join(f"{v:.3f}" for v in box)


def test_a_plain_reader_finds_each_person_with_the_labels(tmp_path: Path) -> None:
    root = make_set(tmp_path)
    train = load(root, "train", range(901, 903), threshold=0.5)
    assert sorted(train) == [(v, s) for v in ("a_000", "a_001") for s in (901, 902)]
    assert all({b: set(labels) for b, labels in found.items()} == {text(LEFT.box): {2}, text(RIGHT.box): {2}}
               for found in train.values())  # fmt: skip
    val = load(root, "val", range(901, 903), threshold=0.5)
    assert val == {("b_000", s): {text(LEFT.box): [-1], text(RIGHT.box): [-1]} for s in (901, 902)}
    assert [len(found) for found in load(root, "val", range(901, 903)).values()] == [1, 1]  # RIGHT has .75
    truth = ava.read_csv(Layout(root).truth("val"))
    assert sorted((r.second, r.person, r.action) for r in truth) == [
        (s, p, a) for s in (901, 902) for p, a in ((1, 2), (2, 1), (2, 2))
    ]
    assert ava.read_labels(Layout(root).labels) == NAMES


def test_avas_own_range_reads_a_set_with_two_seconds_at_either_end(tmp_path: Path) -> None:
    root = make_set(tmp_path)
    for name in ("a_000", "b_000"):
        add_clip(root, name, name[0], f"{name[0]}.mp4", 0.0, frames=150)
    make_lists(root, Division(patterns=("b",)), Outcome())
    assert ava.read_info(root).seconds == range(902, 904)
    assert sorted(load(root, "train", ava.AVA_SECONDS, 0.5)) == [("a_000", 902), ("a_000", 903)]


def test_stretches_are_told_in_seconds_of_the_video_not_of_the_clip(tmp_path: Path) -> None:
    root = make_set(tmp_path, [Segment("a.mp4", "walk", 1.5, 4.2), Segment("b.mp4", "sit", 2, 2)])
    rows = {(r.video, r.second) for r in ava.read_csv(Layout(root).truth("train"))}
    assert rows == {("a_000", 902), ("a_001", 901)}  # the second clip begins at 3 s
    assert ava.read_excluded(Layout(root).excluded("train")) == {("a_000", 901), ("a_001", 902)}
    assert ava.read_excluded(Layout(root).excluded("val")) == {("b_000", 901)}


def test_hand_labels_come_before_the_table_and_who_does_nothing_is_a_negative(tmp_path: Path) -> None:
    root = make_set(tmp_path)
    rows = [Row("a_000", 901, LEFT.box, 1, 1), Row("a_000", 901, RIGHT.box, None, 2)]
    ava.write_csv(hand_file(root), rows)
    counts = annotate(root)
    here = [r for r in ava.read_csv(Layout(root).truth("train")) if (r.video, r.second) == ("a_000", 901)]
    assert here == rows[:1]
    found = load(root, "train", range(901, 903), 0.5)["a_000", 901]
    assert found == {text(LEFT.box): [1, 1], text(RIGHT.box): [-1]}
    assert (counts["train"].labels, counts["train"].boxes, counts["train"].waiting) == (7, 8, 0)
    with pytest.raises(InputError, match=r"uses action 1 \(sit\), which is walk in the new list"):
        make_lists(root, Division(), Outcome(), names={1: "walk", 2: "sit"})


def test_the_table_and_its_groups_are_kept_for_the_next_time(tmp_path: Path) -> None:
    table = [Segment("a.mp4", "walk", group="one"), Segment("b.mp4", "sit", group="one")]
    root = make_set(tmp_path, table)
    for seed in range(4):
        make_lists(root, Division(share=0.5, seed=seed), Outcome())
        assert len({facts["split"] for facts in ava.read_info(root).videos.values()}) == 1


def test_videos_without_people_are_not_drawn_for_validation(tmp_path: Path) -> None:
    root = make_set(tmp_path, [Segment("a.mp4", "walk")])
    for name in ("empty", "room", "void"):
        add_clip(root, name, name, f"{name}.mp4", 0.0)
        write_people(root, name, {900: [LEFT], 901: []}, {})  # only where no key frame is
    for seed in range(6):
        make_lists(root, Division(margin=1.0, seed=seed), Outcome())
        splits = {name: facts["split"] for name, facts in ava.read_info(root).videos.items()}
        assert {splits[name] for name in ("empty", "room", "void")} == {"train"}
        assert sorted((splits["a_000"], splits["b_000"])) == ["train", "val"]


def test_a_table_that_names_a_split_gives_it(tmp_path: Path) -> None:
    table = [Segment("a.mp4", "walk", split="val"), Segment("b.mp4", "sit", split="train")]
    root, outcome = make_set(tmp_path), Outcome()
    table.append(Segment("gone.mp4", "sit"))
    make_lists(root, Division(margin=1.0), outcome, table=table, names=NAMES)
    assert {n: f["split"] for n, f in ava.read_info(root).videos.items()} == {
        "a_000": "val", "a_001": "val", "b_000": "train",
    }  # fmt: skip
    assert outcome.notes == ["1 videos of the table are not in the set, the first: gone.mp4"]
    with pytest.raises(InputError, match=r"has a\.mp4 .* in both splits"):
        make_lists(
            root, Division(), Outcome(), table=[*table, Segment("a", "sit", split="train")], names=NAMES
        )


def test_without_a_table_the_actions_are_avas_and_every_key_frame_waits(tmp_path: Path) -> None:
    add_clip(tmp_path, "v", "v", "v.mp4", 0.0)
    counts = make_lists(tmp_path, Division(margin=1.0), Outcome())
    assert counts["train"].waiting == 2
    assert ava.read_labels(Layout(tmp_path).labels) == dict(enumerate(AVA80, 1))
    assert ava.read_excluded(Layout(tmp_path).excluded("train")) == {("v", 901), ("v", 902)}


def test_a_clip_without_a_key_frame_is_told(tmp_path: Path) -> None:
    outcome = Outcome()
    make_lists(make_set(tmp_path), Division(margin=2.0), outcome)
    assert "a_000 has no key frame: it is 3.2 s long and --margin 2" in outcome.notes[0]
    with pytest.raises(InputError, match="holds no clip"):
        make_lists(tmp_path / "nothing", Division(), Outcome())


def test_the_draw_is_by_group_and_the_same_again() -> None:
    groups = {f"v{i}": f"g{i % 5}" for i in range(20)}
    split = split_by_group(groups, 0.4, seed=3)
    assert split == split_by_group(dict(reversed(groups.items())), 0.4, seed=3)
    by_group = {g: {split[v] for v in groups if groups[v] == g} for g in groups.values()}
    assert all(len(sides) == 1 for sides in by_group.values())
    assert sum(sides == {"val"} for sides in by_group.values()) == 2
    assert len({tuple(split_by_group(groups, 0.4, seed=s).items()) for s in range(9)}) > 2
    uneven = {f"v{i}": "large" if i < 15 else f"g{i}" for i in range(20)}
    for seed in range(9):
        assert list(split_by_group(uneven, 0.2, seed).values()).count("val") == 4
    assert set(split_by_group({"a": "a"}, 0.2).values()) == {"train"}
    assert sorted(split_by_group({"a": "a", "b": "b"}, 0.2).values()) == ["train", "val"]
    assert split_by_group({"a": "x/a", "b": "b"}, patterns=["x/*"]) == {"a": "val", "b": "train"}
    assert set(split_by_group(groups, 0.0).values()) == {"train"}


@pytest.mark.parametrize(
    ("frames", "margin", "seconds"),
    [
        (2400, 2.0, range(902, 979)),  # the seed's 80 s
        (3000, 2.0, range(902, 999)),
        (60, 1.0, range(901, 902)),
        (59, 1.0, range(901, 901)),
        (59, 0.5, range(901, 902)),
        (31, 0.0, range(900, 902)),
        (30, 0.0, range(900, 901)),
        (1, 0.0, range(900, 901)),
    ],
)
def test_seconds_that_are_labelled(frames: int, margin: float, seconds: range) -> None:
    assert list(key_seconds(frames, margin)) == list(seconds)
