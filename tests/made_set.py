"""A whole small set without a video or a detector: three clips of two videos, two people each."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from edgekit.files import atomic_write
from edgekit.prepare.ava import Outcome
from edgekit.prepare.ava_files import picture_name
from edgekit.prepare.clips import state_file
from edgekit.prepare.labels import Segment
from edgekit.prepare.lists import Division, make_lists
from edgekit.prepare.people import Person, write_people

FRAMES = 95
NAMES = {1: "sit", 2: "walk"}
LEFT, RIGHT = Person((0.1, 0.2, 0.4, 0.9), 0.95, 1), Person((0.5, 0.25, 0.8, 0.875), 0.75, 2)
CLIPS = {"a_000": ("a", "a.mp4", 0.0), "a_001": ("a", "a.mp4", 3.0), "b_000": ("b", "sub/b.mp4", 0.0)}


def add_clip(root: Path, name: str, video: str, source: str, start: float, frames: int = FRAMES) -> None:
    """A clip as `extract` and `find_everybody` leave it."""
    _, jpeg = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))
    for index in range(frames):
        path = root / "frames" / picture_name(name, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg.tobytes())
    state = {"video": video, "source": source, "frames": frames, "width": 32, "height": 24, "note": ""}
    with atomic_write(state_file(root, name)) as path:
        path.write_text(json.dumps({**state, "made": "1", "asked": {"start": start}}))
    write_people(root, name, {second: [LEFT, RIGHT] for second in range(900, 900 + frames // 30)}, {})


def make_set(root: Path, table: list[Segment] | None = None) -> Path:
    """A set whose clips of `a` train and whose clip of `b` validates; everybody walks, one sits too."""
    for name, (video, source, start) in CLIPS.items():
        add_clip(root, name, video, source, start)
    table = table or [Segment("a.mp4", "walk"), Segment("b", "walk"), Segment("b.mp4", "sit", person="2")]
    make_lists(root, Division(patterns=("b",), margin=1.0), Outcome(), table=table, names=NAMES)
    return root
