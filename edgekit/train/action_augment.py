"""What happens to the pictures of a clip of action recognition: cut, mirrored, coloured, normalised.

As TAO's action_recognition does it: one cut and one mirroring for all frames of a clip and for both its
streams. Unlike TAO, a mirrored clip's flow goes the other way, as it does in the mirrored pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import InputError
from edgekit.ops.resize import resize, short_size
from edgekit.train.ava_augment import jitter_colour

if TYPE_CHECKING:
    from edgekit.train.action_table import Augmentation

STILL = 128  # the grey of no movement, as of ops.flow.flow_to_grey
SNAP = 3  # a scaled crop this near to the output's size, in pixels, has the output's size (as TAO)
#: Where a scaled crop may lie: quarters of the room that is left, (x, y). Corners, middle, edges' middles and
#: the four places between the middle and the corners (as TAO).
PLACES = (
    *((x, y) for x in (0, 4) for y in (0, 4)),
    (2, 2),
    *((0, 2), (4, 2), (2, 0), (2, 4)),
    *((x, y) for x in (1, 3) for y in (1, 3)),
)


@dataclass(frozen=True)
class Cut:
    """What is done to every frame of a clip.

    Attributes:
        scaled: height and width to which it is resized first; None: it is not.
        box: left, top, width, height that are cut out then; None: nothing is.
        size: height and width, to which the cut is resized at last.
        mirror: left and right are swapped.
    """

    scaled: tuple[int, int] | None
    box: tuple[int, int, int, int] | None
    size: tuple[int, int]
    mirror: bool = False

    def picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Of uint8 [H, W] or [H, W, 3], resized by the rules of `ops.resize`."""
        if self.scaled is not None:
            picture = resize(picture, self.scaled)
        if self.box is not None:
            left, top, width, height = self.box
            picture = picture[top : top + height, left : left + width]
        if picture.shape[:2] != self.size:
            picture = resize(np.ascontiguousarray(picture), self.size)
        return picture[:, ::-1] if self.mirror else picture

    def flow(self, u: NDArray[np.uint8], v: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The grey pictures [H, W] of a flow → uint8 [h, w, 2]; mirrored, what went right goes left.

        They may be smaller than the clip's pictures, as those of TAO's tool are; the cut is the same.
        """
        u = self.picture(u)
        if self.mirror:
            u = np.minimum(2 * STILL - u.astype(np.int16), 255).astype(np.uint8)
        return np.stack([u, self.picture(v)], axis=-1)


def training_cut(
    config: Augmentation, height: int, width: int, size: tuple[int, int], random: np.random.Generator
) -> Cut:
    """The cut of one clip to learn from.

    `no_crop` resizes to the output's size. The other two resize the short side to crop_smaller_edge, then
    `random_crop` cuts the output's size out anywhere, and `multi_scale_crop` a square whose side is one of
    `scales` times the short side, at one of 13 places, resized to the output's size.

    Args:
        height, width: of the clip's pictures.
        size: height and width of the output.

    Raises:
        InputError: the output is larger than what it is cut from.
    """
    kind, edge = config.train_crop_type, config.crop_smaller_edge
    box, scaled = None, None
    if kind != "no_crop":
        high, wide = scaled = short_size(height, width, edge)
        if kind == "random_crop":
            room = high - size[0], wide - size[1]
            check_room(room, size, edge)
            top, left = (int(random.integers(r + 1)) for r in room)
            box = (left, top, size[1], size[0])
        else:
            side = int(edge * float(random.choice(np.asarray(config.scales))))
            h, w = (s if abs(side - s) < SNAP else min(side, edge) for s in size)
            h, w = max(1, min(h, high)), max(1, min(w, wide))
            x, y = PLACES[int(random.integers(len(PLACES)))]
            box = (x * ((wide - w) // 4), y * ((high - h) // 4), w, h)
    mirror = bool(random.random() < config.horizontal_flip_prob)
    return Cut(scaled, box, size, mirror)


def scoring_cut(config: Augmentation, height: int, width: int, size: tuple[int, int]) -> Cut:
    """The cut of every clip that is scored: the middle (val_center_crop), or all of it, resized.

    Raises:
        InputError: the output is larger than what it is cut from.
    """
    if not config.val_center_crop:
        return Cut(None, None, size)
    edge = config.crop_smaller_edge
    high, wide = scaled = short_size(height, width, edge)
    room = high - size[0], wide - size[1]
    check_room(room, size, edge)
    return Cut(scaled, (round(room[1] / 2), round(room[0] / 2), size[1], size[0]), size)


def check_room(room: tuple[int, int], size: tuple[int, int], edge: int) -> None:
    """InputError where a picture with the short side `edge` is smaller than `size`."""
    if min(room) < 0:
        raise InputError(
            f"dataset.output_shape {list(size)} cannot be cut from pictures whose short side is "
            f"dataset.augmentation_config.crop_smaller_edge={edge}; give at least {max(size)}."
        )


def normalised(
    clips: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    colour: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """uint8 [B, D, H, W, C] → float32 [B, C, D, H, W], (x / 255 - mean) / std.

    Args:
        mean, std: one number, or one a channel.
        colour: strength of a random change of brightness, contrast and colour, one for each clip (RGB only).
        generator: draws it.

    Raises:
        InputError: neither one number nor one a channel.
    """
    pixels = clips.permute(0, 4, 1, 2, 3).float() / 255
    if colour:
        assert generator is not None
        pixels = jitter_colour(pixels, colour, generator)
    shift, scale = (_channels(values, pixels) for values in (mean, std))
    return (pixels - shift) / scale


def _channels(values: Sequence[float], pixels: Tensor) -> Tensor:
    if len(values) not in (1, pixels.shape[1]):
        raise InputError(f"{len(values)} numbers of mean or std do not fit {pixels.shape[1]} channels.")
    return torch.tensor(list(values), dtype=torch.float32, device=pixels.device).view(1, -1, 1, 1, 1)


def arranged(clips: Tensor, input_type: str) -> Tensor:
    """[B, C, D, H, W] as the network takes it: so for "3d", [B, C · D, H, W] for "2d"."""
    return clips.flatten(1, 2) if input_type == "2d" else clips
