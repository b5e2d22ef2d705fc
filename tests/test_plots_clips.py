"""Films of clips show frames over all their length; what was said is drawn where it was said."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.plots_clips import GAP, films, said
from edgekit.results import Actions

pytestmark = pytest.mark.usefixtures("pyplot")
NAMES = ("jump", "walk", "wave")


def clip(count: int, colour: bool = True) -> list[np.ndarray]:
    """Picture n is all n (BGR: n, 0, 100)."""
    shape = (4, 6, 3) if colour else (4, 6)
    pictures = [np.full(shape, n, np.uint8) for n in range(count)]
    for picture in pictures if colour else ():
        picture[..., 1:] = 0, 100
    return pictures


def frames_of(axis) -> list[int]:
    film = axis.images[0].get_array()
    return [int(np.atleast_1d(film[0, x])[-1]) for x in range(0, film.shape[1], 6 + GAP)]


def test_a_film_shows_frames_over_the_whole_clip() -> None:
    axes = films({"walk": clip(24), "flow": clip(23, colour=False), "short": clip(2)}, count=8)
    assert [axis.get_ylabel() for axis in axes] == ["walk", "flow", "short"]
    assert frames_of(axes[0]) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert len(frames_of(axes[1])) == 8
    assert frames_of(axes[2]) == [0, 1]
    assert axes[0].images[0].get_array()[0, 0].tolist() == [100, 0, 0], "RGB now"


def test_what_was_said_and_done() -> None:
    sure = np.eye(3, dtype=np.float32)
    found = [Actions(np.zeros((0, 3), np.float32), NAMES)] * 2  # nothing known yet
    found += [Actions(sure[[0]], NAMES)] * 4 + [Actions(sure[[2, 1]], NAMES)] * 4
    done = ["jump"] * 6 + ["dance"] * 2 + ["walk"] * 2
    axis = said(found, done, fps=2.0)
    drawn = axis.images[0].get_array()
    assert drawn.shape == (3, 10)
    assert drawn[:, 0].tolist() == [0, 0, 0]
    assert drawn[:, 9].tolist() == [0, 1, 1], "of two people the surest"
    assert [text.get_text() for text in axis.get_yticklabels()] == list(NAMES)
    boxes = [(patch.get_x(), patch.get_width(), round(patch.get_y() + 0.46)) for patch in axis.patches]
    assert boxes == [(0.0, 3.0, 0), (4.0, 1.0, 1)], "in seconds; what the network does not know is left out"
    assert axis.get_title(loc="left").startswith("right in 75% of the frames"), "of 8 known: 4 jump, 2 walk"


def test_nobody_knows_what_was_done() -> None:
    axis = said([Actions(np.ones((1, 3), np.float32), NAMES)] * 3, title="of the sample")
    assert (axis.get_title(loc="left"), len(axis.patches)) == ("of the sample", 0)
    assert said([Actions(np.zeros((0, 3), np.float32), NAMES)], ["walk"]).get_title(loc="left") == ""
