"""Whole pipelines on a GPU: frame in, result out, the steps around the network on the host and on the GPU.

    python tests/bench/bench_pipelines_gpu.py [--frames 120] [--size 1920x1080] [--out FILE.json]

One run, one engine provider (ONNX Runtime on CUDA), the same weights, the same frames of the sample clip; the
variants take turns, so that a busy machine is busy for all. Milliseconds are of a whole call as its caller
sees it, medians over the frames; results are compared before anything is timed. Beside YOLO stands
ultralytics on the same ONNX file and provider, where it is installed. Needs an NVIDIA GPU, pycuda, nvcc,
onnxruntime-gpu.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gpu_tasks import about, openers, read_frames

from edgekit.results import Frame

ROUNDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--precision", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--tasks", nargs="+", default=[])
    parser.add_argument("--ops", nargs="+", default=["host", "graft", "cuda"])
    parser.add_argument("--still", action="store_true", help="one picture again and again: as many people")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    wide, high = map(int, args.size.split("x"))
    frames = read_frames(args.frames, (wide, high))
    if args.still:
        frames = [frames[-1]] * args.frames
    rows: list[dict[str, Any]] = []
    known = about()
    print(json.dumps(known), flush=True)
    for name, opener in openers().items():
        if args.tasks and name not in args.tasks:
            continue
        for precision in args.precision:
            ops = [one for one in args.ops if one != "graft" or name in ("YOLO", "TrtPose", "AlphaPose")]
            try:
                some = compare(name, precision, opener, frames, ops)
                rows += some
                show(some)
            except Exception:
                print(f"{name} {precision}: {traceback.format_exc()}", flush=True)
    if args.out:
        args.out.write_text(json.dumps({"about": known, "size": args.size, "rows": rows}, indent=1))


def show(rows: Sequence[dict[str, Any]]) -> None:
    print("\ntask       prec.  steps             ms     pre   infer    post  × host   result")
    for row in rows:
        parts = [row[part] for part in ("pre", "infer", "post")]
        shown = "".join("       –" if part is None else f" {part:7.2f}" for part in parts)
        head = f"{row['task']:<10} {row['precision']:<6} {row['ops']:<12} {row['ms']:7.2f}"
        print(f"{head}{shown}  {row['ratio']:6.2f}   {row['note']}", flush=True)


def compare(
    name: str, precision: str, opener: Callable[..., Any], frames: Sequence[np.ndarray], ops: Sequence[str]
) -> list[dict[str, Any]]:
    """One task at one precision: every variant open at once, its results compared, then timed in turns."""
    tasks: dict[str, Any] = {}
    rows = []
    try:
        for one in ops:
            try:
                tasks[one] = opener(precision, "onnxruntime-cuda", ops=one)
            except Exception:
                print(f"{name} {precision} {one}: {traceback.format_exc()}", flush=True)
        if name == "YOLO" and precision == "fp32" and (peer := ultralytics()) is not None:
            tasks["ultralytics"] = peer
        notes = {
            one: difference(run(tasks["host"], frames[:40]), run(task, frames[:40]))
            for one, task in tasks.items()
        }
        seconds: dict[str, list[float]] = {one: [] for one in tasks}
        parts: dict[str, list[dict[str, float]]] = {one: [] for one in tasks}
        for turn in range(ROUNDS):
            for one, task in list(tasks.items())[:: 1 if turn % 2 else -1]:
                took, times = timed(task, frames)
                seconds[one] += took
                parts[one] += times
        host = float(np.median(seconds["host"])) if name != "SlowFast" else float(np.mean(seconds["host"]))
        for one in tasks:
            middle = (
                np.mean if name == "SlowFast" else np.median
            )  # of SlowFast only some frames meet the network
            ms = float(middle(seconds[one])) * 1e3
            row: dict[str, Any] = {
                "task": name,
                "precision": precision,
                "ops": one,
                "ms": ms,
                "note": notes[one],
            }
            for part in ("pre", "infer", "post"):
                some = [times[part] for times in parts[one] if part in times]
                row[part] = float(middle(some)) * 1e3 if some else None
            row["ratio"] = host * 1e3 / ms
            rows.append(row)
    finally:
        for task in tasks.values():
            task.close()
    return rows


def run(task: Any, frames: Sequence[np.ndarray]) -> list[Any]:
    if hasattr(task, "reset"):
        task.reset()
    return [task(Frame(image, index=index, t=index / 25)) for index, image in enumerate(frames)]


def timed(task: Any, frames: Sequence[np.ndarray]) -> tuple[list[float], list[dict[str, float]]]:
    if hasattr(task, "reset"):
        task.reset()
    took, times = [], []
    for index, image in enumerate(frames):
        frame = Frame(image, index=index, t=index / 25)
        began = time.perf_counter()
        task(frame)
        took.append(time.perf_counter() - began)
        times.append(dict(task.times))
    return took[5:], times[5:]


def difference(one: Sequence[Any], other: Sequence[Any]) -> str:
    """How the results of two variants differ, in words."""
    counts = sum(len(a) != len(b) for a, b in zip(one, other, strict=True))
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        if len(a) != len(b) or not len(a):
            continue
        for field in ("xyxy", "keypoints", "scores"):
            if getattr(a, field, None) is not None and getattr(b, field, None) is not None:
                first, second = (np.asarray(getattr(x, field), float) for x in (a, b))
                worst = max(worst, float(np.abs(first - second).max(initial=0)))
    found = sum(map(len, other))
    return f"{found} found; {counts} of {len(one)} frames with another count; else ≤ {worst:.3g} apart"


def ultralytics() -> Any | None:
    """ultralytics on the same ONNX file and provider, as a task; None where it is not installed."""
    try:
        from ultralytics import YOLO
    except ImportError as error:
        print(f"ultralytics: {error}", flush=True)
        return None
    from edgekit.models import find
    from edgekit.results import Detections

    class Peer:
        def __init__(self) -> None:
            self.model = YOLO(str(find("edgekit-person")), task="detect")
            self.times: dict[str, float] = {}

        def __call__(self, frame: Frame) -> Detections:
            found = self.model.predict(
                frame.image, device=0, conf=0.25, iou=0.45, imgsz=416, max_det=300, verbose=False
            )[0]
            self.times = {
                part: found.speed[word] / 1e3
                for part, word in (("pre", "preprocess"), ("infer", "inference"), ("post", "postprocess"))
            }
            boxes = found.boxes
            return Detections(
                boxes.xyxy.cpu().numpy().astype(np.float32),
                boxes.conf.cpu().numpy().astype(np.float32),
                boxes.cls.cpu().numpy().astype(np.int64),
                ("person",),
            )

        def close(self) -> None:
            self.model = None

    try:
        peer = Peer()
        peer(Frame(np.zeros((720, 1280, 3), np.uint8)))
        providers = peer.model.predictor.model
        session = getattr(providers, "session", None) or getattr(
            getattr(providers, "backend", None), "session", None
        )
        print("ultralytics runs on", session.get_providers() if session is not None else "?", flush=True)
        return peer
    except Exception:
        print(f"ultralytics: {traceback.format_exc()}", flush=True)
        return None


if __name__ == "__main__":
    main()
