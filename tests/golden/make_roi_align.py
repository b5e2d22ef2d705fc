"""Make roi_align.npz: what torchvision's `roi_align` gives for features and boxes of a formula.

    python tests/golden/make_roi_align.py tests/golden/roi_align.npz

Needs torch and torchvision. The archive has `features` [3, 12, 20], `boxes` [N, 4] and, for each count of
samples and alignment, `ratio0_aligned0` … [N, 3, 7, 7], all float32, spatial scale 1/16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import roi_align

SIZE = (12, 20)


def boxes(rng: np.random.RandomState) -> np.ndarray:
    """At random over the edges, the whole picture, a point, tiny, outside, exactly 7 × 14 places, huge."""
    height, width = (16 * side for side in SIZE)
    corners = rng.uniform(-40, [width + 40, height + 40], (14, 2, 2))
    special = [
        [0, 0, width, height],
        [50, 50, 50, 50],
        [10, 20, 11, 23],
        [width + 100, 0, width + 200, 90],
        [16, 32, 16 * 8, 32 + 16 * 14],
        [-600, -700, 900, 800],
    ]
    return np.concatenate([np.concatenate([corners.min(1), corners.max(1)], 1), special]).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    rng = np.random.RandomState(9)
    features = rng.normal(size=(3, *SIZE)).astype(np.float32)
    made = {"features": features, "boxes": boxes(rng)}
    given = torch.cat([torch.zeros(len(made["boxes"]), 1), torch.from_numpy(made["boxes"])], 1)
    for ratio in (0, 1, 2, 3):
        for aligned in (False, True):
            found = roi_align(torch.from_numpy(features)[None], given, 7, 1 / 16, ratio, aligned)
            made[f"ratio{ratio}_aligned{int(aligned)}"] = found.numpy()
    np.savez_compressed(args.out, **made)


if __name__ == "__main__":
    main()
