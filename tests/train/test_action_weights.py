"""Weights of ActionRecognitionNet: what files hold, what fits, and what a training begins with."""

from __future__ import annotations

import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from action_fill import CLASSES, OF, RGB, SIZE, clip, fill  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.action_network import ActionNet, network_of, new_network  # noqa: E402
from edgekit.train.action_start import begin_with, first_convolution, inflate  # noqa: E402
from edgekit.train.action_table import Model  # noqa: E402
from edgekit.train.action_weights import load_actions, read_checkpoint, settings_of  # noqa: E402

GOLDEN = np.load(Path(__file__).parents[1] / "golden/actions.npz")
SMALL = {"width": 0.125, "rgb_seq_length": RGB, "of_seq_length": OF}


def small(streams: str = "rgb", kind: str = "3d", **settings: Any) -> Model:
    return Model(**{"model_type": streams, "input_type": kind, **SMALL, **settings})


def made(model: Model, classes: int = CLASSES) -> dict[str, Any]:
    """A state of this network that has no prefixes."""
    with torch.device("meta"):
        network = new_network(model, classes)
    return fill(network.state_dict())


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def lightning(state: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """As Lightning saves a module whose network is its `model`."""
    named = {f"model.{name}": value for name, value in state.items()}
    metrics = {"train_accuracy.tp": torch.zeros(3)}
    return {"epoch": 3, "global_step": 9, "state_dict": {**named, **metrics}, "loops": {}, **beside}


def same(network: Any, state: dict[str, Any]) -> None:
    own = network.state_dict()
    assert set(own) == set(state)
    for name, value in state.items():
        assert torch.equal(own[name], value), name


def test_every_kind_of_file(tmp_path: Path) -> None:
    model, path = small("joint", "2d"), tmp_path / "x.pth"
    state = made(model)
    own = lightning(state, spec={"model": {"width": 0.125}, "dataset": {}}, names=["走", "b", "c", "d"])
    for content, settings, names in [
        (own, own["spec"], ("走", "b", "c", "d")),
        (lightning(state), None, None),
        (state, None, None),
        ({f"module.{name}": value for name, value in state.items()}, None, None),
        ({"state_dict": {f"model._orig_mod.{name}": v for name, v in state.items()}}, None, None),
    ]:
        found = read_checkpoint(saved(path, content))
        assert (found.spec, found.names) == (settings, names)
        assert set(found.state) == set(state)
        network, named = load_actions(path, model)
        same(network, state)
        assert (named, network.training) == (names, False)
    old = {k: v.half() if v.is_floating_point() else v for k, v in state.items() if "num_batches" not in k}
    network, _ = load_actions(saved(path, old), model)
    assert network.fc2.weight.dtype == torch.float32
    assert torch.equal(network.fc2.weight, old["fc2.weight"].float())
    counters = [v for n, v in network.state_dict().items() if n.endswith("num_batches_tracked")]
    counters[0] += 1
    assert sum(map(int, counters)) == 1, "each its own"


class Colour(Enum):
    RED = 1


def test_settings_of_tao_beside_the_weights_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints may keep OmegaConf's classes; the restricted reader alone would refuse them."""
    from omegaconf import OmegaConf

    owner = "pytorch_lightning.utilities.parsing"
    kind = type("AttributeDict", (dict,), {"__module__": owner})
    for part in ("pytorch_lightning", "pytorch_lightning.utilities", owner):
        monkeypatch.setitem(sys.modules, part, types.SimpleNamespace(AttributeDict=kind))
    state = made(small())
    settings = OmegaConf.create({"model": {"backbone": "resnet18"}, "sizes": [1, 2.5, None]})
    content = lightning(state, hyper_parameters=kind(experiment_spec=settings, export=False))
    path = saved(tmp_path / "x.ckpt", content)
    with pytest.raises(Exception, match="weights_only"):
        torch.load(path, weights_only=True)
    same(load_actions(path, small())[0], state)
    with pytest.raises(Exception, match="weights_only"):  # what was stood in for is refused again
        torch.load(path, weights_only=True)
    saved(path, lightning(state, callbacks=Colour.RED))
    with pytest.raises(InputError, match="holds more than weights"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".tlt"])
