"""RoIAlign in PyTorch against ONNX Runtime's operator, and its gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.train.slowfast_roi import roi_align  # noqa: E402

SIZE = (12, 20)  # of the features; 16 pixels a place


def operator(ratio: int, aligned: bool) -> ort.InferenceSession:
    node = helper.make_node(
        "RoiAlign",
        ["x", "boxes", "clip"],
        ["y"],
        output_height=7,
        output_width=7,
        sampling_ratio=ratio,
        spatial_scale=1 / 16,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [None, 4]),
        helper.make_tensor_value_info("clip", TensorProto.INT64, [None]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "roi", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def boxes(rng: np.random.RandomState) -> np.ndarray:
    """float32 [N, 4]: at random, the whole picture, a point, tiny, over each edge, outside, huge."""
    height, width = (16 * side for side in SIZE)
    corners = rng.uniform(-40, [width + 40, height + 40], (60, 2, 2))
    some = np.concatenate([corners.min(1), corners.max(1)], 1)
    special = [
        [0, 0, width, height],
        [50, 50, 50, 50],
        [10, 20, 11, 23],
        [-30, 5, 20, 60],
        [width - 20, height - 9, width + 60, height + 99],
        [width + 100, 0, width + 200, 90],
        [-500, -500, -300, -200],
        [-600, -700, 900, 800],
        [16, 32, 16 * 8, 32 + 16 * 14],  # exactly 7 and 14 places
    ]
    return np.concatenate([some, special]).astype(np.float32)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_equal_to_the_operator(ratio: int, aligned: bool) -> None:
    rng = np.random.RandomState(ratio)
    features = rng.normal(size=(2, 5, *SIZE)).astype(np.float32)
    given = boxes(rng)
    clip = rng.randint(0, 2, len(given))
    wanted = operator(ratio, aligned).run(None, {"x": features, "boxes": given, "clip": clip})[0]
    found = roi_align(
        torch.from_numpy(features),
        torch.from_numpy(given),
        torch.from_numpy(clip),
        sampling_ratio=ratio,
        aligned=aligned,
    )
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)
    assert np.abs(wanted).max() > 1


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_equal_to_torchvision(ratio: int, aligned: bool) -> None:
    with np.load(Path(__file__).parents[1] / "golden/roi_align.npz") as golden:
        features, given = (torch.from_numpy(golden[name]) for name in ("features", "boxes"))
        wanted = golden[f"ratio{ratio}_aligned{int(aligned)}"]
    found = roi_align(features[None], given, sampling_ratio=ratio, aligned=aligned)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_the_gradient_of_the_features() -> None:
    rng = np.random.RandomState(1)
    features = torch.from_numpy(rng.normal(size=(2, 2, 4, 5))).requires_grad_()
    given = torch.tensor([[0, 0, 40.0, 50], [10, 20, 70, 64], [-20, -20, 200, 200]])
    clip = torch.tensor([0, 1, 1])
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, given, clip, output_size=3), features, eps=1e-4, atol=1e-6
    )


def test_no_boxes_and_half_precision() -> None:
    features = torch.randn(1, 3, *SIZE)
    assert roi_align(features, torch.zeros(0, 4)).shape == (0, 3, 7, 7)
    given = torch.tensor([[5.3, 6.1, 300, 150]])
    found = roi_align(features.bfloat16(), given)
    assert found.dtype == torch.bfloat16
    np.testing.assert_allclose(found.float(), roi_align(features, given), atol=0.03)
