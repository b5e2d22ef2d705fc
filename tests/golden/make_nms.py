"""Make nms.npz: boxes and what torchvision's `batched_nms` keeps of them, on the CPU.

    python tests/golden/make_nms.py tests/golden/nms.npz

Needs PyTorch and a torchvision with its compiled operators. The file in the repository was made with
the versions it carries under `versions`. A case `NAME` is stored as `NAME.xyxy`, `.score`, `.label`,
`.iou` and `.keep` (all kept indices, best first).
"""

from __future__ import annotations

import sys

import numpy as np

Case = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def crowd(rng: np.random.Generator, boxes: int, objects: int, classes: int, iou: float) -> Case:
    """Jittered copies of a few objects, as a detector gives them before NMS."""
    centre, size = rng.uniform(0, 640, (objects, 2)), rng.uniform(8, 200, (objects, 2))
    kind, which = rng.integers(0, classes, objects), rng.integers(0, objects, boxes)
    at = centre[which] + rng.normal(0, 0.08, (boxes, 2)) * size[which]
    half = size[which] * rng.uniform(0.8, 1.25, (boxes, 2)) / 2
    return np.hstack([at - half, at + half]), rng.random(boxes), kind[which], iou


def scattered(rng: np.random.Generator, boxes: int, classes: int, iou: float) -> Case:
    """Boxes anywhere."""
    corner, size = rng.uniform(0, 600, (boxes, 2)), rng.uniform(1, 300, (boxes, 2))
    return np.hstack([corner, corner + size]), rng.random(boxes), rng.integers(0, classes, boxes), iou


def ties(rng: np.random.Generator) -> Case:
    """Few different scores and whole-pixel boxes, so that scores and overlaps are often equal."""
    corner = rng.integers(0, 12, (300, 2)) * 8
    boxes = np.hstack([corner, corner + rng.integers(1, 4, (300, 2)) * 8])
    return boxes, rng.integers(1, 5, 300) / 8, rng.integers(0, 2, 300), 0.5


def at_the_limit(rng: np.random.Generator, iou: float) -> Case:
    """Pairs whose overlap is the limit, or the nearest that ten-pixel steps allow to either side."""
    rows = []
    for i in range(100):
        x, y, cut = 20 * i % 600, 50.0 * (i // 5), int(10 * iou) + i % 3 - 1
        rows += [[x, y, x + 10, y + 1], [x, y, x + cut, y + 1]]
    return np.array(rows, float), rng.permutation(200) / 200, np.zeros(200, int), iou


def touching() -> Case:
    """A chessboard of boxes that share edges and corners."""
    ys, xs = np.mgrid[:12, :12] * 10.0
    boxes = np.stack([xs, ys, xs + 10, ys + 10], -1).reshape(-1, 4)
    return boxes, np.linspace(1, 0.1, 144), np.zeros(144, int), 0.0


def degenerate(rng: np.random.Generator) -> Case:
    """Points, lines, the same point twice, and boxes around them."""
    boxes, score, label, _ = scattered(rng, 120, 2, 0.3)
    boxes[:40, 2] = boxes[:40, 0]
    boxes[20:60, 3] = boxes[20:60, 1]
    boxes[60:80] = boxes[:20]
    return boxes, score, label, 0.3


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(20_261_121)
    return {
        "crowd": crowd(rng, 600, 40, 80, 0.45),
        "crowd_one_class": crowd(rng, 700, 60, 1, 0.6),
        "crowd_vanilla": crowd(rng, 1500, 120, 8, 0.45),  # over 4,000 numbers: batched_nms goes by class
        "scattered": scattered(rng, 500, 3, 0.7),
        "scattered_strict": scattered(rng, 400, 2, 0.1),
        "ties": ties(rng),
        "limit_0.3": at_the_limit(rng, 0.3),
        "limit_0.6": at_the_limit(rng, 0.6),
        "limit_0.7": at_the_limit(rng, 0.7),
        "touching": touching(),
        "degenerate": degenerate(rng),
        "one": (np.array([[1.0, 2, 3, 4]]), np.ones(1), np.zeros(1, int), 0.5),
        "none": (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5),
    }


def main(path: str) -> None:
    import torch
    import torchvision

    stored: dict[str, np.ndarray] = {
        "versions": np.array(f"torch {torch.__version__}, torchvision {torchvision.__version__}, CPU")
    }
    for name, (xyxy, score, label, iou) in cases().items():
        boxes, scores = torch.tensor(xyxy, dtype=torch.float32), torch.tensor(score, dtype=torch.float32)
        keep = torchvision.ops.batched_nms(boxes, scores, torch.tensor(label), iou)
        stored |= {
            f"{name}.xyxy": boxes.numpy(),
            f"{name}.score": scores.numpy(),
            f"{name}.label": label.astype(np.uint8),
            f"{name}.iou": np.array(iou),
            f"{name}.keep": keep.numpy().astype(np.int16),
        }
        sys.stdout.write(f"{name}: {len(keep)} of {len(boxes)} kept\n")
    np.savez_compressed(path, **stored)


if __name__ == "__main__":
    main(sys.argv[1])
