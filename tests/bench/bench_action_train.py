"""How many clips a second `edgekit train actions` learns from: folders and shards, one GPU and several.

    python tests/bench/bench_action_train.py --gpus 1 2

It makes its own set (drawn noise, saved as folders of PNG, as shards of those, and as shards of JPEG), trains
on each with each number of GPUs, and prints a table: clips a second of all GPUs together, the speed-up over
the first number, and the share of a step in which the GPU waits for the loader. A step is timed to its end on
the GPU, so that with several it has the waiting for the slowest in it; the first steps are left out.

Measured 2026-11-22 on 2 NVIDIA H200 with 32 cores, driver 580.159.04, PyTorch 2.11 (CUDA 13.0), Lightning
2.6.6, webdataset 1.0.2, by `--gpus 1 2 --clips 192 --frames 32 --steps 50 --workers 14`: ResNet-18 3d, 16
frames of 224×224 cut from 340×256, bf16-mixed, 32 clips and 14 workers a GPU:

| set | GPUs | clips/s | speed-up | wait for the loader | step, ms |
|---|---|---|---|---|---|
| folders, PNG | 1 | 296 | 1.00 | 65% | 38 |
| folders, PNG | 2 | 585 | 1.97 | 39% | 66 |
| shards, PNG | 1 | 356 | 1.00 | 57% | 39 |
| shards, PNG | 2 | 559 | 1.57 | 36% | 74 |
| shards, JPEG 90 | 1 | 709 | 1.00 | 10% | 41 |

A GPU alone could learn from 840 clips/s: PNGs are what it waits for, some 25 clips/s a worker (400 PNGs/s).
JPEG shards on two GPUs were not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = ("left", "right", "up", "down")
SKIPPED = 12  # steps before the timing: workers start, cuDNN picks its algorithms
SIZE = (256, 340)  # height and width of the pictures, as prepared


def drawn(seed: int, frames: int) -> Iterator[np.ndarray]:
    """A noisy room that moves: PNGs of about the size of a camera's."""
    cv2.setNumThreads(1)
    random = np.random.default_rng(seed)
    room = random.integers(0, 256, (36, 46, 3), np.uint8)
    room = cv2.resize(room, (SIZE[1] + frames, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    for n in range(frames):
        noise = random.integers(0, 6, (*SIZE, 3), np.uint8)
        yield cv2.add(np.ascontiguousarray(room[:, n : n + SIZE[1]]), noise)


def made(job: tuple[str, int, int]) -> None:
    from edgekit.prepare.action_folders import write_clip

    root, number, frames = job
    write_clip(root, CLASSES[number % len(CLASSES)], f"clip_{number:05d}", drawn(number, frames))


def make_sets(root: Path, clips: int, frames: int) -> dict[str, Path]:
    """The same clips three times: {how they are kept: folder}."""
    from edgekit.prepare.action_folders import read_actions
    from edgekit.prepare.action_shards import write_shards

    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(made, [(str(root / "folders"), n, frames) for n in range(clips)], chunksize=2))
    read = read_actions(root / "folders")
    per_shard = max(1, clips // 64)
    return {
        "folders, PNG": root / "folders",
        "shards, PNG": write_shards(read, root / "png", per_shard=per_shard),
        "shards, JPEG 90": write_shards(read, root / "jpeg", per_shard=per_shard, quality=90),
    }


def one(args: argparse.Namespace) -> None:
    """Train on one set with one number of GPUs; the first process prints what it measured as JSON."""
    import torch

    from edgekit.train.action_module import ActionModule
    from edgekit.train.action_spec import spec_from
    from edgekit.train.actions import train_actions

    cuda = torch.cuda.is_available()
    waits: list[float] = []
    steps: list[float] = []
    counts: list[int] = []
    last = [time.perf_counter()]

    def begun(self: Any, batch: Any, number: int) -> None:
        now = time.perf_counter()
        waits.append(now - last[0])
        counts.append(len(batch["label"]))
        last[0] = now

    def ended(self: Any, outputs: Any, batch: Any, number: int) -> None:
        if cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        steps.append(now - last[0])
        last[0] = now

    ActionModule.on_train_batch_start = begun  # type: ignore[method-assign]
    ActionModule.on_train_batch_end = ended  # type: ignore[method-assign]
    gpus = args.gpus[0]
    windows = (args.steps + SKIPPED) * args.batch * gpus
    spec = spec_from(
        {
            "model": {
                "model_type": "rgb",
                "backbone": args.backbone,
                "input_type": "3d",
                "rgb_seq_length": args.length,
                "width": args.width,
            },
            "dataset": {
                "train_dataset_dir": str(args.data),
                "label_map": {name: n for n, name in enumerate(CLASSES)},
                "output_shape": [args.size, args.size],
                "batch_size": args.batch,
                "workers": args.workers,
                "clips_per_video": -(-windows // args.clips),
                "augmentation_config": {"crop_smaller_edge": max(256, args.size)},
            },
            "train": {
                "results_dir": str(args.out),
                "num_epochs": 1,
                "num_gpus": gpus,
                "gpu_ids": list(range(gpus)),
                "precision": args.precision if cuda else "32-true",
                "cudnn": {"benchmark": True, "deterministic": False},
            },
        }
    )
    train_actions(spec, progress=False)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        part = slice(SKIPPED, SKIPPED + args.steps)
        wait, step = sum(waits[part]), sum(steps[part])
        clips = sum(counts[part]) * gpus
        found = {"clips": clips / (wait + step), "wait": wait / (wait + step), "step": step / args.steps}
        print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--gpus", type=int, nargs="+", default=[1], help="numbers of GPUs (without one: of processes)")
    add("--clips", type=int, default=384, help="of the set")
    add("--frames", type=int, default=48, help="of a clip")
    add("--steps", type=int, default=60, help="timed steps")
    add("--batch", type=int, default=32, help="clips of one GPU")
    add("--workers", type=int, default=12, help="of one GPU")
    add("--length", type=int, default=16, help="frames of a window")
    add("--size", type=int, default=224)
    add("--backbone", default="resnet18")
    add("--width", type=float, default=1.0)
    add("--precision", default="bf16-mixed")
    add("--only", default="", help="only the sets whose name has this: folders, PNG, JPEG …")
    add("--data", type=Path, help=argparse.SUPPRESS)
    add("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.data is not None:
        one(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        sets = make_sets(Path(folder), args.clips, args.frames)
        print(f"{args.clips} clips of {args.frames} frames made in {time.perf_counter() - begun:.0f} s")
        print("| set | GPUs | clips/s | speed-up | wait for the loader | step, ms |")
        print("|---|---|---|---|---|---|")
        for name, path in ((name, path) for name, path in sets.items() if args.only in name):
            first = 0.0
            for gpus in args.gpus:
                row = measured(args, gpus, path, Path(folder) / "out")
                first = first or row["clips"] / gpus * args.gpus[0]
                speed_up = row["clips"] / first
                parts = [name, gpus, f"{row['clips']:.0f}", f"{speed_up:.2f}", f"{row['wait']:.0%}"]
                print("|", " | ".join(map(str, [*parts, f"{1000 * row['step']:.0f}"])), "|", flush=True)


def measured(args: argparse.Namespace, gpus: int, data: Path, out: Path) -> dict[str, float]:
    """What `one` prints, in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    given = {**vars(args), "gpus": gpus, "data": data, "out": out}
    call = [sys.executable, __file__, *(f"--{name}={value}" for name, value in given.items())]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
