"""Part affinity fields: how well two peaks are joined by a limb (trt_pose/parse/paf_score_graph.cpp).

Every pair of peaks that a link could join is scored at once, in float32 and in upstream's order of
operations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.peaks import Peaks, sum_in_order

#: Limbs worked on together: few enough for the CPU's cache, many enough to hide NumPy's calls.
BLOCK = 4096
EPSILON = 1e-5  # added to a limb's length (EPS of paf_score_graph.cpp), so that none is 0


def score_links(
    paf: NDArray[np.float32],
    links: NDArray[np.int64],
    peaks: Peaks,
    refined: NDArray[np.float32],
    samples: int = 7,
) -> list[NDArray[np.float32]]:
    """Line integral of the field along every possible limb: 1 for a field that points from end to end.

    The field is read at `samples` evenly spaced points, ends included, at the pixel a point lies in;
    points outside of the map count as 0.

    Args:
        paf: float32 [2·L, H, W].
        links: int64 [L, 4]: channels of the field's y and x part, then the parts it joins
            (`Topology.links`).
        peaks: of `find_peaks`.
        refined: float32 [P, 2], y and x as fractions, of `refine_peaks`.
        samples: points a limb, 2 or more.

    Returns:
        For each link float32 [A, B]: the score from each peak of its first part to each of its second.

    Raises:
        InputError: `paf` has not the channels that `links` names.
    """
    if paf.ndim != 3 or paf.dtype != np.float32 or len(paf) <= links[:, :2].max(initial=-1):
        raise InputError(
            f"the part affinity fields are {paf.dtype} {list(paf.shape)}; "
            f"{len(links)} links want float32 [{2 * len(links)}, H, W]."
        )
    if not np.array_equal(links[:, :2].reshape(-1), np.arange(2 * len(links))):
        paf = paf[links[:, :2].reshape(-1)]  # the channels of link k at 2k and 2k + 1, as TrtPose has them
    height, width = paf.shape[1:]
    counts = peaks.counts
    starts, ends = counts[links[:, 2]], counts[links[:, 3]]
    # One row for each peak of each link's first part, and in it a limb to each peak of the second.
    link = np.repeat(np.arange(len(links)), starts)
    begin = np.arange(len(link)) - np.repeat(np.cumsum(starts) - starts - peaks.first[links[:, 2]], starts)
    limbs = ends[link]
    end = np.repeat(peaks.first[links[link, 3]] - np.cumsum(limbs) + limbs, limbs)
    end += np.arange(len(end))
    pixel = np.ascontiguousarray(refined.T) * np.array([[height], [width]], np.float32)
    a, b = np.repeat(pixel.take(begin, axis=1), limbs, axis=1), pixel.take(end, axis=1)
    field = np.repeat((link * (2 * height * width)).astype(np.int32), limbs)
    # A line between two places inside stays inside; a little is left for rounding. NaN is not inside.
    inside = bool(refined.min(initial=0) >= 0 and refined.max(initial=0) < 0.9999)
    scores = np.empty(len(end), np.float32)
    for at in range(0, len(end), BLOCK):
        block = np.s_[at : at + BLOCK]
        scores[block] = _integrate(paf, a[:, block], b[:, block], field[block], samples, inside)
    shapes = zip(np.cumsum(starts * ends).tolist(), starts.tolist(), ends.tolist(), strict=True)
    return [scores[stop - a * b : stop].reshape(a, b) for stop, a, b in shapes]


def _integrate(
    paf: NDArray[np.float32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    field: NDArray[np.int32],
    samples: int,
    inside: bool,
) -> NDArray[np.float32]:
    """Scores of M limbs from `a` to `b`, pixels [2, M] (y, x); `field` [M]: where the field of each begins.

    A field is its y and then its x channel. `inside` promises that no point lies outside of the map.
    """
    height, width = paf.shape[1:]
    part = (np.arange(samples, dtype=np.float32) / np.float32(samples - 1))[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        limb = b - a
        length = np.sqrt(limb[0] * limb[0] + limb[1] * limb[1])
        along = limb / (length.astype(np.float64) + EPSILON).astype(np.float32)
        point = part * limb[:, None]  # [2, samples, M]
        point += a[:, None]
        if not inside:
            outside = ~((point > -1) & (point < np.array([height, width])[:, None, None])).all(axis=0)
            point[:, outside] = 0
        pixel = point.astype(np.int32)  # cut, not rounded: a pixel reaches from its number to the next
        pixel[0] *= width
        pixel[0] += pixel[1]
        pixel[0] += field
        at = pixel[0].astype(np.intp)
        flat = paf.reshape(-1)
        dot = flat.take(at, mode="wrap")  # all are valid, and this mode is the fastest
        dot *= along[0]
        dot_x = flat[height * width :].take(at, mode="wrap")
        dot_x *= along[1]
        dot += dot_x
        if not inside:
            dot[outside] = 0
        return sum_in_order(dot) / np.float32(samples)
