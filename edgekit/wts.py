"""`.wts` files: the weights of a network as text, for building it layer by layer.

The first line is the number of tensors, then a line each: `name count  hex hex …`, every value the eight
hex digits of a big-endian float32 (the form of the tensorrtx projects). Shapes are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError
from edgekit.files import atomic_write

SPACE = ord(" ")


def write_wts(path: Path | str, tensors: Mapping[str, ArrayLike]) -> Path:
    """Write {name: array}, rows first, as float32.

    Raises:
        InputError: a name is empty or holds white space.
    """
    path = Path(path)
    for name in tensors:
        if not name or name.split() != [name]:
            raise InputError(f"the name {name!r} cannot be written to {path.name}: it must be one word.")
    with atomic_write(path) as scratch, open(scratch, "wb") as file:
        file.write(f"{len(tensors)}\n".encode())
        for name, value in tensors.items():
            values = np.ascontiguousarray(value, ">f4").ravel()
            digits = values.tobytes().hex(" ", 4)
            file.write(f"{name} {values.size} {' ' if digits else ''}{digits}\n".encode())
    return path


def read_wts(path: Path | str) -> dict[str, NDArray[np.float32]]:
    """Read {name: float32 [n]}, in the order of the file; the bits of every value are kept.

    Raises:
        InputError: it cannot be read, is cut short, or a line is damaged; names tensor and line.
    """
    path = Path(path)
    tensors: dict[str, NDArray[np.float32]] = {}
    try:
        with open(path, "rb") as file:
            count = _count(path, file.readline(64))
            for number, line in enumerate(file, 2):
                if not line.strip() and len(tensors) == count:
                    continue
                where = f"{path.name}, line {number}"
                if len(tensors) == count:
                    raise InputError(f"{where}: there is more than the {count} tensors of the first line.")
                name, values = _tensor(where, line)
                if name in tensors:
                    raise InputError(f"{where}: the tensor {name!r} is there twice.")
                tensors[name] = values
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    if len(tensors) < count:
        last = f" after {list(tensors)[-1]!r}" if tensors else ""
        raise InputError(f"{path} is cut short: it ends{last} with {len(tensors)} of {count} tensors.")
    return tensors


def _count(path: Path, line: bytes) -> int:
    if not line.strip().isdigit():
        raise InputError(f"{path} is no .wts file: its first line is not the number of tensors.")
    return int(line)


def _tensor(where: str, line: bytes) -> tuple[str, NDArray[np.float32]]:
    """One line, "name count  hex hex …"; the values may also follow one space."""
    name, size, digits = (*line.split(None, 2), b"", b"")[:3]
    digits = digits.rstrip()
    word = name.decode(errors="replace")
    if not size.isdigit():
        raise InputError(f"{where}: {word!r} has no count; a line is a name, a count and hex values.")
    wanted = int(size)
    have = (len(digits) + 1) // 9
    if have < wanted:
        raise InputError(f"{where}: the tensor {word!r} is cut short: {have} of {wanted} values.")
    if len(digits) != max(0, 9 * wanted - 1):
        raise InputError(f"{where}: the tensor {word!r} has more than its {wanted} values.")
    if (np.frombuffer(digits, np.uint8)[8::9] != SPACE).any():
        raise _damaged(where, word)
    try:
        data = bytes.fromhex(digits.decode("ascii"))
    except ValueError:  # also of text that is not ASCII
        raise _damaged(where, word) from None
    if len(data) != 4 * wanted:  # a space inside a value
        raise _damaged(where, word)
    return word, np.frombuffer(data, np.uint32).byteswap().view(np.float32)


def _damaged(where: str, word: str) -> InputError:
    return InputError(f"{where}: the tensor {word!r} holds a value that is not eight hex digits.")
