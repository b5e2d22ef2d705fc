"""What sliding over a folder of pictures costs, beside reading every window's pictures anew.

    python tests/bench/bench_action.py                          # 300 pictures, 32 × 224 × 224, no network
    python tests/bench/bench_action.py --model FILE.onnx        # and with a network of TAO's form
    python tests/bench/bench_action.py --peer CHECKOUT          # NVIDIA's own functions for the plain way
    python tests/bench/bench_action.py --resize                 # grey levels between ways to make smaller

NVIDIA's stand-alone sample (github.com/NVIDIA-AI-IOT/tao_toolkit_recipes, tao_action_recognition/
tensorrt_inference/ar_trt_inference.py) slides over a folder by one picture at a time, and for each window
lists the folder, reads, resizes and normalises all 32 pictures. `plain` does the same things in the same
order with the same library (Pillow); with --peer CHECKOUT, a checkout of that repository, the sample's own
`sample_patch`, `load_images` and `get_prob` run. `own` is the kit: `open_source` and `ActionRecognition`.
Both see the same pictures: frames of the sample clip as PNG files. Both ways give every window to the same
engine; without --model to one that answers nothing, so that only the work around the network is left. The
inputs of the network, and with --model its logits, must agree; the greatest difference is in the row.

Other programs share the machine: the two ways run in turns, and the row has each one's least time of all
turns, by the clock and of the processor (`cpu`, of all threads). Prints one JSON line.

22 November 2026, two x86-64 cores at 2.5 GHz shared with other programs, OMP_NUM_THREADS=1, Python 3.11.7,
NumPy 2.4.6, OpenCV 5.0.0, Pillow 13.0.0, ONNX Runtime 1.31.1 (CPU), PNG of 320×240:
- 300 pictures, 269 windows, --peer: 27 times less processor time without the network, 45 times less by the
  clock (748 → 17 ms a window); the network's inputs are equal, bit for bit.
- 60 pictures, ResNet-18 2d with random weights: 17 times without the network (the 31 pictures before the
  first window count), 2.0 in all, of which the network takes 640 ms a window; logits equal.
- 36 pictures, ResNet-18 3d: 1.16 in all, since the network takes 5.5 s a window there; logits equal.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from edgekit.camera import open_source
from edgekit.engine import Engine, TensorSpec, open_engine
from edgekit.limits import usable_cores
from edgekit.ops.resize import resize
from edgekit.tasks.action import ActionRecognition
from edgekit.tasks.action_nets import Net

LENGTH, SIDE = 32, 224


def clocks() -> NDArray[np.float64]:
    """Seconds by the clock, and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


class Keeper:
    """Hands on to an engine, or answers zeros; every so many-th window and its answer are kept."""

    backend, precision, device, why = "made", "fp32", "here", "for a measurement"

    def __init__(self, engine: Engine | None, every: int = 50) -> None:
        kind = np.dtype(np.float32)
        self.inputs = (TensorSpec("input_rgb", (1, 3, LENGTH, SIDE, SIDE), kind),)
        self.outputs = (TensorSpec("fc_pred", (1, 5), kind),)
        self.metadata: dict[str, str] = {}
        if engine is not None:
            self.inputs, self.outputs, self.metadata = engine.inputs, engine.outputs, engine.metadata
        self.engine, self.every, self.times = engine, every, {}
        self.calls, self.seconds = 0, np.zeros(2)
        self.kept: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        start = clocks()
        name = self.outputs[0].name
        answer = {name: np.zeros((1, 5), np.float32)} if self.engine is None else self.engine(feeds)
        self.seconds += clocks() - start
        if self.calls % self.every == 0:
            clip = next(iter(feeds.values()))
            self.kept.append((clip.reshape(-1).copy(), np.array(answer[name])))
        self.calls += 1
        return answer

    def close(self) -> None:
        """Nothing is held open; the engine is the caller's."""


def folder_of(path: Path, count: int, size: tuple[int, int]) -> Path:
    """So many frames of the sample clip as PNG, over and over where it is shorter."""
    with open_source("sample") as source:
        frames = [cv2.resize(frame.image, size) for frame in islice(source, count)]
    for number in range(count):
        cv2.imwrite(str(path / f"{number:06d}.png"), frames[number % len(frames)])
    return path


