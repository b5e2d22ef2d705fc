"""Batches of poses: what is drawn and what is said about it stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_made import COLOURS, FIGURE, write_figures  # noqa: E402

from edgekit.train.keypoints import read_keypoints  # noqa: E402
from edgekit.train.pose_augment import CROPS, NONE, PoseAugment, PoseStore, PoseStrength  # noqa: E402
from edgekit.train.pose_data import load_pictures, split_pictures  # noqa: E402

CLEAN = PoseStrength(colour=0.0, p_blur=0.0)  # all geometry, no change of colours


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PoseStore:
    file = write_figures(tmp_path_factory.mktemp("made") / "set", count=4, side=128, people=2)
    return PoseStore(*load_pictures(read_keypoints(file), 512), FIGURE, "cpu")


def augment(store: PoseStore, shape: tuple[int, int], seed: int = 0) -> PoseAugment:
    return PoseAugment(store, shape, FIGURE, torch.Generator().manual_seed(seed))


def colour_at(image: torch.Tensor, point: torch.Tensor, centre: float) -> np.ndarray:
    """RGB 0..255 of the pixel that holds `point`; its centre is at `centre`."""
    x, y = (int(np.floor(float(v) - centre + 0.5)) for v in point[:2])
    return image[:, y, x].numpy() * 255


@pytest.mark.parametrize("kind", ["scenes", "people"])
def test_keypoints_stay_on_their_colours(store: PoseStore, kind: str) -> None:
    """Mirrored, turned, scaled and moved: each keypoint is where its colour is.

    A mirrored figure's left foot is its right one now, so its colours change places.
    """
    if kind == "scenes":
        batch, centre = augment(store, (96, 128)).scenes(24, CLEAN), 0.5
    else:
        batch, centre = augment(store, (128, 96)).people(24, CROPS.__class__(colour=0.0, p_blur=0.0)), 0.0
    height, width = batch.images.shape[-2:]
    seen, mirrored = 0, 0
    for image, people in zip(batch.images, batch.points, strict=True):
        for points in people:
            if not points[:, 2].any():
                continue
            inside = (
                (points[:, :2] > 4).all()
                and (points[:, 0] < width - 4).all()
                and (points[:, 1] < height - 4).all()
            )
            apart = (points[2, :2] - points[3, :2]).norm() > 12
            if not (inside and apart):
                continue
            colours = np.array([colour_at(image, p, centre) for p in points])
            true = np.array(COLOURS)[:, ::-1]  # RGB
            swapped = true[FIGURE.flip]
            error = min(np.abs(colours - t).max() for t in (true, swapped))
            assert error < 110, (colours, points)
            mirrored += np.abs(colours - swapped).max() < np.abs(colours - true).max()
            seen += 1
    assert seen > 6
    assert 0 < mirrored < seen


def test_mirrored_twice_is_as_before(store: PoseStore) -> None:
    """Pixels, keypoints and boxes: twice mirrored by the map that `draw` takes."""
    maker = augment(store, (128, 128))
    rows = torch.tensor([0, 2])
    half = torch.full((2, 2), 64.0)
    mirror = torch.tensor([[-1.0, 0], [0, 1]]).expand(2, 2, 2)
    once = maker.draw(rows, mirror, half, store.points[rows], store.people[rows], NONE, 0.5, 0.0)
    torch.testing.assert_close(
        once.images.flip(3), maker.warp_to(rows, -mirror @ -mirror, half, 0.5, 0.0), atol=1e-5, rtol=0
    )
    second = PoseStore.__new__(PoseStore)
    second.__dict__.update(store.__dict__)
    second.pixels, second.sizes = store.pixels.clone(), store.sizes
    second.pixels[rows, :, :128, :128] = (once.images * 255).round().to(torch.uint8)
    back = augment(second, (128, 128)).draw(rows, mirror, half, once.points, once.boxes, NONE, 0.5, 0.0)
    torch.testing.assert_close(back.points, store.points[rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(back.boxes, store.people[rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(back.images * 255, store.pixels[rows, :, :128, :128].float(), atol=1.0, rtol=0)


def test_a_seed_repeats_a_batch(store: PoseStore) -> None:
    first, again, other = (augment(store, (64, 64), seed).scenes(4, PoseStrength()) for seed in (3, 3, 4))
    torch.testing.assert_close(first.images, again.images, rtol=0, atol=0)
    torch.testing.assert_close(first.points, again.points, rtol=0, atol=0)
    assert not torch.equal(first.images, other.images)
    assert 0 <= float(first.images.min()) <= float(first.images.max()) <= 1


def test_plain_scene_is_the_letterboxed_picture(store: PoseStore) -> None:
    """As at run time: fitted in and centred; grey 114 beside it."""
    import cv2

    batch = augment(store, (64, 96)).scenes(0, NONE, torch.tensor([1]))
    picture = store.pixels[1, :, :128, :128].permute(1, 2, 0).numpy()
    small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
    made = batch.images[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(made[:, 16:80] - small).mean() < 3
    np.testing.assert_allclose(made[:, :15], 114, atol=0.01)
    people = store.points[1, :, :, :2] / 2 + torch.tensor([16.0, 0.0])
    torch.testing.assert_close(batch.points[0, :, :, :2], people, atol=1e-4, rtol=0)


def test_sizes_of_annotations_may_differ_from_the_files(tmp_path: Path) -> None:
    """Labels of large pictures serve shrunk copies too, and pictures are shrunk when they are loaded."""
    file = write_figures(tmp_path / "set", count=1, side=128, people=1)
    data = read_keypoints(file)
    full, half = (PoseStore(*load_pictures(data, side), FIGURE, "cpu") for side in (128, 64))
    assert half.sizes.tolist() == [[64, 64]]
    torch.testing.assert_close(half.points[..., :2] * 2, full.points[..., :2])
    torch.testing.assert_close(half.people * 2, full.people)


def test_split_keeps_alike_pictures_together(tmp_path: Path) -> None:
    file = write_figures(tmp_path / "set", count=8, people=1)
    taught, held = split_pictures(read_keypoints(file), 0.0, 96)
    assert (len(taught.images), len(held.images)) == (8, 0)
    split = tmp_path / "split.json"
    split.write_text('{"held_out": ["003", "005.png"]}')
    taught, held = split_pictures(read_keypoints(file), split, 96)
    assert [p.path.stem for p in held.pictures] == ["003", "005"]
