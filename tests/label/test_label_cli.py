"""`edgekit label` on small pictures with tiny networks of fixed answers: what it writes and refuses."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from clips import make_video, moving_square
from onnx import TensorProto, helper, numpy_helper
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit import cli
from edgekit.evaluate.coco_files import read_coco
from edgekit.files import sha256
from edgekit.label import Labeller
from edgekit.label import file as label_file
from edgekit.topology import COCO17

#: cx, cy, width, height and score in the detector's 64 px: a sure person and a weak one.
FOUND = [(20, 24, 20, 40, 0.9), (50, 40, 20, 24, 0.25)]
#: Where the pose network sees each keypoint, as shares of its crop, whatever it sees. Left and right mirror
#: each other, so that the mirror image agrees, but for the nose and the left wrist.
SHARES = np.array(
    [
        *((0.42, 0.20), (0.54, 0.18), (0.46, 0.18), (0.56, 0.20), (0.44, 0.20)),
        *((0.58, 0.30), (0.42, 0.30), (0.60, 0.45), (0.40, 0.45), (0.68, 0.60), (0.40, 0.60)),
        *((0.55, 0.55), (0.45, 0.55), (0.55, 0.70), (0.45, 0.70), (0.55, 0.85), (0.45, 0.85)),
    ]
)
UNSURE = [0, 9, 10]  # the wrist's partner is doubted with it
SCORES = np.array([0.8] * 13 + [0.7, 0.7, 0.1, 0.7])  # the left ankle is weak


def constant_net(path: Path, entry: tuple, answer: np.ndarray, **notes: str) -> Path:
    """A network that gives `answer` for whatever is fed."""
    name, kind, shape = entry
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["float"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "answer"], ["output0"]),
    ]
    constants = {"nothing": np.zeros((), np.float32), "answer": answer.astype(np.float32)}
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, answer.shape)],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Detector and pose network."""
    folder = tmp_path_factory.mktemp("nets")
    boxes = np.zeros((1, 5, 84), np.float32)
    boxes[0, :, :2] = np.array(FOUND).T
    detector = constant_net(
        folder / "detector.onnx",
        ("images", TensorProto.FLOAT, [1, 3, 64, 64]),
        boxes,
        names="{0: 'person'}",
        stride="32",
        task="detect",
        imgsz="[64, 64]",
    )
    rows = np.concatenate([SHARES[:, ::-1], SCORES[:, None]], 1)
    pose = constant_net(folder / "pose.onnx", ("input", TensorProto.INT32, [1, 64, 64, 3]), rows[None, None])
    return detector, pose


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(4):
        image = np.random.default_rng(n).integers(0, 255, (128, 128, 3), np.uint8)
        cv2.imwrite(str(folder / f"p{n}.png"), image)
    return folder


def label(nets: tuple[Path, Path], pictures: Path, out: Path, *more: str) -> int:
    """Run the command."""
    given = ["label", str(pictures), "--out", str(out), "--detector", str(nets[0]), "--pose", str(nets[1])]
    return cli.main([*given, "--backend", "onnxruntime-cpu", *more])


def expected_places() -> np.ndarray:
    """Keypoints of the sure person in pixels of a 128 px picture, after MoveNet's square of 1.25 boxes."""
    cx, cy, width, height, _ = (2 * v for v in FOUND[0])
    side = 1.25 * max(width, height)
    return np.array([cx, cy]) - side / 2 + SHARES * side - 0.5


