"""Reading data sets: right boxes from good ones, one clear error from bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from made import write_set

from edgekit.errors import InputError
from edgekit.train.data import load_images, read_coco, read_unlabelled, read_yolo


def one_picture(folder: Path, label: str | None) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros((20, 40, 3), np.uint8))
    if label is not None:
        (folder / "labels" / "a.txt").write_text(label)
    return folder


def test_yolo_boxes_become_corners(tmp_path: Path) -> None:
    (picture,) = read_yolo(one_picture(tmp_path, "0 0.5 0.5 0.5 1.0\n\n0 0.25 0.25 0.5 0.5\n"))
    np.testing.assert_allclose(picture.boxes, [[0.25, 0, 0.75, 1], [0, 0, 0.5, 0.5]], atol=1e-6)


def test_empty_label_file_means_nobody(tmp_path: Path) -> None:
    (picture,) = read_yolo(one_picture(tmp_path, ""))
    assert picture.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "No label file"),
        ("0 0.5 0.5 0.5 0.5\n0 0.5 half 0.5 0.5\n", r"a\.txt:2.*half"),
        ("0 0.5 0.5 0.5\n", r"a\.txt:1: 3 numbers"),
        ("0 0.9 0.5 0.5 0.5\n", r"a\.txt:1.*leaves the picture"),
        ("0 0.5 0.5 0 0.5\n", r"a\.txt:1.*empty"),
        ("0 nan 0.5 0.5 0.5\n", r"a\.txt:1"),
        ("7 0.5 0.5 0.5 0.5\n", r"a\.txt:1: class 7"),
    ],
)
def test_bad_labels_name_file_and_line(tmp_path: Path, label: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_yolo(one_picture(tmp_path, label))


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="No pictures"):
        read_yolo(tmp_path)
    with pytest.raises(InputError, match="No folder"):
        read_yolo(tmp_path / "nowhere")


def test_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = one_picture(tmp_path, "")
    (folder / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        load_images(read_yolo(folder), 64)


def test_coco_boxes_and_crowds(tmp_path: Path) -> None:
    one_picture(tmp_path, None)
    notes = [
        {"image_id": 3, "category_id": 1, "bbox": [10, 5, 20, 10], "iscrowd": 0},
        {"image_id": 3, "category_id": 1, "bbox": [0, 0, 40, 20], "iscrowd": 1},
        {"image_id": 3, "category_id": 18, "bbox": [0, 0, 5, 5]},
    ]
    images = [{"id": 3, "file_name": "a.png", "width": 40, "height": 20}]
    file = tmp_path / "notes.json"
    file.write_text(json.dumps({"images": images, "annotations": notes}))
    (picture,) = read_coco(file)
    np.testing.assert_allclose(picture.boxes, [[0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1]])
    assert picture.ignore.tolist() == [False, True]
    file.write_text("{")
    with pytest.raises(InputError, match="not a COCO"):
        read_coco(file)


def test_pictures_are_shrunk_never_grown(tmp_path: Path) -> None:
    pictures = read_unlabelled(write_set(tmp_path / "set", 2))
    assert [i.shape for i in load_images(pictures, 64)] == [(64, 64, 3)] * 2
    assert [i.shape for i in load_images(pictures, 999)] == [(128, 128, 3)] * 2
