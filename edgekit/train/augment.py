"""Pictures kept on the GPU as uint8, and batches made from them there: mosaic, zoom, colour, blur, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgekit.evaluate.data import Picture
from edgekit.train.losses import IGNORE, LABEL

PAD = 114 / 255  # grey of the letterbox at run time


class PictureStore:
    """All pictures in one uint8 tensor [N, 3, L, 3L/2] RGB: full size at left, half size beside it.

    The half size keeps strong shrinking free of aliasing. `boxes` [N, M, 4] are source pixels; `kind` [N, M]
    is LABEL, IGNORE or 0 (padding); `sizes` [N, 2] are width and height.
    """

    def __init__(
        self, images: Sequence[NDArray[np.uint8]], pictures: Sequence[Picture], device: str, room: int = 0
    ) -> None:
        side = max(max(i.shape[:2]) for i in images)
        side += side % 2
        self.side = side
        most = max(1, max(len(p.boxes) for p in pictures) + room)
        self.pixels = torch.full((len(images), 3, side, side * 3 // 2), 114, dtype=torch.uint8, device=device)
        self.sizes = torch.tensor(
            [[i.shape[1], i.shape[0]] for i in images], dtype=torch.float32, device=device
        )
        boxes, kind = torch.zeros(len(images), most, 4), torch.zeros(len(images), most, dtype=torch.long)
        for n, (image, picture) in enumerate(zip(images, pictures, strict=True)):
            height, width = image.shape[:2]
            full = torch.from_numpy(image[..., ::-1].copy()).to(device).permute(2, 0, 1)
            self.pixels[n, :, :height, :width] = full
            half = F.interpolate(full[None].float(), (height // 2, width // 2), mode="area")[0]
            self.pixels[n, :, : height // 2, side : side + width // 2] = half.round().to(torch.uint8)
            count = len(picture.boxes)
            boxes[n, :count] = torch.from_numpy(picture.boxes) * torch.tensor([width, height, width, height])
            kind[n, :count] = torch.where(torch.from_numpy(picture.ignore), IGNORE, LABEL)
        self.boxes, self.kind = boxes.to(device), kind.to(device)

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Strength:
    """How hard to augment. Ranges are natural logarithms of factors; `p_…` are probabilities."""

    p_mosaic: float = 0.6
    p_mix: float = 0.1
    p_plain: float = 0.2  # a whole picture, barely changed: what the network meets at run time
    zoom: tuple[float, float] = (-1.0, 0.75)
    mosaic_zoom: tuple[float, float] = (-1.2, 0.25)
    aspect: float = 0.4
    turn: float = 6.0  # degrees, standard deviation
    p_turn: float = 0.4
    colour: float = 1.0
    most: int = 90  # people kept in one image


CALM = Strength(p_mosaic=0.0, p_mix=0.0, p_plain=0.5, zoom=(-0.7, 0.5), aspect=0.3, turn=3.0, colour=0.6)


class Augment:
    """Makes training batches on the store's device from its own random generator (saved in checkpoints)."""

    def __init__(self, store: PictureStore, size: int, weights: Tensor, generator: torch.Generator) -> None:
        self.store, self.size, self.weights, self.random = store, size, weights, generator
        self.device = store.pixels.device

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(tuple(shape), generator=self.random, device=self.device) * (high - low) + low

    def batch(self, count: int, strength: Strength) -> tuple[Tensor, Tensor, Tensor]:
        """Images [B, 3, S, S] RGB 0..1, boxes [B, G, 4] x1 y1 x2 y2 pixels, kind [B, G]."""
        size = float(self.size)
        index = torch.multinomial(self.weights, count * 4, True, generator=self.random).view(count, 4)
        mosaic = self.uniform([count]) < strength.p_mosaic
        cut = self.uniform([count, 2], 0.2, 0.8) * size
        cut = torch.where(mosaic[:, None], cut, torch.full_like(cut, size))
        images = torch.full((count, 3, self.size, self.size), PAD, device=self.device)
        boxes, kinds = [], []
        for quarter in range(4):
            right, low = quarter % 2, quarter // 2
            rows = torch.arange(count, device=self.device) if quarter == 0 else mosaic.nonzero()[:, 0]
            start = torch.stack([cut[:, 0] * right, cut[:, 1] * low], 1)[rows]
            end = torch.stack(
                [
                    cut[:, 0] if not right else torch.full_like(cut[:, 0], size),
                    cut[:, 1] if not low else torch.full_like(cut[:, 1], size),
                ],
                1,
            )[rows]
            box = torch.zeros(count, self.store.boxes.shape[1], 4, device=self.device)
            kind = torch.zeros(box.shape[:2], dtype=torch.long, device=self.device)
            if len(rows):
                source = index[rows, quarter]
                matrix, offset, zoom = self.placement(source, start, end, mosaic[rows], strength)
                pixels, mask = self.warp(source, start, end, matrix, offset, zoom)
                images[rows] = torch.where(mask, pixels, images[rows])
                box[rows], kind[rows] = self.move_boxes(source, start, end, matrix, offset)
            boxes.append(box)
            kinds.append(kind)
        box, kind = tidy(torch.cat(boxes, 1), torch.cat(kinds, 1), strength.most)
        images = self.colour(images, strength.colour)
        return self.mix(images, box, kind, strength)

    def placement(
        self,
        source: Tensor,
        start: Tensor,
        end: Tensor,
        mosaic: Tensor,
        strength: Strength,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Random map out = matrix · (src − centre) + offset, and its mean zoom, for each source picture."""
        n = len(source)
        size = self.store.sizes[source]
        fit = self.size / size.amax(1)
        low, high = (
            torch.where(mosaic, m, s) for m, s in zip(strength.mosaic_zoom, strength.zoom, strict=True)
        )
        plain = (self.uniform([n]) < strength.p_plain) & ~mosaic
        zoom = (
            torch.where(plain, self.uniform([n], -0.08, 0.05), low + (high - low) * self.uniform([n])).exp()
            * fit
        )
        squeeze = (self.uniform([n], -strength.aspect, strength.aspect) / 2).exp()
        squeeze = torch.where(plain, squeeze.pow(0.5), squeeze)
        flip = torch.where(self.uniform([n]) < 0.5, -1.0, 1.0)
        turned = (self.uniform([n]) < strength.p_turn) & ~plain
        angle = (
            torch.randn(n, generator=self.random, device=self.device)
            * turned
            * strength.turn
            * torch.pi
            / 180
        )
        shear = self.uniform([n], -0.08, 0.08) * turned
        scale = torch.stack([zoom * squeeze, zoom / squeeze], 1)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, -sin + shear, sin, cos], 1).view(n, 2, 2)
        matrix = turn * torch.stack([scale[:, 0] * flip, scale[:, 1]], 1)[:, None]
        extent = scale * size
        offset = start + self.uniform([n, 2]) * (end - start - extent) + extent / 2
        return matrix, offset, zoom

    def warp(
        self,
        source: Tensor,
        start: Tensor,
        end: Tensor,
        matrix: Tensor,
        offset: Tensor,
        zoom: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Pictures drawn through the map: [n, 3, S, S] and the mask [n, 1, S, S] of what they cover."""
        store = self.store
        size = store.sizes[source][:, None, None]
        axis = torch.arange(self.size, device=self.device) + 0.5
        out = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)[None]
        src = torch.einsum("nij,nhwj->nhwi", torch.linalg.inv(matrix), out - offset[:, None, None]) + size / 2
        mask = ((src >= 0) & (src <= size)).all(-1)
        mask &= ((out >= start[:, None, None]) & (out < end[:, None, None])).all(-1)
        half = (zoom < 0.65)[:, None, None, None]
        edge = torch.where(half, 1.0, 0.5)
        src = src.maximum(edge).minimum(size - 2 * edge)
        src = torch.where(half, src / 2 + torch.tensor([store.side, 0.0], device=self.device), src)
        grid = src / torch.tensor([store.side * 1.5, store.side], device=self.device) * 2 - 1
        pixels = F.grid_sample(store.pixels[source].float(), grid, align_corners=False) / 255
        return pixels, mask[:, None]

    def move_boxes(
        self,
        source: Tensor,
        start: Tensor,
        end: Tensor,
        matrix: Tensor,
        offset: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Boxes through the map, cut to what is shown. A turned box is drawn round its inscribed ellipse."""
        box, kind = self.store.boxes[source], self.store.kind[source].clone()
        centre = (box[..., :2] + box[..., 2:]) / 2 - self.store.sizes[source][:, None] / 2
        half = (box[..., 2:] - box[..., :2]) / 2
        centre = torch.einsum("nij,nmj->nmi", matrix, centre) + offset[:, None]
        half = torch.einsum("nij,nmj->nmi", matrix.square(), half.square()).sqrt()
        moved = torch.cat([centre - half, centre + half], -1)
        low, high = start[:, None].repeat(1, 1, 2), end[:, None].repeat(1, 1, 2)
        shown = moved.maximum(low).minimum(high)
        sides = (shown[..., 2:] - shown[..., :2]).clamp(min=0)
        seen = sides.prod(-1) / (4 * half.prod(-1)).clamp(min=1e-6)
        kind = torch.where((kind == LABEL) & ((seen < 0.3) | (sides.amin(-1) < 4)), IGNORE, kind)
        return shown, torch.where((seen < 0.05) | (sides.amin(-1) < 1), 0, kind)

    def colour(self, images: Tensor, amount: float) -> Tensor:
        """Brightness, contrast, saturation, tint, gamma, grey, low resolution, noise, holes."""
        n = len(images)

        def draw(width: float, channels: int = 1) -> Tensor:
            return self.uniform([n, channels, 1, 1], -width, width) * amount

        def some(chance: float) -> Tensor:
            return self.uniform([n, 1, 1, 1]) < chance * amount

        images = images * draw(0.35).exp() * draw(0.12, 3).exp()
        mean = images.mean((1, 2, 3), keepdim=True)
        images = (images - mean) * draw(0.35).exp() + mean
        grey = (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
        images = grey + (images - grey) * torch.where(some(0.1), torch.zeros_like(mean), draw(0.6).exp())
        images = images.clamp(0, 1)
        gamma = torch.where(some(0.3), draw(0.6).exp(), torch.ones_like(mean))
        images = (images + 1e-4).pow(gamma)
        for factor in (0.5, 0.33):
            rows = some(0.07).view(-1).nonzero()[:, 0]
            if len(rows):
                small = F.interpolate(images[rows], scale_factor=factor, mode="bilinear", antialias=True)
                images[rows] = F.interpolate(small, images.shape[-2:], mode="bilinear")
        noise = torch.randn(images.shape, generator=self.random, device=self.device, dtype=images.dtype)
        images = images + noise * self.uniform([n, 1, 1, 1], 0, 0.06) * some(0.25)
        height, width = images.shape[-2:]
        place = self.uniform([n, 2, 1, 1]) * images.new_tensor([width, height])[:, None, None]
        reach = self.uniform([n, 2, 1, 1], 0.03, 0.15) * max(width, height)
        x, y = torch.arange(width, device=self.device), torch.arange(height, device=self.device)[:, None]
        hole = ((x - place[:, :1]).abs() < reach[:, :1]) & ((y - place[:, 1:]).abs() < reach[:, 1:])
        images = torch.where(hole & some(0.2), self.uniform([n, 3, 1, 1]), images)
        return images.clamp(0, 1)

    def mix(
        self, images: Tensor, box: Tensor, kind: Tensor, strength: Strength
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Blend some images with their neighbour in the batch, half and half; both sets of people count."""
        blend = self.uniform([len(images)]) < strength.p_mix
        share = torch.where(blend, self.uniform([len(images)], 0.4, 0.6), 1.0)
        share = share[:, None, None, None]
        images = images * share + images.roll(1, 0) * (1 - share)
        joined = torch.cat([kind, kind.roll(1, 0) * blend[:, None]], 1)
        box, kind = tidy(torch.cat([box, box.roll(1, 0)], 1), joined, strength.most)
        return images, box, kind


def tidy(box: Tensor, kind: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Real boxes first, at most `most`, no wider than the fullest row needs."""
    order = (kind == 0).to(torch.uint8).argsort(dim=1, stable=True)
    keep = min(most, int((kind > 0).sum(1).max()))
    order = order[:, :keep]
    return box.gather(1, order[..., None].expand(-1, -1, 4)), kind.gather(1, order)
