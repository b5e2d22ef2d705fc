"""What a pose network is to answer, made on the device: confidence maps, part-affinity fields, heat maps.

The maps of TrtPose equal those of its C++ (NVIDIA-AI-IOT/trt_pose, `train/generate_cmap.cpp` and
`train/generate_paf.cpp`); here people of all pictures are drawn at once, one "first people", "second
people" … after the other, so a batch takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

EPS = 1e-5  # of generate_paf.cpp: keeps a limb of no length from dividing by zero


def cmap_targets(points: Tensor, shape: tuple[int, int], stdev: float, window: int) -> Tensor:
    """Confidence maps [B, K, h, w].

    Args:
        points: float [B, M, K, 3], x and y in cells of the map (a cell's centre is at .5), and how sure the
            keypoint is; 0 means unknown, nothing is drawn.
        stdev: exp(−d² / stdev²), as in TrtPose: no 2 below.
        window: side of the square that a keypoint reaches, in cells.
    """
    batch, _, kinds, _ = points.shape
    cmap = points.new_zeros(batch, kinds, *shape)
    for rows, person in ranks(points):
        y, x = (bell(person[..., axis], shape[1 - axis], stdev, window) for axis in (1, 0))
        y = y * (person[..., 2:] > 0)
        cmap[rows] = torch.maximum(cmap[rows], y[..., :, None] * x[..., None, :])
    return cmap


def bell(centre: Tensor, count: int, stdev: float, window: int) -> Tensor:
    """exp(−d² / stdev²) along one axis [..., count], 0 beyond the window round the keypoint's cell."""
    cell = torch.arange(count, device=centre.device, dtype=centre.dtype)
    half = window // 2
    low, high = torch.floor(centre - half)[..., None], torch.floor(centre + half + 1)[..., None]
    distance = centre[..., None] - (cell + 0.5)
    return torch.exp(-distance.square() / stdev**2) * ((cell >= low) & (cell < high))


def paf_targets(points: Tensor, links: Tensor, shape: tuple[int, int], stdev: float) -> Tensor:
    """Part-affinity fields [B, 2L, h, w]: the limb's direction times exp(−(distance to the limb)² / stdev²).

    Args:
        points: as for `cmap_targets`.
        links: int64 [L, 4], `Topology.links`: channel of the row direction, of the column direction, the
            keypoint where the limb begins, and where it ends.

    Fields of several people add up. A limb with an unknown end draws nothing.
    """
    batch, count = len(points), len(links)
    paf = points.new_zeros(batch, count, 2, *shape)
    y = (torch.arange(shape[0], device=points.device, dtype=points.dtype) + 0.5)[:, None]
    x = torch.arange(shape[1], device=points.device, dtype=points.dtype) + 0.5
    for rows, person in ranks(points):
        start, end = person[:, links[:, 2]], person[:, links[:, 3]]
        along = end[..., :2] - start[..., :2]
        length = along.square().sum(-1).sqrt() + EPS
        unit = along / length[..., None]
        unit_x, unit_y = (unit[..., i, None, None] for i in (0, 1))
        to_x = x - start[..., 0, None, None]
        to_y = y - start[..., 1, None, None]
        dot = to_x * unit_x + to_y * unit_y
        beyond = dot - dot.clamp(min=0).minimum(length[..., None, None])
        cross = to_y * unit_x - to_x * unit_y
        scale = torch.exp(-(beyond.square() + cross.square()) / stdev**2)
        scale = scale * ((start[..., 2] > 0) & (end[..., 2] > 0))[..., None, None]
        paf[rows] += scale[:, :, None] * torch.stack([unit_y, unit_x], 2)
    return paf.flatten(1, 2)


def ranks(points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """First all pictures' first people, then the second …: picture numbers [n] and keypoints [n, K, 3]."""
    known = (points[..., 2] > 0).any(2)
    for person in range(points.shape[1]):
        rows = known[:, person].nonzero()[:, 0]
        if len(rows):
            yield rows, points[rows, person]


def masks(
    points: Tensor,
    boxes: Tensor,
    ignore: Tensor,
    links: Tensor,
    cmap: Tensor,
    paf: Tensor,
    known: float = 0.05,
) -> tuple[Tensor, Tensor]:
    """Where the answer is known: 1, 0 or between, for cmap [B, K, h, w] and paf [B, 2L, h, w].

    An ignored region [B, J, 4] counts for nothing. Inside a person's box [B, M, 4] the channel of a keypoint
    that is unknown there counts for nothing, nor does a limb with an unknown end — save where another
    person's maps are above `known`. A keypoint less sure than 1 counts less around itself.
    """
    shape = cmap.shape[-2:]
    sure = points[..., 2]
    present = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    ends = torch.minimum(sure[..., links[:, 2]], sure[..., links[:, 3]])
    cmask, pmask = torch.ones_like(cmap), paf.new_ones(paf.shape[0], len(links), *shape)
    for person in range(boxes.shape[1]):
        rows = present[:, person].nonzero()[:, 0]
        if not len(rows):
            continue
        inside = fill(boxes[rows, person], shape)[:, None]
        for mask, value in ((cmask, sure), (pmask, ends)):
            weight = value[rows, person][..., None, None]
            mask[rows] = torch.minimum(mask[rows], torch.where(inside, weight, 1.0))
    strong = paf.unflatten(1, (-1, 2)).abs().amax(2)
    cmask = torch.where((cmap > known) & (cmask == 0), 1.0, cmask)
    pmask = torch.where((strong > known) & (pmask == 0), 1.0, pmask)
    closed = fill(ignore.flatten(0, 1), shape).unflatten(0, ignore.shape[:2]).any(1)[:, None]
    return cmask.masked_fill(closed, 0), pmask.masked_fill(closed, 0).repeat_interleave(2, 1)


def fill(boxes: Tensor, shape: torch.Size | tuple[int, int]) -> Tensor:
    """bool [n, h, w]: cells whose centre is inside the box x1 y1 x2 y2 [n, 4]."""
    y = torch.arange(shape[0], device=boxes.device) + 0.5
    x = torch.arange(shape[1], device=boxes.device) + 0.5
    x1, y1, x2, y2 = boxes[..., None].unbind(1)
    inside_y, inside_x = (y >= y1) & (y < y2), (x >= x1) & (x < x2)
    return inside_y[:, :, None] & inside_x[:, None, :]


def heatmap_targets(points: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Heat maps [B, K, h, w] of a top-down network: exp(−d² / 2σ²), zero where the keypoint is unknown.

    points float [B, K, 3]: x and y in cells, a cell's centre at a whole number, as in AlphaPose
    (`alphapose/utils/presets/simple_transform.py`, which rounds the centre; here it may lie between).
    """
    y, x = (
        torch.arange(n, device=points.device, dtype=points.dtype) - points[..., axis, None]
        for n, axis in zip(shape, (1, 0), strict=True)
    )
    y, x = (torch.exp(-d.square() / (2 * sigma**2)) for d in (y, x))
    return (y * (points[..., 2:] > 0))[..., :, None] * x[..., None, :]
