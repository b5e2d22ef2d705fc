"""The torch runner of ONNX graphs gives what ONNX Runtime gives, on a small YOLOX-shaped graph made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.train.network import anchors  # noqa: E402
from edgekit.train.pseudo import nms  # noqa: E402
from edgekit.train.teacher import Teacher  # noqa: E402


def small_yolox(file: Path, size: int = 64) -> Path:
    """Three levels, each 1×1 prediction convolutions on a strided map, in YOLOX's layout and names."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes, weights = [], []

    def weight(name: str, *shape: int) -> str:
        array = random.normal(0, 0.05, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(x: str, out: str, name: str, cout: int, cin: int, kernel: int = 1, stride: int = 1) -> str:
        inputs = [x, weight(name, cout, cin, kernel, kernel), weight(name + ".b", cout)]
        pads, sizes = [kernel // 2] * 4, [kernel] * 2
        nodes.append(helper.make_node("Conv", inputs, [out], kernel_shape=sizes, pads=pads, group=1,
                                      strides=[stride] * 2, dilations=[1, 1]))  # fmt: skip
        return out

    weights.append(numpy_helper.from_array(np.array([1, 85, -1]), "shape"))
    x = conv("images", "a", "stem", 8, 3, 3, 4)
    flat = []
    for level in range(3):
        x = conv(x, f"x{level}", f"stage{level}", 8, 8, 3, 2)
        nodes.append(helper.make_node("Sigmoid", [x], [f"s{level}"]))
        nodes.append(helper.make_node("Mul", [x, f"s{level}"], [f"m{level}"]))
        box = conv(f"m{level}", f"box{level}", f"head.reg_preds.{level}.weight", 4, 8)
        for name, cout in (("obj", 1), ("cls", 80)):
            conv(f"m{level}", f"{name}{level}", f"head.{name}_preds.{level}.weight", cout, 8)
            nodes.append(helper.make_node("Sigmoid", [f"{name}{level}"], [f"{name}s{level}"]))
        nodes.append(
            helper.make_node("Concat", [box, f"objs{level}", f"clss{level}"], [f"all{level}"], axis=1)
        )
    for level in range(3):
        nodes.append(helper.make_node("Reshape", [f"all{level}", "shape"], [f"flat{level}"]))
        flat.append(f"flat{level}")
    nodes.append(helper.make_node("Concat", flat, ["joined"], axis=2))
    nodes.append(helper.make_node("Transpose", ["joined"], ["output"], perm=[0, 2, 1]))
    count = sum((size // s) ** 2 for s in (8, 16, 32))
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, count, 85])], weights)  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), str(file))
    return file


def test_runner_equals_onnxruntime(tmp_path: Path) -> None:
    import onnxruntime

    file = small_yolox(tmp_path / "small.onnx")
    x = torch.rand(2, 3, 64, 64)
    answer = Teacher(file)(x)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    points, strides = (t.numpy() for t in anchors(64))
    for n in range(2):
        raw = session.run(None, {"images": (x[n : n + 1].flip(1) * 255).numpy()})[0][0]
        np.testing.assert_allclose(answer["scores"][n].numpy(), raw[:, 4:5] * raw[:, 5:], atol=1e-5)
        centre = (raw[:, :2].T + np.floor(points)) * strides
        half = np.exp(raw[:, 2:4].T) * strides / 2
        boxes = np.concatenate([centre - half, centre + half]).T
        np.testing.assert_allclose(answer["boxes"][n].numpy(), boxes, rtol=1e-4, atol=1e-2)
    assert [f.shape[1] for f in answer["score_features"]] == [8, 8, 8]
    assert Teacher(file)(torch.rand(1, 3, 96, 96))["scores"].shape[1] == 144 + 36 + 9


def test_nms_keeps_the_best() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
