import numpy as np
import pytest
from walkers import boxes, frame, standing, track_all, walkers

from edgekit.errors import InputError
from edgekit.evaluate.track import score_tracks
from edgekit.results import Detections
from edgekit.tracking import DeepSort, open_tracker
from edgekit.tracking.deepsort import GATE, Gallery

NOBODY = Detections()


class Looks:
    """An appearance of known vectors: each call gives the next rows of what it was told."""

    limit = 0.2

    def __init__(self, *calls):
        self.calls, self.asked, self.closed = list(calls), [], False

    def __call__(self, image, xyxy):
        self.asked.append(len(xyxy))
        given = self.calls.pop(0) if self.calls else "a" * len(xyxy)
        kinds = {"a": (1, 0, 0), "b": (0, 1, 0), "c": (0, 0, 1), "m": (0.8, 0.6, 0)}
        return np.array([kinds[letter] for letter in given], np.float32).reshape(len(xyxy), 3)

    def close(self):
        self.closed = True


def ids(tracker, *found, start=0):
    return [tracker.update(one, frame(start + n)).track_id.tolist() for n, one in enumerate(found)]


def test_the_gate_is_the_quantile_of_chi_squared():
    from scipy.special import chdtri

    assert pytest.approx(chdtri(4, 0.05), abs=1e-4) == GATE


def test_a_number_comes_with_the_third_frame_in_a_row():
    still = standing(100)
    assert ids(DeepSort(Looks()), still, still, still, still) == [[], [], [1], [1]]
    assert ids(DeepSort(Looks()), still, still, NOBODY, still, still, still) == [[], [], [], [], [], [1]]
    assert ids(DeepSort(Looks(), n_init=1), still, still) == [[1], [1]]


def test_looks_tell_two_apart_who_change_places():
    """Both stand where either could be: overlap alone would leave the numbers at their places."""
    here, swapped = standing(100, 112), "ba"
    tracker = DeepSort(Looks("ab", "ab", "ab", swapped))
    assert ids(tracker, here, here, here, here)[2:] == [[1, 2], [2, 1]]


def test_motion_forbids_whoever_looks_alike_elsewhere():
    tracker = DeepSort(Looks("ab", "ab", "ab", "ba"))
    here = standing(100, 500)
    assert ids(tracker, here, here, here, here)[2:] == [[1, 2], [1, 2]], "the gate leaves overlap to decide"


def test_who_was_seen_lately_goes_first():
    """One box, two tracks it could be: the one that was lost resembles it more, the other was seen last."""
    tracker = DeepSort(Looks("ab", "ab", "ab", "m", "a"))
    two = standing(100, 104)
    ids(tracker, two, two, two)
    assert ids(tracker, standing(104), start=3) == [[1]], "m is .2 from a and .4 from b"
    assert ids(tracker, standing(104), start=4) == [[1]]
    # The other way round, without a cascade the look "a" would go to the lost track 1.
    tracker = DeepSort(Looks("ab", "ab", "ab", "b", "m"), max_cosine_distance=0.45)
    ids(tracker, two, two, two)
    assert ids(tracker, standing(102), standing(102), start=3) == [[2], [2]]


def test_the_best_of_all_looks_counts():
    gallery = Gallery(2, 3)
    one, other, third = np.eye(3, dtype=np.float32)
    gallery.add(one)
    assert gallery.distance(np.eye(3, dtype=np.float32)).tolist() == [0, 1, 1]
    gallery.add(other)
    gallery.add(third)  # the first one has no room any more
    assert gallery.distance(np.eye(3, dtype=np.float32)).tolist() == [1, 0, 0]


def test_distances_are_the_least_cosine_distance():
    random = np.random.default_rng(0)
    kept, asked = random.normal(size=(7, 16)), random.normal(size=(5, 16))
    kept, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (kept, asked))
    gallery = Gallery(100, 16)
    for row in kept:
        gallery.add(row.astype(np.float32))
    expected = [
        min(1 - sum(a * b for a, b in zip(one, other, strict=True)) for other in kept) for one in asked
    ]
    np.testing.assert_allclose(gallery.distance(asked.astype(np.float32)), expected, atol=1e-6)


