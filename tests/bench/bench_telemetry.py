"""What sampling costs, and how quickly a long log opens.

    python tests/bench/bench_telemetry.py                    # all parts, about four minutes
    python tests/bench/bench_telemetry.py cost --seconds 60
    python tests/bench/bench_telemetry.py fps --rounds 40

- cost: CPU time of each sampler that works here, at 2 Hz and written to a log, as a share of one core (aim:
  < 1 %). `sysfs` reads an emulated board's files, as it would read a real one's; `emulated` also computes
  and writes them. `nothing` is the same process without a sampler: its own noise.
- jtop: the same for jtop, with its client process, over the real service of an emulated board; needs
  jetson-stats in $EDGEKIT_JETSON_STATS, as ./setup/test.sh leaves it.
- fps: frames a second of the detector that ships, with and without sampling at 2 Hz, in turns within one run
  (aim: < 1 % less). The loss is given with its 95 % interval over the pairs of turns; and so is what a frame
  costs more in CPU time, which other programs on the machine disturb less.
- open: a log of 10 hours at 2 Hz, 72 000 samples of an Orin Nano's size in six parts, opened as columns (aim:
  < 2 s); the best and the median of ten.

Prints one JSON line a part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import psutil

from edgekit.camera import open_source
from edgekit.engine.onnxruntime import OnnxRuntimeEngine
from edgekit.errors import EdgekitError
from edgekit.models import find
from edgekit.tasks.yolo import Yolo
from edgekit.telemetry.boards import BOARDS, BoardTree
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.log import LogWriter, read_log
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import Sampler

INTERVAL_S = 0.5
TEN_HOURS = 72_000


def say(part: str, **figures: Any) -> None:
    """One JSON line."""
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    row = {"part": part, "date": str(date.today()), "machine": machine, **figures}
    print(json.dumps(row, ensure_ascii=False), flush=True)


def cpu_seconds(others: Sequence[psutil.Process] = ()) -> float:
    """CPU time of this process and of those it runs, `others` left out."""
    spent = time.process_time()
    for child in psutil.Process().children():
        if child not in others:
            for process in (child, *child.children(recursive=True)):
                times = process.cpu_times()
                spent += times.user + times.system
    return spent


@contextmanager
def jtop_service(version: str) -> Iterator[Path]:
    """The real service of that jetson-stats over an emulated board, as the tests run it; the board's root."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "telemetry"))
    from jtop_service import Machine

    from edgekit.telemetry import jtop

    machine = Machine(Path(tempfile.mkdtemp(prefix="edgekit-jtop-")), "orin-nano")
    before = jtop.interpreters
    try:
        machine.start(version)
        jtop.interpreters = lambda: [machine.python(version)]
        yield machine.top
    finally:
        jtop.interpreters = before
        machine.close()


def openers(folder: Path, interval: float = INTERVAL_S) -> dict[str, Callable[[], Sampler]]:
    """How each sampler is opened."""
    tree = folder / "board"
    tree.mkdir()
    BoardTree(tree, BOARDS["orin-nano"])
    return {
        "sysfs": lambda: open_sampler("sysfs", interval, root=tree),
        "nvml": lambda: open_sampler("nvml", interval),
        "host": lambda: open_sampler("host", interval),
        "none": lambda: open_sampler("none", interval),
        "emulated": lambda: open_sampler("emulated:orin-nano", interval),
    }


def cost(seconds: float) -> None:
    """CPU time of each sampler."""
    time.sleep(2)  # what was imported settles
    with tempfile.TemporaryDirectory() as folder:
        start, begun = time.perf_counter(), cpu_seconds()
        time.sleep(seconds)
        share = (cpu_seconds() - begun) / (time.perf_counter() - start)
        say("cost", sampler="nothing", percent_of_a_core=round(100 * share, 3))
        for name, opener in openers(Path(folder)).items():
            cost_of(name, opener, Path(folder), seconds)


def jtop_cost(seconds: float) -> None:
    """CPU time of jtop's sampler with its client, by version."""
    with tempfile.TemporaryDirectory() as folder:
        for version in ("4.3.2", "7.2.2"):
            try:
                with jtop_service(version) as top:
                    opener = partial(open_sampler, "jtop", INTERVAL_S, root=top)
                    cost_of(f"jtop {version}", opener, Path(folder), seconds)
            except (AssertionError, OSError) as error:
                say("cost", sampler=f"jtop {version}", not_here=str(error))


def cost_of(name: str, opener: Callable[[], Sampler], folder: Path, seconds: float) -> None:
    """CPU time of one; with jtop's client process, without jtop's service, which runs anyhow."""
    others = psutil.Process().children()
    try:
        sampler = opener()
    except EdgekitError as error:
        say("cost", sampler=name, not_here=str(error))
        return
    with LogWriter(folder / f"{name}.jsonl", interval_s=INTERVAL_S, source=name) as log, sampler:
        sampler.add(log.write)
        sampler.wait(4, timeout=20)
        count, start, begun = sampler.count, time.perf_counter(), cpu_seconds(others)
        time.sleep(seconds)
        spent, took = cpu_seconds(others) - begun, time.perf_counter() - start
        samples = sampler.count - count
    say(
        "cost",
        sampler=name,
        percent_of_a_core=round(100 * spent / took, 3),
        ms_a_sample=round(1e3 * spent / max(samples, 1), 3),
        samples=samples,
        seconds=round(took, 1),
    )