def plain_windows(folder: Path) -> Iterator[NDArray[np.int64]]:
    count = len(list(folder.iterdir()))
    for start in range(max(1, count - LENGTH + 1)):
        yield (start + np.arange(LENGTH)) % count


def plain_clip(numbers: NDArray[np.int64], folder: Path, flat: bool) -> NDArray[np.float32]:
    paths = sorted(folder.iterdir())
    pictures = []
    for number in numbers:
        picture = Image.open(paths[number])
        pictures.append(np.array(picture.resize((SIDE, SIDE), resample=Image.Resampling.BILINEAR)))
    clip = ((np.array(pictures, dtype=np.float32) / 255.0) - 0.5) / 0.5
    clip = np.transpose(clip, (3, 0, 1, 2))
    return clip.reshape(3 * LENGTH, SIDE, SIDE) if flat else clip


def plain_best(logits: NDArray) -> tuple[int, float]:
    shares = np.exp(logits - logits.max())
    return int(logits.argmax()), float(shares.max() / shares.sum())


def plain(folder: Path, engine: Keeper, net: Net) -> list[tuple[int, float]]:
    stream, found = net.streams["rgb"], []
    for numbers in plain_windows(folder):
        clip = np.ascontiguousarray(plain_clip(numbers, folder, stream.flat)[np.newaxis])
        found.append(plain_best(np.squeeze(engine({stream.name: clip})[engine.outputs[0].name])))
    return found


def peer(checkout: Path) -> Callable[[Path, Keeper, Net], list[tuple[int, float]]]:
    """The sample's own functions; its engine, which wants TensorRT and a GPU, is not loaded."""
    path = checkout / "tao_action_recognition" / "tensorrt_inference" / "ar_trt_inference.py"
    stub: Any = types.ModuleType("trt_inference")
    stub.allocate_buffers = stub.do_inference = stub.load_tensorrt_engine = None
    sys.modules["trt_inference"] = stub
    spec = importlib.util.spec_from_file_location("ar_trt_inference", path)
    assert spec is not None
    assert spec.loader is not None
    theirs: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)

    def run(folder: Path, engine: Keeper, net: Net) -> list[tuple[int, float]]:
        stream, found = net.streams["rgb"], []
        theirs.INPUT_2D = stream.flat
        for numbers in theirs.sample_patch(str(folder)):
            clip = np.ascontiguousarray(theirs.load_images(numbers, str(folder))[np.newaxis])
            logits = np.squeeze(engine({stream.name: clip})[engine.outputs[0].name])
            found.append((int(logits.argmax()), float(theirs.get_prob(logits))))
        return found

    return run


def own(folder: Path, engine: Keeper) -> tuple[list[tuple[int, float]], dict[str, float]]:
    found, parts = [], dict.fromkeys(("decode", "buffer"), 0.0)
    # the sample's arithmetic, whatever the model notes
    task: Any = ActionRecognition(engine, stride=1, threshold=0.0, mean=0.5, std=0.5)  # type: ignore[arg-type]
    with task, open_source(folder) as source:
        before = time.perf_counter()
        for frame in source:
            parts["decode"] += time.perf_counter() - before
            actions = task(frame)
            parts["buffer"] += task.parts["buffer"]
            if actions.frames:
                best = int(actions.scores[0].argmax())
                found.append((best, float(actions.scores[0, best])))
            before = time.perf_counter()
    return found, parts


