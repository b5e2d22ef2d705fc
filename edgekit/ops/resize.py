"""Pictures made smaller as training pipelines do it: bilinear with antialiasing, and the centre cut out.

TAO and torchvision resize with Pillow, whose bilinear filter grows with the shrinking, so that every pixel
of the source counts. OpenCV's does not: of 1280×720 pixels at 224×224 its INTER_LINEAR is 4 grey levels off
on average (99 % within 38) and its INTER_AREA 1.4 (12); tests/bench/bench_action.py --resize.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

#: How a picture becomes the network's: stretched to its size; or the short side to `smaller_edge`, then cut.
CROPS = ("resize", "center")
#: From 4 times smaller on, Pillow averages whole blocks first and keeps twice the size for its filter: half
#: the time. Below that the result is exactly `Image.resize`'s, beyond it within .4 grey levels on average.
REDUCING_GAP = 2.0


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch to (height, width).

    Args:
        image: uint8 [H, W] or [H, W, 3].
        size: height and width, pixels.

    Returns:
        uint8 of that size; `image` itself where it has it.
    """
    if image.shape[:2] == size:
        return image
    from PIL import Image  # comes with matplotlib

    whole = Image.fromarray(image)
    small = whole.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return np.asarray(small)


def short_size(height: int, width: int, edge: int) -> tuple[int, int]:
    """(height, width) of a picture once its short side has `edge` pixels, the long one cut to whole pixels.

    As torchvision's `Resize(edge)`: 1280×720 with 256 becomes 455×256.
    """
    other = int(edge * max(height, width) / min(height, width))
    return (edge, other) if height <= width else (other, edge)


def resize_short(image: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
    """Resize to `short_size`."""
    height, width = image.shape[:2]
    return resize(image, short_size(height, width, edge))


def crop_center(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle (height, width) of a picture, as torchvision's `CenterCrop`: half pixels go to the even.

    Raises:
        InputError: the picture is smaller.
    """
    spare = image.shape[0] - size[0], image.shape[1] - size[1]
    if min(spare) < 0:
        raise InputError(
            f"a picture of {image.shape[1]}×{image.shape[0]} has no middle of {size[1]}×{size[0]}; "
            "give a greater smaller_edge."
        )
    top, left = round(spare[0] / 2), round(spare[1] / 2)
    return image[top : top + size[0], left : left + size[1]]


def to_size(
    image: NDArray[np.uint8], size: tuple[int, int], crop: str = "resize", smaller_edge: int = 256
) -> NDArray[np.uint8]:
    """A picture as a network of this (height, width) wants it: one of `CROPS`.

    "center" is the short side at `smaller_edge`, then the middle, as TAO's page and its `val_center_crop` say
    (256, then 224). NVIDIA's stand-alone sample, under the same name, takes a short side of 224 instead.

    Raises:
        InputError: `crop` is unknown, or `smaller_edge` less than the network's picture.
    """
    if crop not in CROPS:
        raise InputError(f"crop={crop!r} is unknown; give one of {', '.join(CROPS)}.")
    if crop == "resize":
        return resize(image, size)
    return crop_center(resize_short(image, smaller_edge), size)
