"""Made-up data for the training tests: people are red rectangles with a dark head, clutter is blue."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_set(folder: Path, count: int = 16, side: int = 128, seed: int = 0) -> Path:
    """A YOLO folder of `count` pictures with one or two 'people' each."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for n in range(count):
        image = random.integers(90, 150, (side, side, 3), dtype=np.uint8)
        x, y = random.integers(0, side - 20, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x) + 18, int(y) + 12), (200, 60, 20), -1)
        lines = []
        for _ in range(random.integers(1, 3)):
            w, h = int(random.integers(24, 40)), int(random.integers(50, 80))
            x, y = int(random.integers(0, side - w)), int(random.integers(0, side - h))
            cv2.rectangle(image, (x, y), (x + w - 1, y + h - 1), (20, 20, 220), -1)
            cv2.rectangle(image, (x + w // 3, y), (x + 2 * w // 3, y + h // 5), (10, 10, 10), -1)
            lines.append(f"0 {(x + w / 2) / side} {(y + h / 2) / side} {w / side} {h / side}\n")
        cv2.imwrite(str(folder / "images" / f"{n:03}.png"), image)
        (folder / "labels" / f"{n:03}.txt").write_text("".join(lines))
    return folder
