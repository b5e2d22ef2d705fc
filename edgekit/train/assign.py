"""Task-aligned assignment (TOOD, Feng et al. 2021): which anchors learn which person, and how strongly."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Assignment(NamedTuple):
    """`score` [B, A] soft targets (0 = background), `boxes` [B, A, 4], `positive` bool [B, A]."""

    score: Tensor
    boxes: Tensor
    positive: Tensor


def iou_pairs(a: Tensor, b: Tensor) -> Tensor:
    """IoU of x1 y1 x2 y2 boxes, broadcast over leading axes: [..., 4], [..., 4] → [...]."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (a, b))
    return common / (area_a + area_b - common + 1e-7)


def covered(points: Tensor, boxes: Tensor, smallest: float = 0.0) -> Tensor:
    """Whether points [A, 2] lie in boxes [B, G, 4] → bool [B, G, A]. Smaller ones count as `smallest`."""
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    half = half.clamp(min=smallest / 2)
    away = (points[None, None] - centre[:, :, None]).abs()
    return (away < half[:, :, None]).all(-1)


@torch.no_grad()
def assign(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    people: Tensor,
    valid: Tensor,
    top: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Assignment:
    """Match anchors to people.

    Args:
        scores: predicted person score [B, A], after sigmoid.
        boxes: predicted x1 y1 x2 y2 [B, A, 4], input pixels.
        points: anchor centres [A, 2], input pixels.
        people: true boxes [B, G, 4], padded; `valid` [B, G] tells which are real.
        top: anchors a person may have; `alpha`, `beta` are TOOD's powers of score and IoU.

    A person's best anchors by score^alpha · IoU^beta among those inside it become positive; an anchor wanted
    twice goes to the person it overlaps most; the target is the metric, scaled to the person's best IoU.
    """
    if people.shape[1] == 0:
        zero = torch.zeros_like(scores)
        return Assignment(zero, torch.zeros_like(boxes), zero.bool())
    overlap = iou_pairs(people[:, :, None], boxes[:, None]) * valid[..., None]
    inside = covered(points, people, smallest=14.0) & valid[..., None]
    metric = scores[:, None].pow(alpha) * overlap.pow(beta) * inside
    best, index = metric.topk(min(top, metric.shape[-1]), -1)
    chosen = torch.zeros_like(metric).scatter_(-1, index, (best > 1e-12).to(metric.dtype))
    owner = (overlap * chosen).argmax(1)
    positive = chosen.any(1)
    mine = torch.zeros_like(chosen).scatter_(1, owner[:, None], 1.0) * positive[:, None]
    metric = metric * mine
    peak = metric.amax(-1, keepdim=True)
    peak_overlap = (overlap * mine).amax(-1, keepdim=True)
    score = (metric / (peak + 1e-12) * peak_overlap).amax(1)
    target = people.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(score, target, positive)
