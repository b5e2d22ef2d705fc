"""Trackers: numbers that stay with a person from frame to frame.

tracker = open_tracker("bytetrack")
for frame in source:
    tracks = tracker.update(yolo(frame), frame)
"""

from __future__ import annotations

import inspect
from typing import Any

from edgekit.errors import InputError
from edgekit.tracking.base import Tracker
from edgekit.tracking.bytetrack import ByteTrack
from edgekit.tracking.deepsort import DeepSort

__all__ = ["TRACKERS", "ByteTrack", "DeepSort", "Tracker", "open_tracker"]

TRACKERS: dict[str, type[ByteTrack] | type[DeepSort]] = {"bytetrack": ByteTrack, "deepsort": DeepSort}


def open_tracker(name: str = "bytetrack", **settings: Any) -> ByteTrack | DeepSort:
    """A tracker by its name.

    Args:
        name: a key of `TRACKERS`.
        settings: of that tracker.

    Raises:
        InputError: no such tracker, or a setting that it does not have.
    """
    if name not in TRACKERS:
        raise InputError(f"tracker={name!r} is unknown; give one of {', '.join(TRACKERS)}.")
    known = inspect.signature(TRACKERS[name]).parameters
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise InputError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(known)}.")
    return TRACKERS[name](**settings)
