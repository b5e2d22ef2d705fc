"""Shards of clips, written by webdataset and read with tarfile alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.cli import main
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.prepare.action_folders import ActionClip, read_actions, write_clip
from edgekit.prepare.action_shards import is_shards, mixed, read_shards, write_shards

FLOW = lambda one, other: np.zeros((*one.shape[:2], 2), np.float32)  # noqa: E731


def make(root: Path, counts: dict[str, int], frames: int = 2) -> list[ActionClip]:
    rng = np.random.default_rng(0)
    for label, count in counts.items():
        for number in range(count):
            pictures = [
                cv2.GaussianBlur(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (0, 0), 2)
                for _ in range(frames)
            ]
            flow = FLOW if label == "wave" else None
            write_clip(root, label, f"v{number:02d}", pictures, flow=flow, fps=12.0)
    return read_actions(root)


def members(folder: Path) -> dict[str, list[tuple[str, bytes]]]:
    """File → members with their bytes, in order."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found[path.name] = [(m.name, tar.extractfile(m).read()) for m in tar]
    return found


@pytest.mark.train
def test_each_clip_is_a_sample_with_the_bytes_of_its_files(tmp_path: Path) -> None:
    clips = make(tmp_path / "set", {"wave": 3, "坐": 2}, frames=3)
    done: list[int] = []
    folder = write_shards(clips, tmp_path / "shards", per_shard=2, done=done.append)
    assert sum(done) == 5 * 3 + 3 * 2
    index = json.loads((folder / "shards.json").read_text())
    names = [f"shard-{n:06d}.tar" for n in range(3)]
    counts = dict(zip(names, (2, 2, 1), strict=True))
    assert index == {"samples": 5, "classes": {"wave": 3, "坐": 2}, "files": counts}
    samples: dict[str, dict[str, bytes]] = {}
    for file, inside in members(folder).items():
        keys = list(dict.fromkeys(name.split(".")[0] for name, _ in inside))
        assert len(keys) == index["files"][file]
        assert [name.split(".")[0] for name, _ in inside] == sorted(name.split(".")[0] for name, _ in inside)
        for name, data in inside:
            key, _, field = name.partition(".")
            samples.setdefault(key, {})[field] = data
    assert list(samples) == [f"{n:07d}" for n in range(5)]
    by_name = {(clip.label, clip.name): clip for clip in clips}
    for sample in samples.values():
        note = json.loads(sample.pop("json"))
        clip = by_name.pop((note["label"], note["name"]))
        assert (note["frames"], note["flows"], note["fps"]) == (3, len(clip.u), 12.0)
        wanted = {f"{i:06d}.rgb.png": path for i, path in enumerate(clip.rgb)}
        for kind in ("u", "v"):
            wanted |= {f"{i:06d}.{kind}.jpg": path for i, path in enumerate(getattr(clip, kind))}
        assert sample == {field: path.read_bytes() for field, path in wanted.items()}
    assert by_name == {}


@pytest.mark.train
def test_the_same_set_gives_the_same_bytes_and_quality_makes_jpegs(tmp_path: Path) -> None:
    clips = make(tmp_path / "set", {"wave": 2, "sit": 2})
    one, other = (write_shards(clips, tmp_path / name, per_shard=3) for name in ("a", "b"))
    assert [p.read_bytes() for p in sorted(one.iterdir())] == [
        p.read_bytes() for p in sorted(other.iterdir())
    ]
    small = members(write_shards(clips, tmp_path / "b", per_shard=3, quality=80))
    for name, data in (member for inside in small.values() for member in inside):
        assert not name.endswith(".png")
        if ".rgb." in name:
            assert data[:2] == b"\xff\xd8"
    jpeg = next(data for name, data in small["shard-000000.tar"] if name.endswith(".rgb.jpg"))
    first = json.loads(next(data for name, data in small["shard-000000.tar"] if name.endswith("json")))
    clip = next(c for c in clips if (c.label, c.name) == (first["label"], first["name"]))
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(shown.astype(int) - cv2.imread(str(clip.rgb[0]))).mean() < 4
    turned = [Counter(m for m, _ in inside) for inside in members(write_shards(clips, one, seed=1)).values()]
    assert len(turned) == 1


def test_classes_come_evenly_all_the_way() -> None:
    clips = [
        ActionClip(f"v{i}", label, Path(), (), (), ())
        for label, n in (("a", 60), ("b", 20))
        for i in range(n)
    ]
    ordered = mixed(clips, 3)
    assert sorted(ordered, key=lambda c: (c.label, c.name)) == sorted(clips, key=lambda c: (c.label, c.name))
    for first in range(0, 80, 8):
        counts = Counter(clip.label for clip in ordered[first : first + 8])
        assert counts["b"] == pytest.approx(2, abs=1)
    assert mixed(list(reversed(clips)), 3) == ordered
    assert mixed(clips, 4) != ordered
    names = [clip.name for clip in ordered if clip.label == "a"]
    assert names != sorted(names)


