"""Made-up people for the pose tests: figures of coloured limbs, and files that describe them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.topology import ANIMAL20, Topology

#: A figure of four keypoints with a left and a right one; drawn, each has a colour of its own.
FIGURE = Topology("figure", ("head", "middle", "left_foot", "right_foot"), ((0, 1), (1, 2), (1, 3)))
COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255))
SHAPE = np.array([[0.0, -1.0], [0.0, 0.0], [0.45, 0.9], [-0.45, 0.9]])


def draw_figure(image: np.ndarray, centre: tuple[float, float], size: float) -> np.ndarray:
    """Draw one; its keypoints [4, 3] in pixels, all visible."""
    points = SHAPE * size + np.array(centre)
    cells = np.round(points).astype(int)
    for a, b in FIGURE.skeleton:
        cv2.line(image, tuple(map(int, cells[a])), tuple(map(int, cells[b])), (255, 255, 255), 3)
    for (x, y), colour in zip(cells, COLOURS, strict=True):
        cv2.circle(image, (int(x), int(y)), 4, colour, -1)
    return np.column_stack([points, np.full(4, 2.0)])


def annotation(number: int, image: int, points: np.ndarray, **more: Any) -> dict[str, Any]:
    low, high = points[:, :2].min(0) - 6, points[:, :2].max(0) + 6
    box = [*low.tolist(), *(high - low).tolist()]
    values = [float(v) for v in points.ravel()]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "keypoints": values,
        **more,
    }


def write_figures(folder: Path, count: int = 6, side: int = 96, people: int = 2, seed: int = 0) -> Path:
    """A COCO keypoint set of `count` pictures with `people` figures each; the annotation file."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, rows = [], []
    for n in range(count):
        image = np.full((side, side, 3), random.integers(40, 90), np.uint8)
        name = f"{n:03}.png"
        for p in range(people):
            place = (side * (p + 0.5) / people + random.uniform(-4, 4), side / 2 + random.uniform(-8, 8))
            points = draw_figure(image, place, side * 0.28)
            rows.append(annotation(len(rows), n, points))
        cv2.imwrite(str(folder / "images" / name), image)
        images.append({"id": n, "file_name": name, "width": side, "height": side})
    file = folder / "person_keypoints.json"
    data = {"images": images, "annotations": rows, "categories": [FIGURE.to_category()]}
    file.write_text(json.dumps(data))
    return file


def write_animals(folder: Path) -> Path:
    """A set in AnimalPose's own form: two pictures, three animals; its keypoints.json."""
    random = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    names = {"7": "co1.jpeg", "12": "do2.jpeg"}
    rows = []
    for key, name in names.items():
        image = np.full((120, 160, 3), 90, np.uint8)
        for _ in range(1 if key == "7" else 2):
            points = random.integers(30, 90, (len(ANIMAL20), 2))
            seen = random.random(len(ANIMAL20)) < 0.8
            for x, y in points:
                cv2.circle(image, (int(x), int(y)), 3, (0, 200, 255), -1)
            rows.append(
                {
                    "image_id": int(key),
                    "bbox": [25, 28, 96, 95],  # xmin, ymin, xmax, ymax
                    "keypoints": [[int(x), int(y), int(v)] for (x, y), v in zip(points, seen, strict=True)],
                    "num_keypoints": int(seen.sum()),
                    "category_id": 5 if key == "7" else 1,
                }
            )
        cv2.imwrite(str(folder / "images" / name), image)
    categories = [
        {"supercategory": "animal", "id": n, "name": name, "keypoints": list(ANIMAL20.keypoints)}
        for n, name in enumerate(("dog", "cat", "sheep", "horse", "cow"), 1)
    ]
    file = folder / "keypoints.json"
    file.write_text(json.dumps({"images": names, "annotations": rows, "categories": categories}))
    return file
