"""RoIAlign against ONNX Runtime's operator and against the definition in plain loops, float64."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgekit.errors import InputError
from edgekit.ops.roi_align import roi_align

RNG = np.random.default_rng(6)


def plain(
    features: NDArray, boxes: NDArray, cells: int, scale: float, ratio: int, aligned: bool
) -> NDArray[np.float64]:
    """The definition (Mask R-CNN, section 3; averaged samples), one sample at a time."""
    out = np.zeros((len(boxes), len(features), cells, cells))
    shift = 0.5 if aligned else 0.0
    for n, (x1, y1, x2, y2) in enumerate(boxes.astype(np.float64) * scale - shift):
        tall, wide = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        ny, nx = (ratio or math.ceil(tall / cells)), (ratio or math.ceil(wide / cells))
        for i in range(cells):
            for j in range(cells):
                for a in range(ny):
                    for b in range(nx):
                        y = y1 + (i + (a + 0.5) / ny) * tall / cells
                        x = x1 + (j + (b + 0.5) / nx) * wide / cells
                        out[n, :, i, j] += bilinear(features, y, x) / max(ny * nx, 1)
    return out


def bilinear(features: NDArray, y: float, x: float) -> NDArray[np.float64]:
    """The features at one place; 0 beyond one cell outside."""
    _, height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(features))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    return (
        features[:, top, left] * (1 - v) * (1 - u)
        + features[:, top, right] * (1 - v) * u
        + features[:, below, left] * v * (1 - u)
        + features[:, below, right] * v * u
    )


def by_onnxruntime(
    features: NDArray, boxes: NDArray, cells: int, scale: float, ratio: int, aligned: bool
) -> NDArray[np.float32]:
    node = helper.make_node(
        "RoiAlign",
        ["f", "b", "i"],
        ["out"],
        mode="avg",
        output_height=cells,
        output_width=cells,
        sampling_ratio=ratio,
        spatial_scale=scale,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "roi",
        [
            value("f", TensorProto.FLOAT, [None] * 4),
            value("b", TensorProto.FLOAT, [None, 4]),
            value("i", TensorProto.INT64, [None]),
        ],
        [value("out", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    feeds = {"f": features[None], "b": boxes, "i": np.zeros(len(boxes), np.int64)}
    return session.run(None, feeds)[0]


def boxes_of(kind: str, count: int = 5) -> NDArray[np.float32]:
    """Boxes in a picture of 464×256 pixels."""
    one, two = RNG.random((2, count, 2)) * (464, 256)
    ordered = np.concatenate([np.minimum(one, two), np.maximum(one, two)], axis=1)
    made = {
        "any": ordered,
        "tiny": np.concatenate([one, one + RNG.random((count, 2)) * 3], axis=1),
        "outside": ordered + RNG.choice([-900, -200, 200, 900], (count, 1)),
        "across the edge": ordered + RNG.normal(0, 120, (count, 1)),
        "whole frame": np.array([[0, 0, 464, 256], [-5, -5, 470, 260], [0, 0, 463, 255]]),
        "inverted": np.concatenate([np.maximum(one, two), np.minimum(one, two)], axis=1),
        "empty": np.concatenate([one, one], axis=1),
    }
    return made[kind].astype(np.float32)


KINDS = ("any", "tiny", "outside", "across the edge", "whole frame", "inverted", "empty")


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_definition_and_onnxruntime(kind: str, ratio: int, aligned: bool) -> None:
    features = RNG.normal(size=(2, 16, 29)).astype(np.float32)
    boxes = boxes_of(kind)
    found = roi_align(features, boxes, sampling_ratio=ratio, aligned=aligned)
    assert found.dtype == np.float32
    assert found.shape == (len(boxes), 2, 7, 7)
    how = (features, boxes, 7, 1 / 16, ratio, aligned)
    np.testing.assert_allclose(found, plain(*how), atol=2e-5)
    np.testing.assert_allclose(found, by_onnxruntime(*how), atol=5e-6)


@pytest.mark.parametrize(("cells", "scale"), [(1, 1 / 16), (5, 0.25), (14, 1.0)])
def test_other_sizes_and_scales(cells: int, scale: float) -> None:
    features = RNG.normal(size=(2, 9, 13)).astype(np.float32)
    boxes = (boxes_of("any") / 36 / scale).astype(np.float32)
    found = roi_align(features, boxes, output_size=cells, spatial_scale=scale)
    how = (features, boxes, cells, scale, 0, False)
    np.testing.assert_allclose(found, plain(*how), atol=2e-5)
    np.testing.assert_allclose(found, by_onnxruntime(*how), atol=5e-6)


def test_a_ramp_gives_the_middles_of_the_cells() -> None:
    """Known by hand: of features equal to x, each cell's mean is the x of its middle."""
    features = np.broadcast_to(np.arange(29, dtype=np.float32), (1, 16, 29))
    found = roi_align(features, np.array([[32.0, 32.0, 256.0, 144.0]]))
    np.testing.assert_allclose(found[0, 0], np.broadcast_to(2 + 2 * (np.arange(7) + 0.5), (7, 7)), rtol=1e-6)


def test_nobody_and_a_batch_axis() -> None:
    features = RNG.normal(size=(1, 4, 5, 6)).astype(np.float32)
    assert roi_align(features, np.zeros((0, 4), np.float32)).shape == (0, 4, 7, 7)
    box = np.array([[3.0, 9, 70, 66]])
    np.testing.assert_array_equal(roi_align(features, box), roi_align(features[0], box))
    half = roi_align(features.astype(np.float16), box)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, roi_align(features, box), atol=2e-3)


@pytest.mark.parametrize(
    ("features", "boxes", "settings"),
    [
        (np.zeros((2, 3, 4, 5)), np.zeros((1, 4)), {}),
        (np.zeros((3, 4, 5)), np.zeros((1, 5)), {}),
        (np.zeros((3, 4, 5)), np.full((1, 4), np.nan), {}),
        (np.zeros((3, 4, 5)), np.zeros((1, 4)), {"output_size": 0}),
        (np.zeros((3, 4, 5)), np.zeros((1, 4)), {"sampling_ratio": -1}),
        (np.zeros((3, 4, 5)), np.zeros((1, 4)), {"spatial_scale": 0.0}),
    ],
)
def test_what_does_not_fit_is_refused(features: NDArray, boxes: NDArray, settings: dict) -> None:
    with pytest.raises(InputError):
        roi_align(features, boxes, **settings)
