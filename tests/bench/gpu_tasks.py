"""What the GPU benchmarks share: frames of the sample clip, and the tasks by name."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SAMPLE = Path(__file__).parents[2] / "edgekit" / "samples" / "people.mp4"


def read_frames(count: int, size: tuple[int, int] | None = None) -> list[NDArray[np.uint8]]:
    """The clip's first frames, scaled to (width, height) where asked, as a camera of that size gives them."""
    video, frames = cv2.VideoCapture(str(SAMPLE)), []
    while len(frames) < count:
        more, image = video.read()
        if not more:
            break
        frames.append(image if size is None else cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))
    video.release()
    assert frames, f"{SAMPLE} gives no frames"
    return frames


def openers() -> dict[str, Callable[..., Any]]:
    """For each task, what opens it: `open(precision, backend, ops=…)`."""
    from edgekit.tasks.alphapose import open_alphapose
    from edgekit.tasks.slowfast import open_slowfast
    from edgekit.tasks.trtpose import open_trtpose
    from edgekit.tasks.yolo import open_yolo

    return {
        "YOLO": lambda *given, **how: open_yolo("edgekit-person", *given, **how),
        "TrtPose": lambda *given, **how: open_trtpose("edgekit-trtpose", *given, **how),
        "AlphaPose": lambda *given, **how: open_alphapose("edgekit-fastpose", *given, **how),
        "SlowFast": lambda *given, **how: open_slowfast("edgekit-slowfast", *given, wait=True, **how),
    }


def about() -> dict[str, str]:
    """Device and versions, for the record."""
    import onnxruntime

    from edgekit.engine.gpu_thread import acquire, load_driver

    gpu = acquire()
    try:
        driver = gpu.call(lambda: load_driver().get_driver_version())
        name = gpu.name
    finally:
        gpu.release()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": name,
        "cuda driver": str(driver),
        "onnxruntime": onnxruntime.__version__,
        "pycuda": ".".join(map(str, __import__("pycuda").VERSION)),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
    }
