"""Sets in AVA's layout as clips for training: what is labelled, the pictures around a key frame, batches.

Beside AVA's own files a set may have `annotations/ava_SPLIT_unknown_v2.2.csv`, in the form of the labels:
pairs of box and action that nobody labelled. They neither train nor count (in AVA itself an action not named
is absent).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from edgekit.errors import InputError
from edgekit.prepare.ava_files import (
    FIRST_SECOND,
    FPS,
    Layout,
    Row,
    read_boxes,
    read_csv,
    read_excluded,
    read_frame_list,
    read_info,
    read_labels,
)
from edgekit.train.ava_augment import Cut, people_cut, random_cut, whole

SURE = 0.9  # of found boxes, AVA.DETECTION_SCORE_THRESH


class KeyFrame(NamedTuple):
    """A second with people: boxes float32 [N, 4], shares of the picture; labels, known float32 [N, C]."""

    video: str
    second: int
    frame: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True)
class AvaSet:
    """One split of a set.

    Attributes:
        root: the set's folder.
        names: of the network's outputs; output n is action n + 1.
        evaluated: the ids that count in the mAP: those of the action list.
        frames: each video's pictures in order, as paths.
        key_frames: the seconds with boxes, sorted.
        excluded: (video, second) that neither train nor count.
    """

    root: Path
    names: tuple[str, ...]
    evaluated: tuple[int, ...]
    frames: dict[str, list[Path]]
    key_frames: list[KeyFrame]
    excluded: set[tuple[str, int]]


def read_ava(
    root: Path | str,
    split: str,
    *,
    boxes: str = "truth",
    sure: float = SURE,
    fps: int = FPS,
    classes: int | None = None,
) -> AvaSet:
    """Read one split.

    Args:
        root: the folder that `edgekit prepare ava` writes, or AVA's own.
        split: "train" or "val".
        boxes: "truth" (the labels' boxes), "found" (the detector's boxes), or "both".
        sure: found boxes count from this score on.
        fps: pictures a second of the frame lists.
        classes: outputs; default: the largest id of the action list (AVA: 80).

    Raises:
        InputError: a file is missing or wrong, an action has no output, or no key frame is left.
    """
    layout = Layout(Path(root))
    if boxes not in ("truth", "found", "both"):
        raise InputError(f"boxes {boxes!r} is none of truth, found, both.")
    names = read_labels(layout.labels)
    count = classes or max(names)
    frames = {
        v: [layout.frames / p for p in some] for v, some in read_frame_list(layout.frame_list(split)).items()
    }
    excluded = read_excluded(layout.excluded(split)) if layout.excluded(split).exists() else set()
    rows = read_csv(layout.truth(split)) if boxes != "found" else []
    if boxes != "truth":
        rows += [row for row in read_boxes(layout.boxes(split)) if (row.score or 0.0) >= sure]
    unknown = layout.annotations / f"ava_{split}_unknown_v2.2.csv"
    masked = read_csv(unknown) if unknown.exists() else []
    valid = read_info(root).seconds
    people: dict[tuple[str, int], dict[tuple[float, ...], tuple[set[int], set[int]]]] = {}
    for part, some in ((0, rows), (1, masked)):
        for row in some:
            key = (row.video, row.second)
            if row.second not in valid or key in excluded:
                continue
            if row.action is not None and not 1 <= row.action <= count:
                raise InputError(f"{layout.truth(split)}: action {row.action} is not among 1 to {count}.")
            if part and row.box not in people.get(key, {}):
                continue
            marks = people.setdefault(key, {}).setdefault(row.box, (set(), set()))
            if row.action is not None:
                marks[part].add(row.action - 1)
    key_frames = []
    for (video, second), some_people in sorted(people.items()):
        index = (second - FIRST_SECOND) * fps
        if video not in frames:
            raise InputError(f"{layout.frame_list(split)} lacks the video {video}, which has labels.")
        if not 0 <= index < len(frames[video]):
            raise InputError(
                f"{video} has labels in second {second}, but only {len(frames[video])} pictures; "
                "`edgekit prepare check` lists all that is wrong."
            )
        told = np.zeros((2, len(some_people), count), np.float32)
        for n, pair in enumerate(some_people.values()):
            for part in (0, 1):
                told[part, n, sorted(pair[part])] = 1
        place = np.array(list(some_people), np.float32)
        key_frames.append(KeyFrame(video, second, index, place, told[0], 1 - told[1]))
    if not key_frames:
        raise InputError(f"{layout.truth(split)} has no box in a second that counts.")
    spelt = tuple(names.get(n + 1, f"action {n + 1}") for n in range(count))
    return AvaSet(layout.root, spelt, tuple(sorted(names)), frames, key_frames, excluded)


def truth_rows(root: Path | str, split: str) -> list[Row]:
    """All labels of a split, for the mAP."""
    return [row for row in read_csv(Layout(Path(root)).truth(split)) if row.action is not None]


def taken(index: int, count: int, frames: int, span: float) -> NDArray[np.int64]:
    """Which pictures a window has: `frames` of `span`, evenly, the key frame in its middle; held at the ends.

    As at run time: the first is span // 2 before the key frame, the last span − 1 after the first.
    """
    places = index - int(span) // 2 + np.linspace(0, span - 1, frames).astype(np.int64)
    return places.clip(0, count - 1)


@dataclass(frozen=True)
class Look:
    """How clips are cut. Upstream's: jitter (256, 320), crop 224 in training; short side 256 in tests.

    Attributes:
        frames: T; span: pictures that the window covers.
        jitter: of the short side, in training; crop: side of the square in training.
        people: instead of jitter, cut around one person whose longer side is drawn from this range.
        tempo: the window's span is drawn from span / tempo to span · tempo, in training.
        short_side: of the whole picture, in tests.
    """

    frames: int
    span: int
    jitter: tuple[int, int] = (256, 320)
    crop: int = 224
    people: tuple[float, float] | None = None
    tempo: float = 1.0
    short_side: int = 256


class Clips(Dataset):
    """Items are dicts: "clip" uint8 [T, H, W, 3] RGB, "boxes" float32 [N, 4] in its pixels, "labels", "known"
    float32 [N, C], "rows" int64 [N] (of the key frame's boxes), "number".

    Args:
        ava: the split.
        look: how to cut.
        train: cut at random; an index is then (epoch, number), and what is drawn depends on both and `seed`.
        cache: keep all pictures, decoded, in memory (before workers start).
    """

    def __init__(self, ava: AvaSet, look: Look, *, train: bool, seed: int = 0, cache: bool = False) -> None:
        self.ava, self.look, self.train, self.seed = ava, look, train, seed
        self.kept: dict[Path, NDArray[np.uint8]] = {}
        if cache:
            videos = {key.video for key in ava.key_frames}
            paths = [path for video in sorted(videos) for path in ava.frames[video]]
            with ThreadPoolExecutor() as pool:
                self.kept = dict(zip(paths, pool.map(load, paths), strict=True))

    def __len__(self) -> int:
        return len(self.ava.key_frames)

    def __getitem__(self, at: Any) -> dict[str, Any]:
        epoch, number = at if self.train else (0, at)
        key, look = self.ava.key_frames[number], self.look
        random = np.random.default_rng((self.seed, epoch, number))
        paths = self.ava.frames[key.video]
        span = look.span * np.exp(random.uniform(-1, 1) * np.log(look.tempo)) if self.train else look.span
        places = taken(key.frame, len(paths), look.frames, span)
        pictures = {n: self.picture(paths[n]) for n in dict.fromkeys(places)}
        height, width = pictures[places[0]].shape[:2]
        boxes = key.boxes * np.array([width, height] * 2, np.float32)
        cut = self.cut(random, boxes, height, width)
        done = {n: cut.frame(picture) for n, picture in pictures.items()}
        moved = cut.boxes(boxes)
        rows = np.flatnonzero(((moved[:, 2:] - moved[:, :2]) >= 1).all(1))  # the others are outside
        return {
            "clip": torch.from_numpy(np.stack([done[n] for n in places])),
            "boxes": torch.from_numpy(moved[rows]),
            "labels": torch.from_numpy(key.labels[rows]),
            "known": torch.from_numpy(key.known[rows]),
            "rows": torch.from_numpy(rows),
            "number": number,
        }

    def cut(self, random: np.random.Generator, boxes: NDArray[np.float32], height: int, width: int) -> Cut:
        look = self.look
        if not self.train:
            return whole(height, width, look.short_side)
        if look.people:
            return people_cut(random, boxes[random.integers(len(boxes))], look.people, look.crop)
        return random_cut(random, height, width, look.jitter, look.crop)

    def picture(self, path: Path) -> NDArray[np.uint8]:
        return self.kept[path] if path in self.kept else load(path)


def load(path: Path) -> NDArray[np.uint8]:
    """A picture as RGB uint8 [H, W, 3]; InputError when it cannot be read."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} cannot be read; `edgekit prepare check` lists all that is wrong.")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch: clips stacked, boxes of all in one list with "owner" int64 [N], the clip that each is of."""
    owner = [torch.full((len(item["boxes"]),), n) for n, item in enumerate(items)]
    joined = {
        name: torch.cat([item[name] for item in items]) for name in ("boxes", "labels", "known", "rows")
    }
    return {
        "clip": torch.stack([item["clip"] for item in items]),
        "owner": torch.cat(owner),
        "number": [item["number"] for item in items],
        **joined,
    }


class Order(Sampler):
    """Key frames of one process in one epoch, as (epoch, number), anew each epoch.

    Args:
        ava: the split.
        balance: 0: each key frame once an epoch; 1: as if all actions were equally frequent.
        rank, ranks: of the processes; all see equally many.
    """

    def __init__(self, ava: AvaSet, seed: int, balance: float = 0.0, rank: int = 0, ranks: int = 1) -> None:
        self.count, self.seed, self.rank, self.ranks, self.epoch = len(ava.key_frames), seed, rank, ranks, 0
        self.weights = None
        if balance:
            share = np.maximum(sum(key.labels.sum(0) for key in ava.key_frames), 1) ** -balance
            most = [np.where(key.labels > 0, share, 0).max() for key in ava.key_frames]
            least = min((m for m in most if m), default=1.0)
            weights = np.array([m or least for m in most])  # a key frame without any action counts least
            self.weights = weights / weights.sum()

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.ranks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        total = len(self) * self.ranks
        if self.weights is None:
            numbers = np.resize(random.permutation(self.count), total)
        else:
            numbers = random.choice(self.count, total, p=self.weights)
        return iter([(self.epoch, int(n)) for n in numbers[self.rank :: self.ranks]])
