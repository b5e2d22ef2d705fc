"""`edgekit run slowfast`: one source, a folder of videos, and what of it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from action_nets import NAMES, NOTES, clip_net, save, split_nets, whole_net

from edgekit.cli import main
from edgekit.engine import open_engine
from edgekit.run_each import folder_videos
from edgekit.tasks.choose import kind_of, open_task

QUIET = ("--no-video", "--quiet", "--sampler", "none", "--backend", "onnxruntime-cpu")


def nets(folder: Path) -> list[str]:
    body, head = (
        save(net, folder / f"{n}.onnx") for net, n in zip(split_nets(), ("body", "head"), strict=True)
    )
    return ["--model", str(body), "--head", str(head)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_sample_clip_gets_tracks_and_actions(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--frames", "10", "--stride", "2", "--threshold", "0", "--no-smooth", "--out", str(out)]
    assert main(["run", "slowfast", *nets(tmp_path), *asked, *QUIET]) == 0
    rows = lines(out / "results.jsonl")
    assert len(rows) == 10
    assert all(action["scores"] is None for row in rows[:7] for action in row["actions"])
    last = [action for action in rows[-1]["actions"] if action["scores"] is not None]
    assert last
    assert all(list(action["scores"]) == list(NAMES) and action["track_id"] > 0 for action in last)


def test_each_video_of_a_folder_has_its_own_results_and_one_that_fails_is_named(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = tmp_path / "long videos", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "a.mkv"):
        shutil.copy(clip, folder / name)
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    (folder / "notes.txt").write_text("no video")
    assert [path.name for path in folder_videos(str(folder))] == ["a.mkv", "a.mp4", "b.mp4", "broken.mp4"]
    asked = ["--source", str(folder), "--frames", "2", "--out", str(out)]
    assert main(["run", "slowfast", *nets(tmp_path), *asked, *QUIET]) == 1
    told = capsys.readouterr().err
    assert "broken.mp4: " in told
    assert "1 of 4 videos failed: broken.mp4" in told
    found = {path.parent.name: lines(path) for path in out.glob("*/results.jsonl")}
    assert set(found) == {"a.mkv", "a.mp4", "b"}
    assert all([row["index"] for row in rows] == [0, 1] for rows in found.values())


def test_a_folder_of_pictures_is_no_folder_of_videos(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"")
    assert folder_videos(str(tmp_path)) == []
    assert folder_videos("sample") == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--span", "2"], "span=2 frames are too few"),
        (["--appearance", "x.onnx"], "--appearance is of --tracker deepsort"),
        (["--head", "none.onnx"], "none.onnx"),
    ],
)
def test_what_does_not_fit_ends_with_2(
    asked: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["run", "slowfast", *nets(tmp_path), *asked, *out, *QUIET]) == 2
    assert words in capsys.readouterr().err


def test_a_slowfast_is_told_by_its_notes_or_its_tensors(tmp_path: Path) -> None:
    bare = {name: text for name, text in NOTES.items() if name != "task"}
    for number, net in enumerate((whole_net(), whole_net(bare), clip_net(bare))):
        with open_engine(save(net, tmp_path / f"{number}.onnx"), "fp32", "onnxruntime-cpu") as engine:
            assert kind_of(engine.path, engine) == "slowfast"
    with open_task(tmp_path / "0.onnx", "fp32", "onnxruntime-cpu", stride=5) as task:
        assert (task.stride, task.names) == (5, NAMES)
