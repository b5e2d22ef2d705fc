"""Clips of action recognition for training and scoring, from folders; `action_stream` reads them from shards.

Only the pictures of the drawn window are read. What is drawn depends on the seed, the epoch, the clip and
which of its `clips_per_video` windows it is, and on nothing else: not on workers, nor on what ran before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from edgekit.errors import InputError
from edgekit.prepare.action_folders import ActionClip, read_actions
from edgekit.train.action_reader import Indices, Reader, Window, label_map, wanted

if TYPE_CHECKING:
    from edgekit.train.action_spec import Spec


@dataclass(frozen=True)
class Clips:
    """The clips of a folder: their windows are made of files.

    Attributes:
        clips: as `read_actions` gives them.
        labels: class → index.
    """

    clips: Sequence[ActionClip]
    labels: Mapping[str, int]

    @property
    def counts(self) -> Counter[str]:
        """Class → clips."""
        return Counter(clip.label for clip in self.clips)

    def window(self, number: int, frames: tuple[Indices, Indices], seed: tuple[int, ...] = ()) -> Window:
        clip = self.clips[number]
        rgb, of = frames
        u, v = ([stream[n] for n in of] for stream in (clip.u, clip.v))
        label = self.labels.get(clip.label, -1)
        return Window(number, str(clip.folder), label, [clip.rgb[n] for n in rgb], u, v, seed)


def read_clips(root: Path | str | None, spec: Spec, what: str) -> Clips:
    """The clips of a folder with the streams that the network of `spec` sees.

    Args:
        what: the setting that names the folder, for the message.

    Raises:
        InputError: no folder, no clip, a clip without frames, or a class that label_map lacks.
    """
    if not root:
        raise InputError(f"{what} is missing; give the folder of the clips.")
    labels = label_map(spec)
    return Clips(read_actions(root, labels, streams=wanted(spec).streams), labels)


def check_classes(found: Mapping[str, int], names: Sequence[str], root: Path | str) -> None:
    """InputError where a class has no clip to learn from, or clips are of no class."""
    strangers = [name for name in found if name not in names]
    if strangers:
        raise InputError(
            f"{root} has clips of {', '.join(strangers)}, which dataset.label_map lacks ({', '.join(names)})."
        )
    empty = [name for name in names if not found.get(name)]
    if empty:
        raise InputError(
            f"{root} has no clip of {', '.join(empty)}; record some, or take it out of dataset.label_map."
        )


class TrainingClips(Dataset):
    """Windows to learn from; an index is (epoch, clip, which of its windows)."""

    def __init__(self, clips: Clips, spec: Spec) -> None:
        self.clips, self.want, self.read, self.seed = clips, wanted(spec), Reader(spec), spec.train.seed

    def __len__(self) -> int:
        return len(self.clips.clips)

    def __getitem__(self, at: Any) -> dict[str, Any]:
        epoch, number, copy = at
        clip, seed = self.clips.clips[number], (self.seed, epoch, number, copy)
        frames = self.want.drawn(len(clip.rgb), len(clip.u), np.random.default_rng((*seed, 0)))
        return self.read(self.clips.window(number, frames, (*seed, 1)))


class ScoredClips(Dataset):
    """The windows that clips are scored by, clip after clip.

    Args:
        mode: "center", "conv" or "all".
        count: windows of "conv".
    """

    def __init__(self, clips: Clips, spec: Spec, mode: str = "center", count: int = 10) -> None:
        self.read = Reader(spec)
        want = wanted(spec)
        self.rows = [
            clips.window(number, frames)._replace(windows=len(some))
            for number, clip in enumerate(clips.clips)
            for some in [want.scored(len(clip.rgb), len(clip.u), mode, count)]
            for frames in some
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return self.read(self.rows[at])


class Order(Sampler):
    """Which windows one process learns from in an epoch: `copies` of each clip, in a new order each epoch.

    All processes see equally many; the last ones of some may be those of others again.

    Args:
        clips: how many there are.
        rank, ranks: of the processes.
    """

    def __init__(self, clips: int, copies: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.clips, self.copies, self.seed = clips, copies, seed
        self.rank, self.ranks, self.epoch = rank, ranks, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.clips * self.copies // self.ranks)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        places = np.resize(random.permutation(self.clips * self.copies), len(self) * self.ranks)
        mine = places[self.rank :: self.ranks]
        return iter([(self.epoch, int(p) // self.copies, int(p) % self.copies) for p in mine])


@contextmanager
def told_plainly() -> Iterator[None]:
    """An InputError of a loader's worker says what is wrong, without the worker's stack."""
    try:
        yield
    except InputError as error:
        text = str(error)
        if "DataLoader worker" not in text:
            raise
        raise InputError(text.rpartition("InputError: ")[2].strip()) from error


class Loader(DataLoader):
    """A DataLoader whose workers have one thread each, as there are many workers.

    OpenCV's number of threads is set before the workers are forked: a forked process has not got the threads
    that its parent may have begun, as a notebook has that recorded clips before, and waits for them for ever.
    """

    def __iter__(self) -> Any:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return super().__iter__()
        finally:
            cv2.setNumThreads(threads)


def start_worker(number: int) -> None:
    """Of a loader: a worker has one thread."""
    torch.set_num_threads(1)


def loader(data: Any, spec: Spec, *, batch: int, sampler: Any = None, pinned: bool = False) -> Loader:
    """A DataLoader with the workers of a spec, which stay from epoch to epoch."""
    workers = spec.dataset.workers
    return Loader(
        data,
        batch,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker if workers else None,
    )
