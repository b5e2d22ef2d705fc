"""PyTorch as a back end: the same answers as ONNX Runtime, and one clear error where it is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from build_nets import conv_net, nms_net, save

from edgekit import Engine, InputError, MissingError, open_engine
from edgekit.engine.exact import open_exact
from edgekit.engine.precision import to_fp16
from edgekit.errors import EdgekitError
from edgekit.models import find

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.engine.pytorch import PyTorchEngine  # noqa: E402


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save(conv_net(batch="n"), tmp_path / "net.onnx")


@pytest.mark.parametrize("model", ["edgekit-person", "net"])
def test_the_answers_are_onnx_runtimes(model: str, net: Path) -> None:
    path = net if model == "net" else find(model)
    with (
        PyTorchEngine(path, "cpu") as mine,
        open_engine(path, "fp32", "onnxruntime-cpu") as other,
    ):
        assert isinstance(mine, Engine)
        assert [str(s) for s in mine.inputs] == [str(s) for s in other.inputs]
        assert [s.name for s in mine.outputs] == [s.name for s in other.outputs]
        assert mine.metadata == other.metadata
        shape = [n or 2 for n in mine.inputs[0].shape]
        x = {"images": np.random.default_rng(0).random(shape, np.float32)}
        a, b = mine(x)["output0"], other(x)["output0"]
        assert (a.dtype, a.shape) == (np.float32, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-3)  # boxes are pixels up to 416
        assert set(mine.times) == {"upload", "infer", "download"}


def test_a_fixed_batch_is_opened(tmp_path: Path) -> None:
    path = save(conv_net(batch=1), tmp_path / "one.onnx")
    with pytest.raises(InputError, match="'images' is float32"), PyTorchEngine(path) as engine:
        engine({"images": np.zeros((2, 3, 32, 32), np.float32)})


def test_fp16_on_the_cpu_says_that_it_is_not(net: Path) -> None:
    with PyTorchEngine(net, "cpu", "fp16") as engine:
        assert engine.precision == "fp32"
        assert "no fp16" in engine.why
    for precision in ("fp16", "int8"):
        if not torch.cuda.is_available():
            with pytest.raises(InputError, match=f"runs in fp32, not in {precision}"):
                open_exact(net, precision, "pytorch")


@pytest.mark.gpu
def test_fp32_on_a_gpu_says_where_it_is_tf32(net: Path) -> None:
    with open_engine(net, "fp32", "pytorch") as engine:
        assert engine.device == torch.cuda.get_device_name(0)
        assert "TF32" in engine.why


@pytest.mark.gpu
def test_fp16_on_a_gpu_is_near_and_not_the_same(net: Path) -> None:
    x = {"images": np.random.default_rng(0).random((2, 3, 32, 32), np.float32)}
    with PyTorchEngine(net, "cuda", "fp16") as half, PyTorchEngine(net, "cpu") as single:
        a, b = half(x)["output0"], single(x)["output0"]
        assert half.precision == "fp16"
        np.testing.assert_allclose(a, b, atol=0.02)
        assert not np.array_equal(a, b)


def test_closed_engines_and_wrong_files_are_said(net: Path, tmp_path: Path) -> None:
    engine = PyTorchEngine(net)
    engine.close()
    engine.close()
    with pytest.raises(EdgekitError, match="closed"):
        engine({"images": np.zeros((1, 3, 32, 32), np.float32)})
    with pytest.raises(InputError, match="stored in fp16"):
        PyTorchEngine(save(to_fp16(conv_net()), tmp_path / "half.onnx"))
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(net.read_bytes()[:50])
    with pytest.raises(InputError, match=r"cut\.onnx"):
        PyTorchEngine(cut)


def test_an_operator_that_cannot_be_converted_is_refused_by_name(tmp_path: Path) -> None:
    path = save(nms_net(), tmp_path / "odd.onnx")
    path.write_bytes(path.read_bytes().replace(b"NonMaxSuppression", b"NonMaxSuppressios"))
    with pytest.raises(InputError, match=r"odd\.onnx cannot be converted"):
        PyTorchEngine(path)


@pytest.mark.parametrize("name", ["torch", "onnx2torch"])
def test_what_is_not_installed_is_named_with_the_cure(
    net: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda n, *rest: None if n == name else found(n, *rest))
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingError, match=rf"{name} not installed; cure: pip install 'edgekit\[pytorch\]'"):
        open_engine(net, "fp32", "pytorch")


def test_auto_never_chooses_it(net: Path) -> None:
    with open_engine(net) as engine:
        assert engine.backend != "pytorch"
