"""Poses written in AlphaPose's and COCO's forms, read back, and by pycocotools."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit.errors import EdgekitError, InputError
from edgekit.pose_formats import FORMATS, AlphaPoseJson, CocoJson, as_coco17, read_poses
from edgekit.results import Detections, Frame, Poses
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology

BLACK = np.zeros((48, 64, 3), np.uint8)


def poses(count: int, topology: Topology = COCO17, seed: int = 0, boxes: bool = True) -> Poses:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 60, (count, len(topology), 3))
    keypoints[..., 2] /= 60
    low = rng.uniform(0, 20, (count, 2))
    xyxy = np.concatenate([low, low + rng.uniform(5, 30, (count, 2))], 1) if boxes else None
    return Poses(keypoints, rng.uniform(0, 3, count), topology.keypoints, topology.skeleton, xyxy)


def frame(source: str, index: int = 0) -> Frame:
    return Frame(BLACK, index, index / 10, source)


def written(kind: str, folder: Path, *frames: tuple[Frame, Poses]) -> list[dict]:
    sink = FORMATS[kind](folder / f"{kind}-results.json")
    for one, found in frames:
        sink.write(one, found, None)
    sink.close()
    assert sorted(p.name for p in folder.iterdir()) == [f"{kind}-results.json"]
    rows: list[dict] = json.loads(sink.path.read_text())
    return rows


def test_alphapose_has_its_fields_in_its_form(tmp_path: Path) -> None:
    found = poses(2)
    rows = written("alphapose", tmp_path, (frame("pictures/einé.jpg"), found), (frame("b.png", 1), poses(1)))
    assert [row["image_id"] for row in rows] == ["einé.jpg", "einé.jpg", "b.png"]
    for i, row in enumerate(rows[:2]):
        assert list(row) == ["image_id", "category_id", "keypoints", "score", "box"]
        assert row["category_id"] == 1
        assert len(row["keypoints"]) == 51
        np.testing.assert_allclose(np.reshape(row["keypoints"], (17, 3)), found.keypoints[i], atol=1e-4)
        assert row["score"] == pytest.approx(found.score[i], abs=1e-4)
        x1, y1, x2, y2 = found.xyxy[i]
        np.testing.assert_allclose(row["box"], (x1, y1, x2 - x1, y2 - y1), atol=1e-4)


@pytest.mark.parametrize("kind", ["alphapose", "coco"])
def test_what_is_written_is_read_back(tmp_path: Path, kind: str) -> None:
    some = [poses(2), poses(0), poses(3, seed=1)]
    written(kind, tmp_path, *((frame("clip.mp4", i), one) for i, one in enumerate(some)))
    back = read_poses(tmp_path / f"{kind}-results.json")
    assert list(back) == (["0.jpg", "2.jpg"] if kind == "alphapose" else [0, 2])
    for found, wanted in zip(back.values(), (some[0], some[2]), strict=True):
        assert found.names == COCO17.keypoints
        np.testing.assert_allclose(found.score, wanted.score, atol=1e-4)
        np.testing.assert_allclose(found.keypoints[..., :2], wanted.keypoints[..., :2], atol=1e-4)
        if kind == "alphapose":
            np.testing.assert_allclose(found.xyxy, wanted.xyxy, atol=2e-4)
        else:
            assert found.xyxy is None
            np.testing.assert_array_equal(found.keypoints[..., 2], 1)


def test_alphaposes_own_file_is_read(tmp_path: Path) -> None:
    """Its demo writes `idx` as the list of what was merged, and no track as [0.0]."""
    row = {"image_id": "1.jpg", "category_id": 1, "keypoints": [1.5, 2, 0.5] * 17, "score": 2.9}
    row |= {"box": [1.0, 2.0, 30.0, 40.0], "idx": [[3.0]]}
    (tmp_path / "alphapose-results.json").write_text(json.dumps([row]))
    found = read_poses(tmp_path / "alphapose-results.json")["1.jpg"]
    np.testing.assert_array_equal(found.xyxy, [[1, 2, 31, 42]])
    assert found.track_id.tolist() == [3]


def test_tracks_are_kept(tmp_path: Path) -> None:
    one = poses(2)
    tracked = Poses(one.keypoints, one.score, one.names, one.skeleton, one.xyxy, [7, 9])
    assert [row["idx"] for row in written("alphapose", tmp_path, (frame("0"), tracked))] == [7, 9]
    assert read_poses(tmp_path / "alphapose-results.json")["0.jpg"].track_id.tolist() == [7, 9]


def test_a_neck_is_left_out_by_name_and_animals_stay() -> None:
    shuffled = Topology("person", HUMAN18.keypoints[::-1])
    found = poses(2, shuffled)
    seventeen = as_coco17(found)
    assert seventeen.names == COCO17.keypoints
    for k, name in enumerate(COCO17.keypoints):
        np.testing.assert_array_equal(
            seventeen.keypoints[:, k], found.keypoints[:, shuffled.keypoints.index(name)]
        )
    animals = poses(1, ANIMAL20)
    assert as_coco17(animals) is animals


@pytest.mark.parametrize(
    ("source", "index", "number"),
    [
        ("val2017/000000000139.jpg", 5, 139),
        ("COCO_val2014_000000000042.jpg", 5, 42),
        ("cat.jpg", 5, 5),
        ("clip7.mp4", 5, 5),
        ("", 5, 5),
    ],
)
def test_coco_numbers_pictures_as_coco_names_them(
    tmp_path: Path, source: str, index: int, number: int
) -> None:
    (row,) = written("coco", tmp_path, (frame(source, index), poses(1)))
    assert list(row) == ["image_id", "category_id", "keypoints", "score"]
    assert row["image_id"] == number


def test_two_pictures_of_one_number_are_refused(tmp_path: Path) -> None:
    sink = CocoJson(tmp_path / "coco-results.json")
    sink.write(frame("a_7.jpg"), poses(1), None)
    sink.write(frame("a_7.jpg"), poses(1), None)  # the same picture again is the same picture
    with pytest.raises(InputError, match=r"b_7\.jpg and a_7\.jpg would both be image 7"):
        sink.write(frame("b_7.jpg", 1), poses(1), None)
    sink.close()
    assert len(json.loads(sink.path.read_text())) == 2


def test_coco_results_are_scored_by_pycocotools(tmp_path: Path) -> None:
    found = poses(3)
    found.keypoints[..., :2] *= 8  # people of a size that COCO counts
    truth = [
        {
            "id": i + 1,
            "image_id": 12,
            "category_id": 1,
            "keypoints": np.column_stack([points[:, :2], np.full(17, 2)]).ravel().tolist(),
            "num_keypoints": 17,
            "area": 200.0 * 200,
            "bbox": [0, 0, 200, 200],
            "iscrowd": 0,
        }
        for i, points in enumerate(found.keypoints)
    ]
    category = COCO17.to_category()
    labels = {"images": [{"id": 12}], "annotations": truth, "categories": [category], "info": {}}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    (tmp_path / "out").mkdir()
    written("coco", tmp_path / "out", (frame("000012.jpg"), found))
    data = COCO(str(tmp_path / "labels.json"))
    judge = COCOeval(data, data.loadRes(str(tmp_path / "out" / "coco-results.json")), "keypoints")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1.0)


KILLED = """
import sys
import numpy as np
from pathlib import Path
from edgekit.pose_formats import AlphaPoseJson
from edgekit.results import Frame, Poses
sink = AlphaPoseJson(Path(sys.argv[1]))
found = Poses(np.ones((2, 17, 3)), np.ones(2))
for index in range(10**6):
    sink.write(Frame(np.zeros((4, 4, 3), np.uint8), index), found, None)
    if index == 20:
        print("going", flush=True)
