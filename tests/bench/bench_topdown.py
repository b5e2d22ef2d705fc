"""What top-down poses cost around the network: crops, heat-map decoding, pose NMS, by number of people.

    python tests/bench/bench_topdown.py               # some seconds

A 1280×720 frame of the sample clip and boxes in it; float32 heat maps of noise; each pose is there twice,
three pixels apart, so that NMS has work. Medians, one JSON line a number of people.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import cv2
import numpy as np

from edgekit.camera import open_source
from edgekit.ops.crops import Crops, to_source
from edgekit.ops.heatmaps import decode
from edgekit.ops.pose_nms import pose_nms


def milli(call: Callable[[], Any], rounds: int) -> float:
    """Median milliseconds of a call."""
    seconds = []
    for turn in range(rounds + 3):
        start = time.perf_counter()
        call()
        if turn >= 3:
            seconds.append(time.perf_counter() - start)
    return round(float(np.median(seconds)) * 1e3, 3)


def people(count: int, rng: np.random.Generator) -> np.ndarray:
    """Boxes of 60 to 140 × 160 to 320 pixels in a frame of 1280×720."""
    sides = rng.uniform((60, 160), (140, 320), (count, 2))
    low = rng.uniform(0, (1280, 720) - sides)
    return np.concatenate([low, low + sides], 1).astype(np.float32)


def figures(count: int, image: np.ndarray, rounds: int) -> dict[str, Any]:
    """Milliseconds of each step for `count` people."""
    rng = np.random.default_rng(0)
    xyxy = people(count, rng)
    crops = Crops()
    _, boxes = crops([image] * count, xyxy)
    maps = rng.random((count, 17, 64, 48)).astype(np.float32)
    keypoints = np.empty((count, 17, 3), np.float32)
    low, sides = xyxy[:, None, :2], (xyxy[:, 2:] - xyxy[:, :2])[:, None]
    keypoints[..., :2] = low + rng.random((count, 17, 2)) * sides
    keypoints[..., 2] = rng.uniform(0.3, 1, (count, 17))
    half = count // 2
    xyxy[count - half :], keypoints[count - half :] = xyxy[:half], keypoints[:half]
    keypoints[count - half :, :, 0] += 3
    return {
        "people": count,
        "crops_ms": milli(lambda: crops([image] * count, xyxy), rounds),
        "decode_ms": milli(lambda: to_source(decode(maps), boxes, (64, 48)), rounds),
        "nms_ms": milli(lambda: pose_nms(keypoints, xyxy), rounds),
        "left": len(pose_nms(keypoints, xyxy)[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 5, 20, 64])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2, help="of OpenCV")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    with open_source("sample") as source:
        image = cv2.resize(next(iter(source)).image, (1280, 720))
    where = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "date": date.today().isoformat(),
    }
    for count in args.people:
        print(json.dumps({**figures(count, image, args.rounds), **where}))


if __name__ == "__main__":
    main()
