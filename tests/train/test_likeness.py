"""Pictures that look alike land on one side of the split."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgekit.evaluate.data import Picture
from edgekit.train.likeness import clusters, describe, draw_weights, hold_out, split


def scenes(count: int, frames: int) -> list[np.ndarray]:
    """`count` different smooth scenes, each in `frames` versions: darker, noisier, a little shifted."""
    random = np.random.default_rng(1)
    images = []
    for _ in range(count):
        base = cv2.resize(random.integers(0, 255, (6, 6, 3), dtype=np.uint8), (96, 96))
        for frame in range(frames):
            copy = base * (1 - 0.12 * frame) + random.normal(0, 4, base.shape)
            images.append(np.roll(copy.clip(0, 255).astype(np.uint8), frame, 1))
    return images


def test_versions_of_a_scene_share_a_group_and_scenes_do_not() -> None:
    group = clusters(describe(scenes(12, 4)), 0.7).reshape(12, 4)
    assert (group == group[:, :1]).all()
    assert len(np.unique(group)) == 12


def test_friends_of_friends_share_a_group() -> None:
    angles = np.array([0.0, 0.5, 1.0, 2.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert clusters(vectors, 0.8).tolist() == [0, 0, 0, 1]


def test_no_group_is_on_both_sides() -> None:
    group = np.random.default_rng(0).integers(0, 120, 400)
    held = hold_out(group, 0.1)
    assert not set(group[held]) & set(group[~held])
    assert 0.08 <= held.mean() <= 0.13


def test_one_long_video_stays_in_training() -> None:
    group = np.r_[np.zeros(300, int), np.arange(1, 101)]
    held = hold_out(group, 0.1)
    assert not held[:300].any()
    assert held.sum() == 40


def test_split_is_kept_for_the_next_run(tmp_path: Path) -> None:
    images = scenes(10, 3)
    nobody = np.zeros((0, 4), np.float32)
    pictures = [Picture(Path(f"{n}.png"), nobody, np.zeros(0, bool)) for n in range(len(images))]
    group, held = split(pictures, images, tmp_path, None, 0.5)
    again_group, again = split(pictures, [np.zeros_like(i) for i in images], tmp_path, None, 0.2)
    assert (held == again).all()
    assert (group == again_group).all()
    assert 0 < held.sum() < len(images)


def test_rare_pictures_are_drawn_more() -> None:
    weight = draw_weights(np.array([0, 0, 0, 0, 1]), 3, 0.25, 0.5)
    np.testing.assert_allclose(weight[:5], [0.5, 0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(weight[5:].sum() / weight.sum(), 0.25)
