"""`edgekit models` as the user types it."""

from __future__ import annotations

import argparse
import json

import pytest
from shelf_help import CONTENT, sha, tiny_onnx

from edgekit.errors import InputError
from edgekit.models import cli


def run(*words):
    parser = argparse.ArgumentParser(prog="edgekit")
    cli.add_parser(parser.add_subparsers())
    args = parser.parse_args(["models", *map(str, words)])
    return args.run(args)


@pytest.mark.parametrize("words", [(), ("list",)])
def test_the_list_fits_eighty_columns(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*words) == 0
    out = capsys.readouterr().out
    for text in ("edgekit-person", "export it", "fetch it", "AGPL-3.0", "public domain", "252.2"):
        assert text in out
    assert "…" not in out, "a column was cut"
    assert max(map(len, out.splitlines())) <= 80


def test_the_list_says_what_is_ready(shelf, capsys):
    run("list")
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["here"].rstrip().endswith("ready")
    assert rows["net"].rstrip().endswith("fetch it")


@pytest.mark.parametrize("words", [("--json",), ("list", "--json")])
def test_json(shelf, capsys, words):
    assert run(*words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["available"]) for row in rows] == [
        ("here", True),
        ("net", False),
        ("bare", False),
        ("own", False),
    ]
    assert rows[0]["path"] == str(shelf / "here.onnx")


def test_show(capsys):
    assert run("show", "yolov8n") == 0
    out = capsys.readouterr().out
    for text in ("AGPL-3.0", "37.3", "yolo export model=yolov8n.pt", "edgekit models add yolov8n", "(80)"):
        assert text in out
    assert run("show", "yolov3-spp", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parts"][1]["bytes"] == 252_209_544
    with pytest.raises(InputError, match="did you mean yolov8n"):
        run("show", "yolo8n")


def test_fetch_add_verify(shelf, server, tmp_path, capsys):
    assert run("fetch", "net") == 0
    assert capsys.readouterr().out.strip() == str(shelf / "downloads" / "net.onnx")
    assert run("fetch", "bare", "--sha256", sha(CONTENT)) == 0
    assert run("add", "own", tiny_onnx(tmp_path / "x.onnx")) == 0
    capsys.readouterr()
    assert run("verify") == 0
    assert capsys.readouterr().out.split() == ["here", "ok", "net", "ok", "bare", "ok", "own", "ok"]
    (shelf / "downloads" / "net.onnx").write_bytes(b"x")
    assert run("verify") == 2
    assert "DAMAGED" in capsys.readouterr().out


def test_verify_with_nothing_downloaded(shelf, capsys):
    assert run("verify") == 0
    assert "not here (export it)" in capsys.readouterr().out
