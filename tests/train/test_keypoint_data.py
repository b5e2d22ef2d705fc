"""Reading pictures with keypoints: COCO's form, AnimalPose's own, the neck, scores, what is ignored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_made import FIGURE, annotation, write_animals, write_figures  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology  # noqa: E402
from edgekit.train.keypoints import read_keypoints  # noqa: E402


def change(file: Path, **parts: object) -> Path:
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, **parts}))
    return file


def test_coco_form(tmp_path: Path) -> None:
    file = write_figures(tmp_path / "set", count=2, people=2)
    data = read_keypoints(tmp_path / "set")
    rows = json.loads(file.read_text())["annotations"]
    assert data.topology == FIGURE
    assert (len(data.pictures), data.people) == (2, 4)
    first = data.pictures[0]
    assert first.size == (96, 96)
    assert first.path.is_file()
    np.testing.assert_allclose(
        first.keypoints[1, :, :2].ravel(), np.reshape(rows[1]["keypoints"], (4, 3))[:, :2].ravel(), rtol=1e-6
    )
    x, y, w, h = rows[1]["bbox"]
    np.testing.assert_allclose(first.boxes[1], [x, y, x + w, y + h], rtol=1e-6)


def test_animalpose_form(tmp_path: Path) -> None:
    """Pictures in a mapping by number, corners of boxes, nested keypoints, five species with one skeleton."""
    file = write_animals(tmp_path / "animals")
    data = read_keypoints(file)
    rows = json.loads(file.read_text())["annotations"]
    assert data.topology == ANIMAL20
    assert [p.path.name for p in data.pictures] == ["co1.jpeg", "do2.jpeg"]
    assert [len(p.keypoints) for p in data.pictures] == [1, 2]
    cow = data.pictures[0]
    np.testing.assert_array_equal(cow.boxes, [[25, 28, 96, 95]])
    raw = np.array(rows[0]["keypoints"])
    np.testing.assert_array_equal(cow.keypoints[0, :, 2], raw[:, 2])
    np.testing.assert_array_equal(cow.keypoints[0, raw[:, 2] > 0, :2], raw[raw[:, 2] > 0, :2])
    assert cow.size is None  # that form has no sizes


def test_neck_is_between_the_shoulders(tmp_path: Path) -> None:
    """As TrtPose's preprocess_coco_person.py makes it; unknown where a shoulder is."""
    file = write_figures(tmp_path / "set", count=1, people=1)
    random = np.random.default_rng(0)
    people = np.concatenate([random.uniform(10, 80, (2, 17, 2)), np.full((2, 17, 1), 2.0)], 2)
    people[1, 6, 2] = 0
    rows = [annotation(n, 0, p) for n, p in enumerate(people)]
    change(file, annotations=rows, categories=[COCO17.to_category()])
    found = read_keypoints(file, "human18").pictures[0].keypoints
    assert HUMAN18.keypoints[-1] == "neck"
    np.testing.assert_allclose(found[0, :17, :2], people[0, :, :2], rtol=1e-6)
    np.testing.assert_allclose(found[0, 17], [*(people[0, 5, :2] + people[0, 6, :2]) / 2, 1], rtol=1e-6)
    assert found[1, 17].tolist() == [0, 0, 0]
    assert found[1, 6].tolist() == [0, 0, 0]


def test_scores_crowds_and_people_without_keypoints(tmp_path: Path) -> None:
    file = write_figures(tmp_path / "set", count=1, people=1)
    points = np.array([[10, 10, 2], [20, 20, 1], [30, 30, 0], [40, 40, 2.0]])
    rows = [
        annotation(0, 0, points, keypoint_scores=[0.9, 0.4, 0.7, 0.1]),
        annotation(1, 0, points, iscrowd=1),
        annotation(2, 0, points * [1, 1, 0]),
    ]
    change(file, annotations=rows)
    picture = read_keypoints(file).pictures[0]
    np.testing.assert_allclose(picture.keypoints[:, :, 2], [[0.9, 0.4, 0.0, 0.1]], rtol=1e-6)
    assert len(picture.ignore) == 2


def test_other_topology_by_name(tmp_path: Path) -> None:
    file = write_figures(tmp_path / "set", count=1, people=1)
    fewer = Topology("figure", ("right_foot", "head"), ((0, 1),))
    all_, some = (read_keypoints(file, t).pictures[0].keypoints[0] for t in (None, fewer))
    np.testing.assert_array_equal(some, all_[[3, 0]])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"categories": []}, "no category with keypoints"),
        ({"images": 3}, "cannot be read"),
        ({"annotations": [{"image_id": 0}]}, "cannot be read"),
        ({"annotations": []}, "nobody with keypoints"),
        ({"images": [{"id": 0, "file_name": "lost.png"}]}, "lost.png"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, parts: dict, words: str) -> None:
    file = change(write_figures(tmp_path / "set", count=1, people=1), **parts)
    with pytest.raises(InputError, match=words):
        read_keypoints(file)


def test_topology_that_does_not_fit(tmp_path: Path) -> None:
    file = write_figures(tmp_path / "set", count=1, people=1)
    with pytest.raises(InputError, match="no keypoint 'nose'"):
        read_keypoints(file, "human18")
    with pytest.raises(InputError, match="cannot be read"):
        read_keypoints(tmp_path / "absent.json")
