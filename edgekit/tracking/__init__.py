"""Trackers: numbers that stay with a person from frame to frame.

tracker = open_tracker("bytetrack")
for frame in source:
    tracks = tracker.update(yolo(frame), frame)
"""

from __future__ import annotations

from typing import Any

from edgekit.errors import InputError
from edgekit.tracking.base import Tracker
from edgekit.tracking.bytetrack import ByteTrack

__all__ = ["TRACKERS", "ByteTrack", "Tracker", "open_tracker"]

TRACKERS = ("bytetrack",)


def open_tracker(name: str = "bytetrack", **settings: Any) -> Tracker:
    """A tracker by its name.

    Args:
        name: one of `TRACKERS`.
        settings: of that tracker.

    Raises:
        InputError: no such tracker, or a setting that it does not have.
    """
    if name not in TRACKERS:
        raise InputError(f"tracker={name!r} is unknown; give one of {', '.join(TRACKERS)}.")
    try:
        return ByteTrack(**settings)
    except TypeError as error:
        raise InputError(f"{name} does not take these settings: {error}.") from error
