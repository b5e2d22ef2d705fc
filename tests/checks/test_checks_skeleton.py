"""The self-check of notebook 10 reads the skeleton as training does, and says where it would stumble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekit.checks import longer_skeleton
from edgekit.topology import ANIMAL20, COCO17


def own(
    names: Sequence[str] = ("left_toe", "right_toe"), links: Sequence[Sequence[int]] = ((16, 18), (17, 19))
) -> dict[str, Any]:
    """COCO's person with more names and links, which count from 1."""
    category = COCO17.to_category()
    category["keypoints"] += names
    category["skeleton"] += [list(link) for link in links]
    return category


@pytest.mark.parametrize(
    ("names", "links"),
    [
        (("left_toe", "right_toe"), ((16, 18), (17, 19))),
        (("left_toe", "right_toe"), ((18, 16), (19, 17), (18, 19))),
        (("neck", "head_top"), ((18, 6), (18, 7), (18, 19))),
        (("left_hand", "right-hand"), ((10, 18), (11, 19))),
    ],
)
def test_right(names: Sequence[str], links: Sequence[Sequence[int]]) -> None:
    if names[1] == "right-hand":
        assert not longer_skeleton(own(names, links)), "the two are written differently"
    else:
        assert longer_skeleton(own(names, links)), longer_skeleton(own(names, links))


def test_the_words_count_what_the_network_will_have() -> None:
    verdict = longer_skeleton(own())
    assert "19 heat maps and 42 field channels" in verdict.words
    assert "they change places" in verdict.words
    assert "Neither has a side" in longer_skeleton(own(("neck", "belly"), ((6, 18), (18, 19)))).words


def test_a_file_and_another_base(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(own()), encoding="utf-8")
    assert longer_skeleton(tmp_path / "mine.json")
    cow = ANIMAL20.to_category()
    cow["keypoints"] += ["left_horn", "right_horn"]
    cow["skeleton"] += [[4, 21], [5, 22]]
    assert longer_skeleton(cow, "animal20"), longer_skeleton(cow, "animal20")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (COCO17.to_category(), "still has the 17 keypoints of before"),
        (own(("left_toe",), ((16, 18),)), "1 keypoints were added (left_toe); it must be 2"),
        (own(("left_toe", "right_toe", "neck")), "3 keypoints were added"),
        (own(("left_toe", "left_toe")), "two keypoints 'left_toe'"),
        (own(("left_toe", "head_top"), ((16, 18), (1, 19))), "'left_toe' has no partner 'right_toe'"),
        (own(links=()), "nothing links 'left_toe' to the rest"),
        (own(links=((16, 18),)), "Add a pair with 19: in the file"),
        (own(links=((18, 19),)), "left_toe and right_toe are linked to each other, but to nobody's body"),
        (own(links=((16, 18), (17, 20))), "joins keypoints 17 and 20 (counted from 1); it has 19"),
        (own(links=((16, 18), (17, 19), (19, 17))), "right_ankle is there twice"),
        (own(links=((16, 18), (1, 19))), "linked differently"),
        ({"keypoints": 5}, "cannot be read as a skeleton"),
        ("no-such-file.json", "cannot be read as a skeleton: there is no skeleton 'no-such-file.json'"),
    ],
)
def test_what_is_wrong_is_said(given: Any, said: str) -> None:
    verdict = longer_skeleton(given)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_what_was_there_must_stay() -> None:
    front = own()
    front["keypoints"] = ["left_toe", "right_toe", *COCO17.keypoints]
    assert "keypoint 1 is 'left_toe', and was 'nose'" in longer_skeleton(front).words
    gone = own()
    gone["keypoints"][0] = "snout"
    assert "'nose' is gone" in longer_skeleton(gone).words
    cut = own()
    del cut["skeleton"][0]
    assert "the link left_ankle – left_knee is gone" in longer_skeleton(cut).words


@pytest.mark.parametrize("given", [None, "", {}])
def test_missing(given: Any) -> None:
    assert longer_skeleton(given).head == "Not yet"
