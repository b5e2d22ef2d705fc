"""What the kit's own work costs beside SlowFast's body, and beside a plain loop.

    python tests/bench/bench_slowfast.py                               # the network that ships, two minutes
    python tests/bench/bench_slowfast.py step --model FILE.onnx --stride 8
    python tests/bench/bench_slowfast.py memory --frames 5000

- step: the sample clip, from window to window: milliseconds of the ring (scale, normalise, window), of
  RoIAlign and of boxes and results, as a share of the body's (aim: 10 % at most).
- plain: the same clip and network, tracks told beforehand, against a loop written as in the user's document:
  for each window all its frames are turned, scaled, normalised and stacked anew, and RoIAlign runs inside
  the graph. Both give the same scores; the ratio of their times, with and without the network.
- roi: RoIAlign alone, 2048 + 256 channels of 16×29 (R50 and R101 at 256×455) and 10 people, against ONNX
  Runtime's operator, on one thread each.
- memory: resident memory over some thousand frames.

Other programs share the machine: medians of real time of what runs in turns. Prints one JSON line a part.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from action_nets import Followed

from edgekit.camera import open_source
from edgekit.engine import open_engine
from edgekit.limits import usable_cores
from edgekit.models import find
from edgekit.ops.roi_align import roi_align
from edgekit.results import Frame, Tracks
from edgekit.tasks.slowfast import SlowFast, open_slowfast
from edgekit.tasks.slowfast_open import open_networks
from edgekit.tasks.track import open_track

BACKEND = "onnxruntime-cpu"


def clip(count: int) -> list[Frame]:
    """Frames of the sample clip, over and over where it is shorter, at its rate."""
    with open_source("sample") as source:
        frames = list(islice(source, count))
        rate = source.fps or 10.0
    return [Frame(frames[i % len(frames)].image, i, i / rate) for i in range(count)]


def tracked(frames: list[Frame]) -> list[Tracks]:
    with open_track(backend=BACKEND) as track:
        return [track(frame) for frame in frames]


def told(tracks: list[Tracks]) -> Followed:
    """What gives these tracks, frame by frame, at no cost."""

    def who(index: int) -> dict[int, tuple[float, ...]]:
        one = tracks[index % len(tracks)]
        return {int(n): tuple(map(float, box)) for n, box in zip(one.track_id, one.xyxy, strict=True)}

    return Followed(who)


def step(model: str, stride: int, count: int) -> dict[str, Any]:
    """Medians over the windows, each with the frames since the one before it."""
    frames = clip(count)
    rows: list[dict[str, float]] = []
    with open_slowfast(model, backend=BACKEND, stride=stride) as task:
        sums: dict[str, float] = {}
        people = []
        for frame in frames:
            start = time.perf_counter()
            actions = task(frame)
            whole = time.perf_counter() - start
            own = whole - sum(task.parts.values())  # boxes, scores of tracks, the result
            for name, value in {**task.parts, "results": own}.items():
                sums[name] = sums.get(name, 0.0) + value
            if task.parts["body"]:
                rows.append(sums)
                people.append(len(actions))
                sums = {}
        size, span = task.size, task.span
    rows = rows[1:]  # the first has the frames before the first window
    ms = {name: float(np.median([row[name] for row in rows])) * 1e3 for name in rows[0]}
    own_ms = ms["buffer"] + ms["roi"] + ms["results"]
    return {
        "stride": stride,
        "span": span,
        "size": size,
        "windows": len(rows),
        "people": float(np.median(people)),
        "ms": {name: round(value, 3) for name, value in ms.items()},
        "own_ms": round(own_ms, 2),
        "own_share_of_body": round(own_ms / ms["body"], 4),
        "roi_share_of_body": round(ms["roi"] / ms["body"], 4),
    }


class PlainLoop:
    """The document's loop: a window is made of its raw frames, all of them, each time."""

    def __init__(self, model: str, task: SlowFast) -> None:
        self.engine, self.notes, self.task = open_engine(find(model), "fp32", BACKEND), task.notes, task
        self.made = 0.0

    def __call__(self, frames: list[Frame], tracks: Tracks) -> NDArray[np.float32]:
        start = time.perf_counter()
        side, (height, width) = self.notes.short_side, frames[0].image.shape[:2]
        size = self.notes.size or (side, math.floor(width / height * side))
        pictures = [cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB) for frame in frames]
        pictures = [cv2.resize(one, size[::-1]).astype(np.float32) for one in pictures]
        clip = np.array(pictures) / np.float32(255)
        clip = (clip - np.float32(self.notes.mean[0])) / np.float32(self.notes.std[0])
        clip = clip.transpose(3, 0, 1, 2)
        fast = clip[:, np.linspace(0, len(frames) - 1, self.notes.frames).astype(int)]
        few = self.notes.frames // self.notes.alpha
        slow = fast[:, np.linspace(0, self.notes.frames - 1, few).astype(int)]
        boxes = tracks.xyxy * np.float32(size[1] / width)
        feeds = {"slow": slow[None], "fast": fast[None], "boxes": boxes}
        feeds = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
        self.made = time.perf_counter() - start
        return self.engine(feeds)["scores"]


