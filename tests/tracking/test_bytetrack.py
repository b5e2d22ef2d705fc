import numpy as np
import pytest
from plain_bytetrack import PlainByteTrack
from walkers import World, boxes, frame, standing, track_all, walkers

from edgekit.errors import InputError
from edgekit.evaluate.track import score_tracks
from edgekit.results import Detections, Frame, Tracks
from edgekit.tracking import ByteTrack, open_tracker
from edgekit.tracking.matching import iou

NOBODY = Detections()


def ids(tracker, *found, start=0):
    """Numbers of each frame, frame after frame."""
    return [tracker.update(one, frame(start + n)).track_id.tolist() for n, one in enumerate(found)]


@pytest.mark.parametrize("seed", range(4))
def test_it_numbers_as_the_paper_written_out_does(seed):
    world = walkers(12, 60, seed, noise=0.04, missed=0.15)
    ours, plain = ByteTrack(), PlainByteTrack()
    for now, found in enumerate(world.found):
        expected = np.array(plain.update(found.xyxy, found.score), int)
        tracks = ours.update(found, frame(now))
        # New people of one frame may be numbered in another order; who is who must be the same.
        assert tracks.track_id.tolist() == expected[expected > 0].tolist()
        np.testing.assert_array_equal(tracks.xyxy, found.xyxy[expected > 0])


def test_a_made_world_is_followed():
    world = walkers(15, 150, 100)
    figures = score_tracks(world.true_boxes(), track_all(ByteTrack(), world))
    assert figures["MOTA"] > 0.8
    assert figures["IDF1"] > 0.8
    assert figures["IDs"] <= 12


def test_two_who_cross_keep_their_numbers():
    tracker = ByteTrack()
    for now in range(60):
        found = standing(100 + 5 * now, 400 - 5 * now, y=200)
        tracks = tracker.update(found, frame(now))
        assert sorted(tracks.track_id.tolist()) == [1, 2]
        number = {int(i): float(x) for i, x in zip(tracks.track_id, tracks.xyxy[:, 0], strict=True)}
    assert number == {1: 395.0, 2: 105.0}


def test_a_first_frame_numbers_at_once_and_a_later_one_waits_for_a_second_look():
    assert ids(ByteTrack(), standing(100), standing(100, 400), standing(100, 400)) == [[1], [1], [1, 2]]


def test_somebody_seen_once_never_gets_a_number():
    assert ids(ByteTrack(), standing(100), standing(100, 400), standing(100), standing(100, 400)) == [[1]] * 4


def test_a_second_look_must_be_nearer_than_a_later_one():
    """Shifted by 22 of 40 pixels, score .9: cost .74, between the two limits."""
    first, shifted = standing(100, 400), standing(100, 422)
    assert ids(ByteTrack(), standing(100), first, shifted) == [[1], [1], [1]]
    assert ids(ByteTrack(), first, first, shifted) == [[1, 2], [1, 2], [1, 2]]


def test_somebody_lost_keeps_the_height_he_had():
    grown = [boxes((300 - h / 5, 250 - h / 2, 300 + h / 5, 250 + h / 2)) for h in range(100, 181, 8)]
    assert ids(ByteTrack(), *grown, *[NOBODY] * 28, grown[-1])[-1] == [1]


def test_a_weak_box_keeps_a_track_but_begins_none():
    weak = standing(100, 400, score=[0.2, 0.3])
    assert ids(ByteTrack(), standing(100), weak, weak, weak) == [[1]] * 4


def test_a_box_below_the_floor_is_not_looked_at():
    assert ids(ByteTrack(), standing(100), standing(100, score=0.05)) == [[1], []]


def test_a_lost_track_takes_no_weak_box():
    assert ids(ByteTrack(), standing(100), NOBODY, standing(100, score=0.3), standing(100)) == [
        [1],
        [],
        [],
        [1],
    ]


def test_a_box_begins_only_from_its_own_threshold():
    sure = standing(100, score=0.55)
    assert ids(ByteTrack(), sure, sure) == [[], []]
    assert ids(ByteTrack(new_thresh=0.5), sure, sure) == [[1], [1]]


@pytest.mark.parametrize(("away", "found"), [(30, True), (31, False)])
def test_lost_and_found_again_within_the_buffer(away, found):
    tracker = ByteTrack(track_buffer=30)
    ids(tracker, standing(100), standing(100), *[NOBODY] * away)
    # After the buffer somebody new stands there, who must be seen twice.
    again = ids(tracker, standing(100), standing(100), start=away + 2)
    assert again == ([[1], [1]] if found else [[], [2]])


def test_somebody_hidden_is_found_where_he_walked_to():
    tracker = ByteTrack()
    walk = [standing(100 + 6 * n) for n in range(30)]
    hidden = [*walk[:15], *[NOBODY] * 8, *walk[23:]]
    numbers = ids(tracker, *hidden)
    assert numbers[23:] == [[1]] * 7
    assert float(iou(walk[14].xyxy, walk[23].xyxy)[0, 0]) == 0.0, "standing still he would not be found"


def test_frames_left_out_are_walked_over():
    tracker = ByteTrack()
    for now in (*range(12), 20, 28, 36):  # from frame 12 on only each eighth comes through
        tracks = tracker.update(standing(100 + 6 * now), frame(now))
        assert tracks.track_id.tolist() == [1]
    other = ByteTrack()
    numbers = [
        other.update(standing(100 + 6 * now), frame(n)).track_id.tolist()
        for n, now in enumerate((*range(12), 20, 28, 36))
    ]
    assert numbers[12:] != [[1]] * 3, "without the index the way is too far"


