"""TrtPose's training on drawn figures: it learns them, resumes exactly, runs in two processes, fine-tunes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytestmark = [pytest.mark.train, pytest.mark.slow]

from pose_made import FIGURE, write_animals, write_figures  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.topology import Topology  # noqa: E402
from edgekit.train import pose_training  # noqa: E402
from edgekit.train.loop import load_checkpoint  # noqa: E402
from edgekit.train.pose_augment import NONE  # noqa: E402
from edgekit.train.pose_curves import read_curves  # noqa: E402
from edgekit.train.pose_networks import SmallTrtPose  # noqa: E402
from edgekit.train.trtpose import TRTPOSE, train_trtpose  # noqa: E402

WIDTHS = (8, 8, 12, 12, 16, 16, 16, 24, 24, 24, 24, 32, 32, 32, 40)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of a hundredth of the weights."""

    monkeypatch.setattr(pose_training, "make_network", make_tiny)


def make_tiny(kind: object, name: str, topology: Topology, *_: object) -> SmallTrtPose:
    return SmallTrtPose(topology, WIDTHS, (24, 24, 24, 24))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_figures(tmp_path_factory.mktemp("made") / "set", count=1, side=64, people=2)


COMMON = {"size": 64, "held_out": 0.0, "strength": NONE, "device": "cpu", "slow": 1.0, "average": 0.9}


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(pose_training, "make_network", make_tiny)
    out = tmp_path_factory.mktemp("run")
    train_trtpose(data, out, steps=150, batch=2, rate=8e-3, check_every=75, **COMMON)
    patch.undo()
    return out


def test_one_picture_is_learnt_and_decoded(data: Path, trained: Path, tmp_path: Path) -> None:
    """What is exported gives both figures' keypoints back, through the kit's own task."""
    import cv2

    from edgekit.tasks.trtpose import open_trtpose
    from edgekit.train.pose_export import export_pose, load_pose

    file = export_pose(load_pose(trained / "trtpose.pt", "trtpose"), tmp_path / "figures.onnx")
    image = cv2.imread(str(data.parent / "images" / "000.png"))
    poses = open_trtpose(str(file), precision="fp32", backend="onnxruntime")(image)
    truth = np.array([r["keypoints"] for r in json.loads(data.read_text())["annotations"]]).reshape(2, 4, 3)
    assert len(poses.keypoints) == 2
    order = np.argsort(poses.keypoints[:, 0, 0])
    assert (poses.keypoints[order, :, 2] > 0.1).all()
    np.testing.assert_allclose(poses.keypoints[order, :, :2], truth[..., :2], atol=3)


def test_curves_are_written_and_fall(trained: Path) -> None:
    curves = read_curves(trained)
    assert {"cmap", "paf", "loss"} <= curves.keys()
    loss = [value for _, value in curves["loss"]]
    assert min(loss[-3:]) < 0.5 * loss[0]
    assert (trained / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_resumed_run_equals_unbroken_run(data: Path, tmp_path: Path) -> None:
    common = {**COMMON, "steps": 6, "batch": 2, "check_every": 4}
    whole = load_checkpoint(train_trtpose(data, tmp_path / "whole", **common))
    part = tmp_path / "part"
    train_trtpose(data, part, stop=3, **common)
    assert load_checkpoint(part / "trtpose.pt")["step"] == 3
    state = load_checkpoint(train_trtpose(data, part, resume=part / "last.ckpt", **common))
    assert state["step"] == whole["step"] == 6
    for name, value in whole["weights"].items():
        torch.testing.assert_close(state["weights"][name], value, rtol=0, atol=0)
    with pytest.raises(InputError, match="begun with batch 2"):
        train_trtpose(data, part, resume=part / "last.ckpt", **{**common, "batch": 3})
    with pytest.raises(InputError, match="to resume from"):
        train_trtpose(data, part, resume=part / "lost.ckpt", **common)


def test_new_keypoints_get_new_channels(data: Path, trained: Path, tmp_path: Path) -> None:
    """A skeleton with one keypoint fewer, one more and a limb turned round begins with what is known."""
    from edgekit.train.pose_start import start_from

    known = load_checkpoint(trained / "trtpose.pt")["weights"]
    names = ("tail", "middle", "head", "left_foot")
    other = Topology("figure", names, ((1, 2), (1, 3), (0, 1)))
    network = SmallTrtPose(other, WIDTHS, (24, 24, 24, 24), norm=False)
    fresh = network.cmap.weight.detach().clone()
    assert start_from(network, trained / "trtpose.pt", other, TRTPOSE.outputs) == 1 + 2
    cmap, paf = network.cmap.weight, network.paf.out.weight
    torch.testing.assert_close(cmap[0], fresh[0])
    torch.testing.assert_close(cmap[1:], known["cmap.weight"][[1, 0, 2]])
    torch.testing.assert_close(paf[:2], -known["paf.out.weight"][:2])  # middle → head was head → middle
    torch.testing.assert_close(paf[2:4], known["paf.out.weight"][2:4])
    torch.testing.assert_close(network.backbone.stem.weight, known["backbone.stem.weight"])


def test_start_from_an_exported_file(trained: Path, tmp_path: Path) -> None:
    """The ONNX file alone is enough to go on: its initializers are the weights by name."""
    from edgekit.train.pose_export import export_pose, load_pose
    from edgekit.train.pose_start import start_from

    file = export_pose(load_pose(trained / "trtpose.pt", "trtpose"), tmp_path / "figures.onnx")
    network = SmallTrtPose(FIGURE, WIDTHS, (24, 24, 24, 24), norm=False)
    assert start_from(network, file, FIGURE, TRTPOSE.outputs) == 0
    for name, value in load_checkpoint(trained / "trtpose.pt")["weights"].items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)


def test_animalpose_trains(tmp_path: Path) -> None:
    """AnimalPose's own form, 20 keypoints, straight into the training, held-out loss and all."""
    file = write_animals(tmp_path / "animals")
    path = train_trtpose(
        file, tmp_path / "run", steps=2, batch=2, size=64, held_out=0.5, device="cpu", check_every=1
    )
    assert "held_out_loss" in read_curves(tmp_path / "run")
    weights = load_checkpoint(path)["weights"]
    assert weights["cmap.weight"].shape[0] == 20


def test_two_processes(data: Path, tmp_path: Path, two_devices: str) -> None:
    """Lightning's DDP over two processes (gloo, NCCL), by the command line."""
    command = [
        sys.executable,
        "-m",
        "edgekit",
        "train",
        "trtpose",
        "--data",
        str(data),
        "--out",
        str(tmp_path),
    ]
    command += ["--device", two_devices, "--devices", "2", "--steps", "2", "--batch", "2", "--size", "64"]
    done = subprocess.run(
        [*command, "--held-out", "0", "--network", "edgekit-trtpose"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(tmp_path / "trtpose.pt")["step"] == 2
    assert "trtpose.pt" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 100}, "multiples of 32"),
        ({"steps": 2, "epochs": 1}, "not both"),
        ({"batch": 0}, "more than 0"),
        ({"colour": 1}, "no such setting"),
        ({"batch": 1, "size": 64}, "batch norms"),
    ],
)
def test_bad_settings_are_named(data: Path, tmp_path: Path, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        train_trtpose(data, tmp_path, **{"device": "cpu", **arguments})
