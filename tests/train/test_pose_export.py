"""`edgekit export trtpose` and `fastpose`: what the ONNX and .wts files hold and answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_fill import fill  # noqa: E402

from edgekit.cli import main  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology, noted_topology  # noqa: E402
from edgekit.train import pose_export  # noqa: E402
from edgekit.train.fastpose_network import FastPose  # noqa: E402
from edgekit.train.pose_export import PoseNet, export_pose, load_pose  # noqa: E402
from edgekit.train.trtpose_network import resnet18_baseline_att  # noqa: E402
from edgekit.wts import read_wts  # noqa: E402


def saved(network: torch.nn.Module, path: Path) -> Path:
    torch.save(fill(network.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's form: a narrow TrtPose and a short FastPose."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.device("meta"):
        networks = {
            "human.pth": resnet18_baseline_att(18, 42, 16),
            "animal.pth": resnet18_baseline_att(20, 40, 16),
            "fast.pth": FastPose(17, (1, 1, 1, 1)),
        }
    for name, network in networks.items():
        saved(network, folder / name)
    return folder


def both(net: PoseNet, path: Path, batch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(PyTorch's, ONNX Runtime's) of each output on random pictures."""
    x = np.random.default_rng(4).normal(size=(batch, 3, *net.size)).astype(np.float32)
    with torch.no_grad():
        ours = net.network(torch.from_numpy(x))
    ours = [ours] if torch.is_tensor(ours) else ours
    theirs = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": x})
    return [(a.numpy(), b) for a, b in zip(ours, theirs, strict=True)]


def shapes(path: Path) -> dict[str, list]:
    graph = onnx.load(path).graph
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.output]
    }


def notes(path: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(path).metadata_props}


