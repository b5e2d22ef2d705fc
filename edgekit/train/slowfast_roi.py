"""RoIAlign in PyTorch, differentiable in the features, without torchvision.

The samples of a bin are a grid, bilinear weights are a product of one along y and one along x, and so is the
rule for samples outside. RoIAlign is therefore two matrix products: `rows @ features @ columns`, exact for
every count of samples, and with a gradient that is the same each time.
"""

from __future__ import annotations

import torch
from torch import Tensor


def axis_weights(low: Tensor, high: Tensor, length: int, bins: int, ratio: int, aligned: bool) -> Tensor:
    """What each place of one axis counts for in each bin.

    Args:
        low, high: float [N], ends of the boxes in places of the feature map.
        length: places of the axis.
        bins: of the output.
        ratio: samples a bin; 0 takes ceil(box length / bins), each box its own count.
        aligned: half a place is taken off, and no shortest length is forced.

    Returns:
        float [N, bins, length]. A bin of samples outside has zeros.
    """
    start = low - 0.5 if aligned else low
    extent = high - low if aligned else (high - low).clamp(min=1.0)
    step = extent / bins
    count = torch.full_like(step, ratio) if ratio else step.ceil()
    most = max(int(count.max()), 1) if count.numel() else 1
    place = torch.arange(most, device=low.device, dtype=low.dtype)
    # y = start + bin · step + (sample + ½) · step / count
    inside = (place + 0.5) * (step / count.clamp(min=1))[:, None]  # [N, most]
    first = start[:, None] + torch.arange(bins, device=low.device, dtype=low.dtype) * step[:, None]
    at = first[:, :, None] + inside[:, None, :]  # [N, bins, most]
    valid = (at >= -1) & (at <= length) & (place < count[:, None])[:, None, :]
    weight = valid.to(low.dtype) / count.clamp(min=1)[:, None, None]
    at = at.clamp(0, length - 1)
    spread = (1 - (at[..., None] - torch.arange(length, device=low.device)).abs()).clamp(min=0)
    return (spread * weight[..., None]).sum(2)


def roi_align(
    features: Tensor,
    boxes: Tensor,
    clip: Tensor | None = None,
    *,
    output_size: int = 7,
    spatial_scale: float = 1 / 16,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> Tensor:
    """Mean features of the bins of each box (He et al., "Mask R-CNN" (2017), as torchvision counts it).

    Args:
        features: float [B, C, H, W].
        boxes: float [N, 4], x1 y1 x2 y2 in pixels of the picture.
        clip: int [N], which of B each box belongs to; by default the first.
        output_size: bins along each side.
        spatial_scale: places of the feature map per pixel.
        sampling_ratio: samples a bin along each side; 0: ceil(box length / bins).
        aligned: torchvision's; False is the older form, half a place off, boxes at least one place long.

    Returns:
        float [N, C, output_size, output_size]
    """
    x1, y1, x2, y2 = (boxes.float() * spatial_scale).unbind(1)
    height, width = features.shape[2:]
    rows = axis_weights(y1, y2, height, output_size, sampling_ratio, aligned).to(features.dtype)
    columns = axis_weights(x1, x2, width, output_size, sampling_ratio, aligned).to(features.dtype)
    if clip is None:
        clip = torch.zeros(len(boxes), dtype=torch.long, device=features.device)
    found = rows[:, None] @ features[clip]  # [N, C, bins, W]
    return found @ columns[:, None].transpose(2, 3)
