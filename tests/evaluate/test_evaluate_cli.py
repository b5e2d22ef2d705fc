"""`edgekit evaluate` as a user runs it, and what it scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_data import coco_set, yolo_set

from edgekit import Detections, InputError
from edgekit.cli import main
from edgekit.evaluate import evaluate, read_data
from edgekit.files import engines_dir


@pytest.fixture(autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shelf that ships, in a folder of its own: nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("shelf") / "engines"
    folder.mkdir()
    for name in ("models.toml", "edgekit-person.onnx"):
        shutil.copy(engines_dir() / name, folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """The sample picture labelled by the network itself, and an empty one: every box is right."""
    from edgekit.tasks.yolo import open_yolo

    sample = cv2.imread(str(Path("edgekit/samples/people.jpg")))
    folder = yolo_set(tmp_path / "people", {"empty": ""}, names="dog\nPerson\n")
    cv2.imwrite(str(folder / "images" / "street.png"), sample)
    height, width = sample.shape[:2]
    with open_yolo("edgekit-person", "fp32", "onnxruntime-cpu", score=0.5) as yolo:
        boxes = yolo(sample).xyxy / [width, height, width, height]
    assert len(boxes) >= 3
    lines = [f"1 {(a + c) / 2:.6f} {(b + d) / 2:.6f} {c - a:.6f} {d - b:.6f}" for a, b, c, d in boxes]
    (folder / "labels" / "street.txt").write_text("\n".join(lines))
    return folder


def test_what_the_network_itself_labelled_is_found(people: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "edgekit-person", "--dataset", str(people), "--backend", "onnxruntime-cpu"]
    assert main([*words, "--score", "0.5", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "2 pictures" in text
    assert "not scored, as the model does not know them: dog" in text
    (row,) = json.loads((out / "evaluate.json").read_text())["rows"]
    assert (row["backend"], row["precision"]) == ("onnxruntime-cpu", "fp32")
    assert row["AP"] == pytest.approx(1, abs=1e-9)
    assert (row["P"], row["R"]) == (1, 1)
    assert row["per_class"] == {"Person": pytest.approx(1)}
    assert row["ms"] > 0
    assert "| edgekit-person |" in (out / "evaluate.md").read_text()
    assert (out / "evaluate.csv").read_text().startswith("model,back end,precision,AP")


def test_precisions_side_by_side_and_the_one_that_is_not_here(people: Path, capsys: Any) -> None:
    words = ["evaluate", "edgekit-person", "--dataset", str(people), "--backend", "onnxruntime-cpu"]
    assert main([*words, "--precision", "fp32", "int8", "fp16", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    fp32, int8 = found["rows"]
    assert (fp32["precision"], int8["precision"]) == ("fp32", "int8")
    assert "layers with weights in int8" in int8["why"]
    assert 0.5 < int8["AP50"] <= fp32["AP50"]
    assert "runs in fp32, not in fp16" in found["refused"][0]
    assert main([*words, "--precision", "fp16"]) == 2
    assert "no fp16 kernels" in capsys.readouterr().err


def test_the_held_out_pictures_only(people: Path, tmp_path: Path, capsys: Any) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"held_out": ["street"], "group": {}}))
    words = ["evaluate", "edgekit-person", "--dataset", str(people), "--split", str(split), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["pictures"] == 1
    split.write_text("[]")
    assert main(words) == 2
    assert "split.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "nowhere"], "nowhere"),
        (["--dataset", "PEOPLE", "--score", "2"], "not between 0 and 1"),
        (["--dataset", "PEOPLE", "--backend", "abacus"], "abacus"),
    ],
)
def test_one_clear_error(people: Path, words: list[str], message: str, capsys: Any) -> None:
    given = [str(people) if word == "PEOPLE" else word for word in words]
    assert main(["evaluate", "edgekit-person", *given]) == 2
    assert message in capsys.readouterr().err


class Oracle:
    """Says what it is told, of classes it names; notes which classes it was asked for."""

    names = ("cat", "dog")
    classes: Any = None

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def __call__(self, image: np.ndarray) -> Any:
        self.asked.append(self.classes)
        return self.answer


def test_classes_that_are_not_labelled_are_switched_off_for_the_time(tmp_path: Path) -> None:
    note = {"category_id": 7, "bbox": [10, 5, 20, 10]}
    data = read_data(coco_set(tmp_path / "notes.json", [note], {7: "Dog"}, count=2))
    task = Oracle(Detections([[10, 5, 30, 15]], [0.9], [1], ("cat", "dog")))
    seen: list[tuple[int, int]] = []
    found = evaluate(task, data, progress=lambda done, total: seen.append((done, total)))
    assert task.asked == [[1], [1]]
    assert task.classes is None
    assert seen == [(1, 2), (2, 2)]
    assert (found["R"], found["P"]) == (1, 0.5), "the second picture is empty"
    assert found["AP50"] == pytest.approx(1), "one of two equally sure boxes, the right one first"


def test_results_that_nothing_scores(tmp_path: Path) -> None:
    data = read_data(coco_set(tmp_path / "notes.json", [], {7: "dog"}))
    with pytest.raises(InputError, match="kind str"):
        evaluate(Oracle("poses"), data)


def test_a_top_down_pose_model_with_its_detector(tmp_path: Path, capsys: Any) -> None:
    from pose_world import detector, drawn_people, pose_net

    folder = drawn_people(tmp_path / "set")
    model, finder = pose_net(tmp_path / "pose.onnx"), detector(tmp_path / "finder.onnx")
    words = ["evaluate", str(model), "--dataset", str(folder), "--backend", "onnxruntime-cpu"]
    assert main([*words, "--detector", str(finder), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "people found by finder.onnx" in text
    assert "P and R" not in text
    assert "AP small" not in text
    (row,) = json.loads((tmp_path / "out" / "evaluate.json").read_text())["rows"]
    assert row["AP"] > 0.8
    assert (row["pictures"], row["precision"]) == (2, "fp32")
    csv = (tmp_path / "out" / "evaluate.csv").read_text().splitlines()
    assert csv[0] == "model,back end,precision,AP,AP50,AP75,AP medium,AP large,AR,ms"
    boxes = yolo_set(tmp_path / "boxes", {"a": "0 .5 .5 .1 .1"})
    assert main(["evaluate", str(model), "--dataset", str(boxes), "--detector", str(finder)]) == 2
    assert "labels no keypoints" in capsys.readouterr().err
    assert main([*words, "--detector", "nobody.onnx"]) == 2
    assert "nobody.onnx" in capsys.readouterr().err


def test_boxes_and_poses_side_by_side(tmp_path: Path, capsys: Any) -> None:
    """The detector on the boxes, the pose model on the keypoints of one file."""
    from pose_world import detector, drawn_people, pose_net

    folder = drawn_people(tmp_path / "set", 1)
    model, finder = pose_net(tmp_path / "pose.onnx"), detector(tmp_path / "finder.onnx")
    words = ["--dataset", str(folder), "--detector", str(finder), "--backend", "onnxruntime-cpu", "--json"]
    assert main(["evaluate", str(model), str(finder), *words]) == 0
    poses, boxes = json.loads(capsys.readouterr().out)["rows"]
    assert boxes["AP"] == pytest.approx(1, abs=1e-6)
    assert "AR50" in poses
    assert "APs" in boxes


def test_trtpose_needs_no_detector(tmp_path: Path, capsys: Any) -> None:
    from pose_world import drawn_people, trtpose_net

    folder, model = drawn_people(tmp_path / "set"), trtpose_net(tmp_path / "bottom-up.onnx")
    words = ["evaluate", str(model), "--dataset", str(folder), "--backend", "onnxruntime-cpu"]
    assert main([*words, "--detector", "nobody.onnx", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert 0 <= row["AP"] < 0.5
    assert "detector" not in row
