"""Which frames of a clip a network of action recognition sees, and how they become pictures of its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.action_windows import inner, somewhere, windows
from edgekit.errors import InputError
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
        windows: how many the clip is scored by.
    """

    clip: int
    name: str
    label: int
    rgb: Sequence[Picture]
    u: Sequence[Picture]
    v: Sequence[Picture]
    seed: tuple[int, ...] = ()
    windows: int = 1


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


def label_map(spec: Spec) -> dict[str, int]:
    """Class → index of a spec."""
    return {name: n for n, name in enumerate(spec.classes)}


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
        """The window's "label", "clip", "name", "windows"; as far as wanted "rgb", "of" uint8 [D, H, W, C].

        The pictures are RGB (C = 3), the flow is x and y (C = 2).
        """
        made: dict[str, Any] = {name: getattr(window, name) for name in ("label", "clip", "name", "windows")}
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
    where = name
    if isinstance(one, Path):
        where = str(one)
        try:
            one = one.read_bytes()
        except OSError as error:
            raise InputError(f"{where} cannot be read: {error.strerror}.") from error
    picture = cv2.imdecode(np.frombuffer(one, np.uint8), how) if one else None
    if picture is None:
        raise InputError(f"{where} has a picture that OpenCV cannot decode; cut the clip again.")
    return np.asarray(picture, np.uint8)
