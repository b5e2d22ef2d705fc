"""The pictures of the pose notebooks lie where they belong, whatever the size of map and picture."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.quiver import Quiver

from edgekit import plots, plots_pose

pytestmark = pytest.mark.usefixtures("pyplot")


@pytest.fixture
def axis() -> Any:
    """Shows a picture of 80×120."""
    return plots.show(np.zeros((80, 120, 3), np.uint8))[0]


def test_a_tensor_becomes_the_picture_it_was() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    tensor = ((picture[..., ::-1] / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)
    assert np.array_equal(plots_pose.as_picture(tensor), picture)
    own = (picture[..., ::-1] / 255 - mean).transpose(2, 0, 1)
    assert np.array_equal(plots_pose.as_picture(own, mean, (1, 1, 1)), picture)
    assert plots_pose.as_picture(np.full((3, 2, 2), 99.0)).max() == 255


def test_cells_show_their_values_the_highest_and_the_point() -> None:
    heat = np.zeros((3, 4), np.float32)
    heat[1, 2], heat[1, 3] = 0.9, 0.4
    axis = plots_pose.cells(heat, (2.25, 1))
    assert [text.get_text() for text in axis.texts].count("0.90") == 1
    assert len(axis.texts) == 12
    (frame,) = axis.patches
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (1.5, 0.5, 1)
    assert axis.collections[0].get_offsets().tolist() == [[2.25, 1]]


def test_a_heat_map_lies_over_the_whole_picture(axis: Any) -> None:
    cmap = np.zeros((20, 30), np.float32)
    cmap[5, 9] = 0.5
    plots_pose.cmap_over(axis, cmap)
    picture, heat = axis.get_images()
    assert heat.get_extent() == picture.get_extent(), "as large as the picture"
    values = np.asarray(heat.get_array())
    assert values[5, 9] == 1.0, "its highest is the brightest"
    assert heat.get_alpha()[5, 9] > heat.get_alpha()[0, 0], "the picture shows through where nothing is"
    plots_pose.cmap_over(axis, cmap, top=1.0)
    assert np.asarray(axis.get_images()[2].get_array()).max() == 0.5


def test_a_map_without_anything_is_dark(axis: Any) -> None:
    plots_pose.cmap_over(axis, np.full((4, 6), -0.1, np.float32))
    assert not np.asarray(axis.get_images()[1].get_array()).any()


def test_arrows_stand_in_their_cells_and_point_their_way(axis: Any) -> None:
    paf = np.zeros((2, 20, 30), np.float32)
    paf[0, 5, 9] = 0.8  # down
    paf[1, 6, 9] = -0.5  # to the left
    paf[1, 7, 9] = 0.1  # too short
    plots_pose.paf_over(axis, paf, least=0.2)
    (arrows,) = (one for one in axis.collections if isinstance(one, Quiver))
    assert arrows.XY.tolist() == [[37.5, 21.5], [37.5, 25.5]], "centres of cells of 4×4 pixels"
    assert arrows.U.tolist() == pytest.approx([0, -2])
    assert arrows.V.tolist() == pytest.approx([3.2, 0])
    assert arrows.angles == "xy", "down on the screen is down in the picture"
    assert np.asarray(arrows.get_array()).tolist() == pytest.approx([0.8, 0.5])


def test_a_fine_field_has_fewer_arrows_each_longer(axis: Any) -> None:
    paf = np.zeros((2, 40, 60), np.float32)
    paf[1] = 1.0
    plots_pose.paf_over(axis, paf, most=30)
    (arrows,) = (one for one in axis.collections if isinstance(one, Quiver))
    assert len(arrows.U) == 20 * 30
    assert set(arrows.U.tolist()) == {4.0}, "as long as its own 4 pixels, not those of the fine cell"
    assert arrows.XY[0].tolist() == [1.5, 1.5]


def test_the_longest_arrow_of_all_limbs_stays_whole() -> None:
    paf = np.zeros((4, 2, 2), np.float32)  # two limbs
    paf[0, 0, 0], paf[3, 0, 0] = 0.9, 0.5  # the first one's is longer
    paf[1, 0, 1], paf[2, 0, 1], paf[3, 0, 1] = 0.6, -0.5, 0.5  # the second one's, by its two parts
    field = plots_pose.strongest(paf)
    assert field[:, 0, 0].tolist() == pytest.approx([0.9, 0])
    assert field[:, 0, 1].tolist() == pytest.approx([-0.5, 0.5])
    assert not field[:, 1].any()


def test_a_field_without_arrows(axis: Any) -> None:
    plots_pose.paf_over(axis, np.zeros((2, 20, 30), np.float32))
    plt.gcf().canvas.draw()


def test_points_have_their_words(axis: Any) -> None:
    plots_pose.dots(axis, np.array([[1, 2], [30, 40]]), words=["A1"])
    assert axis.collections[0].get_offsets().tolist() == [[1, 2], [30, 40]]
    assert [text.get_text() for text in axis.texts] == ["A1"]
    assert axis.texts[0].xy == (1, 2)
    plots_pose.dots(axis, np.zeros((0, 2)))


def test_chosen_pairs_are_thick_and_bad_ones_dotted(axis: Any) -> None:
    a, b = np.array([[0, 0], [10, 0]]), np.array([[0, 9], [10, 9]])
    plots_pose.pairs_over(axis, a, b, np.array([[0.9, -0.2], [0.4, 0.8]]), [(0, 0), (1, 1)])
    lines = axis.lines
    assert [line.get_xydata().tolist() for line in lines][1] == [[0, 0], [10, 9]]
    assert [line.get_linewidth() > 3 for line in lines] == [True, False, False, True]
    assert [line.get_linestyle() for line in lines] == ["-", ":", "-", "-"]


def test_the_matrix_has_its_figures_and_frames() -> None:
    axis = plots_pose.pair_scores(np.array([[0.9, -0.2, 0.0]]), [(0, 1)], ["A1"], ["B1", "B2", "B3"])
    assert [text.get_text() for text in axis.texts] == ["0.90", "-0.20", "0.00"]
    (frame,) = axis.patches
    centre = frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2
    assert centre == pytest.approx((1, 0)), "column 1, row 0"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["B1", "B2", "B3"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A1"]
    other = plt.subplots()[1]
    assert plots_pose.pair_scores(np.zeros((2, 2)), axis=other) is other


def test_a_skeleton_leaves_out_what_was_not_found(axis: Any) -> None:
    points = np.array([[5, 5, 0.9], [150, 5, 0.8], [0, 0, 0.0]], np.float32)
    plots_pose.skeleton_over(axis, points, [(0, 1), (1, 2)], names=["nose", "right_eye", "left_eye"])
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[5, 5], [150, 5]]]
    assert axis.collections[0].get_offsets().tolist() == [[5, 5], [150, 5]]
    assert axis.get_xlim() == (-0.5, 119.5), "a point outside does not make the picture smaller"
    assert {text.get_text(): text.get_ha() for text in axis.texts} == {"nose": "left", "right_eye": "right"}


def test_people_and_peaks_have_their_colours(axis: Any) -> None:
    person = np.array([[5, 5, 0.9], [15, 5, 0.8]], np.float32)
    plots_pose.people_over(axis, np.stack([person, person + 9]), [(0, 1)])
    assert [line.get_color() for line in axis.lines] == list(plots.COLOURS[:2])
    plots_pose.people_over(axis, person[None], [(0, 1)], least=0.8)
    assert len(axis.lines) == 2, "a point of the least score is left out, and its limb with it"
    assert len(axis.collections[-1].get_offsets()) == 1
    other = plots.show(np.zeros((8, 8, 3), np.uint8))[0]
    plots_pose.peaks_over(other, np.array([[1, 1], [2, 2], [3, 3]]), np.array([4, 9, 4]))
    assert [len(group.get_offsets()) for group in other.collections] == [2, 1]
    seen = [tuple(group.get_facecolors()[0][:3]) for group in other.collections]
    assert seen == [pytest.approx(plots.COLOURS[4]), pytest.approx(plots.COLOURS[2])]


def test_the_crossing_is_marked_on_the_line() -> None:
    ms = {"flat": [40, 40, 40], "growing": [28, 36, 52]}
    axis = plots_pose.crossing([1, 2, 4], ms, at=2.5, title="here")
    flat, growing, mark = axis.lines
    assert growing.get_xydata().tolist() == [[1, 28], [2, 36], [4, 52]]
    assert mark.get_xdata()[0] == 2.5
    (words,) = axis.texts
    assert (words.get_text(), words.xy) == ("they cross at 2.5 people", (2.5, 40))
    assert axis.get_ylim()[0] == 0, "times begin at 0"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["flat", "growing"]
    assert flat.get_color() != growing.get_color()
    assert not plots_pose.crossing([1, 2, 4], ms).texts
