"""Letterbox against the peers' answers (tests/golden/make_peers.py) and against plain re-derivations."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.ops.letterbox import PAD, Letterboxer, Transform, letterbox, place, to_tensor

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
from make_peers import SHAPES, where  # noqa: E402

PEERS = np.load(GOLDEN / "peers.npz")
SETTINGS = {
    "ultralytics": {},
    "ultralytics_auto": {"auto": True},
    "ultralytics_down": {"scaleup": False},
    "yolov5": {},
    "yolov5_auto": {"auto": True},
    "yolox": {"style": "yolox"},
    "darknet": {"style": "darknet"},
}
STYLES = sorted(PAD)
sides = st.integers(1, 700)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def plain(image: np.ndarray, size: tuple[int, int], style: str) -> np.ndarray:
    """The three recipes written out, for pictures that need no minimum of one pixel."""
    ratio = min(size[0] / image.shape[0], size[1] / image.shape[1])
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = 128 if style == "darknet" else 114
    if style == "ultralytics":
        w, h = round(image.shape[1] * ratio), round(image.shape[0] * ratio)
        x, y = round((size[1] - w) / 2 - 0.1), round((size[0] - h) / 2 - 0.1)
    else:
        w, h = int(image.shape[1] * ratio), int(image.shape[0] * ratio)
        x, y = (0, 0) if style == "yolox" else ((size[1] - w) // 2, (size[0] - h) // 2)
    how = cv2.INTER_CUBIC if style == "darknet" else cv2.INTER_LINEAR
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=how)
    return canvas


@pytest.mark.parametrize("peer", SETTINGS)
def test_pictures_lie_where_the_peers_put_them(peer):
    cases = PEERS[f"geometry.{peer}"]
    assert len(cases) > 100
    for height, width, size_h, size_w, *expected in cases.tolist():
        to = place((height, width), (size_h, size_w), **SETTINGS[peer])
        assert [*to.canvas, to.top, to.left, *to.content] == expected, (height, width, size_h, size_w)


@pytest.mark.parametrize("peer", SETTINGS)
def test_the_pixels_lie_there_too(peer):
    for height, width, size_h, size_w, *expected in PEERS[f"geometry.{peer}"][::7].tolist():
        white = np.full((height, width, 3), 255, np.uint8)
        canvas, _ = letterbox(white, (size_h, size_w), **SETTINGS[peer])
        assert where(canvas) == expected
        outside = np.ones(canvas.shape, bool)
        outside[expected[2] : expected[2] + expected[4], expected[3] : expected[3] + expected[5]] = False
        assert (canvas[outside] == (128 if peer == "darknet" else 114)).all()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("shape", [(48, 64), (123, 77), (77, 123), (160, 96), (96, 160), (401, 399), (7, 9)])
def test_every_pixel_equals_the_recipe(style, shape):
    image = noise(*shape)
    canvas, _ = letterbox(image, (96, 160), style=style)
    np.testing.assert_array_equal(canvas, plain(image, (96, 160), style))


def test_a_picture_of_the_right_size_is_copied_not_shared():
    image = noise(64, 64)
    canvas, to = letterbox(image, (64, 64))
    np.testing.assert_array_equal(canvas, image)
    assert not np.shares_memory(canvas, image)
    assert (to.left, to.top, to.scale_x, to.scale_y) == (0, 0, 1, 1)


def test_boxes_come_back_where_ultralytics_puts_them():
    boxes = PEERS["scale.boxes"]
    for shape, expected in zip(SHAPES, PEERS["scale.source"], strict=True):
        back = place(shape, (640, 640)).to_source(boxes)
        assert back.dtype == np.float32
        np.testing.assert_allclose(back, expected, atol=1e-3, rtol=1e-6, err_msg=str(shape))


@settings(deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(STYLES), st.floats(0, 1), st.floats(0, 1))
def test_boxes_survive_the_way_there_and_back(height, width, size_h, size_w, style, u, v):
    to = place((height, width), (size_h, size_w), style=style)
    x, y = u * width, v * height
    there = np.array([[0, 0, x, y]], np.float32) * np.array([to.scale_x, to.scale_y] * 2)
    back = to.to_source((there + np.array([to.left, to.top] * 2)).astype(np.float32))
    near = 1e-4 * max(height, width) + 1e-3 / min(to.scale_x, to.scale_y)
    np.testing.assert_allclose(back, [[0, 0, x, y]], atol=near)


@settings(deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(STYLES), st.booleans())
def test_the_content_fits_the_canvas_and_fills_one_side(height, width, size_h, size_w, style, auto):
    auto = auto and style == "ultralytics"
    to = place((height, width), (size_h, size_w), style=style, auto=auto)
    assert to.top >= 0
    assert to.left >= 0
    assert to.top + to.content[0] <= to.canvas[0] <= size_h
    assert to.left + to.content[1] <= to.canvas[1] <= size_w
    gaps = size_h - to.content[0], size_w - to.content[1]
    assert min(gaps) <= (0 if style == "ultralytics" else 1)
    if auto:
        assert all((s - c) % 32 == 0 for s, c in zip((size_h, size_w), to.canvas, strict=True))


def test_boxes_are_cut_at_the_edges_of_the_source():
    to = place((50, 100), (200, 200))
    np.testing.assert_array_equal(to.to_source(np.array([[-9, -9, 999, 999]], np.float32)), [[0, 0, 100, 50]])
    assert to.to_source(np.zeros((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (3, 5), (1, 40_000), (2161, 3839)])
def test_tiny_huge_and_thin_pictures(style, shape):
    image = noise(*shape)
    canvas, to = letterbox(image, (96, 160), style=style)
    assert canvas.shape == (96, 160, 3)
    assert min(to.content) >= 1
    tensor, _ = Letterboxer((96, 160), style=style)([image])
    np.testing.assert_array_equal(tensor, to_tensor([canvas]))


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_tensor_equals_the_plain_division(rgb, unit, dtype):
    pictures = [noise(33, 65, seed) for seed in range(3)]
    pictures[0][:16, :16] = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)  # every byte
    tensor = to_tensor(pictures, rgb=rgb, unit=unit, dtype=dtype)
    expected = np.stack(pictures).astype(np.float32)
    expected = expected[..., ::-1] if rgb else expected
    expected = (expected / 255 if unit else expected).transpose(0, 3, 1, 2).astype(dtype)
    assert tensor.dtype == dtype
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor, expected)


def test_the_tensor_fills_the_array_it_is_given():
    out = np.full((2, 3, 20, 30), 7, np.float32)
    assert to_tensor([noise(20, 30)], out) is out
    np.testing.assert_array_equal(out[0], to_tensor([noise(20, 30)])[0])
    assert (out[1] == 7).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("style", STYLES)
def test_kept_buffers_give_what_fresh_ones_give(style, dtype):
    boxer = Letterboxer((96, 160), style=style, dtype=dtype, rgb=style != "yolox", unit=style != "yolox")
    shapes = [(48, 80), (48, 80), (80, 48), (96, 160), (300, 20), (1, 900), (96, 160), (50, 50), (48, 80)]
    for seed, shape in enumerate(shapes):
        image = noise(*shape, seed)
        tensor, (to,) = boxer([image])
        canvas, expected = letterbox(image, (96, 160), style=style)
        assert to == expected
        fresh = to_tensor([canvas], dtype=dtype, rgb=style != "yolox", unit=style != "yolox")
        np.testing.assert_array_equal(tensor, fresh, err_msg=f"picture {seed}, {shape}")


def test_the_next_call_overwrites_the_tensor():
    boxer = Letterboxer((32, 32))
    first, _ = boxer([noise(32, 32, 1)])
    second, _ = boxer([noise(32, 32, 2)])
    assert second is first


def test_a_fixed_batch_is_grey_where_there_is_no_picture():
    boxer = Letterboxer((32, 32), batch=3, unit=False)
    full, _ = boxer([noise(32, 16, s) for s in range(3)])
    assert full.shape == (3, 3, 32, 32)
    part, transforms = boxer([noise(32, 16, 9)])
    assert len(transforms) == 1
    np.testing.assert_array_equal(part[:1], to_tensor([letterbox(noise(32, 16, 9), (32, 32))[0]], unit=False))
    assert (part[1:] == 114).all()
    again, _ = boxer([noise(32, 16, s) for s in range(3)])
    np.testing.assert_array_equal(
        again[2:], to_tensor([letterbox(noise(32, 16, 2), (32, 32))[0]], unit=False)
    )
    with pytest.raises(InputError, match="4 pictures do not fit a batch of 3"):
        boxer([noise(4, 4)] * 4)
    with pytest.raises(InputError, match="0 pictures"):
        boxer([])


def test_auto_shrinks_the_input_unless_the_pictures_differ():
    boxer = Letterboxer((640, 640), auto=True)
    assert boxer([noise(72, 128)] * 2)[0].shape == (2, 3, 384, 640)
    mixed, transforms = boxer([noise(72, 128), noise(128, 72)])
    assert mixed.shape == (2, 3, 640, 640)
    assert transforms[0].canvas == transforms[1].canvas == (640, 640)
    assert boxer([noise(128, 72)])[0].shape == (1, 3, 640, 384)


def test_the_source_picture_is_left_alone():
    image = noise(40, 60)
    before = image.copy()
    view = image[::2, ::3]  # neither contiguous
    letterbox(view, (32, 32))
    Letterboxer((32, 32))([view])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style": "square"}, "style 'square' is unknown; choose one of"),
        ({"style": "yolox", "auto": True}, "'yolox' has no auto"),
        ({"size": (0, 32)}, "a side is 0"),
        ({"stride": 0}, "a side is 0"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    given = {"size": (32, 32), **changes}
    with pytest.raises(InputError, match=message):
        letterbox(noise(8, 8), given.pop("size"), **given)
    with pytest.raises(InputError, match=message):
        Letterboxer(**{"size": (32, 32), **changes})


def test_an_empty_picture_and_a_wrong_dtype_are_refused():
    with pytest.raises(InputError, match="a side is 0"):
        letterbox(np.zeros((0, 5, 3), np.uint8), (32, 32))
    with pytest.raises(InputError, match="the input tensor is uint8; the kit fills float32 and float16"):
        Letterboxer((32, 32), dtype=np.uint8)


def test_transforms_compare_by_value():
    assert place((3, 4), (32, 32)) == Transform((3, 4), (24, 32), (32, 32), 0, 4, 8.0, 8.0)
