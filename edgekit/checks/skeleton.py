"""Self-check of notebook 10: a skeleton with two keypoints more, as a COCO category in a JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.checks.verdict import Verdict, missing, right, wrong
from edgekit.errors import InputError
from edgekit.topology import Topology, read_topology

MORE = 2


def longer_skeleton(
    given: Path | str | Mapping[str, Any] | None, base: Topology | str = "coco17", more: int = MORE
) -> Verdict:
    """Notebook 10: a category that has the keypoints of `base` and, after them, `more` of one's own.

    Args:
        given: the category, or a JSON file with it.
        base: the skeleton that was to be extended.
        more: how many keypoints were to be added.
    """
    if not given:
        return missing("write my_skeleton: the category above with two names more, and their links.")
    base = read_topology(base)
    try:
        own = Topology.from_category(given, "it") if isinstance(given, Mapping) else read_topology(given)
    except InputError as error:
        return wrong(f"this cannot be read as a skeleton: {error}")
    if problem := _names(own, base, more) or _links(own, base):
        return wrong(problem)
    added = own.keypoints[len(base) :]
    if not any("left" in name.lower() or "right" in name.lower() for name in added):
        pair = "Neither has a side, so both stay what they are in a mirrored picture."
    else:
        pair = "In a mirrored picture they change places, as they should."
    total = f"{len(own)} heat maps and {2 * len(own.skeleton)} field channels"
    return right(f"{' and '.join(added)} are part of the skeleton now: {total}. {pair}")


def _names(own: Topology, base: Topology, more: int) -> str | None:
    if own.keypoints == base.keypoints:
        return f"it still has the {len(base)} keypoints of before; add {more} names to its list."
    if gone := [name for name in base.keypoints if name not in own.keypoints]:
        return f"{gone[0]!r} is gone. Labels are kept by number, so the first {len(base)} must stay."
    if own.keypoints[: len(base)] != base.keypoints:
        pairs = zip(own.keypoints, base.keypoints, strict=False)
        at, found, wanted = next((k, a, b) for k, (a, b) in enumerate(pairs) if a != b)
        return (
            f"keypoint {at + 1} is {found!r}, and was {wanted!r}. Labels are kept by number: new names "
            "belong at the end."
        )
    added = own.keypoints[len(base) :]
    if len(added) != more:
        return f"{len(added)} keypoints were added ({', '.join(added)}); it must be {more}."
    for number, name in enumerate(own.keypoints):
        sided = {"left", "right"} & set(name.lower().replace("-", "_").replace(" ", "_").split("_"))
        if number >= len(base) and sided and own.flip[number] == number:
            (side,) = sided
            other = name.lower().replace(side, "right" if side == "left" else "left")
            return (
                f"{name!r} has no partner {other!r}. Training mirrors pictures, and then the {side} one "
                "becomes the other: add both, or choose points without a side."
            )
    return None


def _links(own: Topology, base: Topology) -> str | None:
    names = own.keypoints
    if lost := [pair for pair in base.skeleton if pair not in own.skeleton]:
        return f"the link {_pair(names, lost[0])} is gone; leave those that were there."
    seen: set[frozenset[int]] = set()
    for pair in own.skeleton:
        if frozenset(pair) in seen:
            return f"the link {_pair(names, pair)} is there twice; each link costs two field channels."
        seen.add(frozenset(pair))
    for number in range(len(base), len(names)):
        if not any(number in pair for pair in own.skeleton):
            return (
                f"nothing links {names[number]!r} to the rest, so it would be a person of its own. Add a "
                f"pair with {number + 1}: in the file keypoints count from 1."
            )
    reached = _reached(own.skeleton, len(base))
    if alone := [names[k] for k in range(len(base), len(names)) if k not in reached]:
        return f"{' and '.join(alone)} are linked to each other, but to nobody's body."
    for number in range(len(base), len(names)):
        ends = {own.flip[k] for pair in own.skeleton if number in pair for k in pair if k != number}
        partner = own.flip[number]
        theirs = {k for pair in own.skeleton if partner in pair for k in pair if k != partner}
        if partner != number and ends != theirs:
            return (
                f"{names[number]!r} and {names[partner]!r} are linked differently. A mirrored picture "
                "makes one the other, so link both to the same joint, or each to that of its side."
            )
    return None


def _reached(pairs: Sequence[tuple[int, int]], count: int) -> set[int]:
    """The keypoints that links join to one of the first `count`, whether those are linked or not."""
    reached = set(range(count))
    grown = True
    while grown:
        more = {k for pair in pairs for k in pair if reached & set(pair)} - reached
        grown = bool(more)
        reached |= more
    return reached


def _pair(names: Sequence[str], pair: tuple[int, int]) -> str:
    return f"{names[pair[0]]} – {names[pair[1]]}"
