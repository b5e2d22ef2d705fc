"""Small videos whose pictures tell which they are, by their grey."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

STEP = 6  # greys from one picture to the next: more than codecs lose


def make_grey(path: Path, stamps_ms: list[int], size: tuple[int, int] = (64, 48), **made: str) -> Path:
    """Write a video of one-coloured pictures at these times; picture i has `grey_of(i)`."""
    import av

    codec = made.pop("codec", "libx264")
    with av.open(str(path), "w", options=made) as out:
        stream = out.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if codec == "libx264":
            stream.options = {"g": "10", "crf": "10", "preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, 1000 if codec == "libx264" else 30)
        for i, ms in enumerate(stamps_ms):
            image = np.full((size[1], size[0], 3), grey_of(i), np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.time_base = stream.codec_context.time_base
            picture.pts = round(ms / 1000 / picture.time_base)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def even(count: int, fps: float = 30.0) -> list[int]:
    """Time stamps in ms."""
    return [round(1000 * i / fps) for i in range(count)]


def grey_of(index: int) -> int:
    """The grey of a picture, the same again after 36."""
    return 20 + STEP * (index % 36)


def which(image: np.ndarray) -> int:
    """The index, modulo 36, of the picture that this is."""
    return round((float(image.mean()) - 17.5) / STEP) % 36
