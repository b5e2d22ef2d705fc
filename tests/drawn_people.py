"""People drawn into confidence maps and part affinity fields, as a perfect network would give them."""

from __future__ import annotations

import numpy as np

from edgekit.topology import HUMAN18, Topology

#: A standing person's 18 keypoints, x and y in parts of a box of one by one.
STANDING = np.array(
    [
        *((0.50, 0.08), (0.46, 0.05), (0.54, 0.05), (0.42, 0.07), (0.58, 0.07)),
        *((0.35, 0.22), (0.65, 0.22), (0.27, 0.40), (0.73, 0.40), (0.24, 0.56), (0.76, 0.56)),
        *((0.41, 0.54), (0.59, 0.54), (0.39, 0.75), (0.61, 0.75), (0.38, 0.95), (0.62, 0.95)),
        (0.50, 0.21),
    ]
)


def standing(count: int, size: tuple[int, int], seed: int = 0, share: float = 0.5) -> np.ndarray:
    """float64 [count, 18, 2]: people here and there in a map of `size`, about `share` of it tall."""
    rng = np.random.default_rng(seed)
    height, width = size
    tall = height * rng.uniform(0.8, 1.2, count) * share
    wide = tall * 0.5
    left = rng.uniform(1, np.maximum(width - wide - 1, 2), count)
    top = rng.uniform(1, np.maximum(height - tall - 1, 2), count)
    boxes = np.stack([wide, tall], axis=1)[:, None]
    points = np.stack([left, top], axis=1)[:, None] + STANDING * boxes
    return points + rng.normal(0, 0.01, points.shape) * boxes


def draw_maps(
    people: np.ndarray,
    size: tuple[int, int],
    topology: Topology = HUMAN18,
    *,
    found: np.ndarray | None = None,
    sigma: float = 1.0,
    reach: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """float32 cmap [K, H, W] and paf [2·L, H, W] of people [N, K, 2].

    Args:
        people: x and y in pixels of the map; a pixel's centre is at .5.
        found: bool [N, K]: which keypoints are seen; default: all.
        sigma: of the keypoints' bells, in pixels.
        reach: how far from a limb its field goes, in pixels.
        noise: deviation of noise on both.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    cmap = np.zeros((len(topology), height, width))
    paf = np.zeros((2 * len(topology.skeleton), height, width))
    seen = np.ones(people.shape[:2], bool) if found is None else found
    for person, has in zip(people, seen, strict=True):
        for k in np.flatnonzero(has):
            bell = np.exp(-((x - person[k, 0]) ** 2 + (y - person[k, 1]) ** 2) / (2 * sigma**2))
            cmap[k] = np.maximum(cmap[k], bell)
        for link, (a, b) in enumerate(topology.skeleton):
            if has[a] and has[b]:
                along = person[b] - person[a]
                length = max(float(np.hypot(*along)), 1e-9)
                ux, uy = along / length
                forward = (x - person[a, 0]) * ux + (y - person[a, 1]) * uy
                aside = np.abs((x - person[a, 0]) * uy - (y - person[a, 1]) * ux)
                limb = (forward > -reach) & (forward < length + reach) & (aside < reach)
                paf[2 * link][limb], paf[2 * link + 1][limb] = uy, ux
    cmap += rng.normal(0, noise, cmap.shape)
    paf += rng.normal(0, noise, paf.shape)
    return cmap.astype(np.float32), paf.astype(np.float32)
