"""What TrtPose's decoding costs: against the number of people, step by step, against its peer, on a GPU.

    python tests/bench/bench_trtpose.py                          # growth and input, half a minute
    python tests/bench/bench_trtpose.py growth --peer PLUGINS.so
    python tests/bench/bench_trtpose.py cuda                     # on a machine with an NVIDIA GPU

- growth: milliseconds of `parse_objects` on maps of 56×56 with noise, for more and more people, and of each
  step. With `--peer` also those of trt_pose's own C++ and whether it finds the same: the file that
  `python setup.py build_ext --inplace` makes of NVIDIA-AI-IOT/trt_pose (aim: at most 1 ms more for 10 people,
  and growing no faster). It wants PyTorch, whose tensors it takes; they are made before the clock starts.
- input: milliseconds of the preprocessing of a 1280×720 frame to 224×224, both ways.
- cuda: the same decoding with peaks and scores of limbs on the GPU.

What is compared runs in turns, on one thread, and medians of its CPU time are given (of real time where a GPU
works), because other programs share the machine. Prints one JSON line a part.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).parents[1]))
from drawn_people import draw_maps, standing

from edgekit.ops.connect import assign, connect_parts, keypoints_of, parse_objects
from edgekit.ops.paf import score_links
from edgekit.ops.peaks import find_peaks, refine_peaks
from edgekit.tasks.trtpose_input import FITS, PoseInput
from edgekit.topology import HUMAN18

SIZE = (56, 56)
NOISE = 0.02
LINKS = HUMAN18.links


def in_turns(
    calls: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, float]:
    """Median milliseconds of each call, the first three rounds left out."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            start = clock()
            call()
            if turn >= 3:
                times[name].append(clock() - start)
    return {name: round(float(np.median(seconds)) * 1e3, 3) for name, seconds in times.items()}


class Peer:
    """trt_pose's compiled plugins, called as its ParseObjects calls them."""

    def __init__(self, path: Path) -> None:
        import torch

        torch.set_num_threads(1)
        spec = importlib.util.spec_from_file_location("plugins", path)
        assert spec is not None
        assert spec.loader is not None
        self.torch, self.plugins = torch, importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.plugins)
        self.links = torch.tensor(LINKS.tolist()).int()

    def tensors(self, *maps: np.ndarray) -> list[Any]:
        return [self.torch.from_numpy(one)[None] for one in maps]

    def __call__(self, cmap: Any, paf: Any) -> tuple[Any, ...]:
        counts, peaks = self.plugins.find_peaks(cmap, 0.1, 5, 100)
        refined = self.plugins.refine_peaks(counts, peaks, cmap, 5)
        scores = self.plugins.paf_score_graph(paf, self.links, counts, refined, 7)
        joined = self.plugins.assignment(scores, self.links, counts, 0.1)
        people, objects = self.plugins.connect_parts(joined, self.links, counts, 100)
        return people, objects, refined

    def keypoints(self, cmap: Any, paf: Any) -> np.ndarray:
        """[N, K, 3] as `parse_objects`, with 1 as the score of what is found."""
        people, objects, refined = (one[0].numpy() for one in self(cmap, paf))
        found = np.zeros((int(people), objects.shape[1], 3), np.float32)
        for n, k in zip(*np.nonzero(objects[: int(people)] >= 0), strict=True):
            y, x = refined[k, objects[n, k]]
            found[n, k] = x, y, 1
        return found