def whole(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_every_sure_point_is_the_models_answer(nets, photos, tmp_path, capsys) -> None:
    out = tmp_path / "labels.json"
    assert label(nets, photos, out, "--views", "1") == 0
    content = json.loads(out.read_text())
    assert [i["file_name"] for i in content["images"]] == [f"photos/p{n}.png" for n in range(4)]
    people = [a for a in content["annotations"] if not a["iscrowd"]]
    assert len(people) == 4
    for row in people:
        points = np.array(row["keypoints"]).reshape(17, 3)
        sure = points[:, 2] == 2
        assert np.flatnonzero(~sure).tolist() == row["unsure"] == [15], "only the weak ankle"
        np.testing.assert_allclose(points[sure, :2], expected_places()[sure], atol=0.02)
        np.testing.assert_allclose(row["keypoint_scores"], SCORES, atol=1e-4)
        assert not points[~sure].any()
        assert row["num_keypoints"] == 16
        np.testing.assert_allclose(row["bbox"], [20, 8, 40, 80], atol=0.02)
    said = capsys.readouterr().out
    assert "4 pictures: 4 people with 64 sure keypoints, 4 masked; 4 people or regions ignored" in said
    assert "left_ankle" in said


def test_the_mirror_image_masks_what_it_puts_elsewhere(nets, photos, tmp_path) -> None:
    out = tmp_path / "labels.json"
    assert label(nets, photos, out) == 0
    content = json.loads(out.read_text())
    for row in content["annotations"]:
        if row["iscrowd"]:
            assert row["num_keypoints"] == 0
            assert not any(row["keypoints"])
            np.testing.assert_allclose(row["bbox"], [80, 56, 40, 48], atol=0.02)
        else:
            assert row["unsure"] == UNSURE, "the ankles' mean score will do"
    assert content["info"]["statistics"]["kept"]["nose"] == 0
    assert content["info"]["statistics"]["kept"]["left_hip"] == 1


def test_an_ignored_person_keeps_no_keypoint(nets, photos, tmp_path) -> None:
    out = tmp_path / "labels.json"
    assert label(nets, photos / "p0.png", out, "--views", "1", "--least", "17") == 0
    rows = json.loads(out.read_text())["annotations"]
    assert [(r["iscrowd"], r["num_keypoints"], any(r["keypoints"])) for r in rows] == [(1, 0, False)] * 2


def test_what_it_says_of_itself(nets, photos, tmp_path) -> None:
    out = tmp_path / "labels.json"
    label(nets, photos, out, "--sure", "0.3", "--least", "2")
    info = json.loads(out.read_text())["info"]
    assert info["models"]["pose"] == {"name": "pose.onnx", "sha256": sha256(nets[1]), "precision": "fp32"}
    assert info["models"]["detector"]["sha256"] == sha256(nets[0])
    assert (info["settings"]["sure"], info["settings"]["least"], info["settings"]["views"]) == (0.3, 2, 2)
    assert info["finished"] is True
    assert info["date_created"].startswith("20")


def test_pycocotools_and_the_kit_read_it(nets, photos, tmp_path, capsys) -> None:
    from edgekit.train.keypoints import read_keypoints

    out = tmp_path / "labels.json"
    label(nets, photos, out)
    truth = COCO(str(out))
    rows = [{**a, "score": a["score"]} for a in truth.dataset["annotations"] if not a["iscrowd"]]
    judge = COCOeval(truth, truth.loadRes(rows), "keypoints")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1)
    data = read_coco(out)
    assert data.topology is not None
    assert data.topology.keypoints == COCO17.keypoints
    assert [p.ignore.tolist() for p in data.pictures] == [[False, True]] * 4
    assert data.pictures[0].num_keypoints.tolist() == [14, 0]
    trained = read_keypoints(out)
    assert trained.people == 4
    assert all(len(p.ignore) == 1 for p in trained.pictures)


def test_the_sheet_shows_them(nets, photos, tmp_path, capsys) -> None:
    out = tmp_path / "labels.json"
    label(nets, photos, out)
    sheet = cv2.imread(str(tmp_path / "labels-sheet.jpg"))
    assert sheet.shape == (480, 4 * 480, 3)
    assert "look at it" in capsys.readouterr().out
    label(nets, photos, tmp_path / "bare.json", "--sheet", "0")
    assert not (tmp_path / "bare-sheet.jpg").exists()


def test_existing_labels_are_kept(nets, photos, tmp_path, capsys) -> None:
    out = tmp_path / "labels.json"
    out.write_text("mine")
    assert label(nets, photos, out) == 2
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert label(nets, photos, out, "--add") == 2, "it is no file of labels"
    assert out.read_text() == "mine"
    assert label(nets, photos, out, "--force") == 0
    assert len(json.loads(out.read_text())["images"]) == 4
    out.unlink()
    assert label(nets, photos, out) == 2, "the sheet is there"


