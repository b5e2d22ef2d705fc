"""The charts of confusion and class balance: what is written in the cells, and that it is legible."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.plots_confusion import classes, confusion, figure_size, save_confusion

matplotlib.use("Agg")

MATRIX = np.array([[6, 2, 0], [0, 0, 0], [1, 0, 399]])
NAMES = ("walk", "fall_floor", "ride bike")


@pytest.fixture(autouse=True)
def closed():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def test_each_cell_has_its_count_and_the_share_of_its_row() -> None:
    axis = confusion(MATRIX, NAMES)
    written = {text.get_position(): text.get_text() for text in axis.texts}
    # x is the column: what was found; y the row: what is true
    assert written == {(0, 0): "6\n75%", (1, 0): "2\n25%", (0, 2): "1\n< 1%", (2, 2): "399\n100%"}
    assert [t.get_text() for t in axis.get_yticklabels()] == ["walk (8)", "fall_floor (0)", "ride bike (400)"]
    assert [t.get_text() for t in axis.get_xticklabels()] == list(NAMES)
    assert axis.get_title() == "405 of 408 right: 99.3%"
    np.testing.assert_allclose(axis.images[0].get_array()[0], [0.75, 0.25, 0.0])
    np.testing.assert_allclose(axis.images[0].get_array()[1], 0.0)  # no clips: no division by 0


@pytest.mark.parametrize("count", [1, 2, 12, 20])
def test_nothing_is_cut_off_and_no_text_leaves_its_cell(count: int, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    names = [f"something {n}" for n in range(count)]
    figure = Figure(figsize=figure_size(names), layout="constrained")
    axis = confusion(np.full((count, count), 88), names, axis=figure.add_subplot())
    figure.draw_without_rendering()
    wide, high = figure.canvas.get_width_height()
    boxes = [text.get_window_extent() for text in (*axis.get_xticklabels(), *axis.get_yticklabels())]
    boxes += [axis.xaxis.label.get_window_extent(), axis.yaxis.label.get_window_extent()]
    boxes.append(axis.title.get_window_extent())
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= wide and b.y1 <= high for b in boxes)
    corners = axis.transData.transform([(0, 0), (1, 1)])
    cell = abs(corners[1] - corners[0])
    for text in axis.texts:
        assert (text.get_window_extent().size < cell).all()


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = save_confusion(tmp_path / "confusion.png", MATRIX, NAMES)
    picture = cv2.imread(str(path))
    assert picture.shape[1] == pytest.approx(figure_size(NAMES)[0] * 120, abs=2)
    dark = (picture[..., 0] > 80) & (picture[..., 2] < 30)  # the blue of a whole row, BGR
    assert dark.mean() > 0.02
    assert [p.name for p in tmp_path.iterdir()] == ["confusion.png"]
    with pytest.raises(InputError, match=r"of 2 classes is square; this one is \(3, 3\)"):
        save_confusion(path, MATRIX, NAMES[:2])


def test_class_balance_marks_what_lacks_clips() -> None:
    axis = classes({"walk": 30, "sit": 22, "fall_floor": 5, "bend": 0})
    assert [bar.get_width() for bar in axis.patches] == [30, 22, 5, 0]
    colours = [bar.get_facecolor() for bar in axis.patches]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert axis.lines[0].get_xdata()[0] == pytest.approx(57 / 4)
    assert [t.get_text() for t in axis.texts] == ["30", "22", "5", "0"]
    assert classes({"walk": 0}).patches[0].get_width() == 0
    with pytest.raises(InputError, match="no class"):
        classes({})