def test_a_file_that_runs_something_is_refused(tmp_path: Path, suffix: str) -> None:
    class Calls:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was-here",))

    class Evaluates:
        def __reduce__(self) -> tuple:
            return (eval, (f"open({str(tmp_path / 'was-here')!r}, 'w')",))

    for bad in (Calls(), Evaluates()):
        path = saved(tmp_path / f"x{suffix}", lightning(made(small()), hyper_parameters={"a": bad}))
        with pytest.raises(InputError, match=r"holds more than weights|is encrypted"):
            read_checkpoint(path)
    assert not (tmp_path / "was-here").exists()


def test_encrypted_files_of_tao_are_named_so(tmp_path: Path) -> None:
    for name, content in [
        ("x.etlt", b"\x09\x00\x00\x00nvidia_tlt"),
        ("x.tlt", b"gibberish"),
        ("x.pth", {"state_dict": b"gibberish", "state_dict_encrypted": "aes", "epoch": 1}),
    ]:
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else saved(path, content)
        with pytest.raises(InputError, match=rf"{name} is encrypted by TAO and .* give the \.pth"):
            read_checkpoint(path)
    with pytest.raises(InputError, match=r"there is no weights file .*none\.tlt"):
        read_checkpoint(tmp_path / "none.tlt")


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content, words in [
        ({"epoch": 3, "state_dict": {}}, 'no weights under "state_dict"'),
        ({"epoch": 3}, 'no weights under "state_dict"'),
        ([1], "holds a list"),
        (lightning(made(small()), spec=7), "is an incomplete checkpoint of this kit: TypeError"),
        (lightning(made(small()), names=["a"]), "has 1 names for 4 classes"),
    ]:
        with pytest.raises(InputError, match=words):
            load_actions(saved(path, content), small())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="is cut short"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("file", "wanted", "words"),
    [
        ({"width": 0.25}, {}, r"bn1\.weight \[16\] instead of \[8\].* Set model\.width=0\.25\."),
        (
            {"backbone": "resnet34"},
            {},
            r"has the unknown layer1\.2\.conv1\.weight, .*backbone=resnet34",
        ),
        ({"kind": "2d"}, {}, r"conv1\.weight \[8, 18, 7, 7\] instead of \[8, 3, 5, 7, 7\].*input_type=2d"),
        ({"streams": "of"}, {}, r"conv1\.weight \[8, 2, 5, 7, 7\] instead.*Set model\.model_type=of\."),
        (
            {"streams": "joint", "kind": "2d", "num_fc": 9, "of_seq_length": 2},
            {"streams": "joint", "kind": "2d"},
            r"fc1\.weight \[9, 8\] instead of \[64, 8\].*Set model\.num_fc=9 model\.of_seq_length=2\.",
        ),
    ],
)
def test_misfits_are_named_with_the_settings_that_fit(
    tmp_path: Path, file: dict, wanted: dict, words: str
) -> None:
    path = saved(tmp_path / "x.pth", lightning(made(small(**file))))
    with pytest.raises(InputError, match=r"x\.pth does not fit ActionNet: it .*" + words):
        load_actions(path, small(**wanted))
    assert load_actions(path, small(**file))[0].classes == CLASSES


