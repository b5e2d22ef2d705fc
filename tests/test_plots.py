"""The notebooks' pictures and charts show what they are given."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest

from edgekit import Detections, plots
from edgekit.results import Frame

pytestmark = pytest.mark.usefixtures("pyplot")


def test_pictures_keep_their_colours_order_and_titles() -> None:
    blue = np.zeros((4, 6, 3), np.uint8)
    blue[..., 0] = 255
    grey = np.full((4, 6), 7, np.uint8)
    axes = plots.show(blue, grey, blue, titles=("one", "two"), columns=2)
    assert len(axes) == 3
    assert axes[0].get_images()[0].get_array()[0, 0].tolist() == [0, 0, 255], "RGB on the screen"
    assert axes[1].get_images()[0].get_clim() == (0, 255)
    assert [axis.get_title() for axis in axes] == ["one", "two", ""]
    assert len(plt.gcf().axes) == 4
    assert not any(axis.axison for axis in plt.gcf().axes)


def test_boxes_lie_where_they_are() -> None:
    (axis,) = plots.show(np.zeros((50, 60, 3), np.uint8))
    plots.boxes(axis, np.array([[1, 2, 11, 22], [5, 5, 6, 6]], np.float32), words=["first"])
    first = axis.patches[0]
    assert (first.get_x(), first.get_y(), first.get_width(), first.get_height()) == (1, 2, 10, 20)
    assert [text.get_text() for text in axis.texts] == ["first"]
    assert len(axis.patches) == 2


def test_bars_show_their_figures() -> None:
    figure = plots.bars({"size": {"fp32": 8.5, "fp16": 4.25}, "seconds": {"fp32": 1.0}}, digits=2)
    left, right = figure.axes
    assert [bar.get_height() for bar in left.patches] == [8.5, 4.25]
    assert "4.25" in [text.get_text() for text in left.texts]
    assert right.get_title() == "seconds"


def test_counts_put_the_most_frequent_on_top() -> None:
    figure = plots.counts({"before": {"Add": 1, "Conv": 9}, "after": {"conv": 3}})
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["Add", "Conv"]
    assert left.get_xlim() == right.get_xlim(), "the two can be compared"


def test_score_maps_are_laid_out_as_the_picture() -> None:
    size = (64, 96)
    score = np.zeros(8 * 12 + 4 * 6 + 2 * 3, np.float32)
    score[3 * 12 + 5] = 0.9  # stride 8, row 3, column 5
    score[8 * 12 + 1 * 6 + 2] = 0.8  # stride 16, row 1, column 2
    fine, middle, coarse = plots.score_maps(score, size)
    assert (fine.shape, middle.shape, coarse.shape) == ((8, 12), (4, 6), (2, 3))
    assert fine[3, 5] == np.float32(0.9)
    assert middle[1, 2] == np.float32(0.8)


def test_score_maps_take_the_best_of_three_anchors() -> None:
    size = (64, 96)
    score = np.zeros(3 * (8 * 12 + 4 * 6 + 2 * 3), np.float32)
    score[2 * 96 + 3 * 12 + 5] = 0.9  # the third anchor of stride 8
    assert plots.score_maps(score, size)[0][3, 5] == np.float32(0.9)
    assert plots.score_maps(np.zeros(300, np.float32), size) == [], "an end-to-end output is no grid"


def test_a_chart_of_counts_grows_with_every_frame(tmp_path: Path) -> None:
    sink = plots.CountChart(tmp_path / "made" / "chart.png")
    sizes = []
    for count in (2, 0, 5):
        blank = np.zeros((count, 4), np.float32)
        sink.write(Frame(np.zeros((4, 4, 3), np.uint8)), Detections(blank, blank[:, 0], blank[:, 0]), None)
        sizes.append(cv2.imread(str(sink.path)))
    sink.close()
    assert sink.found == [2, 0, 5]
    assert all(picture is not None for picture in sizes)
    assert not np.array_equal(sizes[0], sizes[2]), "drawn anew"
    assert not plt.get_fignums(), "nothing is left open"


def test_a_page_is_shown_whole(tmp_path: Path) -> None:
    text = '<!doctype html><p title="a &amp; b">5 < 6</p>'
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    (shown,) = ElementTree.fromstring(plots.page(tmp_path / "page.html", 300).data)
    assert shown.attrib["srcdoc"] == text
    assert "height:300px" in shown.attrib["style"]
