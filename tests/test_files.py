from __future__ import annotations

import hashlib

import pytest

from edgekit.files import atomic_write, sha256


def test_sha256_is_hashlibs(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 9000)
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "plan"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as scratch:
            scratch.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "plan.json"
    with atomic_write(path) as scratch:
        assert scratch.parent == path.parent
        scratch.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o444
