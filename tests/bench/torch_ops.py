"""The steps around networks as separate PyTorch and torchvision operations, for bench_ops_gpu.py to compare.

Each is written as one would for speed without kernels of one's own: all people, boxes and maps at once. They
take and give tensors of any device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


def scaled(pictures: Tensor, content: Size) -> Tensor:
    """uint8 BGR [B, H, W, 3] → float32 RGB [B, 3, h, w], 0 to 255, bilinear."""
    planes = pictures.permute(0, 3, 1, 2).flip(1).float()
    return F.interpolate(planes, size=content, mode="bilinear", align_corners=False)


def letterbox(pictures: Tensor, content: Size, border: tuple[int, int, int, int], dtype: Any) -> Tensor:
    """float32 or float16 [B, 3, h, w], 0 to 1; border: left, right, top, bottom, of grey 114."""
    return (F.pad(scaled(pictures, content), border, value=114.0) / 255).to(dtype)


def crops(picture: Tensor, theta: Tensor, size: Size, mean: Tensor, std: Tensor) -> Tensor:
    """People of a picture uint8 [H, W, 3] as float32 [N, 3, h, w]; theta [N, 2, 3] as of affine_grid."""
    planes = picture.permute(2, 0, 1).flip(0).float()[None].expand(len(theta), -1, -1, -1)
    grid = F.affine_grid(theta, [len(theta), 3, *size], align_corners=False)
    found = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (found / 255 - mean) / std


def keep_frame(picture: Tensor, ring: Tensor, place: int) -> Tensor:
    """Scale a frame, uint8 [H, W, 3] BGR, into a ring, uint8 [span, 3, h, w] RGB."""
    ring[place] = scaled(picture[None], (ring.shape[2], ring.shape[3]))[0].round().to(torch.uint8)
    return ring


def window(
    ring: Tensor, frames: Tensor, every: Tensor, mean: float, std: float, dtype: Any
) -> tuple[Tensor, Tensor]:
    """Fast [1, 3, T, h, w] and slow [1, 3, S, h, w] of a ring."""
    clip = (ring[frames].float() / 255 - mean) / std
    fast = clip.permute(1, 0, 2, 3).to(dtype).contiguous()
    return fast[None], fast[:, every][None]


def yolo_decode(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [A, 4], scores [A], classes [A] of a yolov8 head [1, 4+nc, A]."""
    score, label = output[0, 4:].max(0)
    middle, half = output[0, :2], output[0, 2:4] / 2
    return torch.cat([middle - half, middle + half]).T, score, label


def without_doubles(
    boxes: Tensor, score: Tensor, label: Tensor, least: float, iou: float, most: int
) -> Tensor:
    """Rows of box, score, class that NMS keeps, best first."""
    from torchvision.ops import batched_nms

    sure = score > least
    boxes, score, label = boxes[sure], score[sure], label[sure]
    kept = batched_nms(boxes, score, label, iou)[:most]
    return torch.cat([boxes[kept], score[kept, None], label[kept, None].float()], 1)


def points(maps: Tensor) -> Tensor:
    """float32 [N, K, 3]: the highest cell of maps [N, K, h, w], and a quarter to its higher neighbour."""
    height, width = maps.shape[2:]
    flat = maps.flatten(2)
    score, best = flat.max(2)
    best = torch.where(score > 0, best, 0)
    x, y = best % width, best // width
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    at = torch.where(inner, best, width + 1)
    steps = [
        (flat.gather(2, (at + step)[..., None]) - flat.gather(2, (at - step)[..., None]))[..., 0].sign()
        for step in (1, width)
    ]
    moved = [side + torch.where(inner, 0.25 * step, 0.0) for side, step in zip((x, y), steps, strict=True)]
    return torch.stack([*moved, score], 2)


def is_peak(cmap: Tensor, threshold: float, window: int) -> Tensor:
    """bool [K, H, W]: the highest of its window, and at least `threshold`."""
    highest = F.max_pool2d(cmap[None], window, 1, window // 2)[0]
    return (cmap >= highest) & (cmap >= threshold)


class Limbs(NamedTuple):
    """Peaks [P, 3] (part, y, x), their places [P, 2], scores [L, M, M] of their pairs, peaks a part [K]."""

    peaks: Tensor
    places: Tensor
    scores: Tensor
    counts: Tensor


def limbs(
    cmap: Tensor, paf: Tensor, links: Tensor, peak: Any, threshold: float, window: int, samples: int
) -> Limbs:
    """Peaks of maps [K, H, W] and the line integrals of fields [2·L, H, W]; peak: `is_peak`, or compiled."""
    parts, height, width = cmap.shape
    peaks = peak(cmap, threshold, window).nonzero()
    part, y, x = peaks.unbind(1)
    reach = window // 2
    padded = F.pad(cmap[None], (reach,) * 4, mode="reflect")[0]
    around = torch.arange(window, device=cmap.device)
    weight = padded[part[:, None, None], (y[:, None] + around)[:, :, None], (x[:, None] + around)[:, None]]
    total = weight.sum((1, 2))
    down = (weight.sum(2) * (y[:, None] + around - reach)).sum(1) / total
    across = (weight.sum(1) * (x[:, None] + around - reach)).sum(1) / total
    middle = torch.stack([down, across], 1) + 0.5
    counts = torch.bincount(part, minlength=parts)
    most = int(counts.max())
    slot = torch.arange(len(part), device=cmap.device) - (counts.cumsum(0) - counts)[part]
    pixel = torch.zeros(parts, most, 2, device=cmap.device)
    pixel[part, slot] = middle
    begin, end = pixel[links[:, 2]][:, :, None], pixel[links[:, 3]][:, None]
    limb = end - begin  # [L, M, M, 2]
    along = limb / (limb.norm(dim=-1, keepdim=True) + 1e-5)
    share = torch.linspace(0, 1, samples, device=cmap.device)
    point = begin[..., None, :] + share[:, None] * limb[..., None, :]  # [L, M, M, S, 2]
    inside = (point > -1).all(-1) & (point[..., 0] < height) & (point[..., 1] < width)
    row, column = torch.where(inside[..., None], point, 0.0).int().long().unbind(-1)
    down, across = (paf[links[:, axis].view(-1, 1, 1, 1), row, column] for axis in (0, 1))
    dot = down * along[..., None, 0] + across * along[..., None, 1]
    places = torch.stack([middle[:, 0] / height, middle[:, 1] / width], 1)
    return Limbs(peaks, places, torch.where(inside, dot, 0.0).sum(-1) / samples, counts)


def roi_align(features: Tensor, rois: Tensor, scale: float, ratio: int, aligned: bool) -> Tensor:
    """[N, C, 7, 7] under boxes [N, 5], each after the number of its picture."""
    import torchvision

    return torchvision.ops.roi_align(features, rois, 7, scale, ratio, aligned)
