"""Structured pruning: the small network is the large one with those channels silent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_made import FIGURE  # noqa: E402

from edgekit.cli import main  # noqa: E402
from edgekit.engine.onnxruntime import OnnxRuntimeEngine  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.files import engines_dir  # noqa: E402
from edgekit.tasks.topdown import open_topdown  # noqa: E402
from edgekit.train.fastpose import FASTPOSE  # noqa: E402
from edgekit.train.loop import save_checkpoint  # noqa: E402
from edgekit.train.pose_export import export_pose, load_pose  # noqa: E402
from edgekit.train.pose_networks import SmallFastPose, SmallTrtPose, small_fastpose  # noqa: E402
from edgekit.train.pose_start import start_from  # noqa: E402
from edgekit.train.pose_training import make_network  # noqa: E402
from edgekit.train.prune import activity, kept_channels, narrow, prune_file, pruned  # noqa: E402

WIDTHS = (8, *[8] * 15)
NETS: dict[str, Any] = {
    "edgekit-fastpose": ("topdown", lambda: SmallFastPose(FIGURE, WIDTHS, (8, 8, 8), norm=False)),
    "edgekit-trtpose": ("trtpose", lambda: SmallTrtPose(FIGURE, WIDTHS, (8, 8, 8, 8), norm=False)),
}


def network(name: str = "edgekit-fastpose") -> torch.nn.Module:
    """With weights drawn at random, biases too: the exporter writes equal tensors once, as one of them."""
    torch.manual_seed(0)
    net = NETS[name][1]().eval()
    with torch.no_grad():
        for part, value in net.named_parameters():
            if part.endswith("bias"):
                value.normal_(std=0.1)
    return net


def checkpoint(path: Path, name: str = "edgekit-fastpose") -> Path:
    content = {"network": name, "task": NETS[name][0], "topology": FIGURE.note(), "imgsz": [64, 96]}
    save_checkpoint(path, **content, notes={"license": "Apache-2.0"}, weights=network(name).state_dict())
    return path


def outputs(net: torch.nn.Module) -> list[np.ndarray]:
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 64, 96)).astype(np.float32))
    with torch.no_grad():
        found = net(x)
    return [maps.numpy() for maps in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_it_is_the_network_with_those_channels_silent(name: str, share: float) -> None:
    large = network(name)
    state = large.state_dict()
    small = pruned(state, share)
    silent = {key: value.clone() for key, value in state.items()}
    for block, rows in kept_channels(state, share).items():
        gone = np.setdiff1d(np.arange(48), rows.numpy())
        assert len(rows) == (32 if share == 0.3 else 8)
        silent[f"{block}.project.weight"][:, gone] = 0
    large.load_state_dict(silent)
    net = network(name)
    narrow(net, small)
    net.load_state_dict(small)
    for mine, wanted in zip(outputs(net), outputs(large), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)
    assert sum(v.numel() for v in small.values()) < sum(v.numel() for v in state.values())


def test_the_least_important_go() -> None:
    """Re-derived in loops: a channel counts as much as the sums of its three filters, multiplied."""
    state = {k: v.double() for k, v in network().state_dict().items()}
    block = "backbone.blocks.5"
    weight = {layer: state[f"{block}.{layer}.weight"].numpy() for layer in ("expand", "depth", "project")}
    counts = []
    for c in range(48):
        parts = (weight["expand"][c], weight["depth"][c], weight["project"][:, c])
        counts.append(np.prod([sum(abs(v) for v in part.ravel()) for part in parts]))
    wanted = sorted(range(48), key=lambda c: -counts[c])[:40]
    assert kept_channels(state, 0.2)[block].tolist() == sorted(wanted)
    assert "backbone.blocks.0" not in kept_channels(state, 0.2), "it widens nothing"


@pytest.mark.parametrize("name", NETS)
def test_by_pictures_a_channel_that_goes_leaves_its_mean(name: str) -> None:
    """The pruned network is the large one whose lost channels are their means, everywhere."""
    large = network(name)
    state = large.state_dict()
    inputs = [torch.from_numpy(np.random.default_rng(n).random((1, 3, 64, 64), np.float32)) for n in range(3)]
    active = activity(large, inputs)
    net = network(name)
    small = pruned(state, 0.5, active)
    narrow(net, small)
    net.load_state_dict(small)
    kept = kept_channels(state, 0.5, active)
    assert set(kept) == set(active)

    def only(block: str) -> Any:
        gone = np.setdiff1d(np.arange(48), kept[block].numpy())

        def hook(_: Any, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            x = given[0].clone()
            x[:, gone] = active[block].mean[gone].float()[:, None, None]
            return (x,)

        return hook

    blocks = dict(large.named_modules())
    for block in kept:
        blocks[block].project.register_forward_pre_hook(only(block))
    for mine, wanted in zip(outputs(net), outputs(large), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_what_a_channel_does_is_counted() -> None:
    """Mean and variance of the inner channels, by NumPy over all inputs at once."""
    net = network()
    inputs = [torch.from_numpy(np.random.default_rng(n).random((1, 3, 64, 64), np.float32)) for n in range(3)]
    found = activity(net, inputs)["backbone.blocks.3"]
    seen: list[np.ndarray] = []
    block = dict(net.named_modules())["backbone.blocks.3"]
    block.project.register_forward_pre_hook(lambda _, given: seen.append(given[0].numpy().copy()))
    with torch.no_grad():
        for x in inputs:
            net(x)
    values = np.concatenate(seen).astype(np.float64).transpose(1, 0, 2, 3).reshape(48, -1)
    np.testing.assert_allclose(found.mean, values.mean(1), atol=1e-9)
    np.testing.assert_allclose(found.variance, values.var(1), atol=1e-9)


def test_a_checkpoint_becomes_a_smaller_one_that_exports_and_trains_on(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "whole.pt")
    small = prune_file(whole, 0.5, tmp_path / "small.pt")
    net = load_pose(small, "topdown")
    assert net.metadata()["pruned"] == "0.5 of the inner channels"
    assert net.topology == FIGURE
    path = export_pose(net, tmp_path / "small.onnx")
    direct = prune_file(whole, 0.5, tmp_path / "direct.onnx")
    assert path.stat().st_size < export_pose(load_pose(whole, "topdown"), tmp_path / "w.onnx").stat().st_size
    feeds = {"images": np.random.default_rng(2).normal(size=(1, 3, 64, 96)).astype(np.float32)}
    wanted = net.network(torch.from_numpy(feeds["images"])).detach().numpy()
    for file in (path, direct):
        with OnnxRuntimeEngine(file) as engine:
            np.testing.assert_allclose(engine(feeds)["heatmaps"], wanted, atol=1e-5)
    begun = make_network(FASTPOSE, FASTPOSE.name, FIGURE, small, None)
    assert start_from(begun, small, FIGURE, {"conv_out": "keypoints"}) == 0
    begun(torch.zeros(1, 3, 64, 64)).sum().backward()
    np.testing.assert_allclose(outputs(begun)[0], outputs(net.network)[0], atol=1e-6)


def test_an_onnx_file_is_pruned_too(tmp_path: Path, capsys: Any) -> None:
    whole = export_pose(load_pose(checkpoint(tmp_path / "whole.pt"), "topdown"), tmp_path / "whole.onnx")
    out = tmp_path / "small.onnx"
    words = ["export", "prune", str(whole), "--share", "0.5", "--out", str(out), "--dynamic", "--by-weights"]
    assert main(words) == 0
    assert "small.onnx: 0." in capsys.readouterr().out
    model = onnx.load(out)
    notes = {p.key: p.value for p in model.metadata_props}
    assert (notes["task"], notes["license"]) == ("topdown", "Apache-2.0")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    again = prune_file(tmp_path / "whole.pt", 0.5, tmp_path / "again.pt")
    feeds = {"images": np.random.default_rng(2).normal(size=(2, 3, 64, 96)).astype(np.float32)}
    wanted = load_pose(again, "topdown").network(torch.from_numpy(feeds["images"])).detach().numpy()
    with OnnxRuntimeEngine(out) as engine:
        np.testing.assert_allclose(engine(feeds)["heatmaps"], wanted, atol=1e-5)


def test_pictures_of_people_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command: other channels than by the weights, and with less harm to the answers."""
    folder = tmp_path / "engines"
    folder.mkdir()
    for file in ("models.toml", "edgekit-person.onnx"):
        shutil.copy(engines_dir() / file, folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    street = tmp_path / "street"
    street.mkdir()
    shutil.copy("edgekit/samples/people.jpg", street)
    whole, feeds = checkpoint(tmp_path / "whole.pt"), []
    with open_topdown(prune_file(whole, 0.1, tmp_path / "any.onnx"), "fp32", "onnxruntime-cpu") as task:
        image = cv2.imread("edgekit/samples/people.jpg")
        feeds = [task.preprocess([image], [[300, 100, 420, 500]])[0]["images"].copy()]
    errors = {}
    wanted = load_pose(whole, "topdown").network(torch.from_numpy(feeds[0]))
    for words in (["--pictures", str(street)], ["--by-weights"]):
        out = tmp_path / f"{words[0]}.pt"
        assert main(["export", "prune", str(whole), "--share", "0.5", "--out", str(out), *words]) == 0
        found = load_pose(out, "topdown").network(torch.from_numpy(feeds[0]))
        errors[words[0]] = float((found - wanted).detach().square().mean())
    assert errors["--pictures"] < 0.5 * errors["--by-weights"]


def test_what_cannot_be_pruned(tmp_path: Path, capsys: Any) -> None:
    whole, out = checkpoint(tmp_path / "whole.pt"), str(tmp_path / "out.pt")
    other = tmp_path / "other.pt"
    torch.save(network().conv_out.state_dict(), other)
    for words, message in (
        ([str(whole), "--share", "1"], "share 1"),
        ([str(other)], "no edgekit-trtpose or edgekit-fastpose"),
        ([str(tmp_path / "none.pt")], "there is no weights file"),
    ):
        assert main(["export", "prune", *words, "--by-weights", "--out", out]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(InputError, match=r"must end in \.pt or \.onnx"):
        prune_file(whole, 0.5, tmp_path / "out.wts")
    with pytest.raises(InputError, match="no inverted residuals"):
        pruned({"x": torch.zeros(1)}, 0.5)
    assert not Path(out).exists()


def test_a_network_that_is_not_pruned_stays_as_it_was() -> None:
    net = network()
    before = [id(module) for module in net.modules()]
    narrow(net, net.state_dict())
    assert [id(module) for module in net.modules()] == before
    same = small_fastpose({"weights": net.state_dict()})
    np.testing.assert_array_equal(outputs(same)[0], outputs(net)[0])
