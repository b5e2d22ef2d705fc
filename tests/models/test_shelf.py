"""The manifest itself, and what find, add and the lock do with good and bad files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import onnx
import pytest
from shelf_help import CONTENT, SHIPPED, entry, sha, tiny_onnx

from edgekit.errors import InputError, MissingError
from edgekit.files import engines_dir, sha256
from edgekit.models import add, fetch, find, model, models, ready, store
from edgekit.models.coco import COCO80
from edgekit.topology import TOPOLOGIES, noted_topology

# The manifest that ships


def test_the_models_that_were_promised_are_there():
    shelf = models()
    promised = {"edgekit-person", "yolov8n", "yolo11n", "yolov5s", "yolox-nano", "yolox-tiny", "yolov3-spp"}
    assert promised <= set(shelf)
    assert all("AGPL" in shelf[name].licence for name in ("yolov8n", "yolo11n", "yolov5s"))
    assert shelf["yolox-nano"].recipe == "yolox"
    assert (shelf["yolox-nano"].colour, shelf["yolox-nano"].size) == ("BGR", 416)
    assert (shelf["yolov3-spp"].recipe, shelf["yolov3-spp"].pad, shelf["yolov3-spp"].size) == (
        "darknet",
        128,
        608,
    )


@pytest.mark.parametrize("one", models().values(), ids=lambda one: one.name)
def test_each_entry_can_be_trusted(one):
    for part in (one, *one.parts):
        if part.url:
            assert part.url.startswith("https://")
            assert re.fullmatch("[0-9a-f]{64}", part.sha256)
            assert part.bytes > 0
            assert one.sha256_source
    if one.source == "export":
        assert f"edgekit models add {one.name} " in one.export
    assert one.licence
    assert one.origin
    assert one.names
    assert all(figure.source for figure in one.figures)
    if one.names[0] == "person" and len(one.names) == 80:
        assert one.names == COCO80


@pytest.mark.parametrize("one", [one for one in models().values() if one.source == "shipped"])
def test_shipped_files_are_those_of_the_manifest(one):
    assert one.path.is_file(), f"{one.file} is not in {engines_dir()}"
    assert (sha256(one.path), one.path.stat().st_size) == (one.sha256, one.bytes)
    notes = {p.key: p.value for p in onnx.load(one.path).metadata_props}
    if one.task == "pose":
        assert noted_topology(notes) == TOPOLOGIES[one.topology]
        assert notes["imgsz"] == str(list(one.sides))
    else:
        assert all(name in notes["names"] for name in one.names)


def test_coco_has_eighty_different_classes():
    assert len(COCO80) == len(set(COCO80)) == 80
    assert (COCO80[0], COCO80[16], COCO80[79]) == ("person", "dog", "toothbrush")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[here]", "[here", "is no TOML"),
        ('task = "detect"', "", "key is missing"),
        ('task = "detect"', "colours = 3", "unknown key 'colours'"),
        ('source = "shipped"', 'source = "stolen"', "source = 'stolen' is none of"),
        ('recipe = "yolov8"', 'recipe = "yolo99"', "recipe"),
        ('colour = "RGB"', 'colour = "CMYK"', "colour"),
        ('file = "here.onnx"', 'file = "../here.onnx"', "no plain file name"),
        ('export = "make it"', "", "needs an export command"),
        ('names = ["person"]', 'names = ["person"]\nfigures = [{what = "AP"}]', "key is missing"),
    ],
)
def test_a_wrong_manifest_is_named(shelf, old, new, message):
    manifest = shelf / "models.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"models\.toml.*{message}"):
        models()


def test_a_hash_that_is_none(shelf):
    manifest = shelf / "models.toml"
    manifest.write_text(manifest.read_text().replace(sha(CONTENT), sha(CONTENT).upper()))
    with pytest.raises(InputError, match=r"\[net\]: the SHA-256 of net.onnx"):
        models()


def test_a_url_model_without_address(shelf):
    (shelf / "models.toml").write_text(entry("net", "url"))
    with pytest.raises(InputError, match="needs url or parts"):
        models()


def test_no_manifest(shelf):
    (shelf / "models.toml").unlink()
    with pytest.raises(InputError, match="cannot read the shelf"):
        models()


# find


def test_find_by_name(shelf):
    assert find("here") == shelf / "here.onnx"
    assert ready() == ["here"]


@pytest.mark.parametrize("suffix", [".onnx", ".plan", ".engine"])
def test_find_returns_a_path_as_it_is(shelf, tmp_path, monkeypatch, suffix):
    file = tmp_path / f"mine{suffix}"
    file.write_bytes(b"anything")
    monkeypatch.chdir(tmp_path)
    assert find(file) == find(str(file)) == file
    assert find(f"mine{suffix}") == Path(f"mine{suffix}")


def test_a_name_wins_over_a_file_of_that_name(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_text("not a model")
    assert find("here") == shelf / "here.onnx"


def test_find_says_what_is_wrong(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(b"PK")
    for wrong, message in (
        ("hare", r"there is no model 'hare' on the shelf; did you mean here or bare"),
        ("zzzzzz", "known are here, net, bare, own"),
        ("gone.onnx", r"there is no file gone\.onnx"),
        (tmp_path, "there is no file"),
        ("net.pt", r"must end in \.onnx, \.plan, \.engine"),
        ("./net.pt", r"must end in \.onnx"),
    ):
        with pytest.raises(InputError, match=message):
            find(wrong)


@pytest.mark.parametrize(
    ("name", "cure"), [("net", "edgekit models fetch net"), ("own", "export it yourself")]
)
def test_find_never_asks_the_network(shelf, server, name, cure):
    with pytest.raises(MissingError, match=rf"{cure}.*Ready to use: here\."):
        find(name)
    assert server.log == []


def test_a_shipped_file_that_is_missing_or_damaged(shelf):
    (shelf / "here.onnx").write_bytes(SHIPPED[:-1])
    with pytest.raises(InputError, match=r"here\.onnx is damaged.*install edgekit again"):
        find("here")
    (shelf / "here.onnx").unlink()
    with pytest.raises(MissingError, match=r"ships with edgekit.*No model is ready"):
        find("here")


def test_a_file_is_hashed_once_until_it_changes(shelf, monkeypatch):
    hashed = []
    monkeypatch.setattr(store, "sha256", lambda path: hashed.append(path) or sha256(path))
    path = find("here")
    find("here")
    assert hashed == [path]
    before = path.stat()
    path.write_bytes(SHIPPED[:-1] + b"?")  # as long as before …
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # … and with its time put back
    with pytest.raises(InputError, match="damaged"):
        find("here")


# add and the lock


def test_add_remembers_the_hash(shelf, tmp_path):
    file = tiny_onnx(tmp_path / "export.onnx")
    one = add("own", file)
    assert (one.sha256, one.bytes) == (sha256(file), file.stat().st_size)
    assert one.added == "added by the user from export.onnx"
    assert find("own") == fetch("own") == shelf / "downloads" / "own.onnx"
    assert ready() == ["here", "own"]
    one.path.write_bytes(b"changed behind its back")
    with pytest.raises(InputError, match="damaged"):
        find("own")


def test_an_added_file_stands_in_for_the_published_one_while_it_is_there(shelf, tmp_path):
    add("net", tiny_onnx(tmp_path / "mine.onnx"))
    assert find("net").stat().st_size != len(CONTENT)
    model("net").path.unlink()
    assert model("net").sha256 == sha(CONTENT)
    assert fetch("net").read_bytes() == CONTENT


def test_a_file_put_there_by_hand_must_be_vouched_for(shelf, tmp_path):
    (shelf / "downloads").mkdir()
    tiny_onnx(shelf / "downloads" / "own.onnx")
    assert ready() == ["here"]
    with pytest.raises(InputError, match="edgekit models add own"):
        find("own")
    add("own", shelf / "downloads" / "own.onnx")
    assert find("own").stat().st_size > 1000


def test_add_twice_keeps_the_last(shelf, tmp_path):
    add("own", tiny_onnx(tmp_path / "a.onnx"))
    add("own", second := tiny_onnx(tmp_path / "b.onnx", seed=1))
    assert find("own").read_bytes() == second.read_bytes()


def test_add_refuses_what_cannot_work(shelf, tmp_path):
    good = tiny_onnx(tmp_path / "good.onnx")
    (tmp_path / "page.onnx").write_text("<html>404</html>")
    (tmp_path / "empty.onnx").write_bytes(b"")
    tiny_onnx(tmp_path / "split.onnx", external=True)
    for name, file, message in (
        ("owm", good, "did you mean own"),
        ("here", good, "ships with edgekit and is not replaced"),
        ("own", tmp_path / "gone.onnx", "there is no file"),
        ("own", tmp_path / "page.onnx", "ONNX"),
        ("own", tmp_path / "empty.onnx", "no ONNX file, or an empty one"),
        ("own", tmp_path / "split.onnx", "second file"),
    ):
        with pytest.raises(InputError, match=message):
            add(name, file)
    assert not (shelf / "downloads" / "own.onnx").exists()


def test_an_exported_model_is_not_fetched(shelf):
    with pytest.raises(
        InputError, match=r"own is not downloaded; export it yourself \(licence: Apache-2.0\)"
    ):
        fetch("own")
    assert fetch("here") == shelf / "here.onnx"


@pytest.mark.parametrize("content", ["{", "[]", '{"net": {"sha256": "0"}}', '{"net": 3}'])
def test_a_broken_lock_is_named(shelf, content):
    (shelf / "downloads").mkdir()
    (shelf / "downloads" / "lock.json").write_text(content)
    with pytest.raises(InputError, match=r"lock\.json.*delete it"):
        models()


def test_the_lock_is_plain_json(shelf, tmp_path):
    add("own", tiny_onnx(tmp_path / "a.onnx"))
    lock = json.loads((shelf / "downloads" / "lock.json").read_text())
    assert set(lock["own"]) == {"sha256", "bytes", "how", "fetched"}
