from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from clips import make_video

from edgekit import InputError, open_source
from edgekit.camera import synthetic
from edgekit.camera.synthetic import Synthetic, flash_delay, flash_level, is_lit, paint, read_number

SIZES = [(90, 60), (160, 120), (640, 480), (1279, 717)]


def red_centroid(image: np.ndarray) -> tuple[float, float]:
    """Centre of what is clearly red, in pixels: pixel i covers i to i + 1."""
    red = np.clip(image[:, :, 2].astype(float) - image[:, :, :2].max(axis=2) - 60, 0, None)
    ys, xs = np.mgrid[: red.shape[0], : red.shape[1]]
    return float((red * (xs + 0.5)).sum() / red.sum()), float((red * (ys + 0.5)).sum() / red.sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("index", [0, 7, 31, 1000])
def test_the_disc_is_where_position_says(size, index):
    found = red_centroid(paint(index, size))
    np.testing.assert_allclose(found, synthetic.position(index, size), atol=0.35)


def test_the_whole_path_stays_clear_of_number_square_and_edges():
    radius = 480 * synthetic.DISC_RADIUS
    path = np.array([synthetic.position(i) for i in range(9600)])
    assert path[:, 0].min() > radius
    assert path[:, 0].max() < 640 - radius
    assert path[:, 1].min() - radius > 480 * 0.1
    assert path[:, 1].max() + radius < 480 * synthetic.FLASH_BOX[1]
    assert np.hypot(*np.diff(path, axis=0).T).max() < 20  # a tracker can follow


@pytest.mark.parametrize("size", SIZES)
def test_the_number_is_read_again(size):
    for index in (0, 1, 255, 4097, 2**20 - 1):
        assert read_number(paint(index, size)) == index
    assert read_number(paint(2**20 + 5, size)) == 5


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("quality", [90, 40])
def test_the_number_survives_jpeg_and_half_the_size(size, quality):
    for index in range(0, 4000, 97):
        jpeg = cv2.imencode(".jpg", paint(index, size), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        assert read_number(image) == index
        half = cv2.resize(image, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
        assert read_number(half) == index


@pytest.mark.parametrize(("gain", "offset"), [(0.4, 0), (0.4, 150), (1, 20)])
def test_the_number_is_read_dim_and_bright(gain, offset):
    for index in (3, 700_000):
        image = np.clip(paint(index).astype(float) * gain + offset, 0, 255).astype(np.uint8)
        assert read_number(image) == index


def test_the_number_survives_h264(tmp_path):
    frames = [paint(i, (320, 240)) for i in range(60)]
    clip = make_video(tmp_path / "clip.mp4", frames, fps=30, crf="30")
    with open_source(clip) as source:
        assert [read_number(frame.image) for frame in source] == list(range(60))


def test_pictures_without_a_number_have_none():
    rng = np.random.default_rng(0)
    pictures = [np.zeros((480, 640, 3), np.uint8), np.full((480, 640, 3), 255, np.uint8)]
    noise = [rng.integers(0, 255, (480, 640, 3)).astype(np.uint8) for _ in range(20)]
    assert all(read_number(picture) is None for picture in [*pictures, *noise])
    cut = paint(1234)
    cut[:60, 300:340] = 235  # a wrong bit or two
    assert read_number(cut) is None


def test_the_source_gives_what_paint_paints_and_ends():
    with open_source("synthetic", size=(160, 120), frames=20, realtime=False) as source:
        frames = list(source)
        assert source.size == (160, 120)
        assert source.length == 20
        assert not source.live
    assert [f.index for f in frames] == list(range(20))
    np.testing.assert_allclose([f.t for f in frames], np.arange(20) / 30)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, paint(frame.index, (160, 120)))
        assert read_number(frame.image) == frame.index


def test_real_time_keeps_the_rate_and_stamps_the_clock():
    with Synthetic(size=(160, 120), fps=50, frames=26) as source:
        assert source.live
        start = time.monotonic()
        frames = list(source)
        took = time.monotonic() - start
    assert took + 1e-3 >= 0.5  # 25 intervals of 20 ms: never early
    assert took < 2
    since = np.array([f.captured - frames[0].captured for f in frames])
    assert (since >= np.arange(26) / 50 - 2e-3).all()
    assert all(f.t == f.captured for f in frames)


def test_close_from_another_thread_ends_the_wait_at_once():
    source = Synthetic(size=(160, 120), fps=0.02)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(f.index for f in source))
    thread.start()
    time.sleep(0.2)  # the first frame is out; the second is due in 50 s
    start = time.monotonic()
    source.close()
    source.close()
    thread.join(2)
    assert not thread.is_alive()
    assert time.monotonic() - start < 2
    assert got == [0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (20, 20)}, "too small"),
        ({"fps": 0}, "fps=0"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"frames": 0}, "frames=0"),
        ({"colour": "red"}, "no option 'colour'.*size, fps, frames, realtime"),
    ],
)
def test_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        open_source("synthetic", **options)


def test_the_square_flashes_and_its_level_tells():
    levels = [flash_level(paint(i)) for i in range(60)]
    assert [level > 0.5 for level in levels] == [is_lit(i) for i in range(60)]
    assert sum(is_lit(i) for i in range(60)) == 30


def test_the_delay_of_a_dim_and_slow_screen_is_measured():
    """What a camera sees of a screen 0.18 s later: at another rate, dim, the square elsewhere."""
    shown = [(100 + i / 30, flash_level(paint(i))) for i in range(150)]
    seen = []
    for k in range(120):
        t = 100 + k / 25
        index = int((t - 0.18 - 100) * 30)
        if index >= 0:
            screen = np.full((300, 400, 3), 70, np.uint8)
            screen[100:220, 150:310] = cv2.resize(paint(index), (160, 120)) // 2 + 20
            box = (150 / 400 + 0.016, 100 / 300 + 0.29, 150 / 400 + 0.088, 100 / 300 + 0.38)
            seen.append((t, flash_level(screen, box)))
    delay = flash_delay(shown, seen)
    assert delay is not None
    assert 0.18 <= delay <= 0.18 + 1 / 25 + 1 / 30
    assert flash_delay(shown, []) is None
    assert flash_delay([(0.0, 1.0)], seen) is None
