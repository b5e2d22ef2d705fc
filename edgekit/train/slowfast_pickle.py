"""Reading the `.pkl` checkpoints of SlowFast without running anything that they say.

A pickle is a program that may call any Python function. Here no name in it stands for a function: the
handful that NumPy's arrays need are marks, and what they would do is done by this module.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from edgekit.errors import InputError

LIMIT = 2 << 30  # bytes of a file, and of the arrays in it: R101's are 0.25 GB, 0.5 GB with momentum
NUMBERS = "fiub"  # kinds of array that are read: floats, integers, booleans
#: Names that may stand in a file → what is done for them.
NAMES = {
    **{
        (f"numpy.{core}.multiarray", name): name
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): "_frombuffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("collections", "OrderedDict"): "OrderedDict",
    ("_codecs", "encode"): "encode",  # how protocol 2 writes bytes
    **{(module, "bytes"): "bytes" for module in ("builtins", "__builtin__")},  # and no bytes at all
}
#: Operations of pickle that build plain values, and the three that use a name.
ALLOWED = """
    PROTO FRAME STOP MARK POP POP_MARK DUP INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT NONE
    NEWTRUE NEWFALSE STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1
    TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
    GLOBAL STACK_GLOBAL REDUCE BUILD
"""


class _RefusedError(Exception):
    """What the file holds and may not."""


class _Name(str):
    """A name of NAMES; it cannot be called."""


class _Type:
    """A NumPy dtype on the way."""

    def __init__(self, code: object) -> None:
        try:
            self.dtype = np.dtype(_text(code))
        except TypeError as error:
            raise _RefusedError(f"the array type {code!r}") from error
        if self.dtype.kind not in NUMBERS or self.dtype.itemsize > 8:
            raise _RefusedError(f"arrays of {self.dtype}")

    def build(self, state: Any) -> None:
        order = _text(state[1])
        if order not in "<>|=":
            raise _RefusedError(f"the byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(cast(Any, order))


class _Array:
    """A NumPy array on the way; `value` when its state has been read."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.value = _array(data, kind, shape, "F" if fortran else "C")


def _text(value: object) -> str:
    if not isinstance(value, (str, bytes)) or isinstance(value, _Name):
        raise _RefusedError(f"a {type(value).__name__} in place of a text")
    return value if isinstance(value, str) else value.decode("latin-1")


def _array(data: object, kind: object, shape: Any, order: str) -> np.ndarray:
    if not isinstance(kind, _Type):
        raise _RefusedError(f"an array of {type(kind).__name__}")
    shape = (shape,) if isinstance(shape, int) else shape
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise _RefusedError(f"an array of the shape {shape!r}")
    data = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(data, (bytes, bytearray)):
        raise _RefusedError(f"an array made of {type(data).__name__}")
    return np.frombuffer(data, kind.dtype).reshape(shape, order=cast(Any, order))


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[_key(key)] = value
    return found


def _key(key: object) -> Any:
    """A key that is a text or a number: hashing a nest of tuples may take for ever."""
    if not isinstance(key, (str, int, bytes)):
        raise _RefusedError(f"a {type(key).__name__} as a key")
    return key


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"the encoding {encoding!r}")
    return _text(text).encode("latin-1")


CALLS: dict[str, Any] = {
    "_reconstruct": lambda kind, shape, code: _Array(),
    "_frombuffer": lambda data, kind, shape, order: _array(data, kind, shape, _text(order)),
    "scalar": lambda kind, data: _array(data, kind, (), "C"),
    "dtype": lambda code, *rest: _Type(code),
    "OrderedDict": _ordered,
    "encode": _encode,
    "bytes": lambda: b"",
}


class _Reader(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """The Python form of the unpickler, with the operations of ALLOWED and marks for functions."""

    dispatch: ClassVar[dict[int, Any]] = {}  # filled below
    stack: list[Any]
    pop_mark: Any
    spent = 0  # bytes that calls were given

    def _spend(self, values: Any) -> None:
        """Each call copies what it is given: a short file that repeats itself must not fill the memory."""
        for value in values:
            if isinstance(value, (str, bytes, bytearray)):
                self.spent += len(value)
            elif isinstance(value, (list, tuple)):
                self.spent += 100 * len(value)
        if self.spent > LIMIT:
            raise _RefusedError(f"more than {LIMIT >> 30} GiB of copies")

    def find_class(self, module: str, name: str) -> _Name:
        if (module, name) not in NAMES:
            raise _RefusedError(f"the name {module}.{name}")
        return _Name(NAMES[module, name])

    def load_reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or name not in CALLS or not isinstance(arguments, tuple):
            raise _RefusedError(f"a call of {name!r:.60}")
        self._spend(arguments)
        self.stack.append(CALLS[name](*arguments))

    def load_build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, (_Type, _Array)):
            raise _RefusedError(f"a state for a {type(built).__name__}")
        self._spend(state)
        built.build(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def load_setitems(self) -> None:
        self._put(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._put(items)

    def _put(self, items: list[Any]) -> None:
        found = self.stack[-1]
        if not isinstance(found, dict):
            raise _RefusedError(f"items of a {type(found).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            found[_key(key)] = value


OWN = ("REDUCE", "BUILD", "SETITEM", "SETITEMS", "DICT")
for _operation in ALLOWED.split():
    _code = getattr(pickle, _operation)[0]
    _Reader.dispatch[_code] = (
        getattr(_Reader, f"load_{_operation.lower()}")
        if _operation in OWN
        else pickle._Unpickler.dispatch[_code]  # type: ignore[attr-defined]
    )


def read_pkl(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a `.pkl` checkpoint by name: those of its dict "blobs", or of the whole.

    Strings of Python 2 are read as Latin-1. Nothing in the file is run; arrays are read-only views.

    Raises:
        InputError: there is no such file, it is too large, cut short, or holds something else than numbers,
            texts, lists, dicts and arrays of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no weights file {path}.")
    if path.stat().st_size > LIMIT:
        raise InputError(f"{path} is larger than {LIMIT >> 30} GiB: no checkpoint of SlowFast.")
    try:
        with open(path, "rb") as file:
            found = _Reader(file, encoding="latin1").load()
    except _RefusedError as error:
        raise InputError(
            f"{path} holds {error}, which no checkpoint of weights needs; it was not loaded. "
            "Take the file from the project's own release."
        ) from error
    except Exception as error:  # of pickle, NumPy and Python, as the bytes happen to be
        raise InputError(
            f"{path} is not a checkpoint in pickle's form, or is cut short ({type(error).__name__})."
        ) from error
    blobs = found.get("blobs", found) if isinstance(found, Mapping) else None
    if not isinstance(blobs, Mapping):
        raise InputError(f"{path} holds a {type(found).__name__}, not a dict of arrays.")
    arrays = {str(name): _value(value) for name, value in blobs.items()}
    kept = {name: value for name, value in arrays.items() if value is not None}
    if not kept:
        raise InputError(f"{path} holds no arrays of weights.")
    if sum(value.nbytes for value in kept.values()) > LIMIT:
        raise InputError(
            f"the arrays of {path} are larger than {LIMIT >> 30} GiB: no checkpoint of SlowFast."
        )
    return kept


def _value(value: Any) -> np.ndarray | None:
    return value.value if isinstance(value, _Array) else value if isinstance(value, np.ndarray) else None
