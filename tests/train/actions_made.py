"""A small set of actions for tests: a square that goes left or right, on a floor that tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.prepare.action_folders import write_clip
from edgekit.train.action_spec import Spec, spec_from

CLASSES = ("left", "right")
SIDE = 40


def frames(label: str, seed: int, count: int = 8) -> list[np.ndarray]:
    """uint8 [SIDE, SIDE, 3] BGR: a bright square, 3 pixels a frame, from anywhere, on noise."""
    random = np.random.default_rng(seed)
    floor = random.integers(0, 90, (SIDE, SIDE, 3), np.uint8)
    y, x, step = random.integers(4, SIDE - 14), int(random.integers(SIDE)), 3 if label == "right" else -3
    made = []
    for n in range(count):
        picture = floor.copy()
        columns = (x + n * step + np.arange(10)) % SIDE
        picture[y : y + 10, columns] = (40, 200, 255)
        made.append(picture)
    return made


def flow_of(label: str) -> Any:
    """What stands in for a method of optical flow: 3 pixels sideways, 1 down."""
    step = 3.0 if label == "right" else -3.0
    return lambda before, after: np.full((*before.shape[:2], 2), (step, 1.0), np.float32)


def write_set(root: Path, clips: int = 4, *, flow: bool = False, count: int = 8, seed: int = 0) -> Path:
    """`clips` a class at root/CLASS/clip_N/{rgb,u,v}."""
    for label in CLASSES:
        for n in range(clips):
            made = frames(label, seed + 100 * n + (label == "right"), count)
            write_clip(root, label, f"clip_{n}", made, flow=flow_of(label) if flow else None)
    return root


def spec_of(root: Path, out: Path, held: Path | None = None, **changes: Any) -> Spec:
    """A narrow 3-d network on the set; `changes` by dotted names with __: train__optim__lr=0.1."""
    values: dict[str, Any] = {
        "results_dir": str(out),
        "model": {
            "model_type": "rgb",
            "input_type": "3d",
            "rgb_seq_length": 4,
            "of_seq_length": 4,
            "width": 0.125,
            "dropout_ratio": 0.2,
        },
        "dataset": {
            "train_dataset_dir": str(root),
            "val_dataset_dir": str(held) if held else None,
            "label_map": {name: n for n, name in enumerate(CLASSES)},
            "output_shape": [32, 32],
            "batch_size": 4,
            "workers": 1,
            "augmentation_config": {
                "crop_smaller_edge": 36,
                "horizontal_flip_prob": 0.0,
                "rgb_input_mean": [0.5],
                "rgb_input_std": [0.5],
            },
        },
        "train": {"results_dir": str(out / "train"), "num_epochs": 2, "optim": {"lr": 0.005}},
        "evaluate": {"results_dir": str(out / "evaluate"), "test_dataset_dir": str(held) if held else None},
    }
    for name, value in changes.items():
        *path, last = name.split("__")
        part = values
        for key in path:
            part = part.setdefault(key, {})
        part[last] = value
    return spec_from(values)


def with_label_map(spec: Spec, names: Sequence[str]) -> Spec:
    """The same spec with other classes."""
    return replace(spec, dataset=replace(spec.dataset, label_map={name: n for n, name in enumerate(names)}))
