"""Which class of a model is which class of a data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import InputError


@dataclass(frozen=True)
class Match:
    """Classes that both sides have.

    Attributes:
        to_data: {class of the model: class of the data set}.
        names: {class of the data set: name}, of those matched.
        notes: what could not be matched, in words; empty where all could.
    """

    to_data: dict[int, int]
    names: dict[int, str]
    notes: tuple[str, ...]


def match(model: Sequence[str], data: Sequence[str], present: Sequence[int]) -> Match:
    """Match by name ("Traffic_Light" is "traffic light"); by number where one side has no names.

    Args:
        model: the model's class names; empty where it has none.
        data: the data set's; empty where it has none.
        present: class numbers that occur in the data set.

    Raises:
        InputError: nothing matches.
    """
    if not model or not data:
        return _by_number(model, data, present)
    mine = {_plain(name): i for i, name in reversed(list(enumerate(model)))}
    theirs = {i: mine[_plain(name)] for i, name in enumerate(data) if _plain(name) in mine}
    if not theirs:
        raise InputError(
            f"no class of the model ({_list(model)}) is one of the data set ({_list(data)}); the names must "
            "be the same."
        )
    notes = []
    if lost := [name for i, name in enumerate(data) if i not in theirs]:
        notes.append(f"not scored, as the model does not know them: {_list(lost)}")
    if extra := [name for i, name in enumerate(model) if i not in theirs.values()]:
        notes.append(f"results left out, as the data set does not label them: {_list(extra)}")
    return Match({m: d for d, m in theirs.items()}, {d: data[d] for d in theirs}, tuple(notes))


def _by_number(model: Sequence[str], data: Sequence[str], present: Sequence[int]) -> Match:
    count = len(model) or len(data) or max(present, default=0) + 1
    both = [n for n in (range(len(data)) if data else sorted(set(present))) if n < count]
    if not both:
        raise InputError(
            f"the data set's classes {sorted(set(present))} have no names and are none of the model's "
            f"{count}; name them in classes.txt."
        )
    side = "the model's" if data else "the data set's"
    note = f"{side} classes have no names: class {_list([str(n) for n in both])} is taken for the same number"
    named = model or data or [f"class{n}" for n in range(count)]
    return Match({n: n for n in both}, {n: named[n] for n in both}, (note,))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _list(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
