"""Splitting by likeness: pictures that look alike (frames of one video, copies) stay on one side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.evaluate.data import Picture
from edgekit.files import atomic_write


def describe(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Unit vectors [N, D] of BGR pictures: 24×24 thumbnails, evened out in light, and their gradients.

    Enough to find the frames of one fixed camera and darkened copies; see `embed` for turned ones.
    """
    rows = []
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
        small = (small - small.mean()) / (small.std() + 1.0)
        steps = [np.diff(small, axis=0).ravel(), np.diff(small, axis=1).ravel()]
        rows.append(np.concatenate([small.ravel(), *steps]))
    return unit(np.stack(rows))


def embed(
    images: Sequence[NDArray[np.uint8]], backbone: str, size: int = 224, batch: int = 32
) -> NDArray[np.float32]:
    """Unit vectors [N, 304] from the ImageNet backbone's mean maps at strides 16 and 32, less their mean."""
    import torch

    from edgekit.train.network import Detector, load_backbone

    network = Detector(size).eval()
    load_backbone(network, backbone)
    rows = []
    with torch.no_grad():
        for first in range(0, len(images), batch):
            part = [
                cv2.resize(i, (size, size), interpolation=cv2.INTER_AREA)
                for i in images[first : first + batch]
            ]
            tensor = torch.from_numpy(np.stack(part)[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
            maps = network.features(tensor)[1:]
            rows.append(torch.cat([m.mean((2, 3)) for m in maps], 1).numpy())
    vectors = np.concatenate(rows)
    vectors = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    return unit(vectors)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9), np.float32)


def clusters(vectors: NDArray[np.float32], alike: float) -> NDArray[np.int64]:
    """Group number [N] of each picture: two whose cosine exceeds `alike` share one, and their friends too."""
    parent = np.arange(len(vectors))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, row in enumerate(vectors):
        for j in np.flatnonzero(vectors[:i] @ row > alike):
            a, b = root(i), root(int(j))
            if a != b:
                parent[max(a, b)] = min(a, b)
    roots = np.array([root(i) for i in range(len(vectors))])
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def hold_out(groups: NDArray[np.int64], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """True for pictures held out: whole groups in random order until `share` of the pictures is reached.

    Groups larger than a quarter of what is wanted stay in training, so that one video is not the whole test.
    """
    wanted = share * len(groups)
    sizes = np.bincount(groups)
    held, count = np.zeros(len(groups), bool), 0
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if count >= wanted:
            break
        if sizes[group] <= max(1.0, wanted / 4):
            held |= groups == group
            count += sizes[group]
    return held


def split(
    pictures: Sequence[Picture],
    images: Sequence[NDArray[np.uint8]],
    out: Path,
    backbone: str | None,
    share: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Likeness group and held-out flag of each picture; kept in `out/split.json` for resumed runs."""
    file = out / "split.json"
    names = [p.path.stem for p in pictures]
    if file.is_file():
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if list(saved["group"]) != names:
            raise InputError(f"{file} belongs to other pictures. Remove it or choose another --out.")
        return np.array(list(saved["group"].values())), np.array([n in set(saved["held_out"]) for n in names])
    vectors = embed(images, backbone) if backbone else describe(images)
    group = clusters(vectors, 0.7)
    held = hold_out(group, share)
    content = {
        "held_out": [n for n, h in zip(names, held, strict=True) if h],
        "group": dict(zip(names, group.tolist(), strict=True)),
    }
    with atomic_write(file) as scratch:
        scratch.write_text(json.dumps(content), encoding="utf-8")
    return group, held


def draw_weights(group: NDArray[np.int64], extra: int, share: float, rare: float) -> NDArray[np.float64]:
    """How often each picture is drawn: (size of its group) ** -rare, so that one long video does not rule.

    `extra` unlabelled pictures follow; together they are drawn `share` of the time.
    """
    weight = np.bincount(group)[group].astype(float) ** -rare
    each = share / (1 - share) * weight.sum() / max(1, extra)
    return np.concatenate([weight, np.full(extra, each)])
