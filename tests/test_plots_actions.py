"""The pictures of the action notebook show the right frames, windows, cells and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import plots, plots_actions

pytestmark = pytest.mark.usefixtures("pyplot")


@pytest.fixture
def axis(pyplot: Any) -> Any:
    return pyplot.subplots()[1]


def test_a_cut_out_is_the_same_in_each_picture_and_inside() -> None:
    ramp = np.arange(60 * 80).reshape(60, 80, 1).astype(np.uint8).repeat(3, 2)
    first, second = plots_actions.cut_out([ramp, ramp + 1], np.array([20, 10, 40, 30]), grow=2)
    assert np.array_equal(first, ramp[0:40, 10:50])
    assert np.array_equal(second, ramp[0:40, 10:50] + 1)
    (corner,) = plots_actions.cut_out([ramp], np.array([70.0, 55, 200, 300]))
    assert np.array_equal(corner, ramp[6:, 44:])
    (outside,) = plots_actions.cut_out([ramp], np.array([500.0, 500, 600, 600]))
    assert outside.shape == (1, 1, 3)


def test_film_strips_show_each_frame_where_it_belongs() -> None:
    frames = [np.full((20, 10, 3), 40 + 10 * k, np.uint8) for k in range(10)]
    axes = plots_actions.film_strips(frames, [0, 4, 9], across=5)
    assert len(axes) == 3
    words = [[text.get_text() for text in axis.texts] for axis in axes]
    assert words == [["0", "4", "9"], list("01234"), list("56789")]
    for axis in axes:
        film = np.asarray(axis.get_images()[0].get_array())
        step = film.shape[1] // len(axis.texts)
        middle = plots_actions.MARGIN + plots_actions.FRAME_HEIGHT // 2
        for place, text in enumerate(axis.texts):
            assert film[middle, place * step + step // 2, 0] == 40 + 10 * int(text.get_text())
    assert [len(axis.patches) for axis in axes] == [0, 2, 1], "frames 0 and 4, then 9"
    assert axes[0].get_title(loc="left") == "slow: 3 frames"


def test_a_short_last_row_is_not_blown_up() -> None:
    frames = [np.zeros((20, 10, 3), np.uint8)] * 7
    axes = plots_actions.film_strips(frames, [0, 6], across=4)
    assert len(axes) == 3
    assert axes[1].get_xlim() == axes[2].get_xlim()
    assert axes[1].get_images()[0].get_array().shape[1] > axes[2].get_images()[0].get_array().shape[1]


def test_windows_end_with_their_frame_and_mark_the_middle() -> None:
    axis = plots_actions.windows(np.array([7, 11, 15]), span=8, most=2)
    spans = [path.vertices[:, 0] for rows in axis.collections for path in rows.get_paths()]
    assert [(span.min(), span.max()) for span in spans] == [(0, 8), (4, 12)]
    assert [line.get_xdata()[0] for line in axis.lines] == [4.5, 8.5], "in the middle of frames 4 and 8"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["after frame 7", "after frame 11"]


def test_no_window_yet() -> None:
    assert not plots_actions.windows([], 8).lines


def test_a_box_is_cut_into_cells(axis: Any) -> None:
    plots_actions.roi_grid(axis, np.array([10, 20, 24, 48]), cells=7)
    upright = sorted({line.get_xdata()[0] for line in axis.lines[0::2]})
    level = sorted({line.get_ydata()[0] for line in axis.lines[1::2]})
    assert upright == pytest.approx(np.arange(10, 25, 2))
    assert level == pytest.approx(np.arange(20, 49, 4))


def test_the_box_lies_on_the_cells_that_see_it() -> None:
    """Cell k of convolutions with a step of 16 looks at pixel 16 k."""
    features = np.zeros((4, 6), np.float32)
    features[2, 3] = 5.0
    pooled = np.arange(49.0).reshape(7, 7)
    picture = np.zeros((60, 90, 3), np.uint8)
    axes = plots_actions.roi_align_steps(picture, features, np.array([32, 16, 64, 48]), pooled)
    over = axes[0].get_images()[1]
    left, right, bottom, top = over.get_extent()
    assert ((left + right) / 2, (top + bottom) / 2) == (16 * 2.5, 16 * 1.5), "cell (0, 0) on pixel (0, 0)"
    assert (right - left) / 6 == (bottom - top) / 4 == 16
    assert axes[0].get_xlim() == (-0.5, 89.5)
    xs = [x for line in axes[1].lines for x in line.get_xdata()]
    ys = [y for line in axes[1].lines for y in line.get_ydata()]
    assert (min(xs), max(xs), min(ys), max(ys)) == (2, 4, 1, 3)
    assert {image.get_clim() for axis in axes[1:] for image in axis.get_images()} == {(0, 5)}, "one scale"
    assert axes[2].get_title() == "pooled: 7×7"


def test_scores_of_people_share_their_classes_and_show_the_threshold() -> None:
    names = ["walk", "stand", "sit", "fall"]
    one, two = np.array([0.9, 0.1, 0.0, 0.05]), np.array([0.2, 0.8, 0.0, 0.3])
    figure = plots_actions.score_bars([("#1", one), ("#2", two)], names, threshold=0.3, most=3)
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["walk", "stand", "fall"]
    assert [bar.get_width() for bar in first.patches] == [0.9, 0.1, 0.05]
    assert [bar.get_width() for bar in second.patches] == [0.2, 0.8, 0.3]
    on = [bar.get_facecolor()[:3] == plots.COLOURS[2] for bar in second.patches]
    assert on == [False, True, True], "those that reach the threshold are in colour"
    assert [line.get_xdata()[0] for line in second.lines] == [0.3]
    assert first.get_ylim()[0] > first.get_ylim()[1], "the best on top"
