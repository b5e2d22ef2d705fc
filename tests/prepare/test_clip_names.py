"""Who is in a clip: one rule for what recorders write, what is shown, and what a split keeps together."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.prepare.clip_names import NOBODY, free_name, group_of, person_of


@pytest.mark.parametrize(
    ("name", "person", "group"),
    [
        ("anna_12", "anna", "anna"),
        ("li_na_3", "li_na", "li_na"),
        ("drawn07_002", "drawn07", "drawn07"),
        ("video_3", NOBODY, "walk/video_3"),  # says nothing: for itself
        ("v_walk_g01_c04", "v_walk_g01_c04", "walk/v_walk_g01_c04"),
        ("film", "film", "walk/film"),
        ("_7", "_7", "walk/_7"),
    ],
)
def test_who_is_told_from_the_name(name: str, person: str, group: str) -> None:
    assert person_of(name) == person
    assert group_of(Path("set/walk") / name, {}) == group


def test_what_was_noted_counts_before_the_name() -> None:
    folder = Path("set/walk/anna_1")
    assert group_of(folder, {"person": "berta"}) == "berta"
    assert group_of(folder, {"person": "berta", "group": "tour 3"}) == "tour 3"
    assert group_of(folder, {"person": "", "group": None}) == "anna"


def test_the_next_name_is_above_all_that_are_there(tmp_path: Path) -> None:
    assert free_name(tmp_path, "anna") == "anna_1"
    for name in ("anna_2", "anna_09", "anna_lea_30", "anna_x", "anna_²", "berta_40"):
        (tmp_path / name).mkdir()
    assert free_name(tmp_path, "anna") == "anna_10"
    assert free_name(tmp_path, "anna_lea") == "anna_lea_31"
