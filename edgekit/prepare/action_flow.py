"""The optical flow of clips that have none yet, such as recorded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.flow import Flow
from edgekit.prepare.action_folders import ActionClip, all_clips, read_clip, read_note, write_clip


def add_flow(
    root: Path | str, flow: Flow, done: Callable[[int], object] = lambda pictures: None
) -> list[Path]:
    """Find the flow of every clip that has none, and write it into `u` and `v` beside its pictures.

    A clip is replaced whole, or stays as it was. What its note says stays.

    Args:
        root: of the set, split or not.
        flow: `edgekit.ops.flow.open_flow`'s.
        done: told after each clip how many pictures it has.

    Returns:
        The clips' folders that got their flow.

    Raises:
        InputError: no such folder; a picture that cannot be read, or a clip of one picture.
        EdgekitError: it cannot be written.
    """
    found = []
    for _, folder in all_clips(root):
        clip = read_clip(folder, folder.parent.name)
        if not clip.u:
            note = read_note(folder)
            facts = {name: note[name] for name in note if name not in ("frames", "width", "height", "flow")}
            place = folder.parent.parent, clip.label, clip.name
            found.append(write_clip(*place, _pictures(clip), flow=flow, replace=True, facts=facts))
        done(len(clip.rgb))
    return found


def _pictures(clip: ActionClip) -> Iterator[NDArray[np.uint8]]:
    for path in clip.rgb:
        image = cv2.imread(str(path))
        if image is None:
            raise InputError(f"{path} is no picture that can be read; delete the clip, or make it again.")
        yield image