def test_trtpose_with_an_open_batch(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "human.onnx"
    command = ["export", "trtpose", str(folder / "human.pth"), "--size", "96", "--dynamic", "--out", str(out)]
    assert main(command) == 0
    model = onnx.load(out)
    assert (model.ir_version, [o.version for o in model.opset_import]) == (9, [17])
    assert shapes(out) == {
        "images": ["batch", 3, 96, 96],
        "cmap": ["batch", 18, 24, 24],
        "paf": ["batch", 42, 24, 24],
    }
    found = notes(out)
    assert noted_topology(found) == HUMAN18
    assert (found["task"], json.loads(found["imgsz"]), found["fit"]) == ("trtpose", [96, 96], "stretch")
    assert json.loads(found["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(found["std"]) == [0.229, 0.224, 0.225]
    assert "MIT" in found["license"]
    for ours, theirs in both(load_pose(folder / "human.pth", "trtpose", size=96), out, 3):
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())


def test_fastpose_of_one_crop(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "fast.onnx"
    assert main(["export", "fastpose", str(folder / "fast.pth"), "--out", str(out)]) == 0
    assert shapes(out) == {"images": [1, 3, 256, 192], "heatmaps": [1, 17, 64, 48]}
    found = notes(out)
    assert noted_topology(found) == COCO17
    assert (found["task"], json.loads(found["imgsz"])) == ("topdown", [256, 192])
    assert (json.loads(found["mean"]), json.loads(found["std"])) == ([0.406, 0.457, 0.480], [1, 1, 1])
    assert "non-commercial" in found["license"]
    for ours, theirs in both(load_pose(folder / "fast.pth", "topdown"), out, 1):
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())


def test_equal_weights_are_not_shared(folder: Path, tmp_path: Path) -> None:
    """As in a network that has learnt nothing yet: its batch norms are all alike."""
    state = torch.load(folder / "human.pth", weights_only=True)
    for name, value in state.items():
        if name.endswith(("bias", "running_mean")):
            value.zero_()
    torch.save(state, tmp_path / "alike.pth")
    net = load_pose(tmp_path / "alike.pth", "trtpose", size=64)
    out = export_pose(net, tmp_path / "alike.onnx")
    graph = onnx.load(out).graph
    weights = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(convolutions) == 30
    assert all(set(node.input[1:]) <= weights for node in convolutions)
    for ours, theirs in both(net, out, 1):
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())


def test_wts_holds_every_weight_but_the_counters(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "animal.wts"
    command = ["export", "trtpose", str(folder / "animal.pth"), "--topology", "animal20", "--out", str(out)]
    assert main(command) == 0
    state = torch.load(folder / "animal.pth", weights_only=True)
    found = read_wts(out)
    assert list(found) == [name for name in state if "num_batches" not in name]
    for name, value in found.items():
        np.testing.assert_array_equal(value, state[name].numpy().ravel())


def test_what_does_not_fit_is_refused_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    human, fast = folder / "human.pth", folder / "fast.pth"
    with pytest.raises(InputError, match=r"fast\.pth is a FastPose: use `edgekit export fastpose`"):
        load_pose(fast, "trtpose")
    with pytest.raises(InputError, match=r"human\.pth is a TrtPose: use `edgekit export trtpose`"):
        load_pose(human, "topdown")
    with pytest.raises(InputError, match=r"18 and 42 channels, but .*'animal' with 20 keypoints"):
        load_pose(human, "trtpose", ANIMAL20)
    with pytest.raises(InputError, match=r"20 and 40 channels.*name the right one with --topology"):
        load_pose(folder / "animal.pth", "trtpose")
    for size in (0, -32, 100):
        with pytest.raises(InputError, match="multiples of 32"):
            load_pose(human, "trtpose", size=size)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"x\.engine: the file to write must end in \.onnx or \.wts"):
        export_pose(load_pose(human, "trtpose", size=64), out / "x.engine")
    assert main(["export", "trtpose", str(tmp_path / "none.pth"), "--out", str(out / "x.onnx")]) == 2
    assert list(out.iterdir()) == []


class Tiny(torch.nn.Module):
    """One 4×4 convolution of stride 4 to K maps and 2L fields."""

    def __init__(self, keypoints: int, fields: int) -> None:
        super().__init__()
        self.out = torch.nn.Conv2d(3, keypoints + fields, 4, 4)
        self.keypoints = keypoints

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.out(x)
        return y[:, : self.keypoints], y[:, self.keypoints :]


def tiny(found: dict) -> Tiny:
    network = Tiny(2, 2)
    network.load_state_dict(found["weights"])
    return network


def checkpoint(path: Path, **changed: object) -> Path:
    topology = Topology("thing", ("a", "b"), ((0, 1),))
    content = {
        "network": "tiny",
        "task": "trtpose",
        "topology": topology.note(),
        "imgsz": [64, 96],
        "notes": {"fit": "letterbox", "license": "Apache-2.0"},
        "weights": Tiny(2, 2).state_dict(),
    }
    content.update(changed)
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def test_a_checkpoint_of_the_kit_says_itself_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pose_export.NETWORKS, "tiny", tiny)
    path = checkpoint(tmp_path / "tiny.pt")
    out = export_pose(load_pose(path, "trtpose"), tmp_path / "tiny.onnx")
    assert shapes(out) == {"images": [1, 3, 64, 96], "cmap": [1, 2, 16, 24], "paf": [1, 2, 16, 24]}
    found = notes(out)
    assert (found["fit"], found["license"], found["author"]) == ("letterbox", "Apache-2.0", "edgekit")
    assert noted_topology(found).keypoints == ("a", "b")
    for ours, theirs in both(load_pose(path, "trtpose"), out, 1):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    for changed, said in [
        ({"network": "other"}, r"tiny\.pt is neither .*its network is 'other'"),
        ({"network": None}, "its network is None"),
        ({"task": "topdown"}, "is a network for 'topdown', not for 'trtpose'"),
        ({"imgsz": None}, "is an incomplete checkpoint of tiny: KeyError"),
        ({"weights": {}}, "is an incomplete checkpoint of tiny: RuntimeError"),
        ({"topology": None}, "the topology of tiny.pt"),
        ({"topology": COCO17.note()}, "2 and 2 channels, but"),
    ]:
        with pytest.raises(InputError, match=said):
            load_pose(checkpoint(path, **changed), "trtpose")


def test_upstreams_networks_in_the_kits_own_checkpoints(folder: Path, tmp_path: Path) -> None:
    state = torch.load(folder / "human.pth", weights_only=True)
    path = checkpoint(
        tmp_path / "x.pt", network="resnet18_baseline_att", weights=state, topology=HUMAN18.to_category()
    )
    net = load_pose(path, "trtpose")
    assert (net.topology, net.size) == (HUMAN18, (64, 96))
    assert re.search("letterbox", net.metadata()["fit"])


def test_every_network_that_is_named_can_be_found() -> None:
    for make in pose_export.NETWORKS.values():
        assert callable(pose_export.resolve_name(make) if isinstance(make, str) else make)
