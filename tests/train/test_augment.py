"""Augmentation moves boxes with the pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.evaluate.data import Picture  # noqa: E402
from edgekit.train.augment import CALM, Augment, PictureStore, Strength, tidy  # noqa: E402
from edgekit.train.losses import IGNORE, LABEL  # noqa: E402

QUIET = Strength(p_mosaic=0, p_mix=0, p_turn=0, colour=0, zoom=(-0.8, 0.8))


def drawn(kind: str = "box") -> tuple[list[np.ndarray], list[Picture]]:
    """Black pictures with one white box, or white ellipse, and its label."""
    random = np.random.default_rng(3)
    images, pictures = [], []
    for n in range(6):
        height, width = 96 + 8 * n, 128 - 8 * n
        image = np.zeros((height, width, 3), np.uint8)
        w, h = random.integers(20, 40, 2)
        x, y = random.integers(5, width - w - 5), random.integers(5, height - h - 5)
        if kind == "box":
            image[y : y + h, x : x + w] = 255
        else:
            yy, xx = np.mgrid[:height, :width] + 0.5
            image[((xx - x - w / 2) / (w / 2)) ** 2 + ((yy - y - h / 2) / (h / 2)) ** 2 <= 1] = 255
        box = np.array([[x / width, y / height, (x + w) / width, (y + h) / height]], np.float32)
        images.append(image)
        pictures.append(Picture(Path("x"), box, np.zeros(1, bool)))
    return images, pictures


def maker(kind: str = "box") -> Augment:
    store = PictureStore(*drawn(kind), "cpu")
    return Augment(store, 160, torch.ones(len(store)), torch.Generator().manual_seed(5))


def extent(image: torch.Tensor) -> np.ndarray:
    """Where the picture is white: x1 y1 x2 y2."""
    white = (image.mean(0) > 0.75).numpy()
    x, y = np.flatnonzero(white.any(0)), np.flatnonzero(white.any(1))
    return np.array([x[0], y[0], x[-1] + 1, y[-1] + 1])


@pytest.mark.parametrize("kind", ["box", "ellipse"])
def test_box_follows_the_pixels(kind: str) -> None:
    """Zoom, squeeze, shift and flip of boxes; turns and shears too for ellipses, whose extent is exact."""
    strength = QUIET if kind == "box" else replace(QUIET, p_turn=1.0, turn=12.0)
    images, boxes, kinds = maker(kind).batch(64, strength)
    compared = 0
    for image, box, one in zip(images, boxes[:, 0], kinds[:, 0], strict=True):
        if one == LABEL:
            np.testing.assert_allclose(box.numpy(), extent(image), atol=2.0)
            compared += 1
    assert compared > 30


def test_mosaic_keeps_every_label_on_white() -> None:
    images, boxes, kinds = maker().batch(48, replace(QUIET, p_mosaic=1.0, mosaic_zoom=(-0.5, 0.2)))
    shares = []
    for image, some, kind in zip(images, boxes, kinds, strict=True):
        for box in some[kind == LABEL].round().int().tolist():
            shares.append(float((image[:, box[1] : box[3], box[0] : box[2]] > 0.6).float().mean()))
    assert len(shares) > 60
    assert np.mean(shares) > 0.95


def test_cut_off_people_become_unsure_or_vanish() -> None:
    _, boxes, kinds = maker().batch(200, replace(QUIET, p_plain=0, zoom=(0.7, 0.9)))
    assert (kinds == IGNORE).any()
    assert (kinds == 0).any()
    sides = boxes[kinds == LABEL][:, 2:] - boxes[kinds == LABEL][:, :2]
    assert (sides >= 4).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 160


def test_mixing_joins_both_sets_of_people() -> None:
    alone = maker().batch(32, replace(QUIET, p_plain=1.0))[2]
    mixed = maker().batch(32, replace(QUIET, p_plain=1.0, p_mix=1.0))[2]
    assert (mixed > 0).sum() == 2 * (alone > 0).sum()


def test_colour_stays_in_range_and_seeds_repeat() -> None:
    for strength in (Strength(), CALM):
        first, second = maker().batch(8, strength), maker().batch(8, strength)
        assert first[0].min() >= 0
        assert first[0].max() <= 1
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_tidy_puts_real_boxes_first_and_caps() -> None:
    kind = torch.tensor([[0, 1, 0, 2], [0, 0, 0, 1]])
    box = torch.arange(32.0).view(2, 4, 4)
    some, kinds = tidy(box, kind, 90)
    assert kinds.tolist() == [[1, 2], [1, 0]]
    assert some[0, 0, 0] == 4
    assert some[1, 0, 0] == 28
    assert tidy(box, kind, 1)[1].shape == (2, 1)
