"""`edgekit run action`: folders of pictures as TAO has them, one or many, and a line for each window."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from action_nets import save
from window_nets import NAMES, window_net

from edgekit.cli import main
from edgekit.results import Actions, Frame
from edgekit.run_action import WindowLines, picture_folders, spell_frames, window_lines
from edgekit.sinks import read_lines

QUIET = ("--no-video", "--sampler", "none", "--backend", "onnxruntime-cpu")


def pictures(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:06d}.png"), rng.integers(0, 256, (24, 30, 3), dtype=np.uint8))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save(window_net(), tmp_path / "net.onnx"))


def test_a_folder_of_pictures_gives_the_samples_lines(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source, out = tmp_path / "video_1", tmp_path / "out"
    pictures(source / "rgb", 7)
    (source / "u").mkdir()
    asked = [
        "--model",
        model,
        "--source",
        str(source),
        "--out",
        str(out),
        "--stride",
        "2",
        "--threshold",
        "0",
    ]
    assert main(["run", "action", *asked, *QUIET]) == 0
    rows = read_lines(out / "results.jsonl")
    assert [row["index"] for row in rows] == list(range(7))
    assert [row["actions"][0]["scores"] is None for row in rows] == [True] * 3 + [False] * 4
    lines = (out / "windows.txt").read_text().splitlines()
    scores = [rows[index]["actions"][0]["scores"] for index in (3, 5)]
    assert all(list(one) == list(NAMES) and abs(sum(one.values()) - 1) < 1e-3 for one in scores)
    best = [max(one, key=one.get) for one in scores]
    for line, frames, name, one in zip(lines, ("[0..3]", "[2..5]"), best, scores, strict=True):
        head, prob = line.rsplit(" ", 1)
        assert head == f"{frames} : {name}"
        assert abs(float(prob) - one[name]) < 2e-4
    told = capsys.readouterr().out
    assert all(line in told for line in lines)
    assert "windows" in told


def test_a_folder_of_folders_is_done_one_after_the_other_and_what_fails_is_named(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for action in ("run", "walk"):
        pictures(root / action / "video_1" / "rgb", 5)
        pictures(root / action / "video_1" / "u", 4)
    pictures(root / "run" / "video_2" / "rgb", 2)
    (pictures(root / "walk" / "broken", 1) / "000000.png").write_bytes(b"no picture")
    assert list(picture_folders(str(root))) == ["run/video_1", "run/video_2", "walk/broken", "walk/video_1"]
    assert main(["run", "action", "--model", model, "--source", str(root), "--out", str(out), *QUIET]) == 1
    told = capsys.readouterr()
    assert "1 of 4 videos failed: broken" in told.err
    assert "[1/4] run/video_1" in told.err
    text = {str(path.parent.relative_to(out)): path.read_text() for path in out.rglob("windows.txt")}
    assert {name: len(lines.splitlines()) for name, lines in text.items()} == {
        "run/video_1": 2,
        "run/video_2": 1,
        "walk/video_1": 2,
    }
    assert text["run/video_2"].startswith("[0,1,0,1] : ")
    assert picture_folders(str(root / "run" / "video_1")) == {"": root / "run" / "video_1" / "rgb"}
    assert list(picture_folders(str(root / "run"))) == ["video_1", "video_2"]  # neither rgb nor u for itself
    assert picture_folders("sample") == {}


def test_the_people_of_the_sample_clip_get_lines_of_their_own(model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--model", model, "--labels", "a,b,c", "--people", "--frames", "6", "--out", str(out), "--quiet"]
    assert main(["run", "action", *asked, *QUIET]) == 0
    rows = read_lines(out / "results.jsonl")
    assert all("track_id" in action for row in rows for action in row["actions"])
    lines = (out / "windows.txt").read_text().splitlines()
    assert lines
    assert all(line.split()[2].startswith("#") and line.split()[3] in "abc" for line in lines)
    kept = json.loads((out / "run.json").read_text())
    assert "people" in json.dumps(kept)


def test_a_2d_model_is_known_by_its_input_and_a_short_video_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flat = str(save(window_net(flat=True, notes=None), tmp_path / "flat.onnx"))
    asked = ["--model", flat, "--input_2d", "--frames", "3", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(["run", "action", *asked, *QUIET]) == 0
    assert "3 frames are fewer than the 4 of a window" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--input_2d"], "--input_2d: "),
        (["--labels", "a,b"], "3 classes and 2 names"),
        (["--labels", "none.txt"], "none.txt cannot be read"),
        (["--source", "nothing-there"], "nothing-there is not there"),
        (["--model", "none.onnx"], "none.onnx"),
        (["--appearance", "x.onnx"], "--appearance is of --tracker deepsort"),
        (["--people", "--tracker", "deepsort", "--appearance", "x.onnx"], "x.onnx"),
    ],
)
def test_what_does_not_fit_ends_with_2(
    asked: list[str], words: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = ["--out", str(tmp_path / "out"), "--frames", "1"]
    assert main(["run", "action", "--model", model, *out, *asked, *QUIET]) == 2
    assert words in capsys.readouterr().err


def test_frames_are_spelled_shortly() -> None:
    assert spell_frames(tuple(range(32))) == "[0..31]"
    assert spell_frames((3, 5, 7)) == "[3,5..7]"
    assert spell_frames((0, 1, 2, 0)) == "[0,1,2,0]"
    assert spell_frames((0, 0, 0)) == "[0,0,0]"
    assert spell_frames((4,)) == "[4]"


def test_a_window_has_a_line_for_each_row_that_is_known(tmp_path: Path) -> None:
    scores = np.array([[0.2, 0.8], [0, 0], [0.51234, 0.4]], np.float32)
    known, ids = np.array([True, False, True]), np.array([4, 5, 9])
    boxes = np.zeros((3, 4), np.float32)
    actions = Actions(scores, ("walk", "sit"), boxes, ids, 0.9, known, (0, 1, 2))
    assert window_lines(actions) == ["[0..2] : #4 sit 0.8000", "[0..2] : #9 walk 0.5123"]
    sink = WindowLines(tmp_path / "windows.txt", 3, shown=False)
    frame = Frame(np.zeros((2, 2, 3), np.uint8))
    sink.write(frame, actions, None)
    sink.write(frame, Actions(scores, ("walk", "sit")), None)
    sink.close()
    assert (tmp_path / "windows.txt").read_text().count("\n") == 2
