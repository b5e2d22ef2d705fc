"""Rows on disk are whole, whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench_nets import row

from edgekit import InputError
from edgekit.bench.store import Rows


def test_rows_come_back_and_the_newest_of_a_key_counts(tmp_path: Path) -> None:
    kept = Rows(tmp_path / "new" / "folder")
    kept.add(row(key="a", latency_ms=1.0))
    kept.add(row(key="b", failed="it crashed"))
    kept.add(row(key="a", latency_ms=2.0))
    again = Rows(tmp_path / "new" / "folder")
    assert [r["key"] for r in again] == ["a", "b"]
    assert again.rows["a"]["latency_ms"] == 2
    assert "a" in again
    assert "b" not in again, "what failed is measured again"


def test_a_line_cut_by_a_kill_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    kept = Rows(tmp_path)
    kept.add(row(key="a"))
    kept.add(row(key="b"))
    file = tmp_path / "rows.jsonl"
    whole = file.read_bytes()
    for cut in range(len(whole.splitlines(True)[0]) + 1, len(whole), 97):
        file.write_bytes(whole[:cut])
        again = Rows(tmp_path)
        assert list(again.rows) == ["a"]
        again.add(row(key="c"))
        assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == ["a", "c"]


@pytest.mark.parametrize("text", ["hello\n", '{"no": "key"}\n', "[1]\n", "7\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"rows\.jsonl, line 1"):
        Rows(tmp_path)
    assert (tmp_path / "rows.jsonl").read_text() == text


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder"):
        Rows(tmp_path / "file")


def test_a_full_disk_leaves_no_half_row(tmp_path: Path) -> None:
    """The limit of a file's size stands for the end of the disk."""
    code = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
from bench_nets import row
from edgekit.bench.store import Rows
from edgekit.errors import EdgekitError
kept = Rows(Path({str(tmp_path)!r}))
kept.add(row(key="a"))
size = kept.path.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
try:
    kept.add(row(key="b"))
except EdgekitError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rows.jsonl cannot be written" in done.stdout
    assert list(Rows(tmp_path).rows) == ["a"]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = Rows(None)
    kept.add(row(key="a"))
    assert "a" in kept
    assert not list(tmp_path.iterdir())
