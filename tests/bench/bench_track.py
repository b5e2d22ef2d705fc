"""How often a second the trackers take a frame: 15 and 200 people, this machine, one thread.

    OMP_NUM_THREADS=1 python tests/bench/bench_track.py [--frames 200]

Made boxes that walk on, with noise and misses; DeepSORT with the colour histogram of a picture of noise.
Where Roboflow's `trackers` is importable its ByteTrack is measured on the same boxes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from edgekit.results import Detections, Frame
from edgekit.tracking import ByteTrack, DeepSort

SIZE = (1080, 1920)
Update = Callable[[Detections, Frame], object]


def walk(people: int, frames: int) -> list[Detections]:
    """Boxes of people on a grid, each with a pace of its own, 5 % missed."""
    random = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(people * 2)))
    cell = np.array([SIZE[1] / columns, SIZE[0] / np.ceil(people / columns)])
    start = np.stack(np.divmod(np.arange(people), columns)[::-1], 1) * cell
    pace, side = random.uniform(-2, 2, (people, 2)), cell * (0.3, 0.8)
    found = []
    for now in range(frames):
        low = start + pace * (now % 40) + random.normal(0, 0.5, (people, 2))
        seen = random.uniform(size=people) > 0.05
        boxes = np.concatenate([low, low + side], 1)[seen]
        found.append(Detections(boxes, random.uniform(0.3, 0.95, len(boxes)), np.zeros(len(boxes), int)))
    return found


def hertz(updates: dict[str, Update], found: list[Detections], image: np.ndarray) -> dict[str, float]:
    """Frames a second of each: its median frame after ten, in turns, since others share the machine."""
    took: dict[str, list[float]] = {name: [] for name in updates}
    for now, one in enumerate(found):
        frame = Frame(image, now)
        for name, update in updates.items():
            start = time.perf_counter()
            update(one, frame)
            took[name].append(time.perf_counter() - start)
    return {name: 1 / statistics.median(times[10:]) for name, times in took.items()}


def roboflow() -> Update | None:
    """ByteTrack of Roboflow's `trackers`, or None where that is not here."""
    try:
        from trackers import ByteTrackTracker
    except ImportError:
        return None
    tracker = ByteTrackTracker()
    return lambda found, frame: tracker.update(found.to_supervision())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    frames = parser.parse_args().frames
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    print(f"{'people':>6}  {'tracker':<24}{'Hz':>8}")
    for people in (15, 200):
        updates: dict[str, Update] = {
            "ByteTrack": ByteTrack().update,
            "DeepSORT, histogram": DeepSort().update,
        }
        other = roboflow()
        if other is not None:
            updates["ByteTrack of trackers"] = other
        rates = hertz(updates, walk(people, frames), image)
        if other is not None:
            rates["ours / theirs"] = rates["ByteTrack"] / rates["ByteTrack of trackers"]
        for name, rate in rates.items():
            print(f"{people:>6}  {name:<24}{rate:>8.{2 if '/' in name else 0}f}")


if __name__ == "__main__":
    main()
