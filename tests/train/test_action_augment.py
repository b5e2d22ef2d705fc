"""Cuts, mirroring and normalisation of clips by plain loops and Pillow; the flow turns with its picture."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.errors import InputError  # noqa: E402
from edgekit.ops.flow import flow_to_grey, open_flow  # noqa: E402
from edgekit.train.action_augment import (  # noqa: E402
    Cut,
    arranged,
    normalised,
    scoring_cut,
    training_cut,
)
from edgekit.train.action_table import Augmentation  # noqa: E402


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pillow_short(picture: np.ndarray, edge: int) -> Image.Image:
    """Torchvision's Resize(edge) on a Pillow picture, by its documentation."""
    image = Image.fromarray(picture)
    w, h = image.size
    size = (edge, int(edge * h / w)) if w <= h else (int(edge * w / h), edge)
    return image.resize(size, Image.Resampling.BILINEAR)


@pytest.mark.parametrize(("height", "width"), [(120, 200), (180, 120), (96, 96)])
def test_the_middle_is_pillows(height: int, width: int) -> None:
    picture = rng().integers(0, 256, (height, width, 3), np.uint8)
    config = Augmentation(val_center_crop=True, crop_smaller_edge=64)
    found = scoring_cut(config, height, width, (48, 56)).picture(picture)
    small = pillow_short(picture, 64)
    w, h = small.size
    top, left = round((h - 48) / 2), round((w - 56) / 2)
    want = np.asarray(small.crop((left, top, left + 56, top + 48)))
    np.testing.assert_array_equal(found, want)
    whole = scoring_cut(Augmentation(), height, width, (48, 56)).picture(picture)
    np.testing.assert_array_equal(
        whole, np.asarray(Image.fromarray(picture).resize((56, 48), Image.Resampling.BILINEAR))
    )


def test_random_crop_goes_everywhere_and_nowhere_else() -> None:
    config = Augmentation(train_crop_type="random_crop", crop_smaller_edge=40, horizontal_flip_prob=0.5)
    random, cuts = rng(), []
    for _ in range(3000):
        cuts.append(training_cut(config, 80, 100, (36, 38), random))
    assert cuts[0].scaled == (40, 50)
    lefts = {cut.box[0] for cut in cuts if cut.box}
    tops = {cut.box[1] for cut in cuts if cut.box}
    assert lefts == set(range(50 - 38 + 1))
    assert tops == set(range(40 - 36 + 1))
    assert {cut.box[2:] for cut in cuts if cut.box} == {(38, 36)}
    assert np.mean([cut.mirror for cut in cuts]) == pytest.approx(0.5, abs=0.03)
    picture = rng().integers(0, 256, (80, 100, 3), np.uint8)
    want = np.asarray(pillow_short(picture, 40))
    for cut in cuts[:10]:
        assert cut.box is not None
        left, top, w, h = cut.box
        expected = want[top : top + h, left : left + w]
        np.testing.assert_array_equal(cut.picture(picture), expected[:, ::-1] if cut.mirror else expected)


def by_hand(image: tuple[int, int], edge: int, scales: tuple[float, ...], size: tuple[int, int]) -> set[Any]:
    """All boxes that multi_scale_crop may cut, of a picture (height, width) once its short side is `edge`."""
    high, wide = image
    boxes = set()
    for scale in scales:
        side = int(edge * scale)
        h = size[0] if abs(side - size[0]) < 3 else side
        w = size[1] if abs(side - size[1]) < 3 else side
        qx, qy = (wide - w) // 4, (high - h) // 4
        for x, y in [
            *[(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)],
            *[(0, 2), (4, 2), (2, 4), (2, 0)],
            *[(1, 1), (3, 1), (1, 3), (3, 3)],
        ]:
            boxes.add((x * qx, y * qy, w, h))
    return boxes


def test_multi_scale_crop_takes_each_scale_at_each_place() -> None:
    scales = (1.0, 0.875, 0.66)
    config = Augmentation(train_crop_type="multi_scale_crop", scales=scales, crop_smaller_edge=64)
    random = rng()
    cuts = [training_cut(config, 128, 200, (56, 58), random) for _ in range(2000)]
    assert {cut.box for cut in cuts} == by_hand((64, 100), 64, scales, (56, 58))
    picture = rng().integers(0, 256, (128, 200, 3), np.uint8)
    small = pillow_short(picture, 64)
    for cut in cuts[:12]:
        assert cut.box is not None
        left, top, w, h = cut.box
        want = small.crop((left, top, left + w, top + h)).resize((58, 56), Image.Resampling.BILINEAR)
        expected = np.asarray(want)
        np.testing.assert_array_equal(cut.picture(picture), expected[:, ::-1] if cut.mirror else expected)


def test_a_scale_beyond_the_picture_ends_at_its_border() -> None:
    config = Augmentation(train_crop_type="multi_scale_crop", scales=(2.0,), crop_smaller_edge=64)
    cut = training_cut(config, 64, 64, (32, 32), rng())
    assert cut.box == (0, 0, 64, 64)