def resizing(size: tuple[int, int]) -> dict[str, Any]:
    """Grey levels from Pillow's filter at 224×224: mean, and what 99 % stay within; milliseconds."""
    with open_source("sample-picture") as source:
        picture = cv2.resize(next(iter(source)).image, size, interpolation=cv2.INTER_CUBIC)
    exact = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    ways: dict[str, Callable[[], NDArray]] = {
        "kit": lambda: resize(picture, (SIDE, SIDE)),
        "INTER_AREA": lambda: cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
        "INTER_LINEAR": lambda: cv2.resize(picture, (SIDE, SIDE)),
    }
    row: dict[str, Any] = {"picture": f"{size[0]}x{size[1]}"}
    for name, way in ways.items():
        apart = np.abs(np.asarray(exact, np.int16) - way())
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            way()
            taken.append(time.perf_counter() - start)
        within = float(np.percentile(apart, 99))
        mean, least = round(float(apart.mean()), 2), round(1e3 * min(taken), 2)
        row[name] = {"mean": mean, "within": within, "ms": least}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="320x240", help="of the pictures, WIDTHxHEIGHT")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", type=Path, help="ONNX: rgb, 32 frames of 224×224, 2d or 3d")
    parser.add_argument("--backend", default="onnxruntime-cpu")
    parser.add_argument("--peer", type=Path, help="a checkout of tao_toolkit_recipes")
    parser.add_argument("--resize", action="store_true", help="only compare ways to make pictures smaller")
    args = parser.parse_args()
    if args.resize:
        for size in ((320, 240), (640, 480), (1280, 720), (1920, 1080)):
            print(json.dumps(resizing(size)))
        return
    width, height = map(int, args.size.split("x"))
    engine = None if args.model is None else open_engine(args.model, "fp32", args.backend)
    net = Net(Keeper(engine))  # type: ignore[arg-type]
    stream = net.streams["rgb"]
    if (stream.length, stream.size) != (LENGTH, (SIDE, SIDE)):
        sys.exit(
            f"{args.model} sees {stream.length} frames of {stream.size}; NVIDIA's sample {LENGTH} of {SIDE}."
        )
    theirs = plain if args.peer is None else peer(args.peer)
    times: dict[str, list[NDArray]] = {"plain": [], "own": []}
    network: dict[str, list[NDArray]] = {"plain": [], "own": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = folder_of(Path(scratch), args.frames, (width, height))
        for _ in range(args.turns):
            for way in times:
                keeper = Keeper(engine)
                start = clocks()
                if way == "plain":
                    expected, reference = theirs(folder, keeper, net), keeper
                else:
                    (found, parts), kept = own(folder, keeper), keeper
                whole = clocks() - start
                network[way].append(keeper.seconds)
                times[way].append(whole - keeper.seconds)
    pairs = list(zip(reference.kept, kept.kept, strict=True))
    windows = kept.calls
    least, cpu = ({way: float(min(one[c] for one in rows)) for way, rows in times.items()} for c in (0, 1))
    row: dict[str, Any] = {
        "pictures": f"{args.frames} PNG {args.size}",
        "windows": windows,
        "plain_ms_a_window": round(1e3 * least["plain"] / windows, 2),
        "own_ms_a_window": round(1e3 * least["own"] / windows, 2),
        "own_parts_ms": {name: round(1e3 * value / args.frames, 2) for name, value in parts.items()},
        "ratio_without_network": round(least["plain"] / least["own"], 1),
        "cpu_ratio_without_network": round(cpu["plain"] / cpu["own"], 1),
        "inputs_differ": float(max(np.abs(a[0] - b[0]).max() for a, b in pairs)),
        "same_class": sum(a[0] == b[0] for a, b in zip(expected, found, strict=True)),
    }
    if engine is not None:
        asked = {way: float(min(one[0] for one in network[way])) for way in times}
        both = {way: asked[way] + least[way] for way in times}
        row |= {
            "model": args.model.name,
            "network_ms_a_window": round(1e3 * asked["own"] / windows, 1),
            "ratio_in_all": round(both["plain"] / both["own"], 2),
            "logits_differ": float(max(np.abs(a[1] - b[1]).max() for a, b in pairs)),
            "probabilities_differ": max(abs(a[1] - b[1]) for a, b in zip(expected, found, strict=True)),
        }
        engine.close()
    versions = {"numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}
    where = {"cores": usable_cores(), "python": platform.python_version(), "machine": platform.machine()}
    row["plain"] = "NVIDIA's functions" if args.peer else "rewritten"
    print(json.dumps({**row, **where, **versions, "date": str(date.today())}))


if __name__ == "__main__":
    main()