def test_a_picture_beside_its_labels_stays(nets, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "me.jpg"), np.full((90, 90, 3), 70, np.uint8))
    before = (tmp_path / "me.jpg").read_bytes()
    assert label(nets, tmp_path / "me.jpg", tmp_path / "me.json") == 0
    assert (tmp_path / "me.jpg").read_bytes() == before
    assert whole(tmp_path) == ["me-sheet.jpg", "me.jpg", "me.json"]


def test_adding_pictures(nets, photos, tmp_path, capsys) -> None:
    whole_run = tmp_path / "whole.json"
    label(nets, photos, whole_run)
    out = tmp_path / "labels.json"
    (tmp_path / "some.txt").write_text("# the first\nphotos/p0.png\nphotos/p1.png\n\n")
    assert label(nets, tmp_path / "some.txt", out) == 0
    assert label(nets, photos, out, "--add", "--views", "1") == 2, "other settings"
    assert len(json.loads(out.read_text())["images"]) == 2
    assert label(nets, photos, out, "--add") == 0
    both = [json.loads(f.read_text()) for f in (out, whole_run)]
    assert both[0]["annotations"] == both[1]["annotations"]
    assert both[0]["images"] == both[1]["images"]


def test_frames_of_a_video(nets, tmp_path, capsys) -> None:
    clip = make_video(tmp_path / "clip.mp4", moving_square(30))
    out = tmp_path / "made" / "labels.json"
    assert label(nets, clip, out, "--every", "12") == 0
    names = [f"images/clip_{n:06d}.jpg" for n in (0, 12, 24)]
    assert [i["file_name"] for i in json.loads(out.read_text())["images"]] == names
    assert whole(out.parent / "images") == [Path(n).name for n in names]
    assert cv2.imread(str(out.parent / names[1])).shape == (120, 160, 3)
    assert len(read_coco(out)) == 3
    out.unlink()
    other = cv2.imread(str(out.parent / names[1])) // 2
    cv2.imwrite(str(out.parent / names[1]), other)
    assert label(nets, clip, out, "--every", "12", "--sheet", "0") == 2
    np.testing.assert_array_equal(cv2.imread(str(out.parent / names[1])) > 200, other > 200)
    assert names[1] in capsys.readouterr().err
    assert label(nets, clip, out, "--every", "12", "--force") == 0


def test_known_boxes(nets, photos, tmp_path) -> None:
    data = tmp_path / "data"
    (data / "labels").mkdir(parents=True)
    photos.rename(data / "images")
    for n in range(4):
        (data / "labels" / f"p{n}.txt").write_text("0 0.5 0.5 0.5 0.75\n" if n else "")
    out = tmp_path / "labels.json"
    assert label(nets, data / "images", out, "--boxes", str(data)) == 0
    rows = json.loads(out.read_text())["annotations"]
    assert [r["bbox"] for r in rows if not r["iscrowd"]] == [[32, 16, 64, 96]] * 3
    assert [r["iscrowd"] for r in rows if r["image_id"] == 1] == [1, 1], "found, but not among the boxes"


def test_known_boxes_of_classes_and_their_crowds(nets, photos, tmp_path, capsys) -> None:
    names = [{"id": 3, "name": "dog"}, {"id": 7, "name": "person"}]
    boxes = [([10, 10, 90, 100], 7, 0), ([4, 4, 30, 30], 3, 0), ([0, 90, 60, 30], 7, 1)]
    rows = [
        {"id": n, "image_id": 1, "bbox": box, "category_id": kind, "iscrowd": crowd}
        for n, (box, kind, crowd) in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "photos/p2.png", "width": 128, "height": 128}]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": rows, "categories": names}))
    out = tmp_path / "labels.json"
    more = ["--boxes", str(truth), "--detector", "none", "--sheet", "0"]
    assert label(nets, photos / "p2.png", out, *more) == 0
    made = json.loads(out.read_text())["annotations"]
    assert [(r["bbox"], r["iscrowd"]) for r in made] == [([10, 10, 90, 100], 0), ([0, 90, 60, 30], 1)]
    assert label(nets, photos / "p2.png", out, *more, "--force", "--classes", "cow") == 2
    assert "cow" in capsys.readouterr().err
    assert label(nets, photos / "p1.png", tmp_path / "more.json", *more) == 2, "no boxes of this picture"