def plain(model: str, stride: int, count: int) -> dict[str, Any]:
    """Both loops on the same frames, window by window in turns."""
    frames = clip(count)
    tracks = tracked(frames)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    apart = 0.0
    body, head = open_networks(model, "fp32", BACKEND)
    with SlowFast(told(tracks), body, head, stride=stride, smooth=False) as task:  # type: ignore[arg-type]
        loop = PlainLoop(model, task)
        since = made = 0.0
        for frame in frames:
            start = time.perf_counter()
            task(frame)
            since += time.perf_counter() - start
            made += task.parts["buffer"] + task.parts["roi"]
            if not task.parts["body"]:
                continue
            ours.append((since, made))
            since = made = 0.0
            end = frame.index + 1
            middle = tracks[end - task.span + task.buffer.middle]
            start = time.perf_counter()
            scores = loop(frames[end - task.span : end], middle)
            theirs.append((time.perf_counter() - start, loop.made))
            known, there = task._scores.of(middle.track_id, end)
            apart = max(apart, float(np.abs(known - scores)[there].max(initial=0)))
        loop.engine.close()
    mine, other = (np.median(np.array(rows)[1:], axis=0) * 1e3 for rows in (ours, theirs))
    return {
        "stride": stride,
        "windows": len(ours) - 1,
        "ours_ms": round(float(mine[0]), 2),
        "plain_ms": round(float(other[0]), 2),
        "ratio": round(float(other[0] / mine[0]), 3),
        "ours_without_network_ms": round(float(mine[1]), 2),
        "plain_without_network_ms": round(float(other[1]), 2),
        "ratio_without_network": round(float(other[1] / mine[1]), 2),
        "scores_apart": apart,
    }


def roi(rounds: int = 20) -> dict[str, Any]:
    """Ours and ONNX Runtime's operator in turns; CPU time of ours, real time of its single thread."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
    from test_roi_align import by_onnxruntime

    rng = np.random.default_rng(0)
    features = [rng.normal(size=(channels, 16, 29)).astype(np.float32) for channels in (2048, 256)]
    left = np.linspace(0, 380, 10, dtype=np.float32)
    boxes = np.stack([left, np.full(10, 30), left + 60, np.full(10, 230)], axis=1).astype(np.float32)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: [roi_align(one, boxes) for one in features],
        "onnxruntime, session opened each time": lambda: [
            by_onnxruntime(one, boxes, 7, 1 / 16, 0, False) for one in features
        ],
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            times[name].append(time.thread_time() - start)
    return {"people": 10, "ms": {name: round(float(np.median(t)) * 1e3, 2) for name, t in times.items()}}


def resident_mb() -> float:
    """Resident memory of this process, 10⁶ bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def memory(model: str, count: int, stride: int = 40) -> dict[str, Any]:
    """Memory on the way, with the real network on every `stride`th frame."""
    frames = clip(96)
    tracks = tracked(frames)
    body, head = open_networks(model, "fp32", BACKEND)
    seen: dict[int, float] = {}
    with SlowFast(told(tracks), body, head, stride=stride) as task:  # type: ignore[arg-type]
        for number in range(count):
            task(Frame(frames[number % len(frames)].image, number, number / 10))
            if number + 1 in (500, 1000, count // 2, count):
                seen[number + 1] = round(resident_mb(), 1)
    return {"frames": count, "resident_mb": seen, "growth_mb": round(seen[count] - seen[min(seen)], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="SlowFast: the kit's own work")
    parser.add_argument("part", nargs="?", choices=("step", "plain", "roi", "memory", "all"), default="all")
    parser.add_argument("--model", default="edgekit-slowfast")
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--windows", type=int, default=12, help="windows measured")
    parser.add_argument("--frames", type=int, default=5000, help="of memory")
    args = parser.parse_args()
    count = 64 + args.stride * args.windows
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "step": lambda: step(args.model, args.stride, count),
        "plain": lambda: plain(args.model, args.stride, count),
        "roi": roi,
        "memory": lambda: memory(args.model, args.frames),
    }
    about = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()} CPU, {usable_cores():g} cores",
        "versions": {"numpy": np.__version__, "opencv": cv2.__version__, "python": platform.python_version()},
    }
    for name in parts if args.part == "all" else (args.part,):
        where = {} if name == "roi" else {"model": Path(args.model).name}
        print(json.dumps({"part": name, **where, **parts[name](), **about}), flush=True)


if __name__ == "__main__":
    main()
