"""Clips of action recognition for training and scoring, from folders or from WebDataset shards.

A folder's clips are files, and only the pictures of the drawn window are read. A set of shards (`edgekit
prepare actions --shards`) is read from front to back, each process and each worker its own shards; only the
pictures of the drawn windows are kept, and decoded when their turn comes. What is drawn depends on the seed,
the epoch, the clip and which of its `clips_per_video` windows it is, and on nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from edgekit.action_windows import inner, somewhere, windows
from edgekit.errors import InputError
from edgekit.prepare.action_folders import ActionClip, read_actions
from edgekit.train.action_augment import Cut, scoring_cut, training_cut

if TYPE_CHECKING:
    from edgekit.train.action_spec import Spec

Indices = NDArray[np.int64]
Picture = Path | bytes


class Window(NamedTuple):
    """The pictures of one window of a clip, still encoded, and what is drawn for it.

    Attributes:
        clip: number of the clip; name: what to call it.
        label: class index, -1 where unknown.
        rgb: one a frame; (): the network sees none.
        u, v: one a flow field.
        seed: of the cut; (): the clip is scored, and its cut is fixed.
    """

    clip: int
    name: str
    label: int
    rgb: Sequence[Picture]
    u: Sequence[Picture]
    v: Sequence[Picture]
    seed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which frames a network sees: `rgb` pictures and `of` flow fields (0: none), every `rate`-th."""

    rgb: int
    of: int
    rate: int = 1
    strategy: str = "consecutive"

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(name for name, count in (("rgb", self.rgb), ("of", self.of)) if count)

    def frames(self, rgb: int, of: int, pick: Callable[[int, int], Indices]) -> tuple[Indices, Indices]:
        """The pictures and the flow fields of windows of a clip with `rgb` pictures and `of` flow fields.

        Flow field i lies between the pictures i and i + 1. Where a network sees both, the longer window is
        picked among the frames that have both, and the shorter one lies in its middle.

        Args:
            pick: (frames of the clip, length) → int64 [..., length].
        """
        none = np.zeros(0, np.int64)
        if not self.of:
            return pick(rgb, self.rgb), none
        if not self.rgb:
            return none, pick(of, self.of)
        longer = pick(min(rgb, of), max(self.rgb, self.of))
        short = inner(longer, min(self.rgb, self.of), self.strategy)
        return (longer, short) if self.rgb >= self.of else (short, longer)

    def drawn(self, rgb: int, of: int, random: np.random.Generator) -> tuple[Indices, Indices]:
        """A window to learn from."""
        return self.frames(rgb, of, lambda n, length: somewhere(n, length, self.rate, random, self.strategy))

    def scored(self, rgb: int, of: int, mode: str, count: int) -> list[tuple[Indices, Indices]]:
        """The windows that a clip is scored by: "center", "conv" (`count` of them) or "all"."""

        def pick(frames: int, length: int) -> Indices:
            return windows(frames, length, mode, rate=self.rate, count=count, strategy=self.strategy)

        pictures, fields = self.frames(rgb, of, pick)
        none = np.zeros((max(len(pictures), len(fields)), 0), np.int64)
        return list(zip(pictures if self.rgb else none, fields if self.of else none, strict=True))


def wanted(spec: Spec) -> Wanted:
    """What the network of a spec sees."""
    m = spec.model
    rgb = 0 if m.model_type == "of" else m.rgb_seq_length
    of = 0 if m.model_type == "rgb" else m.of_seq_length
    return Wanted(rgb, of, m.sample_rate, m.sample_strategy)


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


def label_map(spec: Spec) -> dict[str, int]:
    """Class → index of a spec."""
    return {name: n for n, name in enumerate(spec.classes)}


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


class Reader:
    """Windows → tensors: decodes each picture once, cuts all of a clip alike.

    Args:
        spec: says how they are cut.
    """

    def __init__(self, spec: Spec) -> None:
        self.config = spec.dataset.augmentation_config
        height, width = spec.dataset.output_shape
        self.size = (int(height), int(width))

    def __call__(self, window: Window) -> dict[str, Any]:
        """The "label", "clip" and "name" of a window, and as far as wanted "rgb", "of" uint8 [D, H, W, C].

        The pictures are RGB (C = 3), the flow is x and y (C = 2).
        """
        made: dict[str, Any] = {"label": window.label, "clip": window.clip, "name": window.name}
        rgb = decoded(window.rgb, cv2.IMREAD_COLOR, window.name)
        u, v = (decoded(some, cv2.IMREAD_GRAYSCALE, window.name) for some in (window.u, window.v))
        for some in (rgb, [*u, *v]):
            if len({p.shape[:2] for p in some}) > 1:
                raise InputError(f"{window.name} has pictures of several sizes; cut the clip again.")
        height, width = (rgb or u)[0].shape[:2]
        cut = self.cut(window, height, width)
        if rgb:
            pictures = np.stack([cut.picture(p) for p in rgb])
            made["rgb"] = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1]))
        if u:
            made["of"] = torch.from_numpy(np.stack([cut.flow(a, b) for a, b in zip(u, v, strict=True)]))
        return made

    def cut(self, window: Window, height: int, width: int) -> Cut:
        if not window.seed:
            return scoring_cut(self.config, height, width, self.size)
        return training_cut(self.config, height, width, self.size, np.random.default_rng(window.seed))


def decoded(pictures: Sequence[Picture], how: int, name: str) -> list[NDArray[np.uint8]]:
    """Pictures as BGR [H, W, 3] or grey [H, W]; one that is there twice is decoded once.

    Raises:
        InputError: one cannot be read.
    """
    known: dict[Any, NDArray[np.uint8]] = {}
    for one in pictures:
        key = one if isinstance(one, Path) else id(one)
        if key not in known:
            known[key] = _decode(one, how, name)
    return [known[one if isinstance(one, Path) else id(one)] for one in pictures]


def _decode(one: Picture, how: int, name: str) -> NDArray[np.uint8]:
    try:
        data = one.read_bytes() if isinstance(one, Path) else one
    except OSError as error:
        raise InputError(f"{one} cannot be read: {error.strerror}.") from error
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    if picture is None:
        raise InputError(f"{one if isinstance(one, Path) else name} is no picture that OpenCV can decode.")
    return np.asarray(picture, np.uint8)


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
        self.clips, self.read = clips, Reader(spec)
        want = wanted(spec)
        self.rows = [
            (number, frames)
            for number, clip in enumerate(clips.clips)
            for frames in want.scored(len(clip.rgb), len(clip.u), mode, count)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return self.read(self.clips.window(*self.rows[at]))


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


def start_worker(number: int) -> None:
    """Of a loader: a worker has one thread, as there are many workers."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def loader(data: Any, spec: Spec, *, batch: int, sampler: Any = None, pinned: bool = False) -> DataLoader:
    """A DataLoader with the workers of a spec, which stay from epoch to epoch."""
    workers = spec.dataset.workers
    return DataLoader(
        data,
        batch,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker if workers else None,
    )
