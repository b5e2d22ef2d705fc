"""Checkpoints of SlowFast: upstream's two forms and the kit's, found out and loaded by name."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from slowfast_fill import blob_names, fill  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train import slowfast_weights  # noqa: E402
from edgekit.train.slowfast_network import CONFIGS, SlowFast  # noqa: E402
from edgekit.train.slowfast_weights import (  # noqa: E402
    Loaded,
    load_slowfast,
    read_weights,
    start_from,
    torch_name,
)

TINY = replace(
    CONFIGS["board"],
    depth=(1, 1, 2, 1),
    timed=(1, 1, 2, 1),
    width=8,
    nonlocals=(1,),
    classes=6,
    fusion_kernel=7,
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict:
    """The state dict of a small network, whose configuration has a name."""
    monkeypatch.setitem(CONFIGS, "tiny", TINY)
    with torch.device("meta"):
        network = SlowFast(TINY)
    return fill(network.state_dict())


def blobs(state: dict) -> dict[str, np.ndarray]:
    """As Caffe2 keeps them, with what the training added."""
    found = {}
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for blob, name in zip(blob_names(state), names, strict=True):
        value = state[name].numpy()
        found[blob] = value.reshape(value.shape[:2]) if "nonlocal" in name and value.ndim == 5 else value
        found[f"{blob}_momentum"] = np.zeros_like(found[blob])
    return {**found, "lr": np.float32(0.1), "model_iter": np.array(7)}


def pkl(path: Path, state: dict) -> Path:
    path.write_bytes(pickle.dumps({"blobs": blobs(state)}, 2))
    return path


def same(network: SlowFast, state: dict) -> None:
    own = network.state_dict()
    assert set(own) == set(state)
    for name, value in state.items():
        assert torch.equal(own[name], value), name


def test_caffe2s_checkpoint(tmp_path: Path, tiny: dict) -> None:
    found = load_slowfast(pkl(tmp_path / "x.pkl", tiny))
    same(found.network, tiny)
    assert found.network.config == TINY
    assert not found.network.training
    assert (found.names, found.notes["license"]) == (None, "Apache-2.0")


@pytest.mark.parametrize(
    "wrap", [lambda s: {"epoch": 3, "model_state": s, "optimizer_state": {}, "cfg": "A: 1"}, dict]
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorchs_checkpoint(tmp_path: Path, tiny: dict, wrap: object, prefix: str) -> None:
    path = tmp_path / "x.pyth"
    torch.save(wrap({f"{prefix}{name}": value for name, value in tiny.items()}), path)
    same(load_slowfast(path).network, tiny)


def test_the_kits_checkpoint_says_itself_what_it_is(tmp_path: Path, tiny: dict) -> None:
    content = {
        "network": "slowfast",
        "config": asdict(replace(TINY, aligned=True)),
        "weights": tiny,
        "names": ["走", "stand", "sit", "fall", "jump", "lie"],
        "notes": {"license": "MIT", "threshold": 0.4},
        "size": [96, 128],
    }
    path = tmp_path / "x.pt"
    torch.save(content, path)
    found = load_slowfast(path)
    same(found.network, tiny)
    assert (found.size, found.names[0], found.network.config.aligned) == ((96, 128), "走", True)
    notes = found.metadata()
    assert (notes["license"], notes["threshold"], notes["aligned"]) == ("MIT", "0.4", "true")
    assert (notes["frames"], notes["alpha"], notes["span"]) == ("16", "4", "64")
    assert '"走"' in notes["names"]
    for changed, words in [
        ({"network": "trtpose"}, r"x\.pt is no SlowFast: .*its network is 'trtpose'"),
        ({"config": "r18"}, "no SlowFast configuration 'r18'"),
        ({"config": {"widths": 3}}, "is an incomplete checkpoint of SlowFast: TypeError"),
        ({"names": None}, "is an incomplete checkpoint of SlowFast: TypeError"),
        ({"names": ["a"]}, r"has of another shape head\.projection\.weight \[6, 288\] instead of \[1, 288\]"),
        ({"size": [64]}, "height and width are wanted"),
        ({"weights": {}}, "in place of a state dict"),
    ]:
        torch.save({**content, **changed}, path)
        with pytest.raises(InputError, match=words):
            load_slowfast(path)


def test_classes_of_upstreams_networks_have_their_names() -> None:
    for name, first in (("ava-32x2-r101", "bend/bow (at the waist)"), ("kinetics-8x8-r50", "abseiling")):
        with torch.device("meta"):
            network = SlowFast(name)
        notes = Loaded(network, None, {}, (64, 64)).metadata()
        names = json.loads(notes["names"])
        assert (names[0], len(names)) == (first, network.config.classes)
        assert notes["activation"] == ("sigmoid" if network.config.head == "ava" else "softmax")


def test_upstreams_networks_are_found_by_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wanted in [
        ("ava-32x2-r101", "ava-32x2-r101"),
        ("ava-64x2-r101", "ava-32x2-r101"),  # the span does not show
        ("ava-32x2-r50", "ava-32x2-r50"),
        ("kinetics-8x8-r50", "kinetics-8x8-r50"),
        ("kinetics-4x16-r50", "kinetics-4x16-r50"),
        ("board", "board"),
        ("board-small", "board-small"),
    ]:
        with torch.device("meta"):
            state = SlowFast(name).state_dict()
        assert slowfast_weights.find_config(state, "x")[0] == wanted


def test_what_does_not_fit_is_named_in_one_error(tmp_path: Path, tiny: dict) -> None:
    state = dict(tiny)
    state["s2.pathway0_res0.branch2.a.weight"] = torch.zeros(3, 3, 1, 1, 1)
    del state["s4_fuse.bn.bias"]
    state["s5.extra.weight"] = torch.zeros(1)
    path = tmp_path / "x.pyth"
    torch.save(state, path)
    with pytest.raises(InputError, match=r"fits none of the SlowFast configurations .*--config"):
        load_slowfast(path)
    said = (
        r"x\.pyth does not fit SlowFast: it lacks s4_fuse\.bn\.bias; it has the unknown s5\.extra\.weight; "
        r"it has of another shape s2\.pathway0_res0\.branch2\.a\.weight \[3, 3, 1, 1, 1\] instead of"
    )
    with pytest.raises(InputError, match=said):
        load_slowfast(path, "tiny")
    other = blobs(tiny)
    other["res6_0_branch9_w"] = other["fc1_w"] = np.zeros(3)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"blobs": other}))
    with pytest.raises(InputError, match=r"x\.pkl is not a SlowFast: .* unknown res6_0_branch9_w, fc1_w"):
        load_slowfast(tmp_path / "x.pkl")
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"has no head\.projection\.weight"):
        load_slowfast(path)


def test_a_pyth_that_runs_something_is_refused(tmp_path: Path) -> None:
    class Calls:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was-here",))

    torch.save({"model_state": {"a": Calls()}}, tmp_path / "x.pyth")
    with pytest.raises(InputError, match="holds more than weights"):
        read_weights(tmp_path / "x.pyth")
    assert not (tmp_path / "was-here").exists()


def test_training_starts_from_another_head(tmp_path: Path, tiny: dict) -> None:
    path = pkl(tmp_path / "x.pkl", tiny)
    network = SlowFast(replace(TINY, classes=3))
    head = network.head.projection.weight.clone()
    assert start_from(network, path) == ["head.projection.weight", "head.projection.bias"]
    assert torch.equal(network.head.projection.weight, head)
    assert torch.equal(network.s1.pathway0_stem.conv.weight, tiny["s1.pathway0_stem.conv.weight"])
    assert network.training
    assert start_from(SlowFast(TINY), path) == []
    with pytest.raises(InputError, match="does not fit SlowFast"):
        start_from(SlowFast(replace(TINY, width=16)), path)


def test_blobs_that_have_no_place() -> None:
    for blob in (
        "conv1_b_x",
        "res_conv1_bn_x",
        "nonlocal_conv4_6_bn_x",
        "res2_0_branch3_w",
        "pred",
        "conv1_bn_s",
    ):
        assert torch_name(blob) is None