def test_settings_are_told_by_names_and_shapes() -> None:
    with torch.device("meta"):
        states = [ActionNet(m, b, k, 7, 4, 3, 12, width=0.5).state_dict() for m, b, k in [
            ("joint", "resnet101", "2d"), ("of", "resnet50", "3d"), ("rgb", "resnet34", "2d")]]  # fmt: skip
    assert [settings_of(state) for state in states] == [
        {"model_type": "joint", "backbone": "resnet101", "input_type": "2d", "width": 0.5, "classes": 7,
         "num_fc": 12, "rgb_seq_length": 4, "of_seq_length": 3},
        {"model_type": "of", "backbone": "resnet50", "input_type": "3d", "width": 0.5, "classes": 7},
        {"backbone": "resnet34", "input_type": "2d", "width": 0.5, "classes": 7},
    ]  # fmt: skip
    assert settings_of({"a": torch.zeros(1)}) == {}


def test_classes_of_a_pretrained_file(tmp_path: Path) -> None:
    """0: as many as now, head and all; else so many are read and a new head replaces them."""
    path = saved(tmp_path / "x.pth", lightning(made(small(), 7)))
    state = read_checkpoint(path).state
    same(network_of(small(rgb_pretrained_model_path=str(path)), 7), state)
    with pytest.raises(InputError, match=r"head of 7 classes, and 3 are wanted: set model\.rgb_pretra"):
        network_of(small(rgb_pretrained_model_path=str(path)), 3)
    with pytest.raises(InputError, match="head of 7 classes, and 5 are wanted"):
        network_of(small(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=5), 3)
    for classes in (3, 7):
        model = small(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=7)
        network = new_network(model, classes)
        head = network.fc_cls.weight.clone()
        assert begin_with(network, model) == ["rgb: begun with x.pth; the head begins anew"]
        assert torch.equal(network.fc_cls.weight, head)
        assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
        assert network.training
    assert begin_with(new_network(small(), 3), small()) == []
    with pytest.raises(InputError, match=r"does not fit .*Set model\.width=0\.125"):
        network_of(small(width=0.25, rgb_pretrained_model_path=str(path)), 7)


def test_a_joint_network_begins_with_its_streams_or_a_whole(tmp_path: Path) -> None:
    rgb, of = made(small("rgb")), made(small("of"), 6)
    files = {n: str(saved(tmp_path / f"{n}.pth", lightning(s))) for n, s in (("rgb", rgb), ("of", of))}
    model = small(
        "joint",
        rgb_pretrained_model_path=files["rgb"],
        of_pretrained_model_path=files["of"],
        of_pretrained_num_classes=6,
    )
    network = network_of(model, CLASSES)
    same(network.model_rgb, rgb)
    assert torch.equal(network.model_of.conv1.weight, of["conv1.weight"])
    assert network.model_of.fc_cls.weight.shape[0] == CLASSES
    whole = made(small("joint"))
    files["joint"] = str(saved(tmp_path / "joint.pth", lightning(whole)))
    for given in (model, small("joint")):
        chosen = Model(**{**vars(given), "joint_pretrained_model_path": files["joint"]})
        same(network_of(chosen, CLASSES), whole)
    alone = network_of(small("of", of_pretrained_model_path=files["joint"]), CLASSES)
    assert torch.equal(alone.conv1.weight, whole["model_of.conv1.weight"])
    with pytest.raises(InputError, match=r"joint\.pth is of 4 classes, and 5 .* model\.rgb_pretrained_num"):
        network_of(small("joint", joint_pretrained_model_path=files["joint"]), 5)


def imagenet(width: float = 1.0) -> dict[str, Any]:
    """A ResNet-18 of three channels in torchvision's naming, its head of 10 classes."""
    state = made(Model(model_type="rgb", input_type="2d", rgb_seq_length=1, width=width), 10)
    return {name.replace("fc_cls", "fc"): value for name, value in state.items()}


def test_inflation_is_nvidias(tmp_path: Path) -> None:
    """Its 3-d ResNet-18 that began with 2-d weights, answer for answer."""
    path = saved(tmp_path / "resnet18.pth", imagenet())
    model = small(width=1.0, rgb_pretrained_model_path=str(path))
    network = new_network(model, CLASSES)
    network.load_state_dict(fill(network.state_dict()))
    assert begin_with(network, model) == [
        "rgb: begun with resnet18.pth; the head begins anew; 2-d kernels are inflated"
    ]
    with torch.no_grad():
        found = network.eval()(clip(network.shape("rgb", SIZE)))
    np.testing.assert_allclose(found, GOLDEN["inflated-logits"], atol=1e-5)


