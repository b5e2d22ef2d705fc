"""What YOLO costs around the network: shares, a peer, start-up and memory, as ratios within one run.

    python tests/bench/bench_yolo.py                  # everything, about two minutes
    python tests/bench/bench_yolo.py share --model FILE.onnx

- share: preprocess + postprocess of a 1280×720 frame over the engine's own time (aim: ≤ 0.15);
- peer: ultralytics' time over edgekit's for the same steps around an 8400-anchor, 80-class output (aim: ≥ 2),
  a second time with the peer's NMS counted as free, since it is faster where torchvision is installed;
- start: `import edgekit` beyond NumPy and OpenCV (aim: ≤ 0.3 s) and `edgekit --help` (aim: ≤ 0.5 s);
- memory: growth of the process over 2,000 frames (aim: none).

What is compared runs in turns, and medians are given, because other programs share the machine. A turn is
several calls in a row, as in a video; the first ones, which meet the other side's caches and threads still
awake, do not count. ultralytics turns OpenCV's threads off for the whole program when it is imported; here
both sides have `--threads` of them. Prints one JSON line a part. ultralytics is used only if it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from edgekit.camera import open_source
from edgekit.models.coco import COCO80
from edgekit.tasks.yolo import Yolo, open_yolo

THREADS = 2
HEIGHT, WIDTH = 720, 1280
SIZE = (640, 640)


def frames(count: int = 32) -> list[np.ndarray]:
    """Frames of the sample clip at 1280×720."""
    with open_source("sample") as source:
        return [cv2.resize(frame.image, (WIDTH, HEIGHT)) for frame in islice(source, count)]


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, row: int = 1) -> dict[str, float]:
    """Median seconds of each call; a round runs each `row` times and counts the later half of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            for n in range(row):
                start = time.perf_counter()
                call()
                if turn >= 3 and n >= row // 2:  # the first rounds warm up
                    times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


def milli(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def share(model: str, rounds: int) -> dict[str, Any]:
    """Part of a frame's time that is not the network's."""
    stages: dict[str, list[float]] = {"pre": [], "infer": [], "post": []}
    with open_yolo(model, backend="onnxruntime-cpu") as task:
        for turn, image in enumerate(islice(cycle(frames()), rounds + 5)):
            found = task(image)
            for name, seconds in task.times.items():
                if turn >= 5:
                    stages[name].append(seconds)
        engine = task.engine
    pre, infer, post = (float(np.median(stages[name])) for name in ("pre", "infer", "post"))
    return {
        "model": model,
        "device": engine.device,
        "boxes": len(found),
        "pre_ms": milli(pre),
        "infer_ms": milli(infer),
        "post_ms": milli(post),
        "share": round((pre + post) / infer, 4),
    }


def scene(objects: int, doubles: int, noise: float, seed: int = 0) -> np.ndarray:
    """float32 [1, 84, 8400] as a v8 gives it: `doubles` anchors on each object, the rest up to `noise`."""
    rng = np.random.default_rng(seed)
    output = np.empty((84, 8400), np.float32)
    output[:2], output[2:4] = rng.uniform(0, 640, (2, 8400)), rng.uniform(8, 300, (2, 8400))
    output[4:] = rng.random((80, 8400), np.float32) ** 20 * noise
    anchors = rng.permutation(8400)[: objects * doubles].reshape(objects, doubles)
    for row in anchors:
        centre, size, label = rng.uniform(60, 580, 2), rng.uniform(20, 240, 2), rng.integers(80)
        output[:2, row] = (centre + rng.normal(0, 3, (doubles, 2))).T
        output[2:4, row] = (size * rng.uniform(0.9, 1.1, (doubles, 2))).T
        output[4 + label, row] = rng.uniform(0.3, 0.95, doubles)
    return output[None]


class Recorded:
    """An engine that answers with a recorded output."""

    backend, precision, device, why = "recorded", "fp32", "none", "only the steps around it are timed"

    def __init__(self, output: np.ndarray) -> None:
        from edgekit.engine import TensorSpec

        self.inputs = (TensorSpec("images", (1, 3, *SIZE), np.dtype(np.float32)),)
        self.outputs = (TensorSpec("output0", output.shape, np.dtype(np.float32)),)
        self.metadata: dict[str, str] = {}
        self.times: dict[str, float] = {}
        self.output = output

    def __call__(self, feeds: Any) -> dict[str, np.ndarray]:
        return {"output0": self.output}

    def close(self) -> None:
        """Nothing to free."""


def record_nms(owner: Any, call: Callable[[], Any]) -> Any:
    """What `owner.nms` answers inside `call`."""
    real, kept = owner.nms, []
    with patch.object(owner, "nms", lambda *given: kept.append(real(*given)) or kept[0]):
        call()
    return kept[0]


def peer(rounds: int) -> dict[str, Any]:
    """ultralytics' steps and ours around the same output, in turns."""
    try:
        import torch
        import ultralytics
        from ultralytics.engine.predictor import BasePredictor
        from ultralytics.engine.results import Results
        from ultralytics.utils import nms as their_nms
        from ultralytics.utils.ops import scale_boxes
    except ImportError:
        return {"peer": "not installed"}
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)  # ultralytics has just set 0
    predictor = SimpleNamespace(
        imgsz=SIZE,
        device=torch.device("cpu"),
        scale_fill=False,
        args=SimpleNamespace(rect=True),
        model=SimpleNamespace(format="onnx", fp16=False, stride=32, dynamic=False),
    )
    predictor.pre_transform = lambda images: BasePredictor.pre_transform(predictor, images)
    image, names = frames(1)[0], dict(enumerate(COCO80))
    cases = {"5 objects": (5, 12, 0.2, 0.25), "25 objects": (25, 12, 0.2, 0.25)}
    cases["100 objects, score 0.05"] = (100, 20, 0.04, 0.05)
    rows: dict[str, Any] = {}
    for name, (objects, doubles, noise, score) in cases.items():
        output = scene(objects, doubles, noise)
        task, tensor = Yolo(Recorded(output), score=score), torch.from_numpy(output)
        transforms = task.preprocess([image])[1]

        def theirs(tensor: Any = tensor, score: float = score) -> Any:
            found = their_nms.non_max_suppression(tensor, score, 0.45)[0]
            found[:, :4] = scale_boxes(SIZE, found[:, :4], image.shape)
            return Results(image, path="", names=names, boxes=found)  # as ours makes Detections

        kept = record_nms(their_nms.TorchNMS, theirs)

        def without_nms(theirs: Any = theirs, kept: Any = kept) -> Any:
            with patch.object(their_nms.TorchNMS, "nms", lambda *_: kept):
                return theirs()

        def ours(task: Yolo = task, output: Any = output, transforms: Any = transforms) -> Any:
            return task.postprocess({"output0": output}, transforms)[0]

        mine, other = ours(), theirs().boxes.data.numpy()
        calls = {
            "edgekit_pre": lambda task=task: task.preprocess([image]),
            "edgekit_post": ours,
            "peer_pre": lambda: BasePredictor.preprocess(predictor, [image]),
            "peer_post": theirs,
            "peer_post_nms_free": without_nms,
        }
        median = in_turns(calls, rounds, row=8)
        both = median["edgekit_pre"] + median["edgekit_post"]
        rows[name] = {
            "boxes": len(mine),
            "largest_difference_px": len(mine) == len(other)
            and float(np.abs(mine.xyxy - other[:, :4]).max(initial=0)),
            **{f"{stage}_ms": milli(seconds) for stage, seconds in median.items()},
            "ratio": round((median["peer_pre"] + median["peer_post"]) / both, 2),
            "ratio_nms_free": round((median["peer_pre"] + median["peer_post_nms_free"]) / both, 2),
        }
    with_vision = "torchvision" in sys.modules
    about = (
        f"ultralytics {ultralytics.__version__}, torch {torch.__version__}, torchvision NMS: {with_vision}"
    )
    return {"peer": about, **rows}


