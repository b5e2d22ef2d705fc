"""What grafting changes: the same task with its steps on the host and inside the network, in turns.

    python tests/bench/bench_graft.py                 # the three networks that ship, about a minute
    python tests/bench/bench_graft.py --models edgekit-person --rounds 50 --backend onnxruntime-cuda

Frames of the sample clip at 1280×720. Per model one JSON line: medians of each stage in milliseconds, the
seconds of CPU of all threads (which other programs on the machine change least), the ratios of both (host /
graft turn by turn, above 1: grafting is quicker), and the bytes that go into the engine and come out.
Results are compared: `equal` says whether every number was the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import date
from itertools import cycle, islice
from typing import Any

import cv2
import numpy as np
from gpu_tasks import read_frames

from edgekit.engine import Engine
from edgekit.results import Frame
from edgekit.tasks.alphapose import open_alphapose
from edgekit.tasks.trtpose import open_trtpose
from edgekit.tasks.yolo import open_yolo

OPENERS: dict[str, Any] = {
    "edgekit-person": open_yolo,
    "edgekit-trtpose": open_trtpose,
    "edgekit-fastpose": open_alphapose,
}


def moved(engine: Engine, people: int) -> dict[str, int]:
    """Bytes into and out of one call of an engine; `people` rows where its batch is open."""
    sides = {"in": engine.inputs, "out": engine.outputs}
    return {
        side: sum(spec.dtype.itemsize * int(np.prod([n or people for n in spec.shape])) for spec in specs)
        for side, specs in sides.items()
    }


def compared(model: str, rounds: int, backend: str, threads: int) -> dict[str, Any]:
    """Host and graft by turns over the frames of the clip."""
    cv2.setNumThreads(threads)
    frames = [Frame(image, index) for index, image in enumerate(read_frames(16, (1280, 720)))]
    tasks = {ops: OPENERS[model](model, backend=backend, ops=ops) for ops in ("host", "graft")}
    stages: dict[str, list[list[float]]] = {ops: [] for ops in tasks}
    equal, found = True, []
    try:
        for turn, frame in enumerate(islice(cycle(frames), rounds + 5)):
            results = {}
            for ops, task in tasks.items():
                start = time.process_time()
                results[ops] = task(frame)
                if turn >= 5:  # the first ones warm up
                    stages[ops].append([*task.times.values(), time.process_time() - start])
            one, other = (results[ops] for ops in tasks)
            same = (np.array_equal(getattr(one, k), getattr(other, k)) for k in vars(one) if k != "names")
            equal &= len(one) == len(other) and all(same)
            found.append(len(one))
        people = max(1, round(float(np.mean(found))))
        out: dict[str, Any] = {"model": model, "device": tasks["host"].engine.device, "equal": equal}
        for ops, task in tasks.items():
            middle = np.median(stages[ops], axis=0) * 1e3
            names = (*task.times, "cpu")
            named = {f"{name}_ms": round(float(ms), 3) for name, ms in zip(names, middle, strict=True)}
            out[ops] = {**named, "bytes": moved(task.engine, people)}
        host, graft = (np.array(stages[ops]) for ops in tasks)
        out["ratio"] = round(float(np.median(host[:, :3].sum(axis=1) / graft[:, :3].sum(axis=1))), 3)
        out["cpu_ratio"] = round(float(np.median(host[:, 3] / graft[:, 3])), 3)
        return out
    finally:
        for task in tasks.values():
            task.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(OPENERS), choices=list(OPENERS))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--backend", default="onnxruntime-cpu")
    parser.add_argument("--threads", type=int, default=2, help="of OpenCV")
    args = parser.parse_args()
    for model in args.models:
        row = compared(model, args.rounds, args.backend, args.threads)
        print(json.dumps({**row, "machine": platform.machine(), "date": str(date.today())}))


if __name__ == "__main__":
    main()
