"""Pieces every training run of the kit shares: moving average, learning rate, checkpoints, logs."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.errors import InputError
from edgekit.files import atomic_write


class Average:
    """Exponential moving average of a network's weights and batch-norm statistics.

    The decay starts low, `decay · (1 − e^(−step / ramp))`, so that the first steps do not linger.
    """

    def __init__(self, network: nn.Module, decay: float = 0.9998, ramp: float = 2000.0) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.ramp, self.step = decay, ramp, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.step += 1
        keep = self.decay * (1 - math.exp(-self.step / self.ramp))
        mine, theirs = self.network.state_dict(), network.state_dict()
        floats = [k for k, v in mine.items() if v.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in floats], [theirs[k] for k in floats], 1 - keep)
        for key in mine.keys() - set(floats):
            mine[key].copy_(theirs[key])


def cosine(step: int, steps: int, warmup: int, last: float = 0.02) -> float:
    """Factor of the learning rate: a linear rise over `warmup` steps, then half a cosine down to `last`."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * done))


def groups(
    network: nn.Module,
    rate: float,
    decay: float,
    slow: tuple[str, ...] = (),
    factor: float = 1.0,
) -> list[dict[str, Any]]:
    """Parameter groups: no weight decay on biases and norms; names starting with `slow` learn at `factor`."""
    made: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            made.setdefault((value.ndim > 1, name.startswith(slow) if slow else False), []).append(value)
    return [
        {"params": values, "base": rate * (factor if late else 1.0), "weight_decay": decay if matrix else 0.0}
        for (matrix, late), values in made.items()
    ]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def save_checkpoint(path: Path | str, **content: Any) -> None:
    """Write tensors, numbers, strings and plain containers; `load_checkpoint` refuses anything else."""
    with atomic_write(path) as scratch:
        torch.save(content, scratch)


def load_checkpoint(path: Path | str, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with `weights_only=True`: a file from elsewhere cannot run code."""
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except FileNotFoundError:
        raise InputError(f"No checkpoint {path}.") from None
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint of this kit ({type(error).__name__}).") from error


def append_log(path: Path, **values: Any) -> None:
    """Add one JSON line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(
            json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}) + "\n"
        )