def test_the_lost_one_is_known_again_by_looks():
    """Without overlap, inside the gate that grew meanwhile."""
    tracker = DeepSort(Looks(*["a"] * 6, *[""] * 12, "a"))
    still = standing(100)
    ids(tracker, *[still] * 6, *[NOBODY] * 12)
    assert ids(tracker, standing(141), start=18) == [[1]]
    tracker = DeepSort(Looks(*["a"] * 6, *[""] * 12, "b"))
    ids(tracker, *[still] * 6, *[NOBODY] * 12)
    assert ids(tracker, standing(141), start=18) == [[]]


def test_overlap_alone_does_not_bring_back_the_lost_one():
    still = standing(100)
    tracker = DeepSort(Looks("a", "a", "a", "", "b"))
    assert ids(tracker, still, still, still, NOBODY, still)[2:] == [[1], [], []]
    tracker = DeepSort(Looks("a", "a", "a", "b"))
    assert ids(tracker, still, still, still, still)[2:] == [[1], [1]], "seen a frame ago it is enough"


def test_unsure_boxes_are_not_looked_at():
    looks = Looks("a", "")
    tracker = DeepSort(looks, min_confidence=0.5)
    ids(tracker, standing(100, 300, score=[0.9, 0.4]), standing(300, score=0.49))
    assert looks.asked == [1, 0]


def test_classes_are_never_mixed():
    tracker = DeepSort(Looks(), n_init=1)
    assert ids(tracker, standing(100, label=0), standing(100, label=1), standing(100, label=0)) == [
        [1],
        [2],
        [1],
    ]


def test_numbers_after_cut_and_reset():
    tracker = DeepSort(Looks(), n_init=1)
    ids(tracker, standing(100, 300))
    tracker.cut()
    assert ids(tracker, standing(100, 300), start=1) == [[3, 4]]
    tracker.reset()
    assert ids(tracker, standing(100, 300)) == [[1, 2]]


def test_two_hundred_boxes_and_none():
    rows = [(40 * c, 50 * r, 40 * c + 30, 50 * r + 45) for r in range(10) for c in range(20)]
    tracker = DeepSort(Looks(), n_init=1)
    first = tracker.update(boxes(*rows), frame(0)).track_id.tolist()
    assert sorted(first) == list(range(1, 201))
    assert tracker.update(boxes(*rows), frame(1)).track_id.tolist() == first
    assert len(tracker.update(NOBODY, frame(2))) == 0


def test_galleries_go_with_their_tracks():
    tracker = DeepSort(Looks(), n_init=1, track_buffer=3)
    ids(tracker, standing(100, 300, 500), *[NOBODY] * 6)
    assert tracker._galleries == {}


def test_a_made_world_is_followed():
    world = walkers(15, 100, 200)
    tracker = DeepSort(Looks())
    figures = score_tracks(world.true_boxes(), track_all(tracker, world))
    assert figures["MOTA"] > 0.7
    assert figures["IDF1"] > 0.7


def test_the_appearance_is_closed():
    looks = Looks()
    DeepSort(looks).close()
    assert looks.closed


def test_open_tracker_passes_settings_on():
    tracker = open_tracker("deepsort", n_init=1, max_cosine_distance=0.5)
    assert tracker.max_cosine_distance == 0.5
    assert open_tracker("deepsort").max_cosine_distance == tracker.appearance.limit


@pytest.mark.parametrize(
    "setting",
    [
        {"n_init": 0},
        {"nn_budget": 0},
        {"min_confidence": 2.0},
        {"max_iou_distance": -1.0},
        {"max_cosine_distance": 1.2},
    ],
)
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        DeepSort(Looks(), **setting)
