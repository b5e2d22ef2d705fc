"""ActionRecognitionNet against what NVIDIA's code answers for the same weights, and against plain loops."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from action_fill import CLASSES, OF, RGB, SIZE, clip, digest, fill  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.action_network import ActionNet, Block, network_of, new_network  # noqa: E402
from edgekit.train.action_table import Model  # noqa: E402

GOLDEN = np.load(Path(__file__).parents[1] / "golden/actions.npz")
LENGTHS = {"classes": CLASSES, "rgb_seq_length": RGB, "of_seq_length": OF}


def small(kind: str = "3d", streams: str = "joint", **settings: object) -> ActionNet:
    return ActionNet(streams, "resnet18", kind, **{**LENGTHS, "width": 0.125, **settings})


def clips(network: ActionNet, batch: int = 2) -> dict:
    return {name: clip(network.shape(name, SIZE), batch) for name in network.streams}


@pytest.mark.parametrize("backbone", ["resnet34", "resnet101"])
@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_names_and_shapes_are_nvidias(backbone: str, kind: str) -> None:
    """Of both streams; the other backbones' are compared with their answers."""
    with torch.device("meta"):
        network = ActionNet("joint", backbone, kind, **LENGTHS)
    assert digest(network.state_dict()) == GOLDEN[f"{backbone}-{kind}-joint-names"]


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("kind", "streams"), list(product(("2d", "3d"), ("rgb", "of", "joint"))))
def test_answers_are_nvidias(backbone: str, kind: str, streams: str) -> None:
    with torch.device("meta"):
        network = ActionNet(streams, backbone, kind, **LENGTHS)
    assert digest(network.state_dict()) == GOLDEN[f"{backbone}-{kind}-{streams}-names"]
    network.load_state_dict(fill(network.state_dict()), assign=True)
    with torch.no_grad():
        found = network.eval()(**clips(network)).numpy()
    wanted = GOLDEN[f"{backbone}-{kind}-{streams}-logits"]
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)
    assert np.abs(wanted[0] - wanted[1]).max() > 0.05, "two clips, two answers"