def test_a_gap_longer_than_the_buffer_ends_all():
    tracker = ByteTrack(track_buffer=10)
    ids(tracker, standing(100), standing(100))
    assert tracker.update(standing(100), frame(12)).track_id.tolist() == []
    assert tracker.update(standing(100), frame(13)).track_id.tolist() == [2]


def test_empty_frames_are_nothing_special():
    tracker = ByteTrack()
    assert ids(tracker, NOBODY, NOBODY, standing(100), standing(100), NOBODY) == [[], [], [], [1], []]
    empty = tracker.update(NOBODY, frame(5))
    assert isinstance(empty, Tracks)
    assert empty.track_id.dtype == np.int64


def test_no_number_is_used_twice():
    tracker, seen = ByteTrack(track_buffer=2), []
    for round_ in range(10):
        start = 10 * round_
        ids(tracker, standing(100), standing(100), start=start)
        seen.append(tracker.update(standing(100), frame(start + 2)).track_id.tolist())
        ids(tracker, *[NOBODY] * 7, start=start + 3)
    assert seen == [[n + 1] for n in range(10)]


def test_a_cut_ends_all_and_numbers_go_on():
    tracker = ByteTrack()
    ids(tracker, standing(100, 300))
    tracker.cut()
    assert ids(tracker, standing(100, 300), start=1) == [[3, 4]]


def test_a_cut_is_seen_in_the_picture():
    random = np.random.default_rng(0)
    one, other = (
        np.kron(random.integers(0, 256, (6, 8, 3)), np.ones((40, 40, 1))).astype(np.uint8) for _ in "ab"
    )
    tracker = ByteTrack()
    numbers = [
        tracker.update(standing(100), Frame(image, n)).track_id.tolist()
        for n, image in enumerate((one, one, other, other))
    ]
    assert numbers == [[1], [1], [2], [2]]
    blind = ByteTrack(cut=None)
    assert [
        blind.update(standing(100), Frame(image, n)).track_id.tolist() for n, image in enumerate((one, other))
    ] == [[1], [1]]


def test_reset_begins_at_one():
    tracker = ByteTrack()
    ids(tracker, standing(100, 300))
    tracker.reset()
    assert ids(tracker, standing(100, 300)) == [[1, 2]]


def test_classes_are_never_mixed():
    tracker = ByteTrack()
    assert ids(tracker, standing(100, label=0), standing(100, label=1), standing(100, label=1)) == [
        [1],
        [],
        [2],
    ]
    both = boxes((0, 0, 40, 100), (1, 0, 41, 100), label=[0, 1])
    tracker.reset()
    for _ in range(5):
        tracks = tracker.update(both, frame(0))
        assert dict(zip(tracks.track_id.tolist(), tracks.label.tolist(), strict=True)) == {1: 0, 2: 1}


def test_two_hundred_boxes():
    rows = [(40 * c, 50 * r, 40 * c + 30, 50 * r + 45) for r in range(10) for c in range(20)]
    tracker = ByteTrack()
    first = tracker.update(boxes(*rows), frame(0))
    assert sorted(first.track_id.tolist()) == list(range(1, 201))
    moved = boxes(*((a + 3, b + 2, c + 3, d + 2) for a, b, c, d in rows))
    assert tracker.update(moved, frame(1)).track_id.tolist() == first.track_id.tolist()


def test_what_comes_out_is_what_went_in():
    world = walkers(20, 40, 5, noise=0.05, missed=0.2)
    tracker = ByteTrack()
    for now, found in enumerate(world.found):
        tracks = tracker.update(found, frame(now))
        rows = [int(np.flatnonzero((found.xyxy == box).all(axis=1))[0]) for box in tracks.xyxy]
        assert rows == sorted(rows)
        np.testing.assert_array_equal(tracks.score, found.score[rows])
        assert tracks.names == found.names
        assert len(set(tracks.track_id.tolist())) == len(tracks)


def test_the_same_frames_give_the_same_numbers():
    world = walkers(15, 40, 9)
    one, other = track_all(ByteTrack(), world), track_all(ByteTrack(), world)
    np.testing.assert_array_equal(one.track_id, other.track_id)


def test_a_younger_double_at_the_place_of_a_lost_one_gives_way():
    """Found as someone else while the old track was lost: when both are at one place the older stays."""
    tracker = ByteTrack()
    ids(tracker, *[standing(100)] * 5)
    tracks = tracker._tracks
    tracker._begin(standing(100), np.array([0]))
    tracker._confirm(np.array([1]))
    tracks.missed[0] = 1
    numbers = np.array([2])
    tracker._unite(numbers)
    assert numbers.tolist() == [0]
    assert tracks.track_id.tolist() == [1]


def test_boxes_without_area_do_no_harm():
    point = boxes((50, 50, 50, 50), (0, 60, 700, 60))
    assert all(len(numbers) <= 2 for numbers in ids(ByteTrack(), point, point, point))


def test_open_tracker_knows_its_names_and_settings():
    assert open_tracker("bytetrack", track_thresh=0.3).track_thresh == 0.3
    with pytest.raises(InputError, match="bytetrack, deepsort"):
        open_tracker("sort")
    with pytest.raises(InputError, match="no setting n_init; it has track_thresh"):
        open_tracker("bytetrack", n_init=3)


@pytest.mark.parametrize(
    "setting",
    [
        {"track_thresh": 1.5},
        {"low_thresh": -0.1},
        {"match_thresh": 2.0},
        {"new_thresh": -1.0},
        {"track_buffer": 0},
    ],
)
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        ByteTrack(**setting)


def test_worlds_are_worth_something():
    """The tests above would pass with nobody in the world."""
    world = walkers(15, 150, 100)
    assert isinstance(world, World)
    assert len(world.true_boxes()) > 800
    assert sum(map(len, world.found)) < 0.97 * len(world.true_boxes())
    assert any((found.score < 0.5).any() for found in world.found)
