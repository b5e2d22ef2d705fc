"""`.pkl` checkpoints: every form that NumPy writes is read, and nothing in a file is run."""

from __future__ import annotations

import collections
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.train import slowfast_pickle
from edgekit.train.slowfast_pickle import read_pkl

ARRAYS = {
    "conv1_w": np.random.RandomState(0).normal(size=(4, 3, 1, 2, 2)).astype(np.float32),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">f4"),
    "model_iter": np.array(12, np.int64),
    "none": np.zeros((0, 4), np.float16),
    "lr": np.float32(0.1),
}
MARK = "edgekit-was-here"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a file of the name MARK shows that something was run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, content: bytes) -> Path:
    path = folder / "x.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_numpy_writes_is_read(tmp_path: Path, protocol: int, core: str) -> None:
    for wrap in (lambda x: {"blobs": x}, lambda x: x, lambda x: collections.OrderedDict(blobs=x, cfg="a: 1")):
        content = pickle.dumps(wrap(ARRAYS), protocol)
        if protocol < 4:  # names stand with a newline; later ones count their letters
            content = content.replace(b"numpy._core.", f"numpy.{core}.".encode())
            content = content.replace(b"numpy.core.", f"numpy.{core}.".encode())
        found = read_pkl(write(tmp_path, content))
        assert set(found) == set(ARRAYS)
        for name, value in ARRAYS.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == np.asarray(value).dtype


