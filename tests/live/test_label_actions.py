"""Labelling without a browser: buttons are clicked, boxes ticked, and the files looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_set import LEFT, RIGHT, make_set

from edgekit.errors import EdgekitError, InputError
from edgekit.live.label_actions import Labelling, label_actions
from edgekit.prepare.annotate import hand_file, segments_file
from edgekit.prepare.ava_files import Layout, read_csv
from edgekit.prepare.check import check
from edgekit.prepare.hand import HandLabels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set whose table is gone: nothing is labelled yet."""
    made = make_set(tmp_path)
    segments_file(made).unlink()
    return made


def here(root: Path) -> list[tuple[str, int, int | None, int | None]]:
    return [(r.video, r.second, r.person, r.action) for r in read_csv(hand_file(root))]


def test_each_tick_is_in_the_file_at_once(root: Path) -> None:
    view = Labelling(HandLabels(root))
    assert [label for label, _ in view.people.options] == ["#1", "#2"]
    view.ticks[2].value = True
    assert here(root) == [("a_000", 901, 1, 2), ("a_000", 901, 2, None)]
    view.people.value = 1
    assert not view.ticks[2].value
    view.ticks[1].value = view.ticks[2].value = True
    assert here(root)[1:] == [("a_000", 901, 2, 1), ("a_000", 901, 2, 2)]
    view.ticks[1].value = False
    assert here(root)[1:] == [("a_000", 901, 2, 2)]
    assert "<b>#1</b> walk<br><b>#2</b> walk" in view.told.value


def test_frames_are_gone_through_and_it_goes_on_where_one_stopped(root: Path) -> None:
    view = Labelling(HandLabels(root))
    view.ticks[2].value = True
    view.buttons["Next"].click()
    assert (view.at, view.where.value) == (1, "<b>a_000</b>, second 902 · 2 of 6 · 5 to look at")
    view.buttons["As before"].click()
    assert here(root)[2:] == [("a_000", 902, 1, 2), ("a_000", 902, 2, None)]
    truth = read_csv(Layout(root).truth("train"))
    assert [(r.video, r.second, r.action) for r in truth] == [("a_000", 901, 2)]  # confirmed by Next
    view.buttons["Previous"].click()
    assert (view.at, view.ticks[2].value) == (0, True)
    again = Labelling(HandLabels(root))
    assert again.at == 2
    for _ in range(4):
        again.ticks[1].value = True
        again.buttons["Next open"].click()
    assert "all looked at" in again.where.value
    assert check(root) == []


def test_what_the_table_says_stands_until_it_is_changed(tmp_path: Path) -> None:
    root = make_set(tmp_path)
    view = Labelling(HandLabels(root))
    assert view.ticks[2].value
    assert not hand_file(root).exists()
    view.ticks[2].value = False
    assert here(root) == [("a_000", 901, 1, None), ("a_000", 901, 2, 2)]


def test_the_picture_has_the_boxes_and_the_chosen_one_is_framed(root: Path) -> None:
    view = Labelling(HandLabels(root))

    def shown() -> np.ndarray:
        return cv2.imdecode(np.frombuffer(view.picture.value, np.uint8), cv2.IMREAD_COLOR).astype(int)

    plain = view.labels.picture(0)
    first = shown()
    assert first.shape == plain.shape
    view.people.value = 1
    left = round(RIGHT.box[0] * plain.shape[1]) - 3
    row = round((RIGHT.box[1] + RIGHT.box[3]) / 2 * plain.shape[0])
    assert shown()[row, left].min() > 190
    assert first[row, round(LEFT.box[0] * plain.shape[1]) - 3].min() > 190


def test_what_cannot_be_written_is_told_and_the_tick_goes_back(root: Path, monkeypatch) -> None:
    view = Labelling(HandLabels(root))

    def full(*_: object) -> None:
        raise EdgekitError("labels.csv cannot be written: No space <left>.")

    monkeypatch.setattr("edgekit.prepare.ava_files.write_csv", full)
    view.ticks[2].value = True
    assert "No space &lt;left&gt;" in view.error.value
    assert not view.ticks[2].value
    monkeypatch.undo()
    view.ticks[2].value = True
    assert view.error.value == ""
    assert here(root)[0] == ("a_000", 901, 1, 2)


def test_a_folder_that_is_no_set_and_one_without_people_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no set; make one"):
        label_actions(tmp_path / "none")
    for path in (root / "boxes").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="nobody was found"):
        label_actions(root)
