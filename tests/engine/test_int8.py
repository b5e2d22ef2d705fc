"""int8 on ONNX Runtime's CPU: really computed so, kept, made anew when what it came from changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from build_nets import conv_net, save, write_pictures
from onnx import TensorProto, helper

from edgekit import InputError, open_engine
from edgekit.engine.calibration import Recipe
from edgekit.engine.exact import open_exact, with_batch
from edgekit.engine.int8 import layers_in_int8, quantised, recipe_of, sample_pictures
from edgekit.engine.precision import INT8_NOTE, cosine, precision_of


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own: nothing is written into the checkout."""
    import shutil

    from edgekit.files import engines_dir

    folder = tmp_path / "engines"
    folder.mkdir()
    shutil.copy(engines_dir() / "models.toml", folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save(conv_net(depth=4), tmp_path / "net.onnx")


def test_what_is_quantised_runs_in_int8_and_answers_nearly_the_same(net: Path, tmp_path: Path) -> None:
    made = quantised(net, calibration=write_pictures(tmp_path / "pictures"))
    assert precision_of(onnx.load(made)) == "int8"
    # three of four: the last layer's output is the answer, and stays as it is
    assert layers_in_int8(onnx.load(made)) == (3, 1)
    x = {"images": np.random.default_rng(3).random((1, 3, 32, 32), np.float32)}
    assert 0.98 < cosine(net, made, x)["output0"] < 1


def test_it_is_kept_and_made_anew_for_other_pictures(net: Path, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures")
    made = quantised(net, calibration=pictures)
    stamp = made.stat().st_mtime_ns
    assert quantised(net, calibration=pictures) == made
    assert made.stat().st_mtime_ns == stamp
    next(iter(pictures.iterdir())).unlink()
    assert quantised(net, calibration=pictures) != made


def test_an_engine_says_how_much_of_it_is_int8(net: Path) -> None:
    with open_engine(net, "int8", "onnxruntime-cpu") as engine:
        assert engine.precision == "int8"
        assert "3 of 4 layers with weights in int8" in engine.why
        assert "frames of the sample clip" in engine.why
        assert INT8_NOTE not in engine.why
        assert engine.metadata["stride"] == "32"


def test_the_sample_pictures_are_made_once(shelf: Path) -> None:
    first = sample_pictures()
    assert len(list(first.iterdir())) == 40
    assert sample_pictures() == first
    assert shelf in first.parents
    assert [p.name for p in first.parent.iterdir()] == [first.name]


def test_what_takes_no_pictures_is_not_quantised(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    path = save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "flat.onnx",
    )
    with open_engine(path, "int8", "onnxruntime-cpu") as engine:
        assert engine.precision == "fp32"
        assert "runs in fp32" in engine.why
        assert "[N, 3, H, W]" in engine.why
    with pytest.raises(InputError, match=r"\[N, 3, H, W\]"):
        open_exact(path, "int8", "onnxruntime-cpu")


def test_exactly_what_is_asked_or_an_error_that_says_why(net: Path) -> None:
    with pytest.raises(InputError, match=r"runs in fp32, not in fp16.*no fp16 kernels"):
        open_exact(net, "fp16", "onnxruntime-cpu")
    with pytest.raises(InputError, match="precision 'fp8' is unknown"):
        open_exact(net, "fp8", "onnxruntime-cpu")
    for precision in ("fp32", "int8"):
        with open_exact(net, precision, "onnxruntime-cpu", batch=3) as engine:
            x = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)
            assert engine.precision == precision
            assert engine({"images": x})["output0"].shape == (3, 16, 32, 32)


def test_a_file_that_holds_its_batch_is_refused_for_another(tmp_path: Path) -> None:
    model = conv_net(depth=2)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Reshape", ["before", "shape"], ["output0"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 16, 32, 32], np.int64), "shape"))
    path = save(model, tmp_path / "fixed.onnx")
    with open_exact(path, "fp32", "onnxruntime-cpu", batch=1) as engine:
        assert engine.inputs[0].shape[0] == 1
    with pytest.raises(InputError, match="holds its batch size inside"):
        open_exact(path, "fp32", "onnxruntime-cpu", batch=4)


def test_shapes_of_a_dynamic_model(tmp_path: Path) -> None:
    path = save(conv_net(batch="n", size="side", depth=2), tmp_path / "open.onnx")
    assert with_batch(path, 4) == (path, {"images": ((4, 3, 640, 640),) * 3})


def test_the_recipe_of_a_file_is_told_by_its_output(tmp_path: Path) -> None:
    def yolo(rows: int, columns: int) -> Path:
        values = [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 416, 416]),
            helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, rows, columns]),
        ]
        node = helper.make_node("NoMatter", ["images"], ["output0"])
        path = tmp_path / f"{rows}.onnx"
        onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:])), path)
        return path

    anchors = sum((416 // stride) ** 2 for stride in (8, 16, 32))
    assert recipe_of("x", yolo(anchors, 85)) == Recipe("yolox", None, False, False)
    assert recipe_of("x", yolo(84, anchors)) == Recipe("ultralytics", None, True, True)
    assert recipe_of("x", yolo(7, 7)) == Recipe()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_plan_is_built_for_the_batch_and_calibrated_like_the_cpu(
    net: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """TensorRT is not here: what the build is asked for is looked at, and ONNX Runtime stands in."""
    from edgekit.engine import build, exact, tensorrt
    from edgekit.engine.onnxruntime import OnnxRuntimeEngine
    from edgekit.engine.plan import Plan

    asked: dict = {}

    def built(onnx_file: Path, wanted: str, shapes: dict, **settings: object) -> Plan:
        asked.update(settings, onnx=onnx_file, precision=wanted, shapes=shapes)
        return Plan(onnx_file, {}, False, "built", wanted)

    def opened(plan: Path, why: str) -> OnnxRuntimeEngine:
        engine = OnnxRuntimeEngine(plan, why=why)
        engine.precision = precision
        return engine

    monkeypatch.setattr(exact, "tensorrt_missing", lambda: None)
    monkeypatch.setattr(build, "build", built)
    monkeypatch.setattr(tensorrt, "TensorRTEngine", opened)
    with open_exact(net, precision, "tensorrt", batch=4) as engine:
        assert engine({"images": np.zeros((4, 3, 32, 32), np.float32)})["output0"].shape[0] == 4
    assert asked["shapes"] == {"images": ((4, 3, 32, 32),) * 3}
    assert asked["precision"] == precision
    assert asked["calibration"] == (sample_pictures() if precision == "int8" else None)
    assert asked["preprocess"] == (Recipe() if precision == "int8" else None)
    with pytest.raises(InputError, match=f"runs in {precision}, not in fp32"):
        open_exact(net, "fp32", "tensorrt", batch=4)
