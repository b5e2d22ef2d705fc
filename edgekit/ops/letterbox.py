"""Fit pictures into a network's input without changing their shape, and bring boxes back.

Three styles, each equal to its reference pixel by pixel (tests/ops/test_letterbox.py):

- "ultralytics": YOLOv5, v8, 11: rounded size, centred, grey 114, bilinear
  (ultralytics/data/augment.py, class LetterBox; yolov5 utils/augmentations.py);
- "yolox": size cut to whole pixels, at the top left, grey 114, bilinear
  (YOLOX yolox/data/data_augment.py, preproc);
- "darknet": size cut to whole pixels, centred, grey 128, bicubic
  (AlphaPose detector/yolo/preprocess.py, letterbox_image).

`letterbox` and `to_tensor` are plain functions; `Letterboxer` does both for a run of frames and keeps
its buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

PAD = {"ultralytics": 114, "yolox": 114, "darknet": 128}
Size = tuple[int, int]


@dataclass(frozen=True)
class Transform:
    """How a picture was placed: `letterboxed = source · scale + (left, top)`, in pixels.

    Attributes:
        source: (height, width) of the picture given.
        content: (height, width) it was scaled to.
        canvas: (height, width) of the whole input, border included.
        left, top: border before the picture, in pixels of the canvas.
        scale_x, scale_y: canvas pixels per source pixel. The two differ a little where `content` was
            rounded, as in ultralytics' `scale_boxes`; YOLOX uses one for both, and its networks learn it so.
    """

    source: Size
    content: Size
    canvas: Size
    left: int
    top: int
    scale_x: float
    scale_y: float

    def to_source(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [N, 4] of the canvas in source pixels, cut at the source's edges; float32, a copy."""
        moved = xyxy - np.array([self.left, self.top, self.left, self.top], np.float32)
        moved /= np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        height, width = self.source
        return np.clip(moved, 0, np.array([width, height, width, height], np.float32), dtype=np.float32)