def plain_conv(x: np.ndarray, weight: np.ndarray, stride: tuple[int, ...]) -> np.ndarray:
    """A convolution in float64, place by place; x [I, …], padded by half the kernel."""
    sides = weight.shape[2:]
    padded = np.pad(x, [(0, 0), *((s // 2, s // 2) for s in sides)])
    places = [(n - 1) // step + 1 for n, step in zip(x.shape[1:], stride, strict=True)]
    out = np.zeros((len(weight), *places))
    for place in np.ndindex(*places):
        at = [slice(p * step, p * step + s) for p, step, s in zip(place, stride, sides, strict=True)]
        out[(slice(None), *place)] = np.tensordot(weight, padded[(slice(None), *at)], x.ndim)
    return out


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("convs", "stride", "inputs"), [(2, 1, 4), (2, 2, 4), (3, 2, 4), (3, 1, 16)])
def test_a_block_in_float64_and_loops(deep: bool, convs: int, stride: int, inputs: int) -> None:
    block = Block(inputs, 4, convs, stride, deep).eval()
    state = fill(block.state_dict())
    block.load_state_dict(state)
    x = clip((inputs, 3, 5, 6) if deep else (inputs, 5, 6), 1)
    p = {name: value.double().numpy() for name, value in state.items()}

    def normed(y: np.ndarray, name: str) -> np.ndarray:
        scale, shift, mean, var = (
            p[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")
        )
        by_channel = (-1, *[1] * (y.ndim - 1))
        factor = scale / np.sqrt(var + 1e-5)
        return y * factor.reshape(by_channel) + (shift - mean * factor).reshape(by_channel)

    still, step = (1,) * (3 if deep else 2), (1, stride, stride) if deep else (stride, stride)
    given = x[0].double().numpy()
    y, strided = given, 0 if convs == 2 else 1
    for n in range(convs):
        y = plain_conv(y, p[f"conv{n + 1}.weight"], step if n == strided else still)
        y = normed(y, f"bn{n + 1}")
        y = np.maximum(y, 0) if n < convs - 1 else y
    if stride > 1 or inputs != len(y):
        given = normed(plain_conv(given, p["downsample.0.weight"], step), "downsample.1")
    with torch.no_grad():
        np.testing.assert_allclose(block(x)[0].numpy(), np.maximum(y + given, 0), atol=1e-5)
    assert (block.downsample is None) == (stride == 1)


def test_every_parameter_learns() -> None:
    for kind in ("2d", "3d"):
        network = small(kind)
        network.load_state_dict(fill(network.state_dict()))
        network.train()(**clips(network)).square().sum().backward()
        assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_is_before_the_classifier_and_in_training_only() -> None:
    network = small(streams="rgb", dropout_ratio=1.0)
    network.load_state_dict(fill(network.state_dict()))
    given = clips(network)
    with torch.no_grad():
        assert torch.equal(network.train()(**given), network.fc_cls.bias.expand(2, -1))
        assert not torch.equal(network.eval()(**given), network.fc_cls.bias.expand(2, -1))


def test_a_clip_may_be_one_frame_and_of_any_size() -> None:
    for kind in ("2d", "3d"):
        network = small(kind, rgb_seq_length=1, of_seq_length=1).eval()
        given = {name: clip(network.shape(name, (33, 71)), 3) for name in network.streams}
        with torch.no_grad():
            assert network(**given).shape == (3, CLASSES)


def test_a_new_network_starts_as_nvidias_does() -> None:
    """He's rule by the outputs, batch norms as the identity."""
    network = small("3d", "rgb", width=0.5)
    state = network.state_dict()
    assert float(state["layer4.1.conv2.weight"].std()) == pytest.approx(np.sqrt(2 / (256 * 27)), rel=0.02)
    assert float(state["conv1.weight"].std()) == pytest.approx(np.sqrt(2 / (32 * 245)), rel=0.05)
    assert state["layer1.0.bn2.weight"].eq(1).all()
    assert not state["layer1.0.bn2.bias"].any()


def test_width_is_a_share_of_the_channels() -> None:
    for width, channels in ((1.0, 64), (0.5, 32), (0.3, 16), (0.01, 8)):
        with torch.device("meta"):
            network = ActionNet(width=width)
        assert network.conv1.weight.shape == (channels, 3, 5, 7, 7)
        assert network.fc_cls.weight.shape == (5, 8 * channels)


def test_the_network_of_a_spec() -> None:
    model = Model(model_type="of", backbone="resnet50", input_type="3d", of_seq_length=7, width=0.25)
    network = network_of(model, 3)
    assert network.shape("of", (112, 96)) == (2, 7, 112, 96)
    assert (network.backbone, network.classes, network.streams) == ("resnet50", 3, ("of",))
    assert network.dropout.p == 0.5
    flat = new_network(Model(), 2)  # TAO's defaults
    assert [flat.shape(name, (8, 9)) for name in flat.streams] == [(9, 8, 9), (20, 8, 9)]
    assert flat.fc1.weight.shape == (64, 4)


def test_settings_that_make_no_sense() -> None:
    for settings, words in [
        ({"model_type": "flow"}, "model.model_type is 'flow'; it can be rgb, of, joint"),
        ({"backbone": "resnet152"}, "model.backbone is 'resnet152'; it can be resnet18, resnet34"),
        ({"input_type": "4d"}, "model.input_type is '4d'; it can be 2d, 3d"),
        ({"rgb_seq_length": 0}, "model.rgb_seq_length is 0"),
        ({"width": 0.0}, "model.width is 0.0"),
    ]:
        with pytest.raises(InputError, match=words):
            ActionNet(**settings)
    network = small()
    with pytest.raises(InputError, match="a joint network needs the input of"):
        network(rgb=clips(network)["rgb"])
