"""What training takes of a data set: people only, and pictures no larger than wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made import write_set

from edgekit.errors import InputError
from edgekit.train.data import load_images, read_people, read_unlabelled


def test_people_of_a_set_with_more_classes(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 1)
    label = folder / "labels" / "000.txt"
    label.write_text("0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.5 0.5\n")
    with pytest.raises(InputError, match=r"000\.png have class 1"):
        read_people(folder)
    (folder / "classes.txt").write_text("dog\nPerson\n")
    (picture,) = read_people(folder)
    np.testing.assert_allclose(picture.boxes, [[0, 0, 0.5, 0.5]])
    assert picture.labels.tolist() == [0]
    (folder / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(InputError, match="no class 'person'"):
        read_people(folder)


def test_pictures_are_shrunk_never_grown(tmp_path: Path) -> None:
    pictures = read_unlabelled(write_set(tmp_path / "set", 2))
    assert not any(p.labelled for p in pictures)
    assert [i.shape for i in load_images(pictures, 64)] == [(64, 64, 3)] * 2
    assert [i.shape for i in load_images(pictures, 999)] == [(128, 128, 3)] * 2
