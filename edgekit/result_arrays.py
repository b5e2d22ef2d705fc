"""Checks of the arrays and JSON rows that results are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError


def checked(name: str, value: Any, dtype: type, shape: tuple[int | None, ...]) -> NDArray:
    """`value` as a contiguous array of `dtype`; InputError unless it has `shape` (None = any length)."""
    try:
        array: NDArray = np.ascontiguousarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of {np.dtype(dtype)}: {error}.") from error
    if array.size == 0 and array.ndim == 1 and len(shape) > 1:
        array = array.reshape(tuple(0 if n is None else n for n in shape))
    if array.ndim != len(shape) or any(
        n is not None and n != m for n, m in zip(shape, array.shape, strict=True)
    ):
        wanted = "×".join("N" if n is None else str(n) for n in shape)
        raise InputError(f"{name} has shape {list(array.shape)}; it must be {wanted}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity.")
    return array


def same_length(owner: str, length: int, **arrays: NDArray | None) -> None:
    for name, array in arrays.items():
        if array is not None and len(array) != length:
            raise InputError(f"{owner}: {name} has {len(array)} rows, the boxes have {length}.")


def rows_of(data: Mapping[str, Any], key: str, wanted: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """`data[key]` as a list of rows that have each of `wanted`."""
    rows = data.get(key)
    if not isinstance(rows, list):
        raise InputError(f"this is no result of edgekit: {key!r} is not a list.")
    for i, row in enumerate(rows):
        for name in wanted:
            if not isinstance(row, Mapping) or name not in row:
                raise InputError(f"{key}[{i}] has no {name!r}.")
    return rows


def column(rows: list[Mapping[str, Any]], key: str) -> Any:
    """One key of all rows, for a dataclass to make an array of and check."""
    return [row[key] for row in rows]


def optional_column(owner: str, rows: list[Mapping[str, Any]], key: str) -> Any:
    """As `column`, or None where no row has the key; InputError where only some have it."""
    having = sum(key in row for row in rows)
    if having not in (0, len(rows)):
        raise InputError(f"{owner}: some rows have {key!r} and some have none.")
    return column(rows, key) if having else None