def start(rounds: int) -> dict[str, Any]:
    """Seconds that programs take from their start to their end."""
    programs = {
        "bare": ["-c", "import numpy, cv2"],
        "edgekit": ["-c", "import numpy, cv2, edgekit"],
        "yolo": ["-c", "import numpy, cv2, edgekit.tasks.yolo, edgekit.camera"],
        "help": ["-m", "edgekit", "--help"],
    }

    def call(arguments: list[str]) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    median = in_turns({name: call(arguments) for name, arguments in programs.items()}, rounds)
    return {
        "import_s_over_numpy_cv2": round(median["edgekit"] - median["bare"], 3),
        "import_with_yolo_and_camera_s_over": round(median["yolo"] - median["bare"], 3),
        "bare_s": round(median["bare"], 3),
        "help_s": round(median["help"], 3),
    }


def memory(model: str, count: int) -> dict[str, Any]:
    """Resident memory while `count` frames of changing sizes run through a task."""
    import psutil

    process, seen = psutil.Process(os.getpid()), []
    images = frames(8)
    images += [image[: 400 + 20 * i, : 300 + 50 * i].copy() for i, image in enumerate(images)]
    with open_yolo(model, backend="onnxruntime-cpu", score=0.01) as task:
        for n, image in enumerate(islice(cycle(images), count), 1):
            task(image)
            if n % 50 == 0:
                seen.append((n, process.memory_info().rss / 2**20))
    settled = np.array([row for row in seen if row[0] > count // 4])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return {
        "frames": count,
        "mib_after_a_quarter": round(float(settled[0, 1]), 1),
        "mib_at_the_end": round(float(settled[-1, 1]), 1),
        "mib_per_1000_frames": round(slope * 1000, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help="share, peer, start, memory (default: all)")
    parser.add_argument("--model", default="edgekit-person", help="a name of `edgekit models` or FILE.onnx")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--frames", type=int, default=2000, help="of the memory part")
    parser.add_argument("--threads", type=int, default=2, help="of OpenCV and PyTorch")
    args = parser.parse_args()
    global THREADS
    THREADS = args.threads
    cv2.setNumThreads(THREADS)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "share": lambda: share(args.model, args.rounds),
        "peer": lambda: peer(args.rounds),
        "start": lambda: start(max(5, args.rounds // 10)),
        "memory": lambda: memory(args.model, args.frames),
    }
    if unknown := set(args.parts) - set(parts):
        parser.error(f"no part {unknown.pop()!r}; there are {', '.join(parts)}")
    about = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "threads": THREADS,
    }
    print(json.dumps(about))
    for name in args.parts or parts:
        print(json.dumps({"part": name, **parts[name]()}), flush=True)


if __name__ == "__main__":
    main()