def growth(people: list[int], rounds: int, peer: Peer | None) -> dict[str, Any]:
    """Milliseconds by number of people, and of the steps."""
    rows: dict[str, Any] = {}
    for count in people:
        cmap, paf = draw_maps(standing(count, SIZE, seed=count), SIZE, noise=NOISE, seed=count)
        peaks = find_peaks(cmap)
        refined = refine_peaks(cmap, peaks)
        scores = score_links(paf, LINKS, peaks, refined)
        pairs = assign(scores, LINKS, peaks)
        persons = connect_parts(pairs, peaks)
        found = keypoints_of(persons, peaks, refined)
        calls: dict[str, Callable[[], Any]] = {"ms": lambda c=cmap, p=paf: parse_objects(c, p, HUMAN18)}
        row: dict[str, Any] = {"peaks": len(peaks), "limbs": sum(one.size for one in scores)}
        if peer is not None:
            tensors = peer.tensors(cmap, paf)
            calls["peer_ms"] = lambda t=tensors: peer(*t)
            theirs = peer.keypoints(*tensors)
            same = theirs.shape == found.shape and bool(
                (theirs[:, :, :2] == found[:, :, :2]).all()
                and ((found[:, :, 2] > 0) == theirs[:, :, 2]).all()
            )
            row["same_as_peer"] = same
        row |= in_turns(calls, rounds)
        if peer is not None:
            row["more_ms"] = round(row["ms"] - row["peer_ms"], 3)
        row["steps"] = in_turns(
            {
                "find": lambda c=cmap: find_peaks(c),
                "refine": lambda c=cmap, k=peaks: refine_peaks(c, k),
                "score": lambda p=paf, k=peaks, r=refined: score_links(p, LINKS, k, r),
                "assign": lambda s=scores, k=peaks: assign(s, LINKS, k),
                "connect": lambda s=pairs, k=peaks: connect_parts(s, k),
            },
            rounds,
        )
        rows[str(count)] = row
    return rows


def entry(rounds: int) -> dict[str, Any]:
    """Milliseconds of the preprocessing, ours and written plainly."""
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)

    def plain() -> np.ndarray:
        small = cv2.cvtColor(cv2.resize(image, (224, 224)), cv2.COLOR_BGR2RGB)
        return np.ascontiguousarray(((small.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None])

    ours = {fit: PoseInput((224, 224), fit) for fit in FITS}
    return in_turns(
        {"plain": plain, **{fit: lambda f=fill: f([image]) for fit, fill in ours.items()}}, rounds
    )


def on_gpu(people: list[int], rounds: int) -> dict[str, Any]:
    """Milliseconds by number of people, on the CPU and on the GPU, where the maps lie, way back included."""
    from edgekit.engine.cuda import Buffer
    from edgekit.engine.gpu_thread import GpuThread, acquire
    from edgekit.engine.resident import Tenant
    from edgekit.ops.paf_cuda import CudaParser, Found, people_of

    class Maps:
        def __init__(self, gpu: GpuThread) -> None:
            self.gpu, self.buffers = gpu, [Buffer(gpu), Buffer(gpu)]
            self.parser = CudaParser(gpu, LINKS)

        def put(self, *maps: np.ndarray) -> None:
            pairs = zip(self.buffers, maps, strict=True)
            self.arrays = [buffer.put(one[None], self.gpu.stream) for buffer, one in pairs]

        def decode(self) -> Found:
            self.parser.enqueue(*self.arrays)
            self.gpu.stream.synchronize()
            return self.parser.found()

        def free(self) -> None:
            for one in (*self.buffers, self.parser):
                one.free()

    gpu = acquire()
    rows: dict[str, Any] = {"device": gpu.name}
    held = Tenant(gpu, Maps)
    for count in people:
        cmap, paf = draw_maps(standing(count, SIZE, seed=count), SIZE, noise=NOISE, seed=count)
        held.call(held.held.put, cmap, paf)
        calls = {
            "numpy_ms": lambda c=cmap, p=paf: parse_objects(c, p, HUMAN18),
            "cuda_ms": lambda: people_of(held.call(held.held.decode), LINKS),
            "cuda_scores_ms": lambda: held.call(held.held.decode),
        }
        same = bool((calls["numpy_ms"]() == calls["cuda_ms"]()).all())
        rows[str(count)] = {"same": same, **in_turns(calls, rounds, time.perf_counter)}
    held.close()
    gpu.release()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help="growth, input, cuda (default: the first two)")
    parser.add_argument("--people", type=int, nargs="+", default=[0, 1, 5, 10, 20, 30, 50])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--peer", type=Path, help="trt_pose's compiled plugins, a .so")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    peer = None if args.peer is None else Peer(args.peer)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "growth": lambda: growth(args.people, args.rounds, peer),
        "input": lambda: entry(args.rounds),
        "cuda": lambda: on_gpu(args.people, args.rounds),
    }
    if unknown := set(args.parts) - set(parts):
        parser.error(f"no part {unknown.pop()!r}; there are {', '.join(parts)}")
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "opencv": cv2.__version__}
    print(json.dumps({"date": date.today().isoformat(), "python": platform.python_version(), **versions}))
    for name in args.parts or ("growth", "input"):
        print(json.dumps({"part": name, **parts[name]()}), flush=True)


if __name__ == "__main__":
    main()
