"""RoIAlign: the features under each box, on a grid of 7×7 cells (He et al., "Mask R-CNN", ICCV 2017).

Each cell is the mean of bilinear samples. The weight of a feature in a sample is a product of one along x and
one along y, and so is that of its mean over a cell: one product of matrices a box does all of it, exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

#: Multiplications that OpenBLAS does on the thread that asks (its interface/gemm.c). Where other threads are
#: busy, waiting for them takes longer than the work: larger products are cut into groups of channels.
ALONE = 1 << 18


def roi_align(
    features: NDArray[np.floating],
    boxes: NDArray,
    *,
    output_size: int = 7,
    spatial_scale: float = 1 / 16,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> NDArray[np.float32]:
    """The features under each box, as `torchvision.ops.roi_align` and ONNX's RoiAlign (avg) have them.

    Args:
        features: float [C, H, W] or [1, C, H, W].
        boxes: [N, 4] left, top, right, bottom, in pixels of the picture the features are of.
        output_size: cells a side.
        spatial_scale: size of the features / size of the picture (1/16 in SlowFast's AVA configurations).
        sampling_ratio: samples a cell and axis; 0: one a feature cell, ceil(size of the box / cells).
        aligned: shift by half a feature cell, as Detectron2 and ONNX's "half_pixel" do; without it ("output_
            half_pixel", SlowFast's way) a box counts at least one feature cell a side.

    Returns:
        float32 [N, C, output_size, output_size]. A sample more than one cell outside counts 0, one nearer
        takes the edge's value.

    Raises:
        InputError: a shape or a setting does not fit, or a box is not finite.
    """
    plane = features[0] if features.ndim == 4 and len(features) == 1 else features
    boxes = np.asarray(boxes, np.float32)
    if plane.ndim != 3:
        raise InputError(f"features must be [C, H, W] or [1, C, H, W], not {list(features.shape)}.")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise InputError(f"boxes must be finite numbers [N, 4], not {list(boxes.shape)} or NaN.")
    if output_size < 1 or sampling_ratio < 0 or spatial_scale <= 0:
        raise InputError("output_size must be 1 or more, sampling_ratio 0 or more, spatial_scale over 0.")
    channels, height, width = plane.shape
    edges = boxes * np.float32(spatial_scale) - np.float32(0.5 if aligned else 0.0)
    across, down = (
        _weights(edges[:, axis], edges[:, axis + 2], size, output_size, sampling_ratio, aligned)
        for axis, size in ((0, width), (1, height))
    )
    cells = output_size * output_size
    out = np.zeros((len(boxes), channels, cells), np.float32)
    for row, (wx, wy) in enumerate(zip(across, down, strict=True)):
        columns, rows = _support(wx), _support(wy)
        weights = wy[:, None, rows, None] * wx[None, :, None, columns]
        touched = weights[0, 0].size
        group = math.gcd(channels, _power_of_two(ALONE // max(1, touched * cells)))
        under = plane[:, rows, columns].reshape(channels // group, group, touched)
        into = out[row].reshape(channels // group, group, cells)
        np.matmul(under.astype(np.float32, copy=False), weights.reshape(cells, touched).T, out=into)
    return out.reshape(len(boxes), channels, output_size, output_size)


def _power_of_two(most: int) -> int:
    """The largest power of two that is not more, at least 1."""
    return 1 << max(0, most.bit_length() - 1)


def _weights(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    size: int,
    cells: int,
    sampling_ratio: int,
    aligned: bool,
) -> NDArray[np.float32]:
    """Weight of each feature along one axis in the mean of each cell: float32 [N, cells, size].

    In float32 and in torchvision's order, so that a sample near a border falls to the same side.
    """
    length = end - start
    if not aligned:
        length = np.maximum(length, np.float32(1))
    step = length / np.float32(cells)
    count = np.full(len(step), sampling_ratio) if sampling_ratio else np.ceil(step).astype(int)
    sample = np.arange(max(1, count.max(initial=0)))
    inside = (sample.astype(np.float32) + np.float32(0.5)) * step[:, None]
    inside = inside / np.maximum(count, 1).astype(np.float32)[:, None]  # [N, samples]
    cell = start[:, None] + np.arange(cells, dtype=np.float32) * step[:, None]
    at = cell[:, :, None] + inside[:, None, :]  # [N, cells, samples]
    counts = (at >= -1) & (at <= size) & (sample < count[:, None])[:, None, :]
    at = np.clip(at, 0, size - 1)
    hat = np.maximum(0, 1 - np.abs(at[..., None] - np.arange(size, dtype=np.float32)))
    total = np.einsum("ncsw,ncs->ncw", hat, counts.astype(np.float32))
    mean: NDArray[np.float32] = total / np.maximum(count, 1).astype(np.float32)[:, None, None]
    return mean


def _support(weights: NDArray[np.float32]) -> slice:
    """The features that a box touches along one axis."""
    touched = np.flatnonzero(weights.any(axis=0))
    return slice(touched[0], touched[-1] + 1) if len(touched) else slice(0, 0)
