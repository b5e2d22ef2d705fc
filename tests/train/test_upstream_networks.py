"""TrtPose's and FastPose's networks against what upstream's own code is and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_fill import answer, digest, fill  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.fastpose_network import FastPose, fastpose_from  # noqa: E402
from edgekit.train.trtpose_network import (  # noqa: E402
    densenet121_baseline_att,
    resnet18_baseline_att,
    trtpose_from,
)
from edgekit.train.weights import is_state, read_checkpoint  # noqa: E402

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/pose_networks.json").read_text())
#: As tests/golden/make_pose_networks.py calls upstream's.
MADE = {
    "resnet18_baseline_att": (lambda: resnet18_baseline_att(18, 42), trtpose_from),
    "resnet18_baseline_att, 20 keypoints": (lambda: resnet18_baseline_att(20, 40, 128), trtpose_from),
    "densenet121_baseline_att": (lambda: densenet121_baseline_att(18, 42), trtpose_from),
    "fast_res50": (lambda: FastPose(17), fastpose_from),
    "fast_res101, 26 keypoints": (lambda: FastPose(26, (3, 4, 23, 3), 256), fastpose_from),
}


def names_of(name: str) -> dict:
    with torch.device("meta"):
        return MADE[name][0]().state_dict()


def small() -> dict:
    """A FastPose of few blocks."""
    with torch.device("meta"):
        state = FastPose(4, (1, 1, 1, 1)).state_dict()
    return {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in state.items()}


@pytest.mark.parametrize("name", MADE)
def test_the_names_and_shapes_are_upstreams(name: str) -> None:
    golden = GOLDEN[name]
    assert digest(names_of(name)) == {key: golden[key] for key in ("tensors", "names_sha256")}


@pytest.mark.parametrize("name", [name for name in MADE if "101" not in name])
def test_a_state_dict_loads_by_name_and_answers_as_upstream(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(fill(names_of(name)), path)
    network = MADE[name][1](read_checkpoint(path), path)
    assert not network.training
    for found, golden in zip(answer(network), GOLDEN[name]["outputs"], strict=True):
        assert found["shape"] == golden["shape"]
        assert found["std"] == pytest.approx(golden["std"], rel=1e-4)
        np.testing.assert_allclose(found["values"], golden["values"], atol=2e-4 * golden["std"] + 1e-5)


def test_the_golden_outputs_feel_every_weight() -> None:
    """The outputs of two weights that differ are told apart: batch norms of the last blocks included."""
    state = fill(names_of("resnet18_baseline_att"))
    state["1.paf_up.7.running_mean"] = state["1.paf_up.7.running_mean"] + 0.05
    cmap, paf = answer(trtpose_from(state))
    golden = GOLDEN["resnet18_baseline_att"]["outputs"]
    np.testing.assert_allclose(cmap["values"], golden[0]["values"], atol=1e-4)
    assert np.abs(np.subtract(paf["values"], golden[1]["values"])).max() > 1e-2


def test_depth_width_and_keypoints_come_from_the_weights() -> None:
    network = fastpose_from(small())
    assert network(torch.zeros(3, 3, 64, 32)).shape == (3, 4, 16, 8)
    assert [len(getattr(network.preact, f"layer{n}")) for n in (1, 2, 3, 4)] == [1, 1, 1, 1]


def test_missing_unknown_and_odd_weights_are_named() -> None:
    state = small()
    del state["preact.layer2.0.se.fc.0.bias"]
    with pytest.raises(InputError, match=r"it lacks preact\.layer2\.0\.se\.fc\.0\.bias\."):
        fastpose_from(state, "a/fast.pth")
    state = {**small(), "preact.layer3.0.conv2_offset.weight": torch.zeros(18, 256, 3, 3)}
    with pytest.raises(InputError, match=r"fast\.pth does not fit FastPose.*unknown.*conv2_offset"):
        fastpose_from(state, "a/fast.pth")
    state = {**small(), "duc1.bn.bias": torch.zeros(3)}
    with pytest.raises(InputError, match=re.escape("duc1.bn.bias [3] instead of [1024]")):
        fastpose_from(state)
    with pytest.raises(InputError, match=r"res\.pth is no resnet18_baseline_att"):
        trtpose_from(state, "res.pth")
    with pytest.raises(InputError, match=r"is no FastPose: it lacks"):
        fastpose_from({"conv1.weight": torch.zeros(1)})
    state = dict(names_of("resnet18_baseline_att"))
    del state["1.paf_conv.weight"]
    with pytest.raises(InputError, match=r"lacks 1\.paf_conv\.weight"):
        trtpose_from(state)


def test_files_of_old_pytorch_are_read(tmp_path: Path) -> None:
    """Upstream's releases were written before PyTorch 1.6 made its files zip archives."""
    state = torch.nn.BatchNorm2d(3).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert (tmp_path / "old.pth").read_bytes()[:2] != b"PK"
    found = read_checkpoint(tmp_path / "old.pth")
    assert list(found) == list(state)
    assert is_state(found)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with pytest.raises(InputError, match=r"there is no weights file .*x\.pth"):
        read_checkpoint(path)
    path.write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"x\.pth is not a PyTorch weights file"):
        read_checkpoint(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(InputError, match="holds a Tensor, not a state dict"):
        read_checkpoint(path)
    torch.save({"a": torch.zeros(3)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cut short"):
        read_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple:
        return print, ("run",)


def test_a_file_cannot_run_code(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil\.pth is not .* holds more than weights"):
        read_checkpoint(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""
