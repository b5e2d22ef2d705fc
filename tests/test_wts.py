"""`.wts` files: byte for byte what the plain loop over struct.pack writes."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.wts import read_wts, write_wts


def plain(tensors: dict[str, np.ndarray]) -> bytes:
    """The file as the tensorrtx projects write it: one value after the other."""
    text = f"{len(tensors)}\n"
    for name, value in tensors.items():
        flat = value.reshape(-1)
        text += f"{name} {len(flat)} "
        for number in flat:
            text += " " + struct.pack(">f", float(number)).hex()
        text += "\n"
    return text.encode()


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "0.resnet.conv1.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "one": np.array([np.float32(1.5)]),
        "scalar": np.array(-0.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "odd": np.array([np.inf, -np.inf, 1e-45, 3.4e38, 0.1], np.float32),
        "1.paf_conv.bias": rng.normal(size=42).astype(np.float32),
    }


def test_the_bytes_are_those_of_the_plain_loop(tmp_path: Path, tensors: dict) -> None:
    path = write_wts(tmp_path / "a.wts", tensors)
    assert path.read_bytes() == plain(tensors)
    assert path.read_bytes().splitlines()[2] == b"one 1  3fc00000"


def test_a_round_trip_keeps_every_byte(tmp_path: Path, tensors: dict) -> None:
    path = tmp_path / "a.wts"
    bits = np.array([0x7FC00001, 0x7F800001, 0xFFC12345, 0x80000000], np.uint32)  # quiet and signalling NaN
    tensors["nan"] = bits.view(np.float32)
    path.write_bytes(plain({**tensors, "nan": np.zeros(0)}).replace(b"nan 0 ", b"nan 4  "))
    path.write_bytes(path.read_bytes().rstrip() + b"  " + bits.astype(">u4").tobytes().hex(" ", 4).encode())
    path.write_bytes(path.read_bytes() + b"\n")
    found = read_wts(path)
    assert list(found) == list(tensors)
    for name, value in tensors.items():
        assert found[name].dtype == np.float32
        assert found[name].tobytes() == value.reshape(-1).astype(np.float32).tobytes(), name
    assert write_wts(tmp_path / "b.wts", found).read_bytes() == path.read_bytes()


def test_arrays_of_other_kinds_and_orders_are_written_by_rows(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float64).reshape(2, 3).T
    assert read_wts(write_wts(tmp_path / "a.wts", {"x": value}))["x"].tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("change", [("  ", " "), ("\n", "\r\n"), ("\n", " \n"), ("3fc00000", "3FC00000")])
def test_other_writers_spaces_and_capitals_are_read(tmp_path: Path, tensors: dict, change: tuple) -> None:
    path = tmp_path / "a.wts"
    path.write_bytes(plain(tensors).decode().replace(*change).encode() + b"\n")
    for name, value in read_wts(path).items():
        np.testing.assert_array_equal(value, tensors[name].reshape(-1), strict=True)


DAMAGE = [
    (lambda b: b[:-20], r"line 7: the tensor '1\.paf_conv\.bias' is cut short: 39 of 42 values"),
    (lambda b: b[: b.index(b"odd")], "is cut short: it ends after 'empty' with 4 of 6 tensors"),
    (lambda b: b[: b.index(b"odd") + 3], "line 6: 'odd' has no count"),
    (lambda b: b[:1], "it ends with 0 of 6 tensors"),
    (lambda b: b"", "is no .wts file"),
    (lambda b: b"<html>" + b, "is no .wts file"),
    (lambda b: b.replace(b"3fc00000", b"3fc0000g"), "line 3: the tensor 'one' holds a value that is not"),
    (lambda b: b.replace(b"3fc00000", b"3fc0 000"), "line 3: the tensor 'one' holds a value that is not"),
    (lambda b: b.replace(b"3fc00000", "3fc0é00".encode()), "line 3: the tensor 'one' holds a value"),
    (lambda b: b.replace(b"3fc00000", b"3fc00000 3fc00000"), "line 3: .* has more than its 1 values"),
    (lambda b: b.replace(b"3fc00000", b"3fc000000"), "line 3: .* has more than its 1 values"),
    (lambda b: b.replace(b"one 1", b"one 2"), "line 3: the tensor 'one' is cut short: 1 of 2 values"),
    (lambda b: b.replace(b"one 1", b"one x"), "line 3: 'one' has no count"),
    (lambda b: b.replace(b"scalar", b"one"), "line 4: the tensor 'one' is there twice"),
    (lambda b: b + b"more 1  3fc00000\n", "line 8: there is more than the 6 tensors"),
    (lambda b: b.replace(b"6\n", b"5\n", 1), "line 7: there is more than the 5 tensors"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_damage_is_named(tmp_path: Path, tensors: dict, damage: object, said: str) -> None:
    path = tmp_path / "a.wts"
    path.write_bytes(damage(plain(tensors)))  # type: ignore[operator]
    with pytest.raises(InputError, match=said):
        read_wts(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.wts"):
        read_wts(tmp_path / "none.wts")


@pytest.mark.parametrize("name", ["", "two words", "line\n"])
def test_a_name_that_is_no_word_leaves_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="must be one word"):
        write_wts(tmp_path / "a.wts", {"ok": np.zeros(1), name: np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_it_is_no_loop_over_values(tmp_path: Path) -> None:
    """2 million values: the plain loop takes more than a second to write and as many to read."""
    value = np.random.default_rng(1).normal(size=2_000_000).astype(np.float32)
    start = time.process_time()
    found = read_wts(write_wts(tmp_path / "a.wts", {"x": value}))["x"]
    assert time.process_time() - start < 1.0
    np.testing.assert_array_equal(found, value)
