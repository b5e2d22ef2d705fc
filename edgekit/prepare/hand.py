"""Labels given by hand, key frame by key frame: what the labelling widget of a notebook stands on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.prepare import annotate, labels
from edgekit.prepare import ava_files as ava
from edgekit.prepare.ava_files import FIRST_SECOND, FPS, Layout, Row, picture_name
from edgekit.prepare.people import Person, read_people

Key = tuple[str, int]  # video, second


class HandLabels:
    """The key frames of a set that have people, in order, and who does what in them.

    `labels.csv` of the set is written at each change, whole or not at all, and `save` brings AVA's files up
    to it. What a table (`--labels`) says stands in a frame until it is changed or confirmed.

    Args:
        root: a set of `edgekit prepare ava`.

    Attributes:
        names: action number → name.
        keys: the key frames, as (video, second).

    Raises:
        InputError: no such set, or nobody was found in its key frames.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        info = ava.read_info(self.root)
        if not info.videos:
            raise InputError(f"{root} is no set; make one: edgekit prepare ava VIDEOS --out {root}.")
        self.names = ava.read_labels(Layout(self.root).labels)
        self._people: dict[Key, list[Person]] = {}
        self._facts = info.videos
        for video, facts in info.videos.items():
            found = read_people(self.root, video) or {}
            for second in range(*facts["seconds"]):
                if found.get(second):
                    self._people[video, second] = sorted(found[second], key=lambda one: one.person)
        self.keys: list[Key] = list(self._people)
        if not self.keys:
            raise InputError(
                f"nobody was found in the key frames of {root}; run the step people, or lower --score."
            )
        table = annotate.segments_file(self.root)
        self._table = labels.read_segments(table) if table.exists() else []
        self._rows: dict[Key, list[Row]] = {}
        path = annotate.hand_file(self.root)
        for row in ava.read_csv(path) if path.exists() else ():
            self._rows.setdefault((row.video, row.second), []).append(row)

    def first_open(self, after: int = -1) -> int | None:
        """The next key frame after `after` that was not looked at by hand; None where all were."""
        return next((i for i in range(after + 1, len(self.keys)) if self.keys[i] not in self._rows), None)

    @property
    def left(self) -> int:
        """How many key frames nobody has looked at."""
        return sum(key not in self._rows for key in self.keys)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """The key frame, uint8 [H, W, 3] BGR.

        Raises:
            InputError: it cannot be read.
        """
        video, second = self.keys[index]
        path = self.root / "frames" / picture_name(video, (second - FIRST_SECOND) * FPS)
        image = cv2.imread(str(path))
        if image is None:
            raise InputError(f"{path} cannot be read; run `edgekit prepare ava` again.")
        return np.asarray(image, np.uint8)

    def people(self, index: int) -> list[Person]:
        """Who is in a key frame."""
        return self._people[self.keys[index]]

    def actions(self, index: int) -> list[set[int]]:
        """What each of the people does: as labelled by hand, else as the table says."""
        key = self.keys[index]
        people = self._people[key]
        if rows := self._rows.get(key):
            found = labels.by_hand(rows, people)
        else:
            facts = self._facts[key[0]]
            own = [s for s in self._table if labels.belongs(s, key[0], facts["source"])]
            found = labels.by_segments(own, self.names, facts["start"] + key[1] - FIRST_SECOND, people)
        told = {one: set(actions) for one, actions in found}
        return [told.get(one, set()) for one in people]

    def put(self, index: int, actions: list[set[int]]) -> None:
        """Label the people of a key frame, and write `labels.csv`; an empty set: looked at, does nothing.

        Raises:
            EdgekitError: it cannot be written; then nothing has changed.
        """
        video, second = key = self.keys[index]
        rows = [
            Row(video, second, one.box, action, one.person)
            for one, done in zip(self._people[key], actions, strict=True)
            for action in (sorted(done) or (None,))
        ]
        changed = {**self._rows, key: rows}
        ava.write_csv(annotate.hand_file(self.root), [row for some in changed.values() for row in some])
        self._rows = changed

    def as_before(self, index: int) -> list[set[int]]:
        """What the people of a key frame did in the one before, told by their numbers; new ones: nothing."""
        video, second = self.keys[index]
        before = (video, second - 1)
        if before not in self._people:
            return [set() for _ in self.people(index)]
        earlier = self.keys.index(before)
        done = {p.person: a for p, a in zip(self.people(earlier), self.actions(earlier), strict=True)}
        return [set(done.get(one.person, ())) for one in self.people(index)]

    def save(self) -> None:
        """Write AVA's files from the labels as they are."""
        annotate.annotate(self.root)