@pytest.mark.train
def test_shards_are_whole_or_not_there_and_touch_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = make(tmp_path / "set", {"wave": 3})
    folder = write_shards(clips, tmp_path / "shards", per_shard=1)
    before = members(folder)
    clips[2].rgb[0].unlink()
    with pytest.raises(EdgekitError, match=r"000000\.png cannot be written: No such file"):
        write_shards(clips, folder, per_shard=1)
    clips[2].rgb[0].write_bytes(b"junk")
    with pytest.raises(InputError, match=r"000000\.png cannot be read; `edgekit prepare check-actions`"):
        write_shards(clips, folder, per_shard=1, quality=90)
    assert members(folder) == before
    assert {p.name for p in tmp_path.iterdir()} == {"set", "shards"}
    with pytest.raises(InputError, match="set holds something else than shards; give another folder"):
        write_shards(clips, tmp_path / "set")
    with pytest.raises(InputError, match="there is no clip to write shards of"):
        write_shards([], folder)
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(MissingError, match=r"Shards take WebDataset: pip install 'edgekit\[train\]'"):
        write_shards(clips, folder)


@pytest.mark.train
def test_the_command_writes_shards_of_each_side(tmp_path: Path) -> None:
    make(tmp_path / "set" / "train", {"wave": 3, "sit": 1})
    make(tmp_path / "set" / "test", {"wave": 1})
    words = ["--out", str(tmp_path / "set"), "--shards", str(tmp_path / "s"), "--per-shard", "2", "--quiet"]
    assert main(["prepare", "actions", *words]) == 0
    assert sorted(members(tmp_path / "s" / "train")) == ["shard-000000.tar", "shard-000001.tar"]
    assert json.loads((tmp_path / "s" / "test" / "shards.json").read_text())["classes"] == {"wave": 1}
    assert {p.name for p in (tmp_path / "set").iterdir()} == {"train", "test"}


@pytest.mark.train
def test_webdataset_reads_what_was_written(tmp_path: Path) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    clips = make(tmp_path / "set", {"wave": 2, "sit": 1})
    folder = write_shards(clips, tmp_path / "shards", per_shard=2)
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in sorted(folder.glob("*.tar"))]
        opened = [{"url": file.name, "stream": file} for file in files]
        found = list(group_by_keys(tar_file_expander(opened)))
    assert [sample["__key__"] for sample in found] == ["0000000", "0000001", "0000002"]
    for sample in found:
        note = json.loads(sample["json"])
        fields = {key for key in sample if not key.startswith("__")}
        flows = {f"000000.{kind}.jpg" for kind in "uv"} if note["label"] == "wave" else set()
        assert fields == {"json", "000000.rgb.png", "000001.rgb.png"} | flows


@pytest.mark.train
def test_what_is_in_shards_is_told_with_their_list_and_without_it(tmp_path: Path) -> None:
    folder = write_shards(make(tmp_path / "set", {"sit": 6, "wave": 6}), tmp_path / "shards", per_shard=5)
    listed = read_shards(folder)
    assert listed.files == tuple(folder / f"shard-{n:06d}.tar" for n in range(3))
    assert (listed.clips, listed.classes) == ((5, 5, 2), {"sit": 6, "wave": 6})
    (folder / "shards.json").unlink()
    assert read_shards(folder) == listed
    assert read_shards(folder / "shard-000002.tar").clips == (2,)
    assert is_shards(folder)
    assert is_shards(str(folder / "shard-000002.tar"))
    assert not any(is_shards(root) for root in (None, "", tmp_path / "set", tmp_path / "none"))


def test_one_sentence_for_shards_that_cannot_be_read(tmp_path: Path) -> None:
    index, tar = tmp_path / "shards.json", tmp_path / "shard-000000.tar"
    for text, words in (
        (
            '{"classes": {"sit": 2}, "files": {"shard-000000.tar": 2}}',
            "names shard-000000.tar, which is missing",
        ),
        ('{"classes": {}, "files": {}}', "names no clip"),
        ("[]", "is no list of shards"),
    ):
        index.write_text(text)
        assert is_shards(tmp_path)
        with pytest.raises(InputError, match=words):
            read_shards(tmp_path)
    index.unlink()
    tar.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"shard-000000.tar is no shard of clips"):
        read_shards(tar)
    tarfile.open(tar, "w").close()
    with pytest.raises(InputError, match="holds no clip"):
        read_shards(tmp_path)


def test_shards_are_read_without_torch() -> None:
    code = "import sys; from edgekit.prepare import action_shards; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
