"""Batches for pose networks, made on the device from pictures kept there as uint8.

Whole scenes for a bottom-up network and crops of one person for a top-down one: mirrored (left keypoints
become right ones), turned, scaled, shifted, recoloured and blurred. No loader stands between GPU and data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgekit.evaluate.data import Picture
from edgekit.topology import Topology
from edgekit.train.augment import PAD, Augment, PictureStore
from edgekit.train.keypoints import PosePicture

MARGIN = 1.25  # a crop shows this much of the box (AlphaPose, `alphapose/utils/bbox.py`)


@dataclass(frozen=True)
class PoseStrength:
    """How hard to augment. `zoom` is the logarithm of a factor, `p_…` are probabilities."""

    zoom: tuple[float, float] = (-0.7, 0.9)
    p_plain: float = 0.2  # a whole picture, barely changed: what the network meets at run time
    p_person: float = 0.6  # of the others, those that put some person near the middle
    aspect: float = 0.15
    turn: float = 30.0  # degrees at most
    p_turn: float = 0.5
    p_blur: float = 0.1
    p_mirror: float = 0.5
    colour: float = 0.8
    shift: float = 0.08  # of a crop's sides


NONE = PoseStrength((0, 0), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # as at run time
CROPS = PoseStrength(zoom=(-0.35, 0.3), p_plain=0.1, turn=40.0, p_turn=0.6)


@dataclass(frozen=True)
class PoseBatch:
    """Images [B, 3, H, W] RGB 0..1; keypoints [B, M, K, 3], boxes [B, M, 4], regions to ignore [B, J, 4],
    all in pixels of the images. Places without a person have keypoints and boxes of zeros."""

    images: Tensor
    points: Tensor
    boxes: Tensor
    ignore: Tensor


class PoseStore(PictureStore):
    """`PictureStore` with `points` [N, M, K, 3], boxes `people` [N, M, 4] and ignored `regions` [N, J, 4].

    `groups` [N] numbers the pictures that look alike; a large group's are drawn less often each.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        pictures: Sequence[PosePicture],
        topology: Topology,
        device: str | torch.device,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        empty = [Picture(p.path, np.zeros((0, 4), np.float32), np.zeros(0, bool)) for p in pictures]
        super().__init__(images, empty, str(device))
        most = max(1, max(len(p.keypoints) for p in pictures))
        regions = max(1, max(len(p.ignore) for p in pictures))
        points = torch.zeros(len(images), most, len(topology), 3)
        people, ignore = torch.zeros(len(images), most, 4), torch.zeros(len(images), regions, 4)
        for n, (image, picture) in enumerate(zip(images, pictures, strict=True)):
            width, height = picture.size or (image.shape[1], image.shape[0])
            scale = torch.tensor([image.shape[1] / width, image.shape[0] / height])
            count = len(picture.keypoints)
            points[n, :count] = torch.from_numpy(picture.keypoints)
            points[n, :count, :, :2] *= scale
            people[n, :count] = torch.from_numpy(picture.boxes) * scale.repeat(2)
            ignore[n, : len(picture.ignore)] = torch.from_numpy(picture.ignore) * scale.repeat(2)
        alike = np.arange(len(images)) if groups is None else groups
        self.groups = torch.from_numpy(np.asarray(alike, np.int64)).to(device)
        self.points, self.people, self.regions = points.to(device), people.to(device), ignore.to(device)


