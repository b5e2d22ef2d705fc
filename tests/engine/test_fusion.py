"""Layers before and after fusion, an opened batch, and the place a plan can be built for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from build_nets import conv_net, save
from onnx import TensorProto, helper, numpy_helper

import edgekit.engine.place as place_module
from edgekit.engine import open_engine
from edgekit.engine.batch import open_batch
from edgekit.engine.build import build
from edgekit.engine.fusion import onnx_layers, plan_layers, runtime_layers
from edgekit.engine.place import Place, best_place
from edgekit.errors import InputError, MissingError


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "engines").mkdir()
    monkeypatch.setenv("EDGEKIT_ENGINES", str(tmp_path / "engines"))
    return save(conv_net(depth=3), tmp_path / "net.onnx")


def test_the_layers_before_are_those_that_compute(net: Path) -> None:
    layers = onnx_layers(net)
    assert [layer.kind for layer in layers[:3]] == ["Conv", "Sigmoid", "Mul"]
    assert len(layers) == 11
    model = onnx.load(net)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], value_float=1.0, name="k"))
    onnx.save(model, net)
    assert onnx_layers(net) == layers


def test_a_real_plan_names_the_layers_it_fused(net: Path) -> None:
    before = {layer.name for layer in onnx_layers(net)}
    after = plan_layers(build(net, "fp32", target="sm86", progress=False).layers())
    done = [name for layer in after for name in layer.members]
    assert before <= set(done), "each ONNX layer is done by some layer of the plan"
    assert max(len(layer.members) for layer in after) > 1
    assert sum(bool(layer.members) for layer in after) < len(before)


def test_the_inspector_tells_them_too() -> None:
    noted = {"name": "a", "type": "conv", "detail": {"Metadata": "[ONNX Layer: c0]\x1e[ONNX Layer: s0]"}}
    bare = {"name": "b", "type": "Reformat", "detail": {}}
    found = plan_layers({"layers": [noted, bare]})
    assert [layer.members for layer in found] == [("c0", "s0"), ()]


def test_onnx_runtime_fuses_as_well(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "engines" / "edgekit-person.onnx"
    before, after = onnx_layers(shipped), runtime_layers(shipped)
    assert 10 < len(after) < len(before)
    assert "Clip" not in {layer.kind for layer in after}, "its ReLU6 went into the convolutions"


def test_an_opened_batch_computes_the_same(net: Path) -> None:
    opened = open_batch(net)
    assert opened.name == "net-batch.onnx"
    pictures = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)
    with (
        open_engine(net, backend="onnxruntime-cpu") as one,
        open_engine(opened, backend="onnxruntime-cpu") as any_,
    ):
        together = any_({"images": pictures})["output0"]
        single = [one({"images": picture[None]})["output0"].copy() for picture in pictures]
    np.testing.assert_allclose(together, np.concatenate(single), atol=1e-5)
    plan = build(opened, "fp16", {"images": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))}, target="sm86")
    assert plan.sidecar["inputs"][0]["shape"] == [None, 3, 32, 32]
    assert open_batch(net, net.with_name("other.onnx")).read_bytes() == opened.read_bytes(), (
        "for reuse of plans"
    )


def test_a_batch_held_inside_is_refused(tmp_path: Path) -> None:
    size = numpy_helper.from_array(np.array([1, -1], np.int64), "size")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["images", "size"], ["flat"])],
        "fixed",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 48])],
        [size],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    with pytest.raises(InputError, match=r"fixed\.onnx holds its batch size inside; export it with"):
        open_batch(save(model, tmp_path / "fixed.onnx"), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_the_best_place_is_here_then_ahead_then_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorrt_rtx

    here = Place(tensorrt_rtx, "key", "Orin", "sm87", None, None)
    monkeypatch.setattr(place_module, "_here", lambda: here)
    assert best_place()[0] is here
    assert "builds for this machine's Orin, sm87" in best_place()[1]

    def nothing() -> Place:
        raise MissingError("there is no GPU to build for (none). Buy one.")

    monkeypatch.setattr(place_module, "_here", nothing)
    place, why = best_place()
    assert place is not None
    assert place.target == "sm86"
    assert why.startswith("There is no GPU to build for (none). So tensorrt_rtx")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    place, why = best_place()
    assert place is None
    assert why.startswith("No plan can be built here: there is no GPU to build for (none). On a PC")
    assert "pip install tensorrt-rtx-cu13" in why
