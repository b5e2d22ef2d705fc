from __future__ import annotations

import numpy as np
import pytest

from edgekit import Actions, Detections, Frame, Poses
from edgekit.draw import PALETTE, draw

GREY = np.full((200, 300, 3), 90, np.uint8)


def test_a_box_is_drawn_where_it_is_and_the_frame_stays_as_it_was():
    frame = Frame(GREY.copy())
    canvas = draw(frame, Detections([[50, 60, 150, 160]], [0.9], [0], ("person",)))
    assert (frame.image == 90).all()
    for y, x in ((100, 50), (100, 150), (160, 100)):
        assert tuple(canvas[y, x]) == PALETTE[0]
    assert (canvas[100:150, 60:140] == 90).all()  # nothing inside the box
    assert (canvas[170:, :] == 90).all()


@pytest.mark.parametrize(
    "result",
    [
        Detections([[40, 40, 240, 160]], [0.9], [0], ("person",)),
        Poses(np.array([[[40, 40, 0.9], [240, 160, 0.9]]]), [0.9], ("a", "b"), ((0, 1),)),
        Actions([[0.9]], ("walk",), [[40, 40, 240, 160]]),
    ],
    ids=["detections", "poses", "actions"],
)
def test_a_smaller_drawing_has_everything_at_its_place(result):
    """Drawn at a third, the marks lie within a line's width of a third of where they were."""
    whole, third = (draw(Frame(GREY.copy()), result, side) for side in (0, 100))
    assert third.shape == (67, 100, 3)
    ys, xs = np.nonzero((whole[60:] != 90).any(axis=2))  # below the tag, whose letters keep their size
    ys3, xs3 = np.nonzero((third[20:] != 90).any(axis=2))
    assert np.abs(np.array([xs.min(), xs.max()]) / 3 - [xs3.min(), xs3.max()]).max() <= 2
    assert abs((ys.max() + 60) / 3 - (ys3.max() + 20)) <= 2


def test_a_drawing_is_never_larger_than_the_frame():
    assert draw(Frame(GREY.copy()), Detections(), 5000).shape == GREY.shape


def test_the_tag_stays_inside_the_picture():
    canvas = draw(Frame(GREY.copy()), Detections([[280, 0, 299, 20]], [0.9], [0], ("person",)))
    assert (canvas != 90).any(axis=2)[:20, 200:].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (17, 23)])
def test_any_size_can_be_drawn_on(size):
    frame = Frame(np.zeros((*size, 3), np.uint8))
    draw(frame, Detections([[0, 0, 1, 1]], [0.9], [8], ()))


def test_poses_draw_only_keypoints_that_were_found():
    points = np.array([[[50, 50, 0.9], [100, 50, 0.9], [200, 150, 0.0]]])
    canvas = draw(Frame(GREY.copy()), Poses(points, [0.9], ("a", "b", "c"), ((0, 1), (1, 2))))
    assert (canvas[50, 75] != 90).any()
    assert (canvas[140:, 190:] == 90).all()


def test_unsure_keypoints_and_those_out_of_all_bounds_are_left_out():
    points = np.array([[[50, 50, 0.9], [100, 50, 0.2], [1e9, -1e9, 0.9], [60, 90, 0.9]]])
    poses = Poses(points, [0.9], tuple("abcd"), ((0, 1), (0, 2), (0, 3)), threshold=0.3)
    canvas = draw(Frame(GREY.copy()), poses)
    assert (canvas[40:100, 90:] == 90).all()
    assert (canvas[70, 50:60] != 90).any()


def test_a_followed_person_keeps_its_colour_and_bears_its_number():
    points = np.array([[[50, 80, 0.9], [250, 80, 0.9]], [[50, 180, 0.9], [250, 180, 0.9]]])
    both = Poses(points, [0.9, 0.8], ("a", "b"), ((0, 1),), track_id=[4, 2])
    one = draw(Frame(GREY.copy()), both[[1]])
    assert tuple(one[180, 150]) == PALETTE[2] == tuple(draw(Frame(GREY.copy()), both)[180, 150])
    assert (one[160:176, 40:80] != 90).any()


def test_actions_name_the_best():
    canvas = draw(Frame(GREY.copy()), Actions([[0.1, 0.8]], ("walk", "fall")))
    assert (canvas != 90).any()


def test_a_person_of_whom_nothing_is_known_has_a_number_and_a_whole_picture_no_tag() -> None:
    boxes = [[20, 60, 60, 120]]
    numbered = Actions([[0.0]], ("walk",), boxes, [3], 0.3, [False])
    plain = Actions([[0.1]], ("walk",), boxes, None, 0.3)
    tagged, bare = (draw(Frame(GREY.copy()), one) for one in (numbered, plain))
    assert (tagged[:58] != GREY[:58]).any()
    assert (bare[:58] == GREY[:58]).all()
