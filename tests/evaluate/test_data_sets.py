"""Reading data sets: right boxes from good ones, one clear error from bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_data import coco_set, picture, yolo_set

from edgekit.errors import InputError
from edgekit.evaluate.data import load_image, read_data

PEOPLE = {1: "person", 18: "dog"}


def test_yolo_boxes_become_corners(tmp_path: Path) -> None:
    data = read_data(yolo_set(tmp_path, {"a": "0 0.5 0.5 0.5 1.0\n\n1 0.25 0.25 0.5 0.5\n"}))
    (one,) = data.pictures
    np.testing.assert_allclose(one.boxes, [[0.25, 0, 0.75, 1], [0, 0, 0.5, 0.5]])
    assert one.labels.tolist() == [0, 1]
    np.testing.assert_allclose(one.areas, [0.5, 0.25])
    assert (data.names, one.ignore.tolist()) == ((), [False, False])


def test_empty_label_file_means_nothing(tmp_path: Path) -> None:
    (one,) = read_data(yolo_set(tmp_path, {"a": ""})).pictures
    assert one.boxes.shape == (0, 4)


def test_folders_within_images_are_read_too(tmp_path: Path) -> None:
    data = read_data(yolo_set(tmp_path, {"train/a": "0 .5 .5 .1 .1", "val/b": ""}))
    assert [p.path.name for p in data.pictures] == ["a.png", "b.png"]
    assert [len(p.boxes) for p in data.pictures] == [1, 0]


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("classes.txt", "person\n\nred car\n", ("person", "red car")),
        ("data.yaml", "nc: 2\nnames: [person, 'red car']\n", ("person", "red car")),
        ("set.yaml", "names:\n  0: person\n  1: red car\n", ("person", "red car")),
        ("set.yml", "path: x\n", ()),
    ],
)
def test_class_names(tmp_path: Path, file: str, text: str, names: tuple[str, ...]) -> None:
    folder = yolo_set(tmp_path, {"a": "0 .5 .5 .1 .1"})
    (folder / file).write_text(text)
    assert read_data(folder).names == names


@pytest.mark.parametrize("text", ["names: 7\n", "names: {1: a, 2: b}\n", "names: [a\n"])
def test_damaged_class_names_are_refused_by_file(tmp_path: Path, text: str) -> None:
    folder = yolo_set(tmp_path, {"a": ""})
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml"):
        read_data(folder)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "no label file"),
        ("0 0.5 0.5 0.5 0.5\n0 0.5 half 0.5 0.5\n", r"a\.txt:2.*half"),
        ("0 0.5 0.5 0.5\n", r"a\.txt:1: 3 numbers"),
        ("0 0.9 0.5 0.5 0.5\n", r"a\.txt:1.*leaves the picture"),
        ("0 0.5 0.5 0 0.5\n", r"a\.txt:1.*empty"),
        ("0 nan 0.5 0.5 0.5\n", r"a\.txt:1"),
        ("2 0.5 0.5 0.5 0.5\n", r"a\.txt:1: class 2"),
        ("-1 0.5 0.5 0.5 0.5\n", r"a\.txt:1: class -1"),
    ],
)
def test_bad_labels_name_file_and_line(tmp_path: Path, label: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_data(yolo_set(tmp_path, {"a": label}, names="person\ndog\n"))


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no data set"):
        read_data(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no data set"):
        read_data(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        read_data(tmp_path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png")
    file.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        load_image(file)


NOTES = [
    {"category_id": 1, "bbox": [10, 5, 20, 10], "area": 80},
    {"category_id": 1, "bbox": [0, 0, 40, 20], "iscrowd": 1},
    {"category_id": 18, "bbox": [0, 0, 5, 5]},
]


def test_coco_boxes_crowds_classes_and_areas(tmp_path: Path) -> None:
    data = read_data(coco_set(tmp_path / "notes.json", NOTES, PEOPLE))
    (one,) = data.pictures
    assert data.names == ("person", "dog")
    np.testing.assert_allclose(one.boxes, [[0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1], [0, 0, 0.125, 0.25]])
    assert one.ignore.tolist() == [False, True, False]
    assert one.labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(one.areas * 800, [80, 800, 25])  # the annotation's area, else the box's


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("notes.json", "images"),
        ("notes.json", "."),
        ("annotations/instances_val2017.json", "../val2017"),
        ("annotations/instances_val2017.json", "../images/val2017"),
        ("annotations/instances_val2017.json", "../images"),
    ],
)
def test_a_folder_in_cocos_layout(tmp_path: Path, file: str, images: str) -> None:
    written = coco_set(tmp_path / file, NOTES, PEOPLE, images)
    assert len(read_data(tmp_path)) == len(read_data(written)) == 1


def test_of_several_annotation_files_the_instances_are_meant(tmp_path: Path) -> None:
    coco_set(tmp_path / "captions.json", NOTES, PEOPLE)
    coco_set(tmp_path / "instances_a.json", NOTES, {1: "human", 18: "dog"})
    assert read_data(tmp_path).names == ("human", "dog")
    coco_set(tmp_path / "instances_b.json", NOTES, PEOPLE)
    with pytest.raises(InputError, match="several annotation files"):
        read_data(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": [], "annotations": [], "categories": []}']
)
def test_damaged_coco_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"notes\.json"):
        read_data(file)


def test_a_note_of_an_unknown_picture_or_class_and_a_missing_picture(tmp_path: Path) -> None:
    for wrong in ({"category_id": 7, "bbox": [0, 0, 1, 1]}, {"category_id": 1, "bbox": [0, 0, 1]}):
        with pytest.raises(InputError, match="not a COCO"):
            read_data(coco_set(tmp_path / "notes.json", [wrong], PEOPLE))
    file = coco_set(tmp_path / "notes.json", NOTES, PEOPLE)
    (tmp_path / "images" / "0.png").unlink()
    with pytest.raises(InputError, match=r"names 0\.png"):
        read_data(file)
    with pytest.raises(InputError, match="there is no file"):
        read_data(tmp_path / "none.json")


def test_the_digest_changes_with_the_labels_and_only_keeps_what_is_held_out(tmp_path: Path) -> None:
    folder = yolo_set(tmp_path, {"a": "0 .5 .5 .1 .1", "b": ""})
    first = read_data(folder)
    assert first.digest == read_data(folder).digest
    (folder / "labels" / "b.txt").write_text("0 .5 .5 .2 .2")
    assert first.digest != read_data(folder).digest
    assert [p.path.stem for p in first.only({"b", "z"}).pictures] == ["b"]
    with pytest.raises(InputError, match="no picture"):
        first.only({"z"})


def test_json_is_not_required_to_hold_every_field(tmp_path: Path) -> None:
    file = coco_set(tmp_path / "notes.json", NOTES, PEOPLE)
    content = json.loads(file.read_text())
    for note in content["annotations"]:
        note.pop("iscrowd")
        note["ignore"] = 1
    file.write_text(json.dumps(content))
    assert read_data(file).pictures[0].ignore.all()
