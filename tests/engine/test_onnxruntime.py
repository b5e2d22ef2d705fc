from __future__ import annotations

import gc
import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit import Engine, InputError, MissingError, open_engine
from edgekit.engine.onnxruntime import OnnxRuntimeEngine, cuda_missing
from edgekit.errors import EdgekitError


def scale_net(path, shape=("n", 4), dtype=TensorProto.FLOAT, factor=3.0):
    """y = factor · x and s = sum of x; notes: names."""
    number = np.float16 if dtype == TensorProto.FLOAT16 else np.float32
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "k"], ["y"]),
            helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        ],
        "scale",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape), helper.make_tensor_value_info("s", dtype, [])],
        [onnx.numpy_helper.from_array(np.array(factor, number), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'person'}"})
    onnx.save(model, path)
    return path


@pytest.fixture
def net(tmp_path):
    return scale_net(tmp_path / "scale.onnx")


def test_answers_specs_and_notes(net):
    with open_engine(net, "fp32", "onnxruntime-cpu") as engine:
        assert isinstance(engine, Engine)
        assert [str(s) for s in engine.inputs] == ["x ?×4 float32"]
        assert [s.name for s in engine.outputs] == ["y", "s"]
        assert engine.metadata == {"names": "{0: 'person'}"}
        for rows in (1, 5, 0, 2):
            x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
            out = engine({"x": x})
            np.testing.assert_allclose(out["y"], x * 3, rtol=1e-6)
            np.testing.assert_allclose(out["s"], x.sum(), rtol=1e-5, atol=1e-6)
        assert set(engine.times) == {"upload", "infer", "download"}
        assert all(t >= 0 for t in engine.times.values())


def test_an_array_that_is_not_contiguous_is_read_right(net):
    x = np.arange(16, dtype=np.float32).reshape(4, 4).T
    with open_engine(net, "fp32") as engine:
        np.testing.assert_array_equal(engine({"x": x})["y"], x * 3)


@pytest.mark.parametrize(
    ("feeds", "word"),
    [
        ({}, "'x' is missing"),
        ({"z": np.zeros((1, 4), np.float32)}, "no input 'z'"),
        ({"x": np.zeros((1, 5), np.float32)}, r"'x' is float32 \[1, 5\]; the engine wants x \?×4 float32"),
        ({"x": np.zeros(4, np.float32)}, "'x'"),
        ({"x": np.zeros((1, 4), np.float64)}, "float64"),
    ],
)
def test_feeds_that_do_not_fit_are_refused_by_name(net, feeds, word):
    with open_engine(net, "fp32") as engine, pytest.raises(InputError, match=word):
        engine(feeds)


def test_fp16_on_the_cpu_says_that_it_is_not(net):
    with open_engine(net, "fp16", "onnxruntime-cpu") as engine:
        assert engine.precision == "fp32"
        assert "no fp16 kernels" in engine.why


def test_a_file_stored_in_fp16_runs_and_says_so(tmp_path):
    path = scale_net(tmp_path / "half.onnx", dtype=TensorProto.FLOAT16)
    with open_engine(path, "fp16", "onnxruntime-cpu") as engine:
        assert engine.precision == "fp16"
        out = engine({"x": np.ones((2, 4), np.float16)})
        assert out["y"].dtype == np.float16
        np.testing.assert_array_equal(out["y"], np.full((2, 4), 3, np.float16))


def test_auto_says_what_it_chose_and_why(net):
    with open_engine(net) as engine:
        assert engine.backend in engine.why.lower().replace("onnx runtime on the cpu", "onnxruntime-cpu") or (
            engine.backend == "tensorrt"
        )
        assert len(engine.why) > 20


def test_closing_frees_and_is_said_afterwards(net):
    engine = open_engine(net, "fp32", "onnxruntime-cpu")
    session = weakref.ref(engine._session)
    engine.close()
    engine.close()
    gc.collect()
    assert session() is None
    with pytest.raises(EdgekitError, match="closed"):
        engine({"x": np.zeros((1, 4), np.float32)})


def test_a_cut_onnx_is_refused_by_name(net):
    cut = net.with_name("cut.onnx")
    cut.write_bytes(net.read_bytes()[:40])
    with pytest.raises(InputError, match=r"cut\.onnx"):
        OnnxRuntimeEngine(cut)


def test_an_unknown_operator_is_refused_by_name(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("NoSuchThing", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    with pytest.raises(InputError, match=r"odd\.onnx.*NoSuchThing"):
        OnnxRuntimeEngine(path)


@pytest.mark.parametrize(
    ("kwargs", "word"), [({"precision": "fp8"}, "fp8"), ({"backend": "openvino"}, "openvino")]
)
def test_settings_that_do_not_exist_are_refused(net, kwargs, word):
    with pytest.raises(InputError, match=word):
        open_engine(net, **kwargs)


def test_a_plan_is_not_given_to_onnx_runtime(tmp_path):
    plan = tmp_path / "a.plan"
    plan.write_bytes(b"plan")
    with pytest.raises(InputError, match=r"a\.plan is a TensorRT plan"):
        open_engine(plan, backend="onnxruntime-cpu")


@pytest.mark.skipif(cuda_missing() is None, reason="CUDA is here")
def test_cuda_that_is_absent_is_named_with_the_cure(net):
    with pytest.raises(MissingError, match="onnxruntime-gpu"):
        open_engine(net, backend="onnxruntime-cuda")


def test_tensorrt_that_cannot_run_is_named_with_the_cure(net):
    from edgekit.engine.choose import tensorrt_missing

    if tensorrt_missing() is None:
        with open_engine(net, backend="tensorrt", shapes={"x": ((1, 4), (2, 4), (4, 4))}) as engine:
            assert engine.backend == "tensorrt"
    else:
        with pytest.raises(MissingError, match="doctor"):
            open_engine(net, backend="tensorrt")
