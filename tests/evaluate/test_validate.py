"""`edgekit validate alphapose`: true boxes and detected ones, over back ends and precisions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import coco_set
from pose_world import BOXES, SIDE, detector, drawn_people, points, pose_net

from edgekit.cli import main
from edgekit.evaluate import read_data
from edgekit.evaluate.data import Picture, load_image
from edgekit.evaluate.keypoints import keypoint_figures
from edgekit.evaluate.validate import Way, true_boxes, validate, with_true_boxes
from edgekit.evaluate.validate_cli import HEAD
from edgekit.files import engines_dir
from edgekit.results import Poses
from edgekit.tasks.topdown import open_topdown


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    for name in ("models.toml", "edgekit-person.onnx"):
        shutil.copy(engines_dir() / name, folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    model, folder = pose_net(tmp_path / "pose.onnx"), drawn_people(tmp_path / "set")
    found = ["validate", "alphapose", "--coco", str(folder), "--model", str(model)]
    return [*found, "--detector", str(detector(tmp_path / "finder.onnx")), "--precision", "fp32", "fp16"]


def test_the_table_names_every_way_and_why_one_is_absent(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    assert main([*words, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in HEAD)
    rows = {
        (r["backend"], r["precision"]): r for r in json.loads((out / "validate.json").read_text())["rows"]
    }
    ways = {(b, p) for b in ("pytorch", "onnxruntime-cpu", "tensorrt") for p in ("fp32", "fp16")}
    assert set(rows) == ways, "this test is for a machine without CUDA"
    assert rows["onnxruntime-cpu", "fp32"]["absent"] == {}
    assert rows["onnxruntime-cpu", "fp32"]["truth"]["AP"] > 0.8
    assert rows["onnxruntime-cpu", "fp32"]["detected"]["AP"] > 0.8
    for way in (("tensorrt", "fp32"), ("onnxruntime-cpu", "fp16")):
        assert rows[way]["truth"] is None
        assert rows[way]["absent"]["truth"] == rows[way]["absent"]["detected"]
    assert "no NVIDIA GPU" in text
    assert "no fp16 kernels" in text
    assert "2 pictures, 4 people with keypoints" in text
    assert (out / "validate.csv").read_text().startswith(",".join(HEAD))
    assert "finder.onnx + pose.onnx, ONNX Runtime (CPU) fp32" in (out / "validate.md").read_text()


def test_a_way_asked_for_by_name_is_missed_loudly(words: list[str], capsys: Any) -> None:
    assert main([*words, "--backend", "onnxruntime-cpu"]) == 1
    assert main([*words, "--backend", "tensorrt"]) == 3
    assert "no NVIDIA GPU" in capsys.readouterr().err
    assert (
        main([*words, "--limit", "1", "--backend", "onnxruntime-cpu", "--precision", "fp32", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["truth"]["pictures"] == 1


def test_true_boxes_need_no_detector(words: list[str], tmp_path: Path) -> None:
    """One that finds nobody costs the second figure alone, and one that doubts somebody costs a little."""
    data = read_data(tmp_path / "set", keypoints=True)
    blind = detector(tmp_path / "blind.onnx", BOXES[:1], (0.9,))
    found = validate(Way(str(tmp_path / "pose.onnx"), str(blind), "onnxruntime-cpu", "fp32"), data)
    assert found["truth"]["AR50"] == pytest.approx(1)
    assert found["detected"]["AR50"] == pytest.approx(0.5)
    assert found["absent"] == {}
    lost = validate(Way(str(tmp_path / "pose.onnx"), "none.onnx", "onnxruntime-cpu", "fp32"), data)
    assert lost["truth"]["AR50"] == pytest.approx(1)
    assert "none.onnx" in str(lost["absent"]["detected"])


def test_the_figure_is_that_of_the_keypoints_written_down(words: list[str], tmp_path: Path) -> None:
    """The network sees each dot to a cell: the same answers, made by hand, score the same."""
    data = read_data(tmp_path / "set", keypoints=True)
    way = Way(str(tmp_path / "pose.onnx"), "", "onnxruntime-cpu", "fp32")
    exact = np.stack([points(box) for box in BOXES])
    with open_topdown(tmp_path / "pose.onnx", "fp32", "onnxruntime-cpu") as pose:
        answers = []
        for picture in data.pictures:
            found = pose(load_image(picture.path), BOXES)
            assert np.abs(found[..., :2] - exact).max() < 8
            score = [float(p[:, 2].mean() + 1.25 * p[:, 2].max()) for p in found]
            answers.append(Poses(found, np.float32(score), pose.names))
    mine = with_true_boxes(way, data)
    wanted = keypoint_figures(data.pictures, [(SIDE, SIDE)] * 2, answers, data.topology)
    assert {name: mine[name] for name in wanted} == pytest.approx(wanted, nan_ok=True)


def test_who_is_given_by_true_boxes() -> None:
    """Not a crowd, nobody without keypoints, and no box that lies outside."""
    boxes = np.array(
        [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1], [0.2, 0.2, 0.3, 0.3], [1.1, 0, 1.2, 1], [-1, 0, 2, 1]]
    )
    points = np.ones((5, 3, 3))
    points[2] = 0
    crowd = np.array([False, True, False, False, False])
    found = true_boxes(Picture(Path("x"), boxes, crowd, keypoints=points))
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]])


def test_one_clear_error(words: list[str], tmp_path: Path, capsys: Any) -> None:
    note = {"category_id": 1, "bbox": [10, 5, 20, 10]}
    boxes = coco_set(tmp_path / "boxes.json", [note], {1: "person"})
    for more, message in (
        (["--coco", str(boxes)], "labels no keypoints"),
        (["--limit", "0"], "--limit 0"),
        (["--model", str(tmp_path / "finder.onnx")], "no top-down pose network"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.gpu
def test_tensorrt_scores_as_onnx_runtime_does(words: list[str], tmp_path: Path) -> None:
    more = ["--backend", "onnxruntime-cpu", "tensorrt", "--precision", "fp32", "--out", str(tmp_path / "out")]
    assert main([*words, *more]) == 0
    cpu, gpu = json.loads((tmp_path / "out" / "validate.json").read_text())["rows"]
    for part in ("truth", "detected"):
        assert gpu[part]["AP"] == pytest.approx(cpu[part]["AP"], abs=0.02)
