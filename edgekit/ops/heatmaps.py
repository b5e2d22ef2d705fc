"""Heat maps of keypoints → points: the highest cell, and a quarter towards its higher neighbour.

As AlphaPose's `heatmap_to_coord_simple` and `get_max_pred` (alphapose/utils/transforms.py), for all people
and keypoints at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: How far towards the higher neighbour, in cells.
QUARTER = 0.25


def decode(heatmaps: NDArray) -> NDArray[np.float32]:
    """The point of each heat map.

    Args:
        heatmaps: [N, K, h, w].

    Returns:
        float32 [N, K, 3]: x, y in cells and the highest value. A map without a value above 0 gives
        x = y = 0. Points on the outer cells, and on the second ones from the left and the top, are not
        moved, as upstream (1 < p < size − 1).
    """
    people, count, height, width = heatmaps.shape
    flat = heatmaps.reshape(people * count, height * width)
    if not flat.size:
        return np.zeros((people, count, 3), np.float32)
    rows = np.arange(len(flat))
    best = flat.argmax(1)
    score = flat[rows, best]
    best = np.where(score > 0, best, 0)
    x, y = best % width, best // width
    out = np.stack([x, y, score], 1).astype(np.float32)
    inner = np.flatnonzero((x > 1) & (x < width - 1) & (y > 1) & (y < height - 1))
    at = best[inner]
    out[inner, 0] += np.sign(flat[inner, at + 1] - flat[inner, at - 1]) * QUARTER
    out[inner, 1] += np.sign(flat[inner, at + width] - flat[inner, at - width]) * QUARTER
    return out.reshape(people, count, 3)


def mirror(heatmaps: NDArray, flip: NDArray[np.int64]) -> NDArray:
    """Heat maps of mirrored crops as those of the crops: turned round, left and right parts exchanged.

    They are moved one cell to the right, since crop and map are not aligned at their centres (AlphaPose's
    `flip_heatmap(shift=True)`).

    Args:
        heatmaps: [N, K, h, w].
        flip: int64 [K], which keypoint each becomes in a mirror (`Topology.flip`).
    """
    turned = heatmaps[:, flip, :, ::-1]
    return np.concatenate([turned[..., :1], turned[..., :-1]], -1)
