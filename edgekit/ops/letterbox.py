"""Fit a picture into a network's input without changing its shape, and bring boxes back.

Three styles, each equal to its reference pixel by pixel (tests/ops/test_letterbox.py):

- "ultralytics": YOLOv5, v8, 11: rounded size, centred, grey 114, bilinear
  (ultralytics/data/augment.py, class LetterBox);
- "yolox": size cut to whole pixels, at the top left, grey 114, bilinear
  (YOLOX yolox/data/data_augment.py, preproc);
- "darknet": size cut to whole pixels, centred, grey 128, bicubic
  (AlphaPose detector/yolo/preprocess.py, letterbox_image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

PAD = {"ultralytics": 114, "yolox": 114, "darknet": 128}
#: x / 255 for each byte, so that scaling is a table look-up and equal to the division to the last bit.
BYTE_TO_UNIT = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float32)
BYTE_TO_FLOAT = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Transform:
    """How a picture was placed: `letterboxed = source · scale + (left, top)`, in pixels.

    Attributes:
        scale: network pixels per source pixel.
        left, top: border before the picture, in network pixels.
        width, height: of the source.
    """

    scale: float
    left: int
    top: int
    width: int
    height: int

    def to_source(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [N, 4] of the letterboxed picture in source pixels, cut at the source's edges (a copy)."""
        shift = np.array([self.left, self.top, self.left, self.top], np.float32)
        limit = np.array([self.width, self.height, self.width, self.height], np.float32)
        return np.clip((xyxy - shift) / np.float32(self.scale), 0, limit).astype(np.float32)


def letterbox(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    style: str = "ultralytics",
    auto: bool = False,
    stride: int = 32,
    pad: int | None = None,
    scaleup: bool = True,
) -> tuple[NDArray[np.uint8], Transform]:
    """Scale and pad `image` to `size`.

    Args:
        image: uint8 [H, W, 3].
        size: (height, width) of the network's input.
        style: "ultralytics", "yolox" or "darknet"; see the module.
        auto: pad only to the next multiple of `stride` (a smaller input, for engines of dynamic size).
        stride: the network's largest stride, for `auto`.
        pad: grey of the border, 0 to 255; default: the style's own.
        scaleup: enlarge small pictures too.

    Returns:
        The picture, uint8 [h, w, 3] (h, w = `size` unless `auto`), and how it was placed.

    Raises:
        InputError: `style` is unknown, or `auto` is asked of a style that has none.
    """
    if style not in PAD:
        raise InputError(f"letterbox style {style!r} is unknown; choose one of {', '.join(PAD)}.")
    if auto and style != "ultralytics":
        raise InputError(f"letterbox style {style!r} has no auto; it always fills the whole input.")
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    if not scaleup:
        scale = min(scale, 1.0)
    whole = round if style == "ultralytics" else int
    new_h, new_w = max(1, whole(height * scale)), max(1, whole(width * scale))
    spare_h, spare_w = size[0] - new_h, size[1] - new_w
    if auto:
        spare_h, spare_w = spare_h % stride, spare_w % stride
    # Half a pixel of border goes to the right and bottom, as the references' ±0.1 and // 2 do.
    top, left = (0, 0) if style == "yolox" else (spare_h // 2, spare_w // 2)
    if (new_h, new_w) != (height, width):
        how = cv2.INTER_CUBIC if style == "darknet" else cv2.INTER_LINEAR
        image = cv2.resize(image, (new_w, new_h), interpolation=how)
    grey = PAD[style] if pad is None else pad
    canvas = cv2.copyMakeBorder(
        image, top, spare_h - top, left, spare_w - left, cv2.BORDER_CONSTANT, value=(grey, grey, grey)
    )
    return canvas, Transform(scale, left, top, width, height)


def to_tensor(
    pictures: Sequence[NDArray[np.uint8]],
    out: NDArray | None = None,
    *,
    rgb: bool = True,
    unit: bool = True,
    dtype: type | np.dtype = np.float32,
) -> NDArray:
    """BGR pictures of one size as a network input [N, 3, H, W].

    Args:
        pictures: uint8 [H, W, 3], BGR.
        out: array to fill and return, of the right shape and dtype; default: a new one.
        rgb: give the channels as RGB; otherwise as they are.
        unit: divide by 255 (exactly as `x.astype(float32) / 255`); otherwise 0 to 255.
        dtype: float32 or float16.
    """
    height, width = pictures[0].shape[:2]
    if out is None:
        out = np.empty((len(pictures), 3, height, width), dtype)
    table = BYTE_TO_UNIT if unit else BYTE_TO_FLOAT
    for n, picture in enumerate(pictures):
        for channel in range(3):
            plane = cv2.extractChannel(picture, 2 - channel if rgb else channel)
            if out.dtype == np.float32:
                cv2.LUT(plane, table, out[n, channel])
            else:
                out[n, channel] = cv2.LUT(plane, table)
    return out
