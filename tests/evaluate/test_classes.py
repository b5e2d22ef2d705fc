"""Classes are matched by name; by number only where a side has no names, and then it is said."""

from __future__ import annotations

import pytest

from edgekit.errors import InputError
from edgekit.evaluate.classes import match


def test_by_name_whatever_the_spelling() -> None:
    found = match(("car", "Traffic_Light", "cat"), ("traffic light", "dog", "car"), [0, 1, 2])
    assert found.to_data == {1: 0, 0: 2}
    assert found.names == {0: "traffic light", 2: "car"}
    lost, extra = found.notes
    assert "not scored" in lost
    assert lost.endswith("dog")
    assert "left out" in extra
    assert extra.endswith("cat")


def test_all_matched_says_nothing() -> None:
    assert match(("a", "b"), ("b", "a"), [0]).notes == ()


def test_the_first_of_two_classes_of_one_name_counts() -> None:
    assert match(("a", "A"), ("a",), [0]).to_data == {0: 0}


def test_by_number_where_there_are_no_names() -> None:
    found = match(("person", "bicycle"), (), [0])
    assert (found.to_data, found.names) == ({0: 0}, {0: "person"})
    assert "no names" in found.notes[0]
    assert match((), ("person", "dog"), [1]).to_data == {0: 0, 1: 1}
    assert match((), (), [2, 5]).names == {2: "class2", 5: "class5"}


@pytest.mark.parametrize(("model", "data", "present"), [(("cat",), ("dog",), [0]), (("person",), (), [3])])
def test_nothing_in_common_is_refused(model: tuple, data: tuple, present: list) -> None:
    with pytest.raises(InputError, match=r"class"):
        match(model, data, present)