def test_a_still_clip_gives_what_the_picture_gave(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", imagenet(0.125))
    picture = clip((3, 1, 40, 56))
    network = network_of(small(kind="2d", rgb_pretrained_model_path=str(path)), CLASSES).eval()
    with torch.no_grad():
        found = network(picture.repeat(1, 1, RGB, 1, 1).flatten(1, 2))
        single = new_network(small(kind="2d", rgb_seq_length=1), CLASSES).eval()
        single.load_state_dict({**network.state_dict(), "conv1.weight": imagenet(0.125)["conv1.weight"]})
        np.testing.assert_allclose(found, single(picture[:, :, 0]), atol=1e-5)
    kernel, still = imagenet(0.125)["conv1.weight"], picture.repeat(1, 1, 9, 1, 1)
    for length in (1, 3, 5):  # between the ends, where no zeros come in
        made3d = F.conv3d(still, inflate(kernel, length), stride=(1, 2, 2))
        np.testing.assert_allclose(made3d[:, :, 2], F.conv2d(picture[:, :, 0], kernel, stride=2), atol=1e-5)


def test_first_convolutions_of_other_channels() -> None:
    """In loops: each channel gets the mean of its kind; grey clips that stand still give what they gave."""
    colours, flow = clip((8, 3, 7, 7), 1)[0], clip((8, 2 * 5, 7, 7), 1)[0]
    mean = colours.sum(1, keepdim=True)
    for weight, shape, channels, wanted in [
        (colours, (8, 12, 7, 7), 3, [colours[:, c] / 4 for c in range(3) for _ in range(4)]),
        (colours, (8, 20, 7, 7), 2, [mean[:, 0] / 20] * 20),
        (flow, (8, 4, 7, 7), 2, [flow[:, 5 * c : 5 * c + 5].sum(1) / 2 for c in range(2) for _ in range(2)]),
    ]:
        found = first_convolution(weight, torch.Size(shape), channels)
        np.testing.assert_allclose(found, torch.stack(wanted, 1), atol=1e-6)
    for weight, channels in ((colours, 2), (colours, 3), (flow, 2)):
        deep = first_convolution(weight, torch.Size((8, channels, 5, 7, 7)), channels)
        assert deep.shape == (8, channels, 5, 7, 7)
        np.testing.assert_allclose(deep.sum((1, 2)), weight.sum(1), atol=1e-5)
        assert torch.equal(deep[:, :, 0], deep[:, :, 4])
    rgb3d = clip((8, 3, 5, 7, 7), 1)[0]
    of3d = first_convolution(rgb3d, torch.Size((8, 2, 5, 7, 7)), 2)
    np.testing.assert_allclose(of3d.sum(1), rgb3d.sum(1), atol=1e-5)
    assert first_convolution(flow, torch.Size((8, 3, 5, 7, 7)), 3).shape[1] == 10, (
        "left for the error to name"
    )


def test_flow_begins_with_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", imagenet(0.125))
    for kind in ("2d", "3d"):
        model = small("of", kind, of_pretrained_model_path=str(path))
        network = new_network(model, CLASSES)
        (said,) = begin_with(network, model)
        assert "the first convolution's 3 channels are spread" in said
        assert ("inflated" in said) == (kind == "3d")
        grey = torch.ones(1, *network.shape("of", (7, 7)))
        layer = F.conv3d if kind == "3d" else F.conv2d
        got = layer(grey, network.conv1.weight)[0].flatten(1)[:, 0]
        np.testing.assert_allclose(got.detach(), imagenet(0.125)["conv1.weight"].sum((1, 2, 3)), atol=1e-5)