def test_unreadable_pictures_are_left_out_and_named(nets, photos, tmp_path, capsys) -> None:
    (photos / "p1.png").write_bytes(b"no picture")
    out = tmp_path / "labels.json"
    assert label(nets, photos, out) == 4
    assert "p1.png" in capsys.readouterr().err
    assert len(json.loads(out.read_text())["images"]) == 3


@pytest.mark.parametrize("kind", ["empty", "absent", "damaged", "list"])
def test_nothing_to_label(nets, tmp_path, capsys, kind) -> None:
    folder = tmp_path / "pictures"
    if kind != "absent":
        folder.mkdir()
    if kind == "damaged":
        (folder / "one.png").write_bytes(b"")
    if kind == "list":
        folder = tmp_path / "none.txt"
        folder.write_text("\n")
    out = tmp_path / "labels.json"
    assert label(nets, folder, out) == 2
    assert str(folder) in capsys.readouterr().err
    assert not out.exists()


def test_trtpose_finds_its_own_people(nets, photos, tmp_path, capsys) -> None:
    """Its maps are empty here: whom the detector finds was missed, and is ignored."""
    shapes = {"cmap": (1, 18, 8, 8), "paf": (1, 42, 8, 8)}
    nodes = [helper.make_node("Identity", [f"no_{name}"], [name]) for name in shapes]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    zeros = [numpy_helper.from_array(np.zeros(s, np.float32), f"no_{n}") for n, s in shapes.items()]
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph(nodes, "empty", [entry], outputs, zeros)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "trtpose.onnx"))
    bottom_up = (nets[0], tmp_path / "trtpose.onnx")
    out = tmp_path / "labels.json"
    assert label(bottom_up, photos, out) == 0
    content = json.loads(out.read_text())
    assert [a["iscrowd"] for a in content["annotations"]] == [1] * 8
    assert content["categories"][0]["keypoints"][-1] == "neck"
    assert label(bottom_up, photos, out, "--force", "--detector", "none") == 0
    assert json.loads(out.read_text())["annotations"] == []
    assert label(bottom_up, photos, out, "--force", "--views", "3") == 2


def test_settings_that_cannot_be(nets, photos, tmp_path, capsys) -> None:
    out = tmp_path / "labels.json"
    for more in (
        ["--sure", "1.5"],
        ["--every", "0"],
        ["--views", "9"],
        ["--margin", "-1"],
        ["--sheet", "-1"],
    ):
        assert label(nets, photos, out, *more) == 2
        assert more[0].strip("-") in capsys.readouterr().err
    assert label(nets, photos, tmp_path / "labels.txt") == 2
    assert label(nets, photos, out, "--detector", "none") == 2, "who would find the people?"
    assert label(nets, photos, out, "--pose", str(nets[0])) == 2, "a detector is no pose model"
    assert whole(tmp_path) == ["photos"]


def test_a_full_disk_leaves_nothing(nets, photos, tmp_path, capsys) -> None:
    out = tmp_path / "labels.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Python ignores SIGXFSZ: writes fail instead
    try:
        assert label(nets, photos, out, "--sheet", "0") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "labels.json cannot be written" in capsys.readouterr().err
    assert whole(tmp_path) == ["photos"]


def test_ctrl_c_keeps_what_was_labelled(nets, photos, tmp_path, capsys, monkeypatch) -> None:
    original, seen = Labeller.__call__, []

    def stop(self, *given):
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, *given)

    monkeypatch.setattr(Labeller, "__call__", stop)
    out = tmp_path / "labels.json"
    assert label(nets, photos, out) == 130
    content = json.loads(out.read_text())
    assert (len(content["images"]), content["info"]["finished"]) == (2, False)
    assert "--add" in capsys.readouterr().err
    assert label(nets, photos, out, "--add") == 0
    content = json.loads(out.read_text())
    assert (len(content["images"]), content["info"]["finished"]) == (4, True)


def test_ctrl_c_while_writing_leaves_nothing(nets, photos, tmp_path, monkeypatch) -> None:
    def interrupt(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(label_file.Path, "write_bytes", interrupt)
    assert label(nets, photos, tmp_path / "labels.json", "--sheet", "0") == 130
    assert whole(tmp_path) == ["photos"]
