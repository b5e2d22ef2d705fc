"""One row of the tables of an experiment spec: a dataclass field with its words, its range and its check."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field
from difflib import get_close_matches
from typing import Any

from edgekit.errors import InputError

#: What stands in a TAO spec for "you must give this"; here it is as if the line were not there.
NOT_GIVEN = ("???", "??", "")


@dataclass(frozen=True)
class Range:
    """Which values a parameter may have.

    Attributes:
        words: as it is said: "more than 0".
        holds: whether a value, or each value of a list, is in it.
        choices: the values, where they can be listed.
        sizes: how many values a list may have; empty: any number.
    """

    words: str
    holds: Callable[[Any], bool] = lambda value: True
    choices: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()


ANY = Range("")


def more_than(low: float) -> Range:
    return Range(f"more than {low:g}", lambda value: value > low)


def at_least(low: float) -> Range:
    return Range(f"{low:g} or more", lambda value: value >= low)


def between(low: float, high: float) -> Range:
    return Range(f"{low:g} to {high:g}", lambda value: low <= value <= high)


def one_of(*choices: str) -> Range:
    return Range(" | ".join(choices), lambda value: value in choices, choices)


def sized(one: Range, *sizes: int) -> Range:
    """A list of 1, 2 or … values, each in `one`."""
    count = " or ".join(map(str, sizes)) + (" value" if sizes == (1,) else " values")
    return Range(f"{count}, each {one.words}" if one.words else count, one.holds, sizes=sizes)


def setting(default: Any, words: str, allowed: Range = ANY, *, here: bool = False) -> Any:
    """A parameter: its default, what it does, its range; `here`: this kit's own, unknown to TAO."""
    metadata = {"words": words, "range": allowed, "here": here}
    return field(default=default, metadata=metadata)


def section(kind: type, words: str) -> Any:
    """A group of parameters."""
    return field(default_factory=kind, metadata={"words": words, "section": kind})


def checked(name: str, value: Any, row: Field[Any]) -> Any:
    """A value of the YAML as the field holds it: lists as tuples, text that means "not given" as the default.

    Args:
        name: dotted, for the message.
        row: field made by `setting`; its annotation says the type.

    Raises:
        InputError: a wrong type, or a value outside the range.
    """
    allowed: Range = row.metadata["range"]
    kind = str(row.type)
    if value is None or (isinstance(value, str) and value in NOT_GIVEN):
        if value is None and row.default is not None:
            raise InputError(f"{name} has no value; give {_must(kind, allowed)}, or leave it out.")
        return row.default
    value = _typed(name, value, kind, allowed)
    each = value if isinstance(value, tuple) else (value,)
    wrong = next((one for one in each if not allowed.holds(one)), None)
    if wrong is not None or (allowed.sizes and len(each) not in allowed.sizes):
        shown = list(value) if isinstance(value, tuple) else value
        near = get_close_matches(str(value), allowed.choices, 1)
        cure = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"{name} {shown!r} must be {_must(kind, allowed)}.{cure}")
    return value


def nearest(name: str, beside: Sequence[str], known: Sequence[str]) -> str | None:
    """The dotted name that was probably meant.

    Args:
        name: that is unknown.
        beside: names of the same section; a slip of the pen comes first.
        known: all names; one with the same last word stands in the wrong section.
    """
    last = name.rsplit(".", 1)[-1]
    same = [one for one in known if one.rsplit(".", 1)[-1] == last]
    near = get_close_matches(name, beside, 1, 0.8) or same or get_close_matches(name, known, 1, 0.6)
    return near[0] if near else None


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "str | None": "text",
    "int | None": "a whole number",
    "tuple[int, ...]": "a list of whole numbers",
    "tuple[float, ...]": "a list of numbers",
    "dict[str, int] | None": "names with the numbers 0, 1, 2 …",
    "dict[str, object] | None": "a group of settings",
}


def _must(kind: str, allowed: Range) -> str:
    """What a value must be, in words."""
    if allowed.choices:
        return "one of " + ", ".join(allowed.choices)
    return f"{_TYPES[kind]}, {allowed.words}" if allowed.words else _TYPES[kind]


def _typed(name: str, value: Any, kind: str, allowed: Range) -> Any:
    plain = kind.removesuffix(" | None")
    if plain.startswith("tuple"):
        one = plain.removeprefix("tuple[").removesuffix(", ...]")
        if isinstance(value, list | tuple) and all(_is(v, one) for v in value):
            return tuple(float(v) if one == "float" else v for v in value)
    elif plain.startswith("dict"):
        if isinstance(value, dict):
            return _labels(name, value) if plain == "dict[str, int]" else dict(value)
    elif _is(value, plain):
        return float(value) if plain == "float" else value
    raise InputError(f"{name} {value!r} must be {_must(kind, allowed)}.")


def _is(value: Any, plain: str) -> bool:
    if plain == "bool" or isinstance(value, bool):  # Python's True is an int
        return plain == "bool" and isinstance(value, bool)
    if plain == "float":
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, int if plain == "int" else str)


def _labels(name: str, value: dict[Any, Any]) -> dict[str, int]:
    """A label map: text to the numbers 0 to n-1, each once."""
    for label, number in value.items():
        if not isinstance(label, str):
            raise InputError(f"{name}: the name {label!r} is not text for YAML; write it in quotes.")
        if not _is(number, "int"):
            raise InputError(f"{name}: {label} has {number!r}; write {{name: number, name: number}}.")
    if sorted(value.values()) != list(range(len(value))) or not value:
        raise InputError(
            f"{name}: the numbers {sorted(value.values())} must be 0 to {max(len(value) - 1, 0)}, each once."
        )
    return dict(value)
