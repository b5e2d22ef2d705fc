"""The pictures of tracks show the right places and times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit import plots, plots_tracks
from edgekit.results import Actions, Tracks

pytestmark = pytest.mark.usefixtures("pyplot")


@pytest.fixture
def axis(pyplot: Any) -> Any:
    return pyplot.subplots()[1]


def tracks(*rows: tuple[int, tuple[float, float, float, float]]) -> Tracks:
    """Of (number, box)."""
    n = len(rows)
    boxes = np.array([box for _, box in rows], np.float32).reshape(n, 4)
    ids = np.array([number for number, _ in rows], np.int64)
    return Tracks(boxes, np.ones(n, np.float32), np.zeros(n, np.int64), ("person",), ids)


#: Track 4 goes right, 4 pixels a frame, and is lost on frames 2 and 3; track 9 stands, from frame 1 on.
HISTORY = [
    tracks(
        *([(4, (10 + 4 * k, 20, 20 + 4 * k, 50))] if k not in (2, 3) else []),
        *([(9, (60, 20, 70, 60))] if k else []),
    )
    for k in range(6)
]


def test_trails_follow_the_feet() -> None:
    (axis,) = plots.show(np.zeros((80, 120, 3), np.uint8))
    plots_tracks.trails_over(axis, HISTORY)
    four, nine = axis.lines
    assert four.get_xydata().tolist() == [[15, 50], [19, 50], [31, 50], [35, 50]]
    assert nine.get_xydata().tolist() == [[65, 60]] * 5
    assert [text.get_text() for text in axis.texts] == ["#4", "#9"]
    assert axis.get_xlim() == (-0.5, 119.5)
    assert four.get_color() == plots.COLOURS[4]


def test_a_lost_track_has_a_gap(axis: Any) -> None:
    plots_tracks.track_times(axis, HISTORY, first=100)
    bars = [
        [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in rows.get_paths()]
        for rows in axis.collections
    ]
    assert bars == [[(100, 102), (104, 106)], [(101, 106)]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["#4", "#9"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first one on top"


def test_of_a_crowd_not_each_row_is_named(axis: Any) -> None:
    plots_tracks.track_times(axis, [tracks(*((number, (0, 0, 5, 9)) for number in range(1, 42)))])
    assert len(axis.collections) == 41
    words = [label.get_text() for label in axis.get_yticklabels()]
    assert words[:3] == ["#1", "#4", "#7"]
    assert axis.get_yticks().tolist()[:3] == [0, 3, 6]


def test_both_pictures_of_tracks_and_all_of_a_way() -> None:
    over, when = plots_tracks.tracks(np.zeros((80, 120, 3), np.uint8), HISTORY, first=100)
    assert len(over.lines) == len(when.collections) == 2
    assert when.get_xlim() == (100, 106)
    assert plots_tracks.whole_way(HISTORY, 4).tolist() == [10, 20, 40, 50]


def test_actions_have_tracks_too(axis: Any) -> None:
    boxes, ids = np.array([[0, 0, 10, 20]], np.float32), np.array([5])
    moment = Actions(np.zeros((1, 2), np.float32), ("walk", "sit"), boxes, ids)
    whole_picture = Actions(np.zeros((1, 2), np.float32), ("walk", "sit"))
    plots_tracks.trails_over(axis, [moment, whole_picture])
    assert axis.lines[0].get_xydata().tolist() == [[5, 20]]


def test_nobody_is_no_error(axis: Any) -> None:
    plots_tracks.track_times(axis, [tracks()] * 3)
    plots_tracks.trails_over(axis, [])
    assert not axis.lines
    assert plots_tracks.whole_way([tracks()], 4).tolist() == [0, 0, 0, 0]
