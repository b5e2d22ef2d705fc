"""Weights and clips for SlowFast that anyone can make again, and what a golden file keeps of an answer."""

from __future__ import annotations

import hashlib
from typing import Any
from zlib import crc32

import numpy as np

#: fast frames, height and width: small, not square, no multiple of 32
CLIP = (16, 64, 88)
#: x1 y1 x2 y2 in pixels of the clip: inside, the whole, tiny, over the edge, outside
BOXES = [[5, 3, 40.5, 61], [0, 0, 88, 64], [30, 30, 31, 31.5], [-20, -9, 50, 130], [300, 300, 400, 350]]
SAMPLES = 24


def fill(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict of the same names and shapes, each value by its name, activations near 1."""
    import torch

    made = {}
    for name, value in state.items():
        shape = tuple(value.shape)
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(0)
            continue
        u = np.random.RandomState(crc32(name.encode())).random_sample(shape)
        if len(shape) > 1:
            u = (u - 0.5) * np.sqrt(12 * 1.4 / np.prod(shape[1:]))
        elif name.endswith("c_bn.weight"):
            u = 0.2 + 0.2 * u  # what blocks add to their shortcut
        elif "nonlocal" in name and name.endswith("bn.weight"):
            u = 0.002 + 0.002 * u  # dot products of dot products are large
        elif name.endswith(("running_var", "weight")):
            u = 0.7 + 0.4 * u
        else:
            u = (u - 0.5) * 0.4
        made[name] = torch.from_numpy(np.asarray(u, np.float32))
    return made


def clip(frames: int = CLIP[0], alpha: int = 4, size: tuple[int, int] = CLIP[1:]) -> Any:
    """float32 [1, 3, T/α, H, W] and [1, 3, T, H, W]."""
    import torch

    rng = np.random.RandomState(5)
    fast = torch.from_numpy((rng.random_sample((1, 3, frames, *size)) * 4 - 2).astype(np.float32))
    return fast[:, :, torch.linspace(0, frames - 1, frames // alpha).long()].contiguous(), fast


def boxes() -> Any:
    """float32 [N, 4]."""
    import torch

    return torch.tensor(BOXES)


def digest(state: dict[str, Any]) -> dict[str, Any]:
    """How many tensors, and SHA-256 of their names and shapes, one a line, sorted."""
    lines = sorted(f"{name} {list(value.shape)}\n" for name, value in state.items())
    return {"tensors": len(lines), "names_sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def numbers(output: Any) -> dict[str, Any]:
    """Shape, mean, deviation and single values of an output."""
    flat = output.detach().double().numpy().ravel()
    where = np.linspace(0, flat.size - 1, SAMPLES).astype(int)
    return {
        "shape": list(output.shape),
        "mean": float(flat.mean()),
        "std": float(flat.std()),
        "values": [round(float(v), 7) for v in flat[where]],
    }


def blob_names(state: dict[str, Any]) -> list[str]:
    """What Caffe2 calls the parameters of a SlowFast, as upstream's releases write them."""
    ends = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    found = []
    for name in state:
        if name.endswith("num_batches_tracked"):
            continue
        *path, layer, end = name.split(".")
        fast = "t_" if "pathway1" in name else ""
        stage = path[0][1]
        if path == ["head"]:
            found.append(f"pred_{end[0]}")
        elif path[0].endswith("_fuse"):
            last = sum(f"s{stage}.pathway1_res{n}.branch2.a.weight" in state for n in range(50)) - 1
            base = "t_pool1_subsample" if stage == "1" else f"t_res{stage}_{last}_branch2c_bn_subsample"
            found.append(f"{base}_bn_{ends[end]}" if layer == "bn" else f"{base}_w")
        elif "stem" in name:
            found.append(f"{fast}res_conv1_bn_{ends[end]}" if layer == "bn" else f"{fast}conv1_w")
        elif "nonlocal" in name:
            block = path[1].removeprefix("pathway0_nonlocal")
            part = f"bn_{ends[end]}" if layer == "bn" else f"{layer.removeprefix('conv_')}_{end[0]}"
            found.append(f"nonlocal_conv{stage}_{block}_{part}")
        else:
            block = path[1].split("_res")[1]
            branch = layer.removesuffix("_bn")
            branch = f"branch2{branch}" if len(path) > 2 else branch
            end = f"bn_{ends[end]}" if layer.endswith("_bn") else "w"
            found.append(f"{fast}res{stage}_{block}_{branch}_{end}")
    return found
