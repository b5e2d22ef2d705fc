"""A camera for the live view's tests: like a real one it can be held once only; a locked file shows it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit.camera import Source
from edgekit.errors import MissingError
from edgekit.results import Detections, Frame


def is_free(path: Path) -> bool:
    """Nobody, in whatever process, holds the camera."""
    try:
        hand = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        return False
    try:
        fcntl.flock(hand, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(hand)


class Camera(Source):
    """A bright bar that moves one pixel a frame, 30 frames a second, 320×180. `breaks_at`: it fails then."""

    live = True
    spec = "fake camera"
    size = (320, 180)
    fps = 30.0

    def __init__(self, path: str | Path = "camera.lock", breaks_at: int | None = None) -> None:
        self._breaks_at = breaks_at
        self._closed = False
        self._hand = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._hand, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._hand)
            raise MissingError("the fake camera is busy: another program holds it.") from None

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        due = time.monotonic()
        while not self._closed:
            if index == self._breaks_at:
                raise MissingError("the fake camera was unplugged; plug it in again.")
            image = np.full((180, 320, 3), 40, np.uint8)
            image[:, index % 320 : index % 320 + 20] = (40, 200, 220)
            yield Frame(image, index, due, self.spec)
            index += 1
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """Let go."""
        if not self._closed:
            self._closed = True
            os.close(self._hand)


class FakeEngine:
    backend, precision, device = "onnxruntime-cpu", "fp32", "test"

    def __init__(self, why: str) -> None:
        self.why = why


class Boxes:
    """A task that finds ten boxes with scores 0.05, 0.15 … 0.95, of two classes in turn."""

    controls = {"score": "lowest score"}  # noqa: RUF012
    names = ("cat", "dog")

    def __init__(self, model: str = "ten boxes") -> None:
        self.engine = FakeEngine(f"{model} was chosen")
        self.times = {"pre": 0.0, "infer": 0.001, "post": 0.0}
        self.score = 0.25
        self.classes: list[str] | None = None
        self.closed = False

    def __call__(self, frame: Frame) -> Detections:
        score = np.arange(0.95, 0, -0.1, dtype=np.float32)
        left = np.arange(10, dtype=np.float32) * 30
        label = np.arange(10) % 2
        kept = score >= self.score
        if self.classes is not None:
            kept &= np.isin(label, [self.names.index(name) for name in self.classes])
        xyxy = np.stack([left, left * 0 + 40, left + 25, left * 0 + 120], 1)
        return Detections(xyxy[kept], score[kept], label[kept], self.names)

    def close(self) -> None:
        self.closed = True
