"""A USB camera through V4L2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edgekit.camera.source import Source
from edgekit.errors import MissingError
from edgekit.results import Frame


class UsbCamera(Source):
    """`/dev/video<number>`, MJPEG where the camera has it; `t` is `time.monotonic()` at capture.

    Raises:
        MissingError: the camera is absent, busy or not permitted, with the cure.
    """

    live = True

    def __init__(self, number: int, dev: Path = Path("/dev")) -> None:
        node = dev / f"video{number}"
        self.spec = str(number)
        if not node.exists():
            others = sorted(p.name for p in dev.glob("video*"))
            raise MissingError(
                f"there is no camera {node}; found: {', '.join(others) or 'none'}. "
                "Plug it in, or use --source sample."
            )
        if not os.access(node, os.R_OK | os.W_OK):
            raise MissingError(
                f"{node} may not be opened; cure: sudo usermod -aG video $USER, then log in again."
            )
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise MissingError(
                f"{node} does not open: another program uses it, or it is a CSI camera or a metadata node. "
                f"See who holds it: fuser -v {node}"
            )
        # Raw YUYV fills USB 2 at 640×480; MJPEG is what cameras offer beyond it.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            good, image = self._capture.read()
            if not good:
                self.note = f"the camera stopped after {index} frames (unplugged?)"
                return
            yield Frame(image, index, time.monotonic(), self.spec)
            index += 1

    def close(self) -> None:
        """Free the camera."""
        self._capture.release()
