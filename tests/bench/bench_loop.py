"""What the threaded loop gains over a serial one, and how fresh a live picture stays, within one run.

    python tests/bench/bench_loop.py                # both parts, about a minute

- throughput: `edgekit.run.run` over the same steps one after another, on the sample clip with an annotated
  video and JSON lines as sinks (aim: ≥ 1.3 × on two cores where engine and other work can overlap). Four
  engines: the network on one CPU thread, on all of them (its two threads and the other work then want the
  same cores), and as a GPU would do it, away from the CPU: for the same time, and for 20 ms. `limit` is what
  perfect overlap would give: the serial loop's time over that of its slowest stage (for an engine on the
  CPU: over its time, or over all the work shared among the cores, whichever is longer).
- latency: age of a frame when the last sink has it, with the synthetic camera at 30 FPS and the picture of
  the live view as JPEG (aim: ≤ 2 frame times + inference), also with an engine slower than the camera.

Loops run in turns, and medians are given, because other programs share the machine. Prints one JSON line a
part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edgekit.camera import open_source
from edgekit.draw import draw
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.models import find
from edgekit.run import Session, run
from edgekit.sinks import JsonLines, Video
from edgekit.tasks.yolo import Yolo

ROUNDS = 5
CORES = len(os.sched_getaffinity(0))


class Away(Yolo):
    """The network's answer is known, and comes after `seconds` that cost no CPU."""

    seconds = 0.0
    outputs: Any = None

    def infer(self, feeds: Any) -> Any:
        if self.outputs is None:
            self.outputs = {name: value.copy() for name, value in super().infer(feeds).items()}
        time.sleep(self.seconds)
        return self.outputs


def task(threads: int | None = None, kind: type[Yolo] = Yolo) -> Yolo:
    """The detector that ships, on so many CPU threads."""
    made = kind(OnnxRuntimeEngine(find("edgekit-person"), threads=threads))
    with open_source("sample") as source:
        made(next(iter(source)))  # warm
    return made


def serial(yolo: Yolo, folder: Path) -> tuple[float, float]:
    """Frames a second of the plain loop, and seconds a frame that its task takes."""
    with open_source("sample") as source:
        sinks = (JsonLines(folder / "serial.jsonl"), Video(folder / "serial.mp4", source.fps))
        begun, count, inside = time.perf_counter(), 0, 0.0
        for frame in source:
            found = yolo(frame)
            inside += sum(yolo.times.values())
            picture = draw(frame, found)
            for sink in sinks:
                sink.write(frame, found, picture)
            count += 1
        for sink in sinks:
            sink.close()
        return count / (time.perf_counter() - begun), inside / count


def threaded(yolo: Yolo, folder: Path) -> float:
    """Frames a second of the kit's loop."""
    source = open_source("sample")
    return run(source, yolo, [JsonLines(folder / "t.jsonl"), Video(folder / "t.mp4", source.fps)]).fps


def throughput() -> dict[str, Any]:
    """Ratios of the two loops."""
    one, all_threads, away, quick = task(1), task(), task(None, Away), task(None, Away)
    seconds = []
    with open_source("sample") as source:
        for frame in source:
            all_threads(frame)
            seconds.append(all_threads.times["infer"])
    away.seconds, quick.seconds = median(seconds), 0.02  # type: ignore[attr-defined]
    engines = {"one thread": (one, 1), "all threads": (all_threads, CORES)}
    engines |= {"away from the CPU": (away, 0), "away for 20 ms": (quick, 0)}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (yolo, cores) in engines.items():
            trios = [(*serial(yolo, Path(folder)), threaded(yolo, Path(folder))) for _ in range(ROUNDS)]
            whole, inside = median(1 / fps for fps, _, _ in trios), median(s for _, s, _ in trios)
            shared = (cores * inside + whole - inside) / CORES
            rows[name] = {
                "serial_fps": round(1 / whole, 1),
                "threaded_fps": round(median(fps for _, _, fps in trios), 1),
                "ratio": round(median(b / a for a, _, b in trios), 2),
                "limit": round(whole / max(inside, shared), 2),
            }
            yolo.close()
    return {"part": "throughput", **rows}


class Jpeg:
    """The live view's picture, encoded and thrown away."""

    picture_side = 640

    def __init__(self) -> None:
        self.ages: list[float] = []

    def write(self, frame: Any, result: Any, picture: Any) -> None:
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        self.ages.append(time.monotonic() - frame.captured)

    def close(self) -> None:
        """Nothing to close."""


def latency(fps: float = 30.0) -> dict[str, Any]:
    """Milliseconds from capture to the encoded picture, and the bound of two frame times + inference."""
    rows: dict[str, Any] = {}
    for name, seconds in {"engine of 10 ms": 0.01, "engine of 80 ms, slower than the camera": 0.08}.items():
        yolo, sink = task(None, Away), Jpeg()
        yolo.seconds = seconds  # type: ignore[attr-defined]
        with Session(lambda: open_source("synthetic", fps=fps), yolo, [sink]).start() as session:
            time.sleep(6)
            session.stop()
        stages = session.join().stages
        infer = sum(stages[stage]["median_ms"] for stage in ("pre", "infer", "post"))
        ages = np.array(sink.ages[10:]) * 1e3
        rows[name] = {
            "median_ms": round(float(np.median(ages)), 1),
            "p95_ms": round(float(np.percentile(ages, 95)), 1),
            "bound_ms": round(2e3 / fps + infer, 1),
            "frames": len(ages),
            "dropped": session.stats().dropped,
        }
        yolo.close()
    return {"part": "latency", **rows}


def main() -> None:
    """Run the parts that are named, or all."""
    parts = {"throughput": throughput, "latency": latency}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    args = parser.parse_args()
    about = {
        "date": date.today().isoformat(),
        "cpu": platform.machine(),
        "cores": CORES,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
    }
    print(json.dumps({"part": "about", **about}))
    for name in args.parts or parts:
        print(json.dumps(parts[name](), ensure_ascii=False))


if __name__ == "__main__":
    main()
