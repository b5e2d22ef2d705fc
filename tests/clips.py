"""Pictures and clips that tests make."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np


def make_video(
    path: Path, frames: list[np.ndarray], fps: int = 10, codec: str = "libx264", **options: str
) -> Path:
    """Write `frames` (BGR uint8) as a video with PyAV."""
    import av

    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for i, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts, picture.time_base = i, Fraction(1, fps)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def moving_square(count: int, height: int = 120, width: int = 160) -> list[np.ndarray]:
    """Pictures with a white square that moves 2 pixels a frame on a grey ramp."""
    ramp = np.tile(np.linspace(30, 120, width).astype(np.uint8)[None, :, None], (height, 1, 3))
    frames = []
    for i in range(count):
        image = ramp.copy()
        x = 2 * i % (width - 20)
        image[40:60, x : x + 20] = 255
        frames.append(image)
    return frames
