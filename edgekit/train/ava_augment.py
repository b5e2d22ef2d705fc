"""What happens to a training clip: one cut for all its frames (scale, place, mirror), one change of colour.

As upstream: the short side at random between two lengths, a random square, mirrored half the time; colour
jitter is an option, too. `people_cut` cuts around one person instead, as large as drawn from a range,
for sets in which the background would tell the action.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GREY = (115, 115, 115)  # 255 · mean, beyond the picture
#: Eigenvectors and -values of ImageNet's colours (Krizhevsky et al., 2012; AVA.TRAIN_PCA_EIGVAL/EIGVEC), RGB.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
GREYS = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Cut:
    """From picture to network: scale, the corner that is cut at (in scaled pixels), size, mirrored or not."""

    scale: float
    left: float
    top: float
    size: tuple[int, int]
    mirror: bool = False

    def frame(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut one picture [H, W, 3] with bilinear interpolation, grey beyond its borders."""
        s, (height, width) = self.scale, self.size
        # centres of pixels meet: x' + ½ + left = s · (x + ½)
        matrix = np.array([[s, 0, s / 2 - 0.5 - self.left], [0, s, s / 2 - 0.5 - self.top]])
        if self.mirror:
            matrix[0] = -matrix[0]
            matrix[0, 2] += width - 1
        out = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=GREY)
        return np.asarray(out, np.uint8)

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [N, 4] in pixels of the picture → of the cut, clipped to it."""
        height, width = self.size
        out = boxes * self.scale - np.array([self.left, self.top] * 2, np.float32)
        if self.mirror:
            out[:, [0, 2]] = width - out[:, [2, 0]]
        return np.clip(out, 0, np.array([width, height] * 2)).astype(np.float32)


def whole(height: int, width: int, short_side: int) -> Cut:
    """The whole picture with this short side, as at run time."""
    scale = short_side / min(height, width)
    return Cut(scale, 0, 0, (max(short_side, int(height * scale)), max(short_side, int(width * scale))))


def random_cut(
    random: np.random.Generator,
    height: int,
    width: int,
    jitter: tuple[int, int],
    crop: int,
    mirror: bool = True,
) -> Cut:
    """A square of `crop` pixels of the picture whose short side is drawn from `jitter` (both included)."""
    scale = int(random.integers(jitter[0], jitter[1] + 1)) / min(height, width)
    room = (width * scale - crop, height * scale - crop)
    left, top = (float(random.uniform(min(0, r), max(0, r))) for r in room)
    return Cut(scale, left, top, (crop, crop), mirror and bool(random.integers(2)))


def people_cut(
    random: np.random.Generator,
    box: NDArray[np.float32],
    tall: tuple[float, float],
    crop: int,
    mirror: bool = True,
) -> Cut:
    """A square of `crop` pixels in which the person of `box` (pixels) has a side drawn from `tall`.

    The longer side of the box counts, its logarithm is uniform; the person lies anywhere inside the square.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    side = np.exp(random.uniform(*np.log(tall)))
    scale = side / max(x2 - x1, y2 - y1, 1.0)
    corner = []
    for low, high in ((x1, x2), (y1, y2)):
        room = crop - (high - low) * scale
        corner.append(low * scale - float(random.uniform(min(0, room), max(0, room))))
    return Cut(scale, corner[0], corner[1], (crop, crop), mirror and bool(random.integers(2)))


def jitter_colour(clips: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation by up to ± `strength`, then PCA noise of σ 0.1, alike in a clip.

    Args:
        clips: float [B, 3, T, H, W], RGB 0 to 1.
    """
    count, device = len(clips), clips.device
    shape = (count, 1, 1, 1, 1)

    def factor() -> Tensor:
        return 1 + strength * (2 * torch.rand(shape, device=device, generator=generator) - 1)

    weights = torch.tensor(GREYS, device=device).view(1, 3, 1, 1, 1)
    clips = clips * factor()
    mean = (clips * weights).sum(1, keepdim=True).mean((2, 3, 4), keepdim=True)
    clips = torch.lerp(mean.expand_as(clips), clips, factor())
    clips = torch.lerp((clips * weights).sum(1, keepdim=True).expand_as(clips), clips, factor())
    noise = 0.1 * torch.randn(count, 3, device=device, generator=generator)
    noise = noise * torch.tensor(EIGENVALUES, device=device)
    light = noise @ torch.tensor(EIGENVECTORS, device=device).T
    return clips + light.view(count, 3, 1, 1, 1)
