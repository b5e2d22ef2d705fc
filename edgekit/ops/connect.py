"""From scored limbs to people: assignment, connection, and the whole of trt_pose's ParseObjects.

`parse_objects` does all steps; each can be called alone: `find_peaks`, `refine_peaks` (edgekit.ops.peaks),
`score_links` (edgekit.ops.paf), `assign`, `connect_parts`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.paf import score_links
from edgekit.ops.peaks import Peaks, find_peaks, refine_peaks
from edgekit.topology import Topology


def assign(
    scores: Sequence[NDArray[np.float32]], links: NDArray[np.int64], peaks: Peaks, threshold: float = 0.1
) -> NDArray[np.int64]:
    """For each link the pairs of peaks with the largest sum of scores, each peak in one pair at most.

    This is upstream's Munkres (trt_pose/parse/munkres.cpp), solved by scipy: all pairs compete, then those
    not above `threshold` are dropped. Where several sets of pairs have the very same sum (two peaks refined
    to the very same place), which one it is may differ from upstream.

    Args:
        scores: of `score_links`.
        links: int64 [L, 4].
        peaks: of `find_peaks`.
        threshold: a pair's score must be above it.

    Returns:
        int64 [M, 2]: rows of `peaks` that belong together, link by link.

    Raises:
        InputError: a score is NaN or infinite, because the network's output is.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(links):
        return np.zeros((0, 2), np.int64)
    try:
        solved = [linear_sum_assignment(score, maximize=True) for score in scores]
    except ValueError as error:
        raise InputError(
            f"the part affinity fields hold NaN or infinity ({error}); run the model in fp32."
        ) from error
    row, column = (np.concatenate([one[side] for one in solved]) for side in (0, 1))
    link = np.repeat(np.arange(len(links)), [len(one[0]) for one in solved])
    every = np.concatenate([score.reshape(-1) for score in scores])
    sizes, widths = np.array([(score.size, score.shape[1]) for score in scores]).T
    best = every[(np.cumsum(sizes) - sizes)[link] + row * widths[link] + column]
    pairs = peaks.first[links[link, 2:]] + np.stack([row, column], axis=1)
    return pairs[best > np.float32(threshold)]


def connect_parts(pairs: NDArray[np.int64], peaks: Peaks, max_people: int = 100) -> NDArray[np.int64]:
    """People: peaks that pairs join, directly or through others (trt_pose/parse/connect_parts.cpp).

    A person begins at the first peak, in the order of the parts, that belongs to nobody yet; a peak that
    nothing joins is a person alone. Where pairs lead to two peaks of one part, the one reached last stays.

    Args:
        pairs: int64 [M, 2], of `assign`.
        peaks: of `find_peaks`.
        max_people: people at most, the first ones (trt_pose's max_num_objects).

    Returns:
        int64 [N, K]: for each person the row of `peaks` of each part, or -1.
    """
    neighbours: list[list[int]] = [[] for _ in range(len(peaks))]
    for a, b in pairs.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    part, parts = peaks.part.tolist(), len(peaks.first) - 1
    seen = [False] * len(peaks)
    people: list[list[int]] = []
    for start in range(len(peaks)):
        if seen[start]:
            continue
        if len(people) == max_people:
            break
        person, reached = [-1] * parts, [start]
        for peak in reached:  # grows while it is walked: nearest first, as upstream's queue
            if not seen[peak]:
                seen[peak] = True
                person[part[peak]] = peak
                reached += neighbours[peak]
        people.append(person)
    return np.array(people, np.int64).reshape(-1, parts)


def parse_objects(
    cmap: NDArray[np.float32],
    paf: NDArray[np.float32],
    topology: Topology,
    *,
    cmap_threshold: float = 0.1,
    link_threshold: float = 0.1,
    window: int = 5,
    samples: int = 7,
    max_parts: int = 100,
    max_people: int = 100,
) -> NDArray[np.float32]:
    """People of one picture's maps, as trt_pose's ParseObjects with the same defaults.

    Args:
        cmap: float32 [K, H, W], a confidence map for each keypoint of the topology.
        paf: float32 [2·L, H, W], a field for each of its links.
        topology: of the network.
        cmap_threshold: smallest value of a keypoint.
        link_threshold: a limb's score must be above it.
        window: pixels, of peak and refinement.
        samples: points of the line integral.
        max_parts: keypoints of one kind at most.
        max_people: people at most.

    Returns:
        float32 [N, K, 3]: x and y as fractions of width and height, and the map's value; 0, 0, 0 where a
        keypoint is not found.

    Raises:
        InputError: the maps do not fit the topology.
    """
    peaks = find_peaks(cmap, cmap_threshold, window, max_parts)
    refined = refine_peaks(cmap, peaks, window)
    scores = score_links(paf, topology.links, peaks, refined, samples)
    people = connect_parts(assign(scores, topology.links, peaks, link_threshold), peaks, max_people)
    return keypoints_of(people, peaks, refined)


def keypoints_of(
    people: NDArray[np.int64], peaks: Peaks, refined: NDArray[np.float32]
) -> NDArray[np.float32]:
    """float32 [N, K, 3]: x, y and score of each person's peaks; 0 where there is none or no finite place."""
    known = np.zeros((len(peaks) + 1, 3), np.float32)  # the last row is that of -1
    known[:-1, 0], known[:-1, 1], known[:-1, 2] = refined[:, 1], refined[:, 0], peaks.score
    known[~np.isfinite(known).all(axis=1)] = 0
    return known[people]
