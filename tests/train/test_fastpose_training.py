"""Top-down training on drawn figures: it learns where their keypoints are; what it exports says so too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytestmark = [pytest.mark.train, pytest.mark.slow]

from pose_made import FIGURE, write_figures  # noqa: E402

from edgekit.train import fastpose, pose_training  # noqa: E402
from edgekit.train.fastpose import train_fastpose  # noqa: E402
from edgekit.train.loop import load_checkpoint  # noqa: E402
from edgekit.train.pose_augment import NONE  # noqa: E402
from edgekit.train.pose_export import export_pose, load_pose  # noqa: E402
from edgekit.train.pose_networks import SmallFastPose  # noqa: E402

WIDTHS = (8, 8, 12, 12, 16, 16, 16, 24, 24, 24, 24, 32, 32, 32, 40)
COMMON = {"size": (64, 64), "held_out": 0.0, "strength": NONE, "device": "cpu", "slow": 1.0, "average": 0.9}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_figures(tmp_path_factory.mktemp("made") / "set", count=1, side=96, people=2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pose_training,
        "make_network",
        lambda kind, name, topology, *_: SmallFastPose(topology, WIDTHS, (16, 16, 24)),
    )


def test_figures_are_learnt(data: Path, tmp_path: Path) -> None:
    """The exported network finds each keypoint in the figure's crop, made here by plain arithmetic."""
    import cv2
    import onnxruntime

    train_fastpose(data, tmp_path, steps=120, batch=2, rate=8e-3, check_every=60, **COMMON)
    file = export_pose(load_pose(tmp_path / "fastpose.pt", "topdown"), tmp_path / "f.onnx", dynamic=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for row in json.loads(data.read_text())["annotations"]:
        image = cv2.imread(str(data.parent / "images" / f"{row['image_id']:03}.png"))
        x, y, w, h = row["bbox"]
        zoom = min(64 / (w * 1.25), 64 / (h * 1.25))
        matrix = np.array([[zoom, 0, 32 - zoom * (x + w / 2)], [0, zoom, 32 - zoom * (y + h / 2)]])
        crop = cv2.warpAffine(image, matrix, (64, 64))[..., ::-1] / 255 - np.array([0.406, 0.457, 0.480])
        maps = session.run(None, {"images": crop.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        assert maps.shape == (4, 16, 16)
        found = [np.unravel_index(m.argmax(), m.shape)[::-1] for m in maps]
        truth = np.reshape(row["keypoints"], (4, 3))[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(np.array(found) * 4, truth, atol=4)
        assert maps.reshape(4, -1).max(1).min() > 0.1


def test_resumed_run_equals_unbroken_run(data: Path, tmp_path: Path) -> None:
    common = {**COMMON, "steps": 4, "batch": 2, "check_every": 4}
    whole = load_checkpoint(train_fastpose(data, tmp_path / "whole", **common))
    train_fastpose(data, tmp_path / "part", stop=2, **common)
    again = train_fastpose(data, tmp_path / "part", resume=tmp_path / "part" / "last.ckpt", **common)
    for name, value in whole["weights"].items():
        torch.testing.assert_close(load_checkpoint(again)["weights"][name], value, rtol=0, atol=0)


def test_an_unsure_keypoint_counts_less() -> None:
    """Half as sure, half the loss; unknown, none."""
    from edgekit.train.pose_augment import PoseBatch

    recipe = fastpose.FastPoseRecipe("x", NONE)
    network = SmallFastPose(FIGURE, WIDTHS, (16, 16, 24))
    images = torch.rand(1, 3, 64, 64)
    losses = []
    for sure in (1.0, 0.5, 0.0):
        points = torch.tensor([[[[30.0, 30.0, sure]] * 4]])
        batch = PoseBatch(images, points, torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))
        losses.append(float(recipe.loss(network, batch)["heatmaps"].detach()))
    assert losses[1] == pytest.approx(losses[0] / 2, rel=1e-5)
    assert losses[2] == 0