def fps(rounds: int, seconds: float, threads: int | None, interval: float) -> None:
    """The detector with and without sampling, in turns whose order changes."""
    with open_source("sample-picture") as source:
        frame = next(iter(source))
    model = Yolo(OnnxRuntimeEngine(find("edgekit-person"), threads=threads))
    with tempfile.TemporaryDirectory() as folder, model as task:
        opener = openers(Path(folder), interval)["sysfs"]

        def turn() -> tuple[float, float]:
            """Frames a second, and CPU seconds a frame."""
            count, start, begun = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - start < seconds:
                task(frame)
                count += 1
            return count / (time.perf_counter() - start), (time.process_time() - begun) / count

        def sampled(number: int) -> tuple[float, float]:
            path = Path(folder) / f"{number}.jsonl"
            with LogWriter(path, interval_s=interval, source="sysfs") as log, opener() as sampler:
                sampler.add(log.write)
                return turn()

        turn()
        bare, watched = [], []
        for number in range(rounds):
            if number % 2:
                bare.append(turn())
                watched.append(sampled(number))
            else:
                watched.append(sampled(number))
                bare.append(turn())
    losses = [100 * (one[0] - other[0]) / one[0] for one, other in zip(bare, watched, strict=True)]
    dearer = [100 * (other[1] - one[1]) / one[1] for one, other in zip(bare, watched, strict=True)]
    say(
        "fps",
        without=round(median(f for f, _ in bare), 2),
        with_sampling=round(median(f for f, _ in watched), 2),
        loss_percent=round(mean(losses), 2),
        plus_minus=round(half_interval(losses), 2),
        more_cpu_a_frame_percent=round(mean(dearer), 2),
        cpu_plus_minus=round(half_interval(dearer), 2),
        threads=threads or "all",
        turns=rounds,
        seconds_a_turn=seconds,
        samples_a_second=round(1 / interval, 1),
    )


def half_interval(values: list[float]) -> float:
    """Half the 95 % interval of the mean."""
    return 1.96 * stdev(values) / len(values) ** 0.5


ZONES = ("cpu", "gpu", "soc0", "soc1", "soc2", "tj")
RAILS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")


def ten_hours(path: Path) -> None:
    """A log of what an Orin Nano gives by jtop, in parts of 8 MB."""
    dice = random.Random(1)
    start = boot_clock()
    with LogWriter(path, interval_s=INTERVAL_S, source="jtop 4.3.2", max_bytes=8_000_000, keep=99) as log:
        for i in range(TEN_HOURS):
            log.write(
                Sample(
                    start + i * INTERVAL_S,
                    wall_iso(),
                    "jtop 4.3.2",
                    seq=i,
                    power_total_mw=dice.randint(4000, 15000),
                    power_total_name="VDD_IN",
                    power_total_kind="input",
                    rails_mw={n: dice.randint(100, 9000) for n in RAILS},
                    temps_c={
                        n: dice.randint(160, 400) / 4 for n in ("cpu", "gpu", "soc0", "soc1", "soc2", "tj")
                    },
                    gpu_load_pct=dice.randint(0, 1000) / 10,
                    gpu_freq_khz=624_750,
                    cpu_load_pct=dice.randint(0, 1000) / 10,
                    ram_used_kb=dice.randint(2_000_000, 6_000_000),
                    fan_pct=30.2,
                    power_mode="15W",
                    jetson_clocks=False,
                    oc_events={"oc1": 0, "oc2": 0, "oc3": 0},
                    age_s=dice.randint(0, 100) / 1e4,
                    missing={"energy_mj": "these meters count no energy"},
                )
            )


def opening() -> None:
    """Time of `read_log`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        start = time.perf_counter()
        ten_hours(path)
        wrote = time.perf_counter() - start
        files = list(Path(folder).iterdir())
        times, spent = [], []
        for _ in range(10):
            start, begun = time.perf_counter(), time.process_time()
            log = read_log(path)
            times.append(time.perf_counter() - start)
            spent.append(time.process_time() - begun)
            assert len(log) == TEN_HOURS
        say(
            "open",
            samples=TEN_HOURS,
            parts=len(files),
            megabytes=round(sum(file.stat().st_size for file in files) / 1e6, 1),
            best_s=round(min(times), 2),
            median_s=round(median(times), 2),
            cpu_best_s=round(min(spent), 2),
            us_to_write_a_sample=round(1e6 * wrote / TEN_HOURS, 1),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = ["open", "cost", "jtop", "fps"]
    parser.add_argument("parts", nargs="*", default=everything, help=", ".join(everything))
    parser.add_argument("--seconds", type=float, default=20.0, help="of each sampler (default 20)")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of turns (default 20)")
    parser.add_argument("--threads", type=int, help="of the network (default: all; one is steadier)")
    parser.add_argument(
        "--interval", type=float, default=INTERVAL_S, help="of fps; 0.1 makes a loss five times as plain"
    )
    args = parser.parse_args()
    if "jtop" in args.parts:
        jtop_cost(args.seconds)
    if "open" in args.parts:
        opening()
    if "cost" in args.parts:
        cost(args.seconds)
    if "fps" in args.parts:
        fps(args.rounds, 2.0, args.threads, args.interval)


if __name__ == "__main__":
    main()
