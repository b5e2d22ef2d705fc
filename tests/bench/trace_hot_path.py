"""What crosses between host and GPU for each frame, by CUDA's own trace.

    python tests/bench/trace_hot_path.py [--size 1920x1080] [--out FOLDER]

Runs each pipeline (ONNX Runtime on CUDA) with the steps around the network on the host and on the GPU, and
records every copy and kernel by CUPTI, through PyTorch's profiler. Prints, for a frame, the copies with their
bytes, this kit's kernels by name and the number of others between them, in the order in which the GPU did
them: between the network's kernels and ours after it there must be no copy to the host. Needs an NVIDIA GPU,
PyTorch, pycuda, nvcc, onnxruntime-gpu.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch
from gpu_tasks import about, openers, read_frames

from edgekit.results import Frame

WARM, SEEN = 60, 8
SOURCES = (Path(__file__).parents[2] / "edgekit" / "ops").glob("*.cu")
OURS = {
    name
    for source in SOURCES
    for name in re.findall(r"__global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)", source.read_text())
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--precision", default="fp16")
    parser.add_argument("--tasks", nargs="+", default=[])
    parser.add_argument("--still", action="store_true", help="one picture again and again: as many people")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    wide, high = map(int, args.size.split("x"))
    frames = read_frames(WARM + SEEN, (wide, high))
    if args.still:
        frames = [frames[-1]] * len(frames)
    print(json.dumps(about()))
    for name, opener in openers().items():
        if args.tasks and name not in args.tasks:
            continue
        for ops in ("host", "cuda"):
            try:
                with opener(args.precision, "onnxruntime-cuda", ops=ops) as task:
                    events = trace(task, frames, args.out and args.out / f"{name}-{ops}.json")
            except Exception:
                print(f"\n## {name}, ops={ops}: {traceback.format_exc()}", flush=True)
                continue
            print(
                f"\n## {name}, ops={ops}, {args.size}, {args.precision}; of {SEEN} frames, a frame:",
                flush=True,
            )
            for line in summary(events):
                print(line)


def trace(task: Any, frames: list[Any], keep: Path | None) -> list[dict[str, Any]]:
    """Copies, fills and kernels of the last frames, in time's order."""
    for index, image in enumerate(frames[:WARM]):
        task(Frame(image, index=index, t=index / 25))
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for index, image in enumerate(frames[WARM:], WARM):
            task(Frame(image, index=index, t=index / 25))
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        found = json.loads(path.read_text())["traceEvents"]
        if keep:
            keep.parent.mkdir(parents=True, exist_ok=True)
            keep.write_bytes(path.read_bytes())
    kept = [event for event in found if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    return sorted(kept, key=lambda event: event["ts"])


def summary(events: list[dict[str, Any]]) -> list[str]:
    """The order of things for the last frame, and the means of all."""
    words: list[str] = []
    copies: dict[str, list[int]] = {"HtoD": [], "DtoH": [], "DtoD": []}
    for event in events:
        if event["cat"] == "gpu_memcpy":
            kind = re.search(r"(HtoD|DtoH|DtoD)", event["name"])
            bytes_ = int(event["args"].get("bytes", 0))
            if kind:
                copies[kind.group(1)].append(bytes_)
            words.append(f"[{kind.group(1) if kind else event['name']} {bytes_:,} B]")
        elif event["cat"] == "kernel":
            name = re.match(r"(?:void )?([\w:]*)", event["name"]).group(1)  # type: ignore[union-attr]
            own = name if name in OURS else "·"
            if own == "·" and words and words[-1].startswith("·"):
                words[-1] = f"·{int(words[-1][1:]) + 1}"
            else:
                words.append("·1" if own == "·" else own)
    means = ", ".join(
        f"{kind} {len(sizes) / SEEN:.1f} × ({sum(sizes) / SEEN:,.0f} B)"
        for kind, sizes in copies.items()
        if sizes
    )
    starts = [n for n, word in enumerate(words) if word.startswith("[HtoD")]
    big = [n for n in starts if int(re.sub(r"[^0-9]", "", words[n])) > 100_000] or starts or [0]
    lines = [f"copies: {means}", "order (·n: n other kernels): " + " ".join(words[big[-1] :])[:1500]]
    return lines


if __name__ == "__main__":
    main()