"""


def test_a_killed_run_leaves_a_whole_list(tmp_path: Path) -> None:
    target = tmp_path / "alphapose-results.json"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
    assert not target.exists()
    left = read_poses(f"{target}.part")
    assert len(left) >= 20
    assert list(left)[:2] == ["0.jpg", "1.jpg"]
    assert all(len(found) == 2 for found in left.values())


def test_nobody_gives_an_empty_list(tmp_path: Path) -> None:
    assert written("alphapose", tmp_path) == []
    assert read_poses(tmp_path / "alphapose-results.json") == {}


def test_other_results_and_folders_are_refused(tmp_path: Path) -> None:
    sink = AlphaPoseJson(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.json takes poses, not Detections"):
        sink.write(frame("a.jpg"), Detections(), None)
    sink.close()
    sink.close()
    with pytest.raises(InputError, match="cannot be written"):
        AlphaPoseJson(tmp_path / "a.json" / "b.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full device is the disk that refuses")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json.part").symlink_to("/dev/full")
    with pytest.raises(EdgekitError, match="No space left"):
        AlphaPoseJson(tmp_path / "a.json")


def test_a_disk_that_fills_leaves_what_was_whole(tmp_path: Path) -> None:
    sink = AlphaPoseJson(tmp_path / "a.json")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # about four people
    try:
        for index in range(3):
            sink.write(frame("", index), poses(1), None)
        with pytest.raises(EdgekitError, match=r"a\.json cannot be written"):
            sink.write(frame("", 3), poses(9), None)
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(read_poses(tmp_path / "a.json")) == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", '[{"image_id": 1}]', '[{"image_id": 1, "keypoints": [1, 2], "score": 1}]', "[[]]"],
)
def test_files_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        read_poses(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_poses(tmp_path / "none.json")
