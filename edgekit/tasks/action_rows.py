"""What a network of action recognition is asked: windows of the whole picture, or people as rows of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.action_nets import Net
from edgekit.tasks.action_people import Entry, Square

Clip = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """One window: clips [1, C, D, H, W] of the whole picture (none: it is on the GPU), or people to cut."""

    clips: Mapping[str, Clip]
    ids: NDArray[np.int64]
    t: float
    video: int
    frames: tuple[int, ...]
    entries: Mapping[str, list[Entry]] = field(default_factory=dict)
    squares: list[Square] = field(default_factory=list)


class Rows:
    """The clips of a call, in memory that is made once, as large as ever needed.

    Args:
        net: whose streams they are of.
        tables: for each stream and channel the value of each byte.
    """

    def __init__(self, net: Net, tables: Mapping[str, Sequence[NDArray[np.float32]]]) -> None:
        self._net, self._tables = net, tables
        self._clips: dict[str, Clip] = {}

    def fill(self, look: Look, first: int, have: int) -> Mapping[str, Clip]:
        """The clips of `have` rows, filled up with what lies there where the engine's batch is fixed."""
        rows = self._net.rows or have
        if look.clips and rows == 1:
            return look.clips
        clips = {kind: self.room(kind, rows) for kind in self._net.streams}
        for kind, clip in clips.items():
            if look.clips:
                clip[0] = look.clips[kind][0]
                continue
            for row, square in enumerate(look.squares[first : first + have]):
                for place, entry in enumerate(look.entries[kind]):
                    entry.write(clip[row, :, place], kind, square, self._tables[kind])
        return clips

    def room(self, kind: str, rows: int) -> Clip:
        """Memory for clips [rows, C, D, H, W] of a stream."""
        stream, have = self._net.streams[kind], self._clips.get(kind)
        if have is None or len(have) < rows:
            shape = (rows, stream.channels, stream.length, *stream.size)
            have = self._clips[kind] = np.zeros(shape, np.float32)
        return have[:rows]
