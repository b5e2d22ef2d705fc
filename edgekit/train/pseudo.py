"""Completing labels: people the teacher sees and nobody labelled; unsure ones become 'ignore'."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.train.assign import iou_pairs
from edgekit.train.augment import PAD, PictureStore
from edgekit.train.losses import IGNORE, LABEL
from edgekit.train.teacher import PERSON, Teacher


def nms(boxes: Tensor, scores: Tensor, overlap: float, most: int = 300) -> Tensor:
    """Indices kept by greedy suppression, best first. Boxes [N, 4], scores [N]."""
    order = scores.argsort(descending=True)[:2000]
    alike = (iou_pairs(boxes[order][:, None], boxes[order][None]) > overlap).cpu()
    alive = torch.ones(len(order), dtype=torch.bool)
    kept: list[int] = []
    for i in range(len(order)):
        if alive[i]:
            kept.append(i)
            if len(kept) == most:
                break
            alive &= ~alike[i]
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


@torch.no_grad()
def look(teacher: Teacher, store: PictureStore, index: int, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The teacher's people in one picture, over sizes and a mirror image: boxes (source pixels), scores."""
    width, height = store.sizes[index].long().tolist()
    image = store.pixels[index, :, :height, :width].float()[None] / 255
    boxes, scores = [], []
    for size in sizes:
        ratio = size / max(width, height)
        h, w = round(height * ratio), round(width * ratio)
        canvas = F.interpolate(image, (h, w), mode="bilinear", antialias=ratio < 1)
        canvas = F.pad(canvas, (0, size - w, 0, size - h), value=PAD)
        answer = teacher(torch.cat([canvas, canvas.flip(3)]))
        box, score = answer["boxes"], answer["scores"][..., PERSON]
        mirrored = torch.stack([size - box[1, :, 2], box[1, :, 1], size - box[1, :, 0], box[1, :, 3]], 1)
        boxes.append(torch.cat([box[0], mirrored]) / ratio)
        scores.append(score.flatten())
    box, score = torch.cat(boxes), torch.cat(scores)
    sure = score > 0.2
    box, score = box[sure], score[sure]
    keep = nms(box, score, 0.6)
    limit = torch.tensor([width, height, width, height], device=box.device, dtype=box.dtype)
    return box[keep].clamp(min=0).minimum(limit), score[keep]


def complete(
    teacher: Teacher,
    store: PictureStore,
    sizes: tuple[int, ...] = (416, 640),
    sure: float = 0.65,
    unsure: float = 0.25,
) -> tuple[int, int]:
    """Add the teacher's people to the store's boxes: LABEL from `sure` on, IGNORE from `unsure` on.

    A find that overlaps a label by IoU 0.4, or lies mostly inside one, is that person already.
    Returns how many of each were added.
    """
    added = [0, 0]
    for index in range(len(store)):
        boxes, scores = look(teacher, store, index, sizes)
        known = store.boxes[index][store.kind[index] > 0]
        room = int((store.kind[index] == 0).sum())
        for box, score in zip(boxes, scores.tolist(), strict=True):
            if score < unsure or room == 0:
                break
            if len(known):
                common = (torch.minimum(known[:, 2:], box[2:]) - torch.maximum(known[:, :2], box[:2])).clamp(
                    min=0
                )
                inside = common.prod(-1) / (box[2:] - box[:2]).prod().clamp(min=1)
                if bool((iou_pairs(known, box[None]) > 0.4).any()) or (
                    score < sure and bool((inside > 0.8).any())
                ):
                    continue
            slot = store.boxes.shape[1] - room
            store.boxes[index, slot] = box
            store.kind[index, slot] = LABEL if score >= sure else IGNORE
            added[0 if score >= sure else 1] += 1
            room -= 1
    return added[0], added[1]
