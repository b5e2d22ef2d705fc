"""AVA's files: what is written is read back, and each line that has not the form is named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.prepare import ava_files as ava
from edgekit.prepare.ava_files import Info, Layout, Row

ROWS = [
    Row("a_b-1", 902, (0.0, 0.25, 0.5, 1.0), 12, 3),
    Row("a_b-1", 902, (0.0, 0.25, 0.5, 1.0), 80, 3),
    Row("c", 1001, (0.123, 0.2, 0.301, 0.999), 1, 0),
]


def test_labelled_people_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x" / "ava.csv"
    ava.write_csv(path, ROWS)
    assert ava.read_csv(path) == ROWS
    assert path.read_text().splitlines()[0] == "a_b-1,0902,0.000,0.250,0.500,1.000,12,3"


def test_found_people_come_back(tmp_path: Path) -> None:
    rows = [Row("v", 905, (0.1, 0.2, 0.3, 0.4), None, score=0.5), Row("v", 905, (0, 0, 1, 1), 7, score=1.0)]
    ava.write_boxes(tmp_path / "b.csv", rows)
    assert ava.read_boxes(tmp_path / "b.csv") == rows
    with open(tmp_path / "b.csv", newline="") as file:
        plain = list(csv.reader(file))
    assert [r[6] for r in plain] == ["", "7"]
    assert [float(r[7]) for r in plain] == [0.5, 1.0]


def test_random_boxes_come_back_to_half_a_thousandth(tmp_path: Path) -> None:
    values = np.random.default_rng(3).random((200, 4))
    rows = [Row(f"v{i}", 900 + i, tuple(map(float, v)), i + 1, i) for i, v in enumerate(values)]
    ava.write_csv(tmp_path / "a.csv", rows)
    back = np.array([r.box for r in ava.read_csv(tmp_path / "a.csv")])
    assert np.abs(back - values).max() <= 0.0005 + 1e-9


def test_a_file_without_persons_and_one_of_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffv,0902,0.1,0.1,0.2,0.2,5\r\n\r\nv,903,0.1,0.1,0.2,0.2,5,\r\n".encode())
    first, second = ava.read_csv(path)
    assert (first.video, first.person, second.second, second.person) == ("v", None, 903, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("v,0902,0.1,0.1,0.2,0.2", "6 columns"),
        ("v,late,0.1,0.1,0.2,0.2,1,1", "second is 'late'"),
        ("v,0902,0.1,a,0.2,0.2,1,1", "y1 is 'a'"),
        (",0902,0.1,0.1,0.2,0.2,1,1", "no video"),
        ("v,0902,0.1,0.1,0.2,0.2,walk,1", "action is 'walk'"),
    ],
)
def test_a_line_that_has_not_the_form_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("v,0902,0.1,0.1,0.2,0.2,1,1\n" + line + "\n")
    with pytest.raises(InputError, match=rf"a\.csv:2: .*{words}"):
        ava.read_csv(path)


def test_frame_lists_come_back(tmp_path: Path) -> None:
    videos = {v: [ava.picture_name(v, i) for i in range(n)] for v, n in (("b", 3), ("a.x", 2))}
    path = tmp_path / "train.csv"
    ava.write_frame_list(path, videos)
    assert ava.read_frame_list(path) == videos
    assert list(ava.read_frame_list(path)) == ["b", "a.x"]
    text = path.read_text().splitlines()
    assert text[0] == "original_vido_id video_id frame_id path labels"
    assert text[4] == 'a.x 1 0 a.x/a.x_000001.jpg ""'


def test_a_frame_list_with_a_space_in_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('head\nmy video 0 0 my video/1.jpg ""\n')
    with pytest.raises(InputError, match=r"l\.csv:2: 7 columns"):
        ava.read_frame_list(tmp_path / "l.csv")


def test_action_lists_come_back(tmp_path: Path) -> None:
    names = {2: "stand (still)", 1: "bend/bow", 80: "watch"}
    ava.write_labels(tmp_path / "a.pbtxt", names)
    assert ava.read_labels(tmp_path / "a.pbtxt") == names
    # the other form that AVA publishes, on one line and on many
    one = 'label { name: "walk" label_id: 12 label_type: PERSON_MOVEMENT }'
    other = one + '\nlabel {\n  label_id: 3\n  name: "run"\n}\n'
    (tmp_path / "b.pbtxt").write_text(other)
    assert ava.read_labels(tmp_path / "b.pbtxt") == {12: "walk", 3: "run"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no action"),
        ('item {\n  name: "a"\n}\n', ":1: an entry needs"),
        ('item {\n  name: "a"\n  id: 1\n}\nitem {\n  name: "b"\n  id: 1\n}\n', ":5: number 1 comes twice"),
    ],
)
def test_an_action_list_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.pbtxt").write_text(text)
    with pytest.raises(InputError, match=words):
        ava.read_labels(tmp_path / "a.pbtxt")


def test_a_quotation_mark_in_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can be no action's name"):
        ava.write_labels(tmp_path / "a.pbtxt", {1: 'say "hello"'})
    assert not list(tmp_path.iterdir())


def test_excluded_seconds_come_back(tmp_path: Path) -> None:
    seconds = {("b", 903), ("a", 1000), ("a", 902)}
    ava.write_excluded(tmp_path / "e.csv", seconds)
    assert ava.read_excluded(tmp_path / "e.csv") == seconds
    assert (tmp_path / "e.csv").read_text() == "a,0902\na,1000\nb,0903\n"


def test_info_comes_back_and_a_set_without_one_has_avas_seconds(tmp_path: Path) -> None:
    assert ava.read_info(tmp_path) == Info(range(902, 1799), {})
    info = Info(range(901, 950), {"ü": {"frames": 90}})
    ava.write_info(tmp_path, info, settings={"fps": 30})
    assert ava.read_info(tmp_path) == info
    Layout(tmp_path).info.write_text("[]")
    with pytest.raises(InputError, match=r"dataset\.json is not what"):
        ava.read_info(tmp_path)


def test_absent_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv cannot be read: No such file"):
        ava.read_csv(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00v")
    with pytest.raises(InputError, match="no UTF-8 text"):
        ava.read_csv(tmp_path / "b.csv")
