"""Figures of tracks: by hand where that is short, else as py-motmetrics and plain_hota have them."""

import sys
from pathlib import Path

import motmetrics
import numpy as np
import pytest
from plain_hota import hota

from edgekit.errors import MissingError
from edgekit.evaluate.track import MATCH, considered, frame_pairs, score_tracks
from edgekit.tracking.mot import MotBoxes

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tracking"))
from plain_bytetrack import plain_tracks  # noqa: E402
from walkers import walkers  # noqa: E402

#: people, frames, seed, noise, missed: from clean to hopeless.
WORLDS = ((6, 40, 1, 0.01, 0.0), (12, 60, 2, 0.04, 0.1), (25, 40, 3, 0.06, 0.2), (15, 50, 4, 0.12, 0.4))


def rows(*given, label=None):
    """(frame, number, left) a row: people of 10 × 20 pixels."""
    table = np.array(given, np.float64).reshape(-1, 3)
    left = table[:, 2]
    xyxy = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 20)], 1)
    label = None if label is None else np.array(label)
    return MotBoxes(table[:, 0].astype(int), table[:, 1].astype(int), xyxy, np.ones(len(table)), label)


TWO = rows(*((n, 1, 0) for n in range(1, 5)), *((n, 2, 50) for n in range(1, 5)))


def test_all_right_is_one():
    figures = score_tracks(TWO, TWO)
    assert [figures[name] for name in ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "recall")] == [1.0] * 6
    assert (figures["objects"], figures["boxes"], figures["tracks"], figures["MT"]) == (2, 8, 2, 2)


def test_nothing_found():
    figures = score_tracks(TWO, rows())
    assert (figures["MOTA"], figures["IDF1"], figures["HOTA"], figures["FN"]) == (0.0, 0.0, 0.0, 8)


def test_a_change_of_numbers_by_hand():
    """One person in four frames, the number changes after two; another is found where nobody is, once."""
    truth = rows(*((n, 1, 0) for n in range(1, 5)))
    figures = score_tracks(truth, rows((1, 7, 0), (2, 7, 0), (3, 8, 0), (4, 8, 0), (4, 9, 90)))
    assert figures["IDs"] == 1
    assert figures["MOTA"] == pytest.approx(1 - (1 + 1) / 4)  # a false box, a switch, four objects
    assert figures["IDF1"] == pytest.approx(2 * 2 / (4 + 5))  # number 7 for the person: two of four and five
    assert figures["DetA"] == pytest.approx(4 / 5)
    assert figures["AssA"] == pytest.approx(2 / 4)  # each box: two frames together, four of the person's
    assert figures["HOTA"] == pytest.approx(np.sqrt(4 / 5 * 2 / 4))


def test_overlap_decides_by_hand():
    """Shifted by a quarter: IoU 7.5 / 12.5 = .6, so that HOTA counts it at .05 to .6: 12 of 19."""
    figures = score_tracks(rows((1, 1, 0)), rows((1, 1, 2.5)))
    assert figures["MOTA"] == 1.0
    assert figures["HOTA"] == pytest.approx(12 / 19)
    far = score_tracks(rows((1, 1, 0)), rows((1, 1, 4)))  # IoU 6 / 14
    assert far["MOTA"] == -1.0
    assert far["HOTA"] == pytest.approx(8 / 19)


def test_a_switch_is_told_over_a_gap():
    truth = rows(*((n, 1, 0) for n in range(1, 7)))
    assert score_tracks(truth, rows((1, 5, 0), (6, 6, 0)))["IDs"] == 1
    assert score_tracks(truth, rows((1, 5, 0), (6, 5, 0)))["IDs"] == 0


@pytest.mark.parametrize(("people", "frames", "seed", "noise", "missed"), WORLDS)
def test_the_figures_are_the_references(people, frames, seed, noise, missed):
    world = walkers(people, frames, seed, noise=noise, missed=missed)
    truth, found = world.true_boxes(), plain_tracks(world)
    figures = score_tracks(truth, found)
    accumulator, pairs = motmetrics.MOTAccumulator(), []
    for number, (o, h, overlap) in frame_pairs(truth, found).items():
        distance = np.where(overlap >= MATCH, 1 - overlap, np.nan)
        accumulator.update(truth.track_id[o], found.track_id[h], distance, frameid=number)
        pairs.append((truth.track_id[o], found.track_id[h], overlap))
    for name, figure in hota(pairs).items():
        assert figures[name] == pytest.approx(figure, abs=1e-9), name
    names = ["mota", "idf1", "recall", "precision", "num_switches", "num_unique_objects", "num_objects"]
    other = motmetrics.metrics.create().compute(accumulator, metrics=names, name="all").iloc[0]
    assert figures["IDF1"] == pytest.approx(other["idf1"], abs=1e-9)
    assert (figures["objects"], figures["boxes"]) == (other["num_unique_objects"], other["num_objects"])
    # py-motmetrics forgets whom a number meant once somebody else has it: a switch less, now and then.
    assert 0 <= figures["IDs"] - other["num_switches"] <= 1
    for ours, theirs in (("MOTA", "mota"), ("recall", "recall"), ("precision", "precision")):
        assert figures[ours] == pytest.approx(other[theirs], abs=0.005)


def test_of_mot16_only_pedestrians_that_count_are_objects():
    truth = rows((1, 1, 0), (1, 2, 50), (1, 3, 100), (1, 4, 150), label=[1, 1, 7, 3])
    truth = MotBoxes(truth.frame, truth.track_id, truth.xyxy, np.array([1.0, 0, 0, 1]), truth.label)
    found = rows((1, 10, 0), (1, 11, 50), (1, 12, 101), (1, 13, 150), (1, 14, 300))
    objects, left = considered(truth, found)
    assert objects.track_id.tolist() == [1]
    assert left.track_id.tolist() == [10, 11, 13, 14], "what stands at the static person counts neither way"
    assert score_tracks(truth, found)["FP"] == 3


def test_of_mot15_what_has_the_flag_0_is_no_object():
    truth = MotBoxes(TWO.frame, TWO.track_id, TWO.xyxy, (TWO.track_id == 1).astype(float))
    assert score_tracks(truth, TWO[TWO.track_id == 1])["MOTA"] == 1.0


def test_a_share_of_nothing_is_none():
    figures = score_tracks(rows(), TWO)
    assert (figures["MOTA"], figures["IDF1"], figures["recall"], figures["precision"]) == (
        None,
        None,
        None,
        0.0,
    )
    assert (figures["HOTA"], figures["FP"], figures["tracks"]) == (0.0, 8, 2)
    figures = score_tracks(rows(), rows())
    assert (figures["MOTA"], figures["precision"], figures["HOTA"], figures["objects"]) == (
        None,
        None,
        0.0,
        0,
    )


def test_without_the_library_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackeval", None)
    with pytest.raises(MissingError, match="pip install"):
        score_tracks(TWO, TWO)