def place(
    source: Size,
    size: Size,
    *,
    style: str = "ultralytics",
    auto: bool = False,
    stride: int = 32,
    scaleup: bool = True,
) -> Transform:
    """Where a picture of `source` (height, width) lands in an input of `size`; arguments as of `letterbox`.

    Raises:
        InputError: `style` is unknown, `auto` is asked of a style that has none, or a side is 0.
    """
    if style not in PAD:
        raise InputError(f"letterbox style {style!r} is unknown; choose one of {', '.join(PAD)}.")
    if auto and style != "ultralytics":
        raise InputError(f"letterbox style {style!r} has no auto; it always fills the whole input.")
    if min(*source, *size, stride) < 1:
        raise InputError(f"cannot letterbox a picture of {source} into {size}, stride {stride}: a side is 0.")
    height, width = source
    scale = min(size[0] / height, size[1] / width)
    if not scaleup:
        scale = min(scale, 1.0)
    whole = round if style == "ultralytics" else int
    # A strip such as 1×2000 keeps one row of pixels.
    content = max(1, whole(height * scale)), max(1, whole(width * scale))
    spare_h, spare_w = size[0] - content[0], size[1] - content[1]
    if auto:
        spare_h, spare_w = spare_h % stride, spare_w % stride
    # An odd pixel of border goes to the right and bottom, as the references' ±0.1 and // 2 do.
    top, left = (0, 0) if style == "yolox" else (spare_h // 2, spare_w // 2)
    exact = (scale, scale) if style == "yolox" else (content[1] / width, content[0] / height)
    return Transform(
        source, content, (content[0] + spare_h, content[1] + spare_w), left, top, exact[0], exact[1]
    )


def letterbox(
    image: NDArray[np.uint8],
    size: Size,
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
        The picture, a new uint8 [h, w, 3] (h, w = `size` unless `auto`), and how it was placed.

    Raises:
        InputError: a setting that `place` refuses.
    """
    transform = place(_size(image), size, style=style, auto=auto, stride=stride, scaleup=scaleup)
    canvas = np.full((*transform.canvas, 3), PAD[style] if pad is None else pad, np.uint8)
    (height, width), top, left = transform.content, transform.top, transform.left
    _scale(image, style, canvas[top : top + height, left : left + width])
    return canvas, transform


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
        dtype: float32 or float16, of a new array.
    """
    if out is None:
        out = np.empty((len(pictures), 3, *_size(pictures[0])), dtype)
    table = byte_table(unit, out.dtype)
    planes = np.empty(out.shape[1:], np.uint8)
    for picture, into in zip(pictures, out, strict=False):
        _write_planes(picture, planes, into, table, rgb)
    return out


class Letterboxer:
    """`letterbox`, then `to_tensor`, frame after frame, in buffers that are kept.

    Only the picture's own pixels are written anew: a border stays from the call before while pictures
    land in the same place. The tensor handed out is the buffer itself, so the next call overwrites it.

    Args:
        size: (height, width) of the input.
        batch: places of the tensor, for engines of fixed batch; None: as many as pictures.
        style, stride, pad: as of `letterbox`.
        auto: as of `letterbox`; pictures of different sizes in one call get the full `size`, as with
            ultralytics.
        rgb, unit, dtype: as of `to_tensor`.

    Raises:
        InputError: a setting that `place` or `byte_table` refuses.
    """

    def __init__(
        self,
        size: Size,
        *,
        batch: int | None = None,
        style: str = "ultralytics",
        auto: bool = False,
        stride: int = 32,
        pad: int | None = None,
        rgb: bool = True,
        unit: bool = True,
        dtype: type | np.dtype = np.float32,
    ) -> None:
        place(size, size, style=style, auto=auto, stride=stride)  # refuses bad settings now, not at a frame
        self.size, self.batch, self.rgb = size, batch, rgb
        self._style, self._auto, self._stride = style, auto, stride
        self._table = byte_table(unit, np.dtype(dtype))
        self._border = self._table.view(dtype)[PAD[style] if pad is None else pad]
        self._tensor = np.empty((0, 3, 0, 0), dtype)
        self._placed: list[Transform | None] = []
        self._scratch = np.empty(0, np.uint8)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray, list[Transform]]:
        """BGR uint8 [H, W, 3] pictures → input tensor [N, 3, h, w] and how each was placed.

        With a fixed batch the places without a picture are grey.

        Raises:
            InputError: no pictures, or more than a fixed batch holds.
        """
        batch, transforms = self.arrange(images)
        shape = (batch, 3, *transforms[0].canvas)
        if self._tensor.shape != shape:
            self._tensor = np.full(shape, self._border, self._tensor.dtype)
            self._placed = [None] * batch
        for n, (image, transform) in enumerate(zip(images, transforms, strict=True)):
            self._fill(n, image, transform)
        for n in range(len(images), batch):
            if self._placed[n] is not None:
                self._tensor[n], self._placed[n] = self._border, None
        return self._tensor, transforms

    def arrange(self, images: Sequence[NDArray[np.uint8]]) -> tuple[int, list[Transform]]:
        """How many places the tensor has for these pictures, and how each is placed.

        Raises:
            InputError: no pictures, or more than a fixed batch holds.
        """
        batch = self.batch or len(images)
        if not 0 < len(images) <= batch:
            raise InputError(f"{len(images)} pictures do not fit a batch of {batch}.")
        auto = self._auto and len({image.shape for image in images}) == 1
        how = {"style": self._style, "stride": self._stride}
        return batch, [place(_size(image), self.size, auto=auto, **how) for image in images]  # type: ignore[arg-type]

    def _fill(self, n: int, image: NDArray[np.uint8], to: Transform) -> None:
        """Write one picture into place `n`, and the border if the last picture there lay elsewhere."""
        if self._placed[n] != to:
            self._tensor[n] = self._border
            self._placed[n] = to
        height, width = to.content
        if to.content != to.source:
            image = _scale(image, self._style, self._kept(0, (height, width, 3)))
        inside = self._tensor[n, :, to.top : to.top + height, to.left : to.left + width]
        _write_planes(image, self._kept(1, inside.shape), inside, self._table, self.rgb)

    def _kept(self, part: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """One of the two working areas. Memory asked for anew costs more than the work done in it."""
        most = 3 * self.size[0] * self.size[1]
        if not len(self._scratch):
            self._scratch = np.empty(2 * most, np.uint8)
        return self._scratch[part * most : part * most + shape[0] * shape[1] * shape[2]].reshape(shape)


def byte_table(unit: bool, dtype: np.dtype) -> NDArray:
    """The 256 values a byte becomes, so that scaling is a look-up, equal to the division to the last bit.

    float16 values come as uint16 bits: OpenCV's look-up takes those in every version.

    Raises:
        InputError: `dtype` is neither float32 nor float16.
    """
    if dtype not in (np.float32, np.float16):
        raise InputError(f"the input tensor is {dtype}; the kit fills float32 and float16.")
    table = np.arange(256, dtype=np.float32)
    if unit:
        table /= np.float32(255)
    return table if dtype == np.float32 else table.astype(np.float16).view(np.uint16)


def _write_planes(
    image: NDArray[np.uint8], planes: NDArray[np.uint8], out: NDArray, table: NDArray, rgb: bool
) -> None:
    """Split a BGR picture into `planes` [3, H, W], as RGB if asked, and look them up into `out` [3, H, W]."""
    cv2.split(image, list(planes[::-1] if rgb else planes))
    target = out.view(table.dtype)
    if target[0].flags.c_contiguous:  # one call: OpenCV looks that much up on several threads
        cv2.LUT(planes.reshape(3, -1), table, target.reshape(3, -1))
    else:
        for plane, place_in in zip(planes, target, strict=True):
            cv2.LUT(plane, table, place_in)


def _scale(image: NDArray[np.uint8], style: str, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale `image` to the size of `out` and into it."""
    if image.shape == out.shape:
        out[...] = image
    else:
        how = cv2.INTER_CUBIC if style == "darknet" else cv2.INTER_LINEAR
        cv2.resize(image, out.shape[1::-1], out, interpolation=how)
    return out


def _size(image: NDArray) -> Size:
    return int(image.shape[0]), int(image.shape[1])
