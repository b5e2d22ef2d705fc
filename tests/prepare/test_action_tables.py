"""Lists of actions, tables of stretches, and how labels find their people."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.prepare import labels
from edgekit.prepare.ava_files import Row
from edgekit.prepare.labels import Segment, by_hand, by_segments, read_names, read_segments
from edgekit.prepare.people import Person, shares

NAMES = {1: "sit", 2: "Walk"}
SMALL, LARGE = Person((0.1, 0.1, 0.2, 0.3), 0.9, 4), Person((0.3, 0.1, 0.9, 0.9), 0.8, 7)


def test_tables_with_commas_tabs_and_other_words_for_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('video,start_s,end_s,action\n"a, b.mp4",1,2.5,walk\nc.mp4,,,sit\n')
    assert read_segments(path) == [Segment("a, b.mp4", "walk", 1, 2.5), Segment("c.mp4", "sit")]
    path.write_text("clip\tsubject\tclass\tdirection\tstart_s\tend_s\nx.mp4\t3\tFalling\tBW\t0.4\t4\n")
    assert read_segments(path, "subject") == [Segment("x.mp4", "Falling", 0.4, 4, group="3")]
    path.write_text("clip;label;split;person\nx.mp4;fight;Val;largest\n")
    assert read_segments(path) == [Segment("x.mp4", "fight", person="largest", split="val")]
    again = tmp_path / "again.csv"
    given = [Segment("a,b", 'say "x"', 0.5, 2, "3", "train", "g"), Segment("c", "y")]
    labels.write_segments(again, given)
    assert read_segments(again, "group") == given


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start,end\n1,2\n", "no column 'video'"),
        ("video,start\na,2\n", "no column 'action'"),
        ("video,action\n", "no line under its header"),
        ("video,action\na,\n", ":2: no video or no action"),
        ("video,action,start,end\na,b,5,2\n", ":2: it ends .2 s. before it starts .5 s."),
        ("video,action,start\na,b,x\n", ":2: start_s is 'x'"),
        ("video,action,person\na,b,tall\n", ":2: person is 'tall'"),
        ("video,action,split\na,b,test\n", ":2: split is 'test'"),
    ],
)
def test_a_table_that_makes_no_sense_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_segments(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("video,action\na,b\n")
    with pytest.raises(InputError, match="no column 'who'; it has video, action"):
        read_segments(tmp_path / "t.csv", "who")


def test_lists_of_names(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("sit\n\n Walk \n")
    assert read_names(tmp_path / "n.txt") == NAMES
    (tmp_path / "n.pbtxt").write_text('item {\n  name: "x"\n  id: 9\n}\n')
    assert read_names(tmp_path / "n.pbtxt") == {9: "x"}
    (tmp_path / "n.txt").write_text("sit\nsit\n")
    with pytest.raises(InputError, match="'sit' comes twice"):
        read_names(tmp_path / "n.txt")


def test_an_action_is_told_by_name_in_any_case_or_by_number() -> None:
    assert [labels.number_of(NAMES, a) for a in ("walk", "SIT", "2")] == [2, 1, 2]
    with pytest.raises(InputError, match="'run' is not in the list"):
        labels.number_of(NAMES, "run")


def test_a_video_is_told_by_path_file_stem_or_clip() -> None:
    for word in ("sub/my v.mp4", "my v.mp4", "my v", "my_v_001"):
        assert labels.belongs(Segment(word, "sit"), "my_v_001", "sub/my v.mp4")
    assert not labels.belongs(Segment("my", "sit"), "my_v_001", "sub/my v.mp4")


def test_stretches_label_everybody_one_number_or_the_largest() -> None:
    people = [SMALL, LARGE]
    everybody = [Segment("v", "sit", 1, 2), Segment("v", "walk", 2, 3), Segment("v", "sit", 0, 9)]
    assert by_segments(everybody, NAMES, 2.0, people) == [(SMALL, [1, 2]), (LARGE, [1, 2])]
    assert by_segments(everybody[:2], NAMES, 3.5, people) == []
    assert by_segments([Segment("v", "sit", person="4")], NAMES, 0, people) == [(SMALL, [1])]
    assert by_segments([Segment("v", "sit", person="largest")], NAMES, 0, people) == [(LARGE, [1])]


def test_hand_labels_go_to_the_box_that_overlaps_and_stand_alone_where_none_does() -> None:
    moved = (0.31, 0.12, 0.9, 0.88)  # another detector's box of LARGE
    rows = [
        Row("v", 902, moved, 2, 7),
        Row("v", 902, moved, 1, 7),
        Row("v", 902, (0.0, 0.8, 0.05, 0.9), 1, 9),
    ]
    found = by_hand(rows, [SMALL, LARGE])
    assert found[:2] == [(SMALL, []), (LARGE, [1, 2])]
    assert found[2] == (Person((0.0, 0.8, 0.05, 0.9), 1.0, 9), [1])
    nothing = [Row("v", 902, SMALL.box, None, 4), Row("v", 902, (0.0, 0.8, 0.05, 0.9), None, 9)]
    assert by_hand(nothing, [SMALL]) == [(SMALL, [])]


def test_overlap_equals_counted_cells() -> None:
    one, other = (0.1, 0.2, 0.5, 0.6), (0.3, 0.1, 0.9, 0.4)
    cells = [(x / 100 + 0.005, y / 100 + 0.005) for x in range(100) for y in range(100)]
    inside = [[b[0] < x < b[2] and b[1] < y < b[3] for x, y in cells] for b in (one, other)]
    both = sum(a and b for a, b in zip(*inside, strict=True))
    either = sum(a or b for a, b in zip(*inside, strict=True))
    assert labels.overlap(one, other) == pytest.approx(both / either)
    assert labels.overlap(one, (0.6, 0.7, 0.8, 0.9)) == 0.0


def test_shares_are_cut_at_the_edges_and_nothing_is_left_of_a_box_outside() -> None:
    assert shares([-5.0, 12.0, 50.0, 300.0], 100, 240) == (0.0, 0.05, 0.5, 1.0)
    assert shares([120.0, 0.0, 140.0, 20.0], 100, 240) is None