def test_no_crop_resizes_only() -> None:
    config = Augmentation(train_crop_type="no_crop", horizontal_flip_prob=0.0)
    assert training_cut(config, 80, 100, (36, 38), rng()) == Cut(None, None, (36, 38), False)
    always = Augmentation(train_crop_type="no_crop", horizontal_flip_prob=1.0)
    assert all(training_cut(always, 80, 100, (36, 38), rng(n)).mirror for n in range(20))


def test_too_large_an_output_is_refused() -> None:
    config = Augmentation(train_crop_type="random_crop", crop_smaller_edge=100)
    with pytest.raises(InputError, match=r"output_shape \[224, 200\] cannot be cut .* give at least 224"):
        training_cut(config, 300, 400, (224, 200), rng())
    with pytest.raises(InputError, match="crop_smaller_edge=100"):
        scoring_cut(Augmentation(val_center_crop=True, crop_smaller_edge=100), 300, 400, (224, 200))


def test_mirrored_flow_is_the_flow_of_mirrored_pictures() -> None:
    """A real method of optical flow on a texture that moves to the right, then mirrored."""
    texture = cv2.GaussianBlur(rng().integers(0, 256, (64, 80), np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    before = np.ascontiguousarray(texture[:, 8:72])
    after = np.ascontiguousarray(texture[:, 5:69])  # 3 pixels to the right
    find = open_flow("dis")
    u, v = flow_to_grey(find(before, after))
    assert np.median(u) > 240
    found = Cut(None, None, (64, 64), mirror=True).flow(u, v)
    turned = flow_to_grey(find(before[:, ::-1].copy(), after[:, ::-1].copy()))
    inner = (slice(12, -12), slice(12, -12))
    for k in (0, 1):
        assert np.abs(found[..., k][inner].astype(int) - turned[k][inner]).mean() < 6
    assert np.median(found[..., 0]) < 20


def test_mirrored_flow_by_its_scaling() -> None:
    """-f has the grey of f mirrored at 128: to one level (truncation), and exactly where nothing moves."""
    flow = np.zeros((5, 7, 2), np.float32)
    flow[..., 0] = np.linspace(-3, 3, 35).reshape(5, 7)
    flow[..., 1] = rng().uniform(-1, 1, (5, 7))
    u, v = flow_to_grey(flow)
    found = Cut(None, None, (5, 7), mirror=True).flow(u, v)
    want_u, want_v = flow_to_grey(np.stack([-flow[:, ::-1, 0], flow[:, ::-1, 1]], axis=-1))
    assert np.abs(found[..., 0].astype(int) - want_u).max() <= 1
    np.testing.assert_array_equal(found[..., 1], want_v)
    still = Cut(None, None, (2, 2), mirror=True).flow(*np.full((2, 2, 2), 128, np.uint8))
    assert (still == 128).all()
    ends = Cut(None, None, (1, 2), mirror=True).flow(
        np.array([[0, 255]], np.uint8), np.zeros((1, 2), np.uint8)
    )
    assert ends[..., 0].tolist() == [[1, 255]]


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [(3, (0.5,), (0.5,)), (3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (2, (0.5,), (0.25, 0.5))],
)
def test_normalised_by_plain_loops(channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    clips = rng().integers(0, 256, (2, 3, 4, 5, channels), np.uint8)
    found = normalised(torch.from_numpy(clips), mean, std)
    assert found.dtype == torch.float32
    assert tuple(found.shape) == (2, channels, 3, 4, 5)
    for b, d, y, x, c in np.ndindex(*clips.shape):
        m, s = mean[c % len(mean)], std[c % len(std)]
        want = (int(clips[b, d, y, x, c]) / 255 - m) / s
        assert math.isclose(float(found[b, c, d, y, x]), want, rel_tol=1e-5, abs_tol=1e-5)
    flat = arranged(found, "2d")
    assert tuple(flat.shape) == (2, channels * 3, 4, 5)
    for c, d in np.ndindex(channels, 3):  # channel first: all frames' red, then all frames' green
        assert torch.equal(flat[:, c * 3 + d], found[:, c, d])
    assert arranged(found, "3d") is found


def test_three_numbers_do_not_fit_a_flow() -> None:
    with pytest.raises(InputError, match="3 numbers of mean or std do not fit 2 channels"):
        normalised(torch.zeros(1, 2, 4, 4, 2, dtype=torch.uint8), (0.5, 0.5, 0.5), (0.5,))


def test_colour_changes_a_clip_as_one() -> None:
    clips = torch.full((2, 3, 4, 4, 3), 100, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(3)
    found = normalised(clips, (0.0,), (1.0,), colour=0.4, generator=generator)
    for clip in found:
        for channel in clip:
            assert float(channel.max() - channel.min()) < 1e-6  # alike in all frames and pixels
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found, torch.full_like(found, 100 / 255), atol=1e-3)
    assert torch.allclose(normalised(clips, (0.0,), (1.0,)), torch.full_like(found, 100 / 255))
