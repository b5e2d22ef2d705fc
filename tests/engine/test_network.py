"""TrtPose built layer by layer from a .wts file: built by TensorRT-RTX, refused where it does not fit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import tensorrt_rtx as trt
from builder_double import FakeBuilderModule
from made_wts import densenet_shapes, random_weights, resnet_shapes

import edgekit.engine.builder as builder_module
from edgekit.cli import main
from edgekit.engine.build import build
from edgekit.engine.builder import Request, compile_plan
from edgekit.engine.network import HandBuilt, hand_built
from edgekit.engine.network_onnx import onnx_twin
from edgekit.engine.network_trt import fill_network
from edgekit.engine.plan import Plan
from edgekit.engine.progress import Phases
from edgekit.errors import InputError
from edgekit.topology import ANIMAL20, HUMAN18, noted_topology
from edgekit.wts import write_wts


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wts(tmp_path_factory.mktemp("wts") / "pose.wts", random_weights(resnet_shapes()))


@pytest.fixture(scope="module")
def densenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wts(tmp_path_factory.mktemp("wts") / "dense.wts", random_weights(densenet_shapes()))


def ahead(path: Path, precision: str, **settings: object) -> Plan:
    return build(path, precision, target="sm86", progress=False, **settings)  # type: ignore[arg-type]


def network_of(hand: HandBuilt, half: bool = False, dynamic: bool = False) -> tuple:
    """(builder, network, what holds the weights); the first must outlive the second."""
    maker = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = maker.create_network(0)
    return maker, network, fill_network(trt, network, hand, half=half, dynamic=dynamic)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "Float"), ("fp16", "Half")])
@pytest.mark.parametrize("kind", ["resnet", "densenet"])
def test_tensorrt_rtx_builds_it(
    request: pytest.FixtureRequest, home: Path, kind: str, precision: str, dtype: str
) -> None:
    path, side = request.getfixturevalue(kind), 96
    plan = ahead(path, precision, size=side)
    assert plan.path.name == f"{path.stem}-wts-{precision}.plan"
    assert plan.path.read_bytes()[:4] == b"vtrt"
    notes = plan.sidecar
    assert notes["inputs"] == [{"name": "images", "shape": [1, 3, 96, 96], "dtype": "float32"}]
    assert [(o["name"], o["shape"], o["dtype"]) for o in notes["outputs"]] == [
        ("cmap", [1, 18, 24, 24], "float32"),
        ("paf", [1, 42, 24, 24], "float32"),
    ]
    assert noted_topology(notes["metadata"]) == HUMAN18
    assert (notes["metadata"]["task"], json.loads(notes["metadata"]["imgsz"])) == ("trtpose", [96, 96])
    layers = [x for x in plan.layers()["layers"] if x["type"] == "correlation" or "Corr" in x["name"]]
    assert {layer["inputs"][0]["dtype"] for layer in layers} == {dtype}
    assert ahead(path, precision, size=side).reused
    again = ahead(path, precision, size=64)
    assert "the size or topology changed" in again.reason


def test_a_batch_that_varies(resnet: Path) -> None:
    shapes = {"images": ((1, 3, 64, 64), (2, 3, 64, 64), (4, 3, 64, 64))}
    plan = ahead(resnet, "fp16", size=64, shapes=shapes)
    assert plan.sidecar["inputs"][0]["shape"] == [None, 3, 64, 64]
    with pytest.raises(InputError, match="the model fixes it to 64; 96 was given"):
        ahead(resnet, "fp16", size=64, shapes={"images": (1, 3, 96, 96)})


def test_the_command(resnet: Path, home: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["build", "--wts", str(resnet), "--topology", "human18", "--size", "64", "--target", "sm86"]
    assert main([*command, "--quiet"]) == 0
    assert "pose, .wts SHA-256" in capsys.readouterr().out
    assert main(["build", "pose.onnx", "--size", "64"]) == 2
    with pytest.raises(SystemExit):
        main(["build", "pose.onnx", "--wts", "pose.wts"])
    with pytest.raises(SystemExit):
        main(["build"])


@pytest.mark.parametrize(("kind", "convs", "scales"), [("resnet", 24, 0), ("densenet", 1 + 16 + 3 + 4, 12)])
def test_each_layer_is_there_once(request: pytest.FixtureRequest, kind: str, convs: int, scales: int) -> None:
    maker, network, held = network_of(hand_built(request.getfixturevalue(kind), size=64))
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    found = Counter(layer.type.name for layer in layers)
    assert (found["CONVOLUTION"], found["SCALE"], found["DECONVOLUTION"]) == (convs, scales, 6)
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    del layers, network, maker, held


def test_half_weights_only_where_types_are_strong(resnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, seen = hand_built(resnet, size=64), {}

    def note(trt: object, network: object, hand: HandBuilt, *, half: bool, dynamic: bool) -> None:
        seen[trt.__version__] = half  # type: ignore[attr-defined]
        object.__setattr__(network, "_model", onnx_twin(hand))

    monkeypatch.setattr(builder_module, "fill_network", note)
    for version in ("8.6.1", "10.3.0"):
        module = FakeBuilderModule(version)
        strong = version != "8.6.1"
        compile_plan(module, Request(resnet, None, "fp16", strong, hand=hand), Phases())
        assert ("FP16" in module.asked["flags"]) is not strong
    assert seen == {"8.6.1": False, "10.3.0": True}


def test_paddles_names_are_the_same_network(resnet: Path, tmp_path: Path) -> None:
    weights = random_weights(resnet_shapes())
    theirs = {
        name.replace("running_mean", "_mean").replace("running_var", "_variance"): value
        for name, value in weights.items()
    }
    twins = [onnx_twin(hand_built(write_wts(tmp_path / "paddle.wts", theirs))), onnx_twin(hand_built(resnet))]
    assert twins[0] == twins[1]


def test_the_twin_takes_any_batch_and_says_what_it_is(densenet: Path) -> None:
    hand = hand_built(densenet)
    assert hand.size == (256, 256)
    session = ort.InferenceSession(onnx_twin(hand_built(densenet, size=64), "batch").SerializeToString())
    cmap, paf = session.run(None, {"images": np.zeros((3, 3, 64, 64), np.float32)})
    assert (cmap.shape, paf.shape) == ((3, 18, 16, 16), (3, 42, 16, 16))
    np.testing.assert_array_equal(cmap[0], cmap[2])
    assert hand_built(densenet).notes() == {p.key: p.value for p in onnx_twin(hand).metadata_props}


def changed(path: Path, **tensors: np.ndarray | None) -> Path:
    weights = random_weights(resnet_shapes())
    for name, value in tensors.items():
        name = name.replace("__", ".")
        weights.pop(name, None)
        if value is not None:
            weights[name] = value
    return write_wts(path, weights)


def test_weights_that_do_not_fit_are_named(resnet: Path, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "x.wts"
    zeros = np.zeros(5, np.float32)
    for tensors, said in [
        ({"1__paf_att__bias": None}, r"x\.wts lacks the tensor '1\.paf_att\.bias'"),
        ({"0__resnet__bn1__running_var": None}, r"lacks the tensor '0\.resnet\.bn1\.running_var'"),
        ({"0__resnet__bn1__bias": zeros}, r"'0\.resnet\.bn1\.bias' has 5 values; 4 are wanted"),
        ({"1__cmap_up__0__weight": zeros}, r"'1\.cmap_up\.0\.weight' has 5 values; 32×\?×4×4 are wanted"),
        ({"2__extra__weight": zeros}, r"'2\.extra\.weight', which no layer of TrtPose uses"),
        ({"0__resnet__conv1__weight": None}, r"x\.wts is no TrtPose: it has neither"),
    ]:
        with pytest.raises(InputError, match=said):
            ahead(changed(path, **tensors), "fp32")
    for settings, said in [
        ({"topology": ANIMAL20}, r"18 and 42 channels, but the topology 'animal' has 20 and 40"),
        ({"size": 100}, "the size 100 must be a multiple of 32"),
        ({"size": 0}, "the size 0 must be"),
    ]:
        with pytest.raises(InputError, match=said):
            ahead(resnet, "fp16", **settings)
    with pytest.raises(InputError, match=r"int8 is built from ONNX; export it"):
        ahead(resnet, "int8")
    path.write_text("9\n")
    with pytest.raises(InputError, match="is cut short"):
        ahead(path, "fp16")
    assert [p for p in home.rglob("*") if p.is_file()] == []
