"""What a YOLO reads from its engine's notes and its user's wishes: class names, class numbers, input size."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.models.coco import COCO80

MOST_CLASSES = 100_000  # more is a damaged note
DEFAULT_SIDE = 640


def noted_names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Class names of the note `names`, a Python list or dict (`{0: 'person', …}`); () if there is none.

    Raises:
        InputError: the note cannot be read.
    """
    text = metadata.get("names")
    if not text:
        return ()
    names = _literal(text)
    if isinstance(names, Mapping):
        try:
            known = {int(key): str(name) for key, name in names.items()}
        except (TypeError, ValueError):
            known = {-1: ""}
        if min(known, default=0) >= 0 and max(known, default=0) < MOST_CLASSES:
            return tuple(known.get(i, f"class{i}") for i in range(max(known, default=-1) + 1))
    elif isinstance(names, list | tuple):
        return tuple(str(name) for name in names)
    raise InputError(
        f"the model's note 'names' is no list or dict of class names: {text[:60]!r}; give names=."
    )


def default_names(count: int | None) -> tuple[str, ...]:
    """COCO's names for 80 classes, else none."""
    return COCO80 if count == len(COCO80) else ()


def class_ids(classes: Sequence[int | str], names: Sequence[str], count: int | None) -> list[int]:
    """Class numbers of names or numbers (also numbers as text).

    Raises:
        InputError: names one that the model does not have.
    """
    ids = []
    for wanted in classes:
        if isinstance(wanted, str) and wanted in names:
            ids.append(list(names).index(wanted))
            continue
        try:
            number = int(wanted)
        except (TypeError, ValueError):
            known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
            raise InputError(
                f"class {wanted!r} is not one of this model's: {known or 'it has no names'}."
            ) from None
        if number < 0 or (count is not None and number >= count):
            most = "" if count is None else f"; this model has {count} classes, from 0"
            raise InputError(f"class {number} does not exist{most}.")
        ids.append(number)
    return ids


def input_size(
    spec: TensorSpec, given: tuple[int, int] | None, metadata: Mapping[str, str]
) -> tuple[int, int]:
    """(height, width) of the input: the engine's own, else what is given, else the model's note, else 640.

    Raises:
        InputError: `given` does not fit the engine, or a size makes no sense.
    """
    height, width = given or _noted_size(metadata)
    own = tuple(fixed or side for fixed, side in zip(spec.shape[2:], (height, width), strict=True))
    if given is not None and own != (height, width):
        raise InputError(f"size={height}×{width} does not fit the engine's input {spec}.")
    if min(own) < 1:
        raise InputError(f"size={own[0]}×{own[1]} makes no sense; give (height, width) in pixels.")
    return own[0], own[1]


def _noted_size(metadata: Mapping[str, str]) -> tuple[int, int]:
    noted = _literal(metadata.get("imgsz", ""))
    if isinstance(noted, int):
        noted = (noted, noted)
    if isinstance(noted, list | tuple) and len(noted) == 2 and all(isinstance(n, int) for n in noted):
        return noted[0], noted[1]
    return DEFAULT_SIDE, DEFAULT_SIDE


def noted_stride(metadata: Mapping[str, str]) -> int:
    """The note `stride`, the network's largest; 32 where there is none or it cannot be read."""
    try:
        return max(1, int(float(metadata.get("stride", 32))))
    except (ValueError, OverflowError):
        return 32


def _literal(text: str) -> object:
    """A note as the Python value it spells, or None."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