def python2(arrays: dict[str, np.ndarray]) -> bytes:
    """As Python 2's cPickle wrote it at protocol 2: byte strings and NumPy's old names."""
    out = io.BytesIO()
    out.write(b"\x80\x02}q\x00U\x05blobs}(")
    for name, value in arrays.items():
        raw = value.tobytes()
        out.write(b"U" + bytes([len(name)]) + name.encode())
        out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
        out.write(b"(K\x01(" + b"".join(b"K" + bytes([n]) for n in value.shape) + b"t")
        out.write(
            b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        )
        out.write(b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb")
    out.write(b"us.")
    return out.getvalue()


def test_python_2s_files_are_read(tmp_path: Path) -> None:
    arrays = {"res2_0_branch1_w": ARRAYS["conv1_w"], "pred_b": np.linspace(-1, 1, 80, dtype=np.float32)}
    content = python2(arrays)
    theirs = pickle.loads(content, encoding="latin1")["blobs"]  # noqa: S301 - made here
    found = read_pkl(write(tmp_path, content))
    assert set(found) == set(theirs) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(theirs[name], value)
        np.testing.assert_array_equal(found[name], value)


class Calls:
    """Pickles as a call."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return (self.call[0], tuple(self.call[1:]))


TOUCH = f"open('{MARK}', 'w').close()".encode()
SHELL = f"touch {MARK}".encode()
RAW = {
    "os.system": b"cos\nsystem\n(S'" + SHELL + b"'\ntR.",
    "posix.system": b"cposix\nsystem\n(S'" + SHELL + b"'\ntR.",
    "builtins.eval": b'cbuiltins\neval\n(S"' + TOUCH + b'"\ntR.',
    "python 2's eval": b'c__builtin__\neval\n(S"' + TOUCH + b'"\ntR.',
    "builtins.exec": b'cbuiltins\nexec\n(S"' + TOUCH + b'"\ntR.',
    "INST": b"(S'" + SHELL + b"'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'" + SHELL + b"'\no.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(S'" + SHELL + b"'\nt\x81.",
    "NEWOBJ of a name that is allowed": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "NEWOBJ_EX": b"\x80\x04\x8c\x0acollections\x8c\x0bOrderedDict\x93)}\x92.",
    "PERSID": b"Pos.system\n.",
    "BINPERSID": b"S'x'\nQ.",
    "EXT1": b"\x80\x02\x82\x01.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c" + bytes([len(SHELL)]) + SHELL + b"tR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0andarray.__class__\x93.",
    "a chain of getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'"
    + SHELL
    + b"'\ntR.",
    "by the memo": b"cos\nsystem\np0\n0g0\n(S'" + SHELL + b"'\ntR.",
    "nested in a call that is allowed": b"ccollections\nOrderedDict\n((S'a'\ncos\nsystem\n(S'"
    + SHELL
    + b"'\ntRtltR.",
    "copyreg": b"ccopyreg\n_reconstructor\n(cos\n_wrap_close\ncbuiltins\nobject\nNtR.",
    "copy_reg": b"ccopy_reg\n_reconstructor\n(cos\n_wrap_close\nc__builtin__\nobject\nNtR.",
    "numpy's own shell": b"cnumpy.testing._private.utils\nrunstring\n(S'" + SHELL + b"'\n}tR.",
    "numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
    "a frame of pandas": b"cpandas\nDataFrame\n)R.",
    "a state for a name": b"cnumpy\ndtype\n}S'__call__'\ncnumpy\nndarray\nsb.",
    "a state for a dict": b"}}S'__class__'\ncnumpy\nndarray\nsb.",
    "a text that is called": b"S'dtype'\n(S'f4'\ntR.",
    "a dtype that is called": b"cnumpy\ndtype\n(S'f4'\ntR)R.",
    "an array of objects": b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR.",
    "an array of records": b"cnumpy\ndtype\n(S'f4,f4'\nI00\nI01\ntR.",
    "a dtype of a dict": b"cnumpy\ndtype\n(}tR.",
    "bytes of something": b"cbuiltins\nbytes\n(I99999999999\ntR.",
    "another encoding": b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    "a nest as a key": b"}((ttS'x'\ns.",
    "a nest as a key of an ordered dict": b"ccollections\nOrderedDict\n(((((ttS'x'\ntltR.",
}


@pytest.mark.parametrize("kind", RAW)
def test_nothing_in_a_file_is_run(trap: Path, kind: str) -> None:
    path = write(trap, RAW[kind])
    with pytest.raises(InputError, match=r"x\.pkl (holds .* it was not loaded\. Take|is not a checkpoint)"):
        read_pkl(path)
    assert [p.name for p in trap.iterdir()] == ["x.pkl"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_true_checkpoint_with_something_hidden_in_it(trap: Path, protocol: int) -> None:
    import os

    hidden = {"blobs": {**ARRAYS, "conv1_b": [Calls(os.system, SHELL.decode())]}}
    content = pickle.dumps(hidden, protocol)
    with pytest.raises(InputError, match=r"holds the name \w+\.system, which no checkpoint .* needs"):
        read_pkl(write(trap, content))
    assert not (trap / MARK).exists()
    pickle.loads(content)  # noqa: S301 - the trap works
    assert (trap / MARK).exists()


def test_a_file_that_is_cut_short_anywhere(tmp_path: Path) -> None:
    content = pickle.dumps({"blobs": {"conv1_w": ARRAYS["conv1_w"]}}, 2)
    for length in range(0, len(content), 7):
        with pytest.raises(InputError, match=r"x\.pkl (is not a checkpoint|holds)"):
            read_pkl(write(tmp_path, content[:length]))


def test_bytes_at_random(tmp_path: Path) -> None:
    whole = pickle.dumps({"blobs": {"conv1_w": ARRAYS["conv1_w"]}}, 2)
    rng = np.random.RandomState(3)
    for _ in range(300):
        content = bytearray(whole)
        for at in rng.randint(0, len(content), 3):
            content[at] = rng.randint(256)
        try:
            found = read_pkl(write(tmp_path, bytes(content)))
        except InputError:
            continue
        assert all(isinstance(value, np.ndarray) for value in found.values())


def test_a_short_file_cannot_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowfast_pickle, "LIMIT", 1 << 20)
    text = b"X" + struct.pack("<I", 1000) + b"a" * 1000
    copies = b"(" + text + b"q\x000" + b"c_codecs\nencode\n(h\x00tR" * 2000 + b"l."
    with pytest.raises(InputError, match="of copies"):
        read_pkl(write(tmp_path, copies))
    huge = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR."
    with pytest.raises(InputError, match="holds a _Array, not a dict"):
        read_pkl(write(tmp_path, huge))
    part = pickle.dumps(np.zeros(2000), 2)[2:-1] + b"q\xff0"  # 16 kB, kept and taken 99 times
    many = b"}(" + part + b"".join(b"S'%d'\nh\xff" % n for n in range(99)) + b"u."
    with pytest.raises(InputError, match=r"the arrays of .* are larger than"):
        read_pkl(write(tmp_path, many))
    nest = b")q\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"}h\x00Ns."
    with pytest.raises(InputError, match="a tuple as a key"):
        read_pkl(write(tmp_path, nest))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    with open(path, "wb") as file:
        file.truncate(slowfast_pickle.LIMIT + 1)  # a hole: it takes no disk
    with pytest.raises(InputError, match=r"x\.pkl is larger than 2 GiB"):
        read_pkl(path)


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no weights file .*none\.pkl"):
        read_pkl(tmp_path / "none.pkl")
    for content, words in [
        ([1, 2], "holds a list, not a dict of arrays"),
        ({"blobs": 3}, "not a dict of arrays"),
        ({"lr": 0.1}, "holds no arrays of weights"),
    ]:
        with pytest.raises(InputError, match=words):
            read_pkl(write(tmp_path, pickle.dumps(content)))
