"""A small set in AVA's layout: white squares on noise that drift left or right, two actions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgekit.prepare.ava_files import (
    Info,
    Layout,
    Row,
    picture_name,
    write_boxes,
    write_csv,
    write_excluded,
    write_frame_list,
    write_info,
    write_labels,
)

FPS = 5  # pictures a "second" of this set
SIDE, WIDE = 48, 64


def write_ava(root: Path, videos: int = 8, seconds: int = 3, seed: int = 0) -> Path:
    """`videos` clips of (seconds + 1) · FPS pictures; one square each. Splits in turn."""
    random, layout = np.random.default_rng(seed), Layout(root)
    frames: dict[str, dict[str, list[str]]] = {"train": {}, "val": {}}
    labels: dict[str, list[Row]] = {"train": [], "val": []}
    found: dict[str, list[Row]] = {"train": [], "val": []}
    for v in range(videos):
        split = "val" if v % 4 == 3 else "train"
        video, way = f"made{v}", 1 if v % 2 else -1
        (layout.frames / video).mkdir(parents=True)
        ground = random.integers(40, 120, (SIDE, WIDE, 3), dtype=np.uint8)
        place, top = float(random.uniform(0, WIDE)), int(random.integers(4, SIDE - 24))
        count = (seconds + 1) * FPS
        for n in range(count):
            image = ground.copy()
            x = int(place + way * 3 * n) % (WIDE - 18)
            cv2.rectangle(image, (x, top), (x + 17, top + 17), (255, 255, 255), -1)
            cv2.imwrite(str(layout.frames / picture_name(video, n)), image)
            if n % FPS == 0 and 0 < n <= seconds * FPS:
                box = (x / WIDE, top / SIDE, (x + 18) / WIDE, (top + 18) / SIDE)
                second = 900 + n // FPS
                labels[split].append(Row(video, second, box, 1 if way < 0 else 2, v))
                near = tuple(float(np.clip(side + 0.01, 0, 1)) for side in box)
                found[split].append(Row(video, second, near, None, score=0.95))
                found[split].append(Row(video, second, (0.0, 0.0, 0.2, 0.2), None, score=0.5))
        frames[split][video] = [picture_name(video, n) for n in range(count)]
    for folder in ("frame_lists", "annotations/person_box_67091280_iou90"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val"):
        write_frame_list(layout.frame_list(split), frames[split])
        write_csv(layout.truth(split), labels[split])
        write_boxes(layout.boxes(split), found[split])
        write_excluded(layout.excluded(split), [])
    write_labels(layout.labels, {1: "go left", 2: "go right"})
    write_info(root, Info(range(901, 901 + seconds), {}))
    return root
