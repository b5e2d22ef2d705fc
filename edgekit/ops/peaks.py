"""Peaks of confidence maps, as trt_pose finds and refines them.

Source: trt_pose/parse/find_peaks.cpp and refine_peaks.cpp of NVIDIA-AI-IOT/trt_pose.

All maps are worked on together, in float32 and in upstream's order of operations, so that the results are
upstream's to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

CHANNELS = 64  # maps worked on together; OpenCV 5 takes 128


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of K confidence maps: map by map, in a map row by row.

    Attributes:
        part: int64 [P], the map of each.
        y, x: int64 [P], its pixel.
        score: float32 [P], the map's value there.
        first: int64 [K + 1]: the peaks of part k are rows `first[k]` to `first[k + 1]`.
    """

    part: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    score: NDArray[np.float32]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.part)

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [K]: how many each part has."""
        return np.diff(self.first)


def find_peaks(
    cmap: NDArray[np.float32], threshold: float = 0.1, window: int = 5, max_parts: int = 100
) -> Peaks:
    """Pixels of at least `threshold` that no pixel of the window around them exceeds.

    Equal neighbours are peaks both, as upstream. NaN is never a peak.

    Args:
        cmap: float32 [K, H, W], one map a part.
        threshold: smallest value of a peak.
        window: side of the window in pixels; an even one counts as the next odd one, as upstream.
        max_parts: peaks a map at most, the first ones row by row (trt_pose's max_num_parts).

    Raises:
        InputError: `cmap` is not float32 [K, H, W], or smaller than half a window.
    """
    count, height, width = _shape(cmap, window)
    found = [_maxima(cmap[k : k + CHANNELS], threshold, window) for k in range(0, count, CHANNELS)]
    place = np.concatenate([some + n * CHANNELS * height * width for n, some in enumerate(found)])
    edges = np.arange(count + 1) * (height * width)
    first = np.searchsorted(place, edges)
    if np.diff(first).max() > max_parts:
        place = place[np.arange(len(place)) - first[place // (height * width)] < max_parts]
        first = np.searchsorted(place, edges)
    row, x = np.divmod(place, width)
    part, y = np.divmod(row, height)
    return Peaks(part, y, x, cmap.reshape(-1)[place], first)


def _maxima(cmap: NDArray[np.float32], threshold: float, window: int) -> NDArray[np.int64]:
    """Where in `cmap`, flat, the peaks are."""
    count, height, width = cmap.shape
    # OpenCV works on all maps at once where they are the channels of one picture.
    pixels = cv2.transpose(cmap.reshape(count, -1))  # [H·W, K]
    side = window // 2 * 2 + 1
    highest = cv2.dilate(pixels.reshape(height, width, count), np.ones((side, side), np.uint8))
    is_peak = pixels >= highest.reshape(pixels.shape)
    is_peak &= pixels >= np.float32(threshold)
    pixel, part = np.divmod(np.flatnonzero(is_peak), count)
    place: NDArray[np.int64] = np.sort(part * (height * width) + pixel)
    return place


def refine_peaks(cmap: NDArray[np.float32], peaks: Peaks, window: int = 5) -> NDArray[np.float32]:
    """Move each peak to the mean of the pixels around it, weighted by the map, mirrored at its borders.

    Negative values of the map are weights too, as upstream; weights that cancel out give a place outside
    of the map, infinity or NaN.

    Args:
        cmap: float32 [K, H, W] in which `peaks` were found.
        peaks: of `find_peaks`.
        window: side of the window in pixels.

    Returns:
        float32 [P, 2]: y and x as fractions of height and width, of pixel centres: (y + 0.5) / H.

    Raises:
        InputError: as `find_peaks`.
    """
    _, height, width = _shape(cmap, window)
    around = np.arange(-(window // 2), window // 2 + 1)
    place = np.stack([peaks.y, peaks.x])[:, None] + around[:, None]  # [2, window, P]
    # Indices past a border, reflected at the border pixel: -1 → 1, size → size - 2.
    last = np.array([height - 1, width - 1])[:, None, None]
    y, x = last - np.abs(last - np.abs(place))
    weight = cmap.reshape(-1).take(((y + peaks.part * height) * width)[:, None] + x)  # [window, window, P]
    across = place.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.stack([sum_in_order(weight * across[0][:, None]), sum_in_order(weight * across[1])])
        mean /= sum_in_order(weight)
        mean += np.float32(0.5)
        mean /= np.array([[height], [width]], np.float32)
    return np.ascontiguousarray(mean.T)


def sum_in_order(terms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over all axes but the last, term after term: rounded as by a plain loop."""
    rows = terms.reshape(-1 if terms.size else 1, terms.shape[-1])
    # NumPy adds row to row; a single column, though, it would add in pairs.
    total: NDArray[np.float32] = rows.sum(axis=0) if rows.shape[1] > 1 else rows.cumsum(axis=0)[-1]
    return total


def _shape(cmap: NDArray[np.float32], window: int) -> tuple[int, int, int]:
    if cmap.ndim != 3 or cmap.dtype != np.float32 or not len(cmap):
        raise InputError(f"the confidence maps are {cmap.dtype} {list(cmap.shape)}, not float32 [K, H, W].")
    if window < 1 or min(cmap.shape[1:]) <= window // 2:
        raise InputError(
            f"window={window} does not fit confidence maps of {cmap.shape[1]}×{cmap.shape[2]} pixels."
        )
    return cmap.shape[0], cmap.shape[1], cmap.shape[2]
