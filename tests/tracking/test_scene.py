import cv2
import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.results import Frame
from edgekit.tracking.scene import Scene


def picture(seed, size=(240, 320)):
    """A smooth picture of its own for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)


def steps(scene, *frames):
    return [scene.step(Frame(image, index)) for index, image in frames]


def test_a_scene_begins_with_the_first_frame_and_at_a_cut():
    one, other = picture(0), picture(1)
    assert steps(Scene(), (0, one), (1, one), (2, other), (3, other), (4, one)) == [0, 1, 0, 1, 0]


def test_without_cuts_no_picture_is_looked_at():
    assert steps(Scene(None), (0, picture(0)), (1, picture(1))) == [0, 1]


def test_frames_left_out_are_counted():
    one = picture(0)
    assert steps(Scene(), (3, one), (4, one), (9, one), (10, one)) == [0, 1, 5, 1]


def test_single_pictures_count_as_one_frame_each():
    one = picture(0)
    assert steps(Scene(), (0, one), (0, one), (0, one)) == [0, 1, 1]


def test_a_source_that_begins_again_is_another_scene():
    one = picture(0)
    assert steps(Scene(), (7, one), (8, one), (0, one), (1, one)) == [0, 1, 0, 1]


def test_a_picture_of_another_size_is_another_scene():
    assert steps(Scene(), (0, picture(0)), (1, picture(0, (120, 160)))) == [0, 0]


def test_light_is_no_cut():
    one = picture(0)
    dark, bright = (one * 0.4).astype(np.uint8), cv2.add(cv2.convertScaleAbs(one, alpha=0.5), 120)
    assert steps(Scene(), (0, one), (1, dark), (2, bright), (3, one)) == [0, 1, 1, 1]


def test_a_moving_camera_is_no_cut():
    wide = picture(0, (240, 640))
    views = [(n, wide[:, 20 * n : 20 * n + 320]) for n in range(12)]
    assert steps(Scene(), *views) == [0] + [1] * 11


def test_a_black_picture_says_nothing():
    one, other, black = picture(0), picture(1), np.zeros((240, 320, 3), np.uint8)
    assert steps(Scene(), (0, one), (1, black), (2, one)) == [0, 1, 1]
    assert steps(Scene(), (0, one), (1, black), (2, other)) == [0, 1, 0]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (17, 31)])
def test_any_size_of_picture_will_do(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert steps(Scene(), (0, image), (1, image)) == [0, 1]


def test_after_reset_a_scene_begins():
    scene, one = Scene(), picture(0)
    steps(scene, (5, one))
    scene.reset()
    assert steps(scene, (6, one)) == [0]


@pytest.mark.parametrize("cut", [-1.1, 1.5])
def test_a_cut_that_is_no_correlation_is_refused(cut):
    with pytest.raises(InputError, match="cut="):
        Scene(cut)
