"""What the detector is trained on: labels, the teacher's answers, the teacher's features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.train.assign import assign, covered, iou_pairs
from edgekit.train.network import Detector, boxes_from_sides

LABEL, IGNORE = 1, 2  # kinds of box in a batch; 0 is padding


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU (Zheng et al. 2020) of x1 y1 x2 y2 boxes, [..., 4] → [...]."""
    iou = iou_pairs(a, b)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    diagonal = (high - low).square().sum(-1) + 1e-7
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)
    (wa, ha), (wb, hb) = ((x[..., 2:] - x[..., :2]).clamp(min=1e-3).unbind(-1) for x in (a, b))
    shape = (4 / math.pi**2) * (torch.atan(wb / hb) - torch.atan(wa / ha)).square()
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-7)
    return iou - apart / diagonal - weight * shape


class Mimic(nn.Module):
    """Extra outputs for training only: the teacher's 80 class maps and its last features, level by level."""

    def __init__(self, width: int, classes: int = 80, channels: int = 64, levels: int = 3) -> None:
        super().__init__()
        self.classes = nn.ModuleList([nn.Conv2d(width, classes, 1) for _ in range(levels)])
        self.score = nn.ModuleList([nn.Conv2d(width, channels, 1) for _ in range(levels)])
        self.box = nn.ModuleList([nn.Conv2d(width, channels, 1) for _ in range(levels)])
        for layer in self.classes:
            nn.init.constant_(layer.bias, -5.0)

    def loss(self, raw: list[tuple[Tensor, ...]], answer: dict[str, Any]) -> dict[str, Tensor]:
        """Cross entropy with the class maps and distance to the standardised features."""
        logits = torch.cat([c(r[2]).flatten(2) for c, r in zip(self.classes, raw, strict=True)], 2)
        scores = answer["scores"]
        entropy = F.binary_cross_entropy_with_logits(logits.transpose(1, 2).float(), scores, reduction="sum")
        feature = logits.new_zeros((), dtype=torch.float32)
        for level, r in enumerate(raw):
            feature = feature + feature_distance(self.score[level](r[2]), answer["score_features"][level])
            feature = feature + feature_distance(self.box[level](r[3]), answer["box_features"][level])
        return {"classes": entropy / scores.sum().clamp(min=1), "features": feature / (2 * len(raw))}


def feature_distance(mine: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared distance once each of the teacher's channels has mean 0 and deviation 1."""
    theirs = theirs.float()
    std, mean = torch.std_mean(theirs, (0, 2, 3), keepdim=True)
    return F.mse_loss(mine.float(), ((theirs - mean) / (std + 1e-4)).clamp(-6, 6))


def detection_loss(
    detector: Detector,
    raw: list[tuple[Tensor, ...]],
    boxes: Tensor,
    kind: Tensor,
    answer: dict[str, Any] | None,
    labels_lead: bool = True,
) -> dict[str, Tensor]:
    """Loss terms of one batch.

    Args:
        raw: what `Detector.raw` gave.
        boxes, kind: x1 y1 x2 y2 input pixels [B, G, 4]; LABEL, IGNORE or 0 (padding) [B, G].
        answer: the teacher's answer on the same images, or None.
        labels_lead: where a label is assigned, the teacher's box is not asked.
    """
    logits = torch.cat([r[0].flatten(1) for r in raw], 1).float()
    sides = F.softplus(torch.cat([r[1].flatten(2) for r in raw], 2).float())
    predicted = boxes_from_sides(sides, detector.points, detector.strides)
    points = (detector.points * detector.strides).t()
    target = assign(logits.detach().sigmoid(), predicted.detach(), points, boxes, kind == LABEL)
    unsure = (covered(points, boxes) & (kind == IGNORE)[..., None]).any(1) & ~target.positive
    entropy = F.binary_cross_entropy_with_logits(logits, target.score, reduction="none")
    amount = target.score.sum().clamp(min=1)
    terms = {"score": (entropy * ~unsure).sum() / amount}
    weight = target.score[target.positive]
    terms["box"] = (
        (1 - ciou(predicted[target.positive], target.boxes[target.positive])) * weight
    ).sum() / amount
    if answer is not None:
        person = answer["scores"][..., 0]
        # where labels and teacher disagree about a positive the labels win: the teacher misses small people
        soft = torch.where(target.positive, torch.maximum(person, target.score), person)
        total = soft.sum().clamp(min=1)
        terms["teach_score"] = F.binary_cross_entropy_with_logits(logits, soft, reduction="sum") / total
        sure = (person > 0.1) & ~(target.positive & labels_lead)
        trust = person[sure]
        distance = 1 - ciou(predicted[sure], answer["boxes"][sure])
        terms["teach_box"] = (distance * trust).sum() / trust.sum().clamp(min=1)
    return terms