class PoseAugment(Augment):
    """Draws batches of `shape` (H, W) from a store; `random` decides all, so a seed repeats a batch."""

    def __init__(
        self, store: PoseStore, shape: tuple[int, int], topology: Topology, generator: torch.Generator
    ) -> None:
        super().__init__(store, max(shape), torch.ones(len(store)), generator)
        self.poses, self.shape = store, shape
        self.flip = torch.from_numpy(topology.flip).to(self.device)
        self.extent = torch.tensor([shape[1], shape[0]], dtype=torch.float32, device=self.device)
        self.crops = (store.people[..., 2:] > store.people[..., :2]).all(-1).nonzero()
        self.scene_chances = rarity(store.groups)
        self.crop_chances = rarity(store.groups[self.crops[:, 0]])

    def scenes(self, count: int, strength: PoseStrength, rows: Tensor | None = None) -> PoseBatch:
        """Whole pictures, drawn at random or those numbered `rows`, fitted in and then zoomed and moved."""
        if rows is None:
            rows = torch.multinomial(self.scene_chances, count, True, generator=self.random)
        n, size = len(rows), self.poses.sizes[rows]
        plain = self.uniform([n]) < strength.p_plain
        fit = (self.extent / size).amin(1)
        zoom = torch.where(plain, 1.0, self.uniform([n], *strength.zoom).exp())
        matrix = self.turns(n, fit * zoom, plain, strength)
        extent = torch.einsum("nij,nj->ni", matrix.abs(), size)
        free = self.extent - extent
        offset = extent / 2 + self.uniform([n, 2]) * free
        offset = torch.where(plain[:, None], self.extent / 2, offset)
        boxes = self.poses.people[rows]
        chances = (boxes[..., 2:] > boxes[..., :2]).all(-1).float()
        chances[:, 0] += 1e-6
        chosen = torch.multinomial(chances, 1, generator=self.random)[:, 0]
        box = boxes[torch.arange(n, device=self.device), chosen]
        centre = (box[:, :2] + box[:, 2:]) / 2 - size / 2
        place = self.uniform([n, 2], 0.2, 0.8) * self.extent - torch.einsum("nij,nj->ni", matrix, centre)
        near = (self.uniform([n]) < strength.p_person) & ~plain & (chances.sum(1) > 0.5)
        offset = torch.where(near[:, None], place, offset)
        return self.draw(rows, matrix, offset, self.poses.points[rows], boxes, strength, 0.5, PAD)

    def people(self, count: int, strength: PoseStrength, crops: Tensor | None = None) -> PoseBatch:
        """Crops of one person each (M = 1), drawn at random or the rows of `self.crops` numbered `crops`.

        The box is made of the crop's shape and `MARGIN` larger, as at run time; whole coordinates are centres
        of pixels, as in AlphaPose.
        """
        if crops is None:
            crops = torch.multinomial(self.crop_chances, count, True, generator=self.random)
        rows, person = self.crops[crops].unbind(1)
        n, size, box = len(rows), self.poses.sizes[rows], self.poses.people[rows, person]
        plain = self.uniform([n]) < strength.p_plain
        sides = (box[:, 2:] - box[:, :2]) * MARGIN
        fit = (self.extent / sides).amin(1)
        zoom = torch.where(plain, 1.0, self.uniform([n], *strength.zoom).exp())
        matrix = self.turns(n, fit * zoom, plain, strength)
        shift = self.uniform([n, 2], -1, 1) * strength.shift * self.extent * ~plain[:, None]
        centre = (box[:, :2] + box[:, 2:]) / 2 - size / 2
        offset = self.extent / 2 + shift - torch.einsum("nij,nj->ni", matrix, centre)
        points = self.poses.points[rows, person][:, None]
        return self.draw(rows, matrix, offset, points, box[:, None], strength, 0.0, 0.0)

    def turns(self, n: int, zoom: Tensor, plain: Tensor, strength: PoseStrength) -> Tensor:
        """Random matrices [n, 2, 2]: mirror, stretch, turn, scale."""
        flip = torch.where(self.uniform([n]) < strength.p_mirror, -1.0, 1.0)
        squeeze = (self.uniform([n], -strength.aspect, strength.aspect) * ~plain / 2).exp()
        turned = (self.uniform([n]) < strength.p_turn) & ~plain
        angle = torch.deg2rad(self.uniform([n], -strength.turn, strength.turn)) * turned
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
        return turn * torch.stack([zoom * squeeze * flip, zoom / squeeze], 1)[:, None]

    def draw(
        self,
        rows: Tensor,
        matrix: Tensor,
        offset: Tensor,
        points: Tensor,
        boxes: Tensor,
        strength: PoseStrength,
        centre: float,
        pad: float,
    ) -> PoseBatch:
        """Pictures `rows` and all in them through out = matrix · (src − middle) + offset.

        `centre` is the coordinate of a pixel's centre: 0.5, or 0 where whole numbers are centres; `pad` the
        grey of what no picture covers.
        """
        half_size = self.poses.sizes[rows] / 2
        images = self.warp_to(rows, matrix, offset, centre, pad)
        mirrored = torch.linalg.det(matrix) < 0
        points = torch.where(mirrored[:, None, None, None], points[:, :, self.flip], points)
        place = torch.einsum("nij,nmkj->nmki", matrix, points[..., :2] - half_size[:, None, None])
        place = place + offset[:, None, None]
        known = points[..., 2:]
        points = torch.cat([place * (known > 0), known], -1)
        images = self.colour(images, strength.colour) if strength.colour else images
        return PoseBatch(
            self.blur(images, strength.p_blur),
            points,
            move(boxes, matrix, offset, half_size),
            move(self.poses.regions[rows], matrix, offset, half_size),
        )

    def warp_to(self, rows: Tensor, matrix: Tensor, offset: Tensor, centre: float, pad: float) -> Tensor:
        """Pictures through the map [n, 3, H, W]; from their half size where they shrink a lot."""
        store, (height, width) = self.poses, self.shape
        size = store.sizes[rows][:, None, None]
        x, y = (torch.arange(n, device=self.device) + centre for n in (width, height))
        out = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        src = torch.einsum("nij,nhwj->nhwi", torch.linalg.inv(matrix), out - offset[:, None, None])
        src = src + size / 2 + (0.5 - centre)
        mask = ((src >= 0) & (src <= size)).all(-1)[:, None]
        half = (matrix.square().sum((1, 2)) / 2 < 0.65**2)[:, None, None, None]
        edge = torch.where(half, 1.0, 0.5)
        src = src.maximum(edge).minimum(size - 2 * edge)
        src = torch.where(half, src / 2 + torch.tensor([store.side, 0.0], device=self.device), src)
        grid = src / torch.tensor([store.side * 1.5, store.side], device=self.device) * 2 - 1
        pixels = F.grid_sample(store.pixels[rows].float(), grid, align_corners=False) / 255
        return torch.where(mask, pixels, pad)

    def blur(self, images: Tensor, chance: float) -> Tensor:
        """Some images out of focus: a 5×5 binomial filter."""
        rows = (self.uniform([len(images)]) < chance).nonzero()[:, 0]
        if chance and len(rows):
            line = images.new_tensor([1, 4, 6, 4, 1]) / 16
            kernel = (line[:, None] * line).expand(3, 1, 5, 5)
            padded = F.pad(images[rows], (2, 2, 2, 2), mode="replicate")
            images = images.index_copy(0, rows, F.conv2d(padded, kernel, groups=3))
        return images


def rarity(groups: Tensor) -> Tensor:
    """How often each row is drawn: (size of its group) ** −½, so that one long video does not rule."""
    return groups.bincount().clamp(min=1).float().rsqrt()[groups]


def move(boxes: Tensor, matrix: Tensor, offset: Tensor, half_size: Tensor) -> Tensor:
    """Boxes [n, M, 4] through the map: the upright box round the moved one. Empty ones stay empty."""
    present = (boxes[..., 2:] > boxes[..., :2]).all(-1, keepdim=True)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 - half_size[:, None]
    half = (boxes[..., 2:] - boxes[..., :2]) / 2
    centre = torch.einsum("nij,nmj->nmi", matrix, centre) + offset[:, None]
    half = torch.einsum("nij,nmj->nmi", matrix.abs(), half)
    return torch.cat([centre - half, centre + half], -1) * present
