"""Runs and logs made up for the report's tests, with every figure known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.runlog import COLUMNS, Run, read_run
from edgekit.sinks import write_json
from edgekit.telemetry.log import Log, LogWriter
from edgekit.telemetry.sample import Event, Sample

START = 1000.0
WALL = "2026-11-21T12:00:00.000Z"


def sample(t: float, seq: int, watts: float | None, *, kind: str = "input", **more: Any) -> Sample:
    """A sample of a board with an input of `watts`, half of it in CPU and GPU, a quarter in the SoC."""
    rails = {} if watts is None else {"VDD_CPU_GPU_CV": 500 * watts, "VDD_SOC": 250 * watts}
    if watts is not None and kind == "input":
        rails = {"VDD_IN": 1000 * watts, **rails}
    total = {"input": "VDD_IN", "sum": "sum of 2 rails"}[kind]
    values: dict[str, Any] = {
        "source": "jtop 4.3.2",
        "seq": seq,
        "power_total_mw": None if watts is None else sum(rails.values()) if kind == "sum" else 1000 * watts,
        "power_total_name": None if watts is None else total,
        "power_total_kind": None if watts is None else kind,
        "rails_mw": rails,
        "temps_c": {"cpu": 50.0, "gpu": 45.0 + seq / 100},
        "gpu_load_pct": 90.0,
        "gpu_freq_khz": 1_000_000.0,
        "cpu_load_pct": 30.0,
        "oc_events": {"oc1": 0},
        "power_mode": "15W",
        "missing": {}
        if watts is not None
        else {"power_total_mw": "there is no meter", "rails_mw": "no rails"},
    }
    return Sample(t, WALL, **{**values, **more})


def samples(
    seconds: float,
    watts: Callable[[float], float | None] = lambda t: 8.0,
    *,
    interval: float = 0.5,
    more: Callable[[float], dict[str, Any]] = lambda t: {},
    **each: Any,
) -> list[Sample]:
    """Samples from one interval before START to one after its end."""
    count = round(seconds / interval) + 3
    times = [(i - 1) * interval for i in range(count)]
    return [sample(START + t, i, watts(t), **{**each, **more(t)}) for i, t in enumerate(times)]


def make_log(
    seconds: float = 30.0, *, interval: float = 0.5, events: Sequence[Event] = (), **more: Any
) -> Log:
    """A log in memory."""
    return Log.of(samples(seconds, interval=interval, **more), interval, events)


def make_run(
    folder: Path,
    *,
    latency: NDArray[np.float64] | None = None,
    fps: float = 20.0,
    taken: Sequence[Sample | Event] | None = None,
    interval: float = 0.5,
    emulated: bool = False,
    dropped: Callable[[int], int] = lambda i: 0,
    summary: dict[str, Any] | None = None,
    killed: bool = False,
    sampled: bool = True,
    model: str = "edgekit-person",
    live: bool = False,
) -> Run:
    """A run of `len(latency)` frames, one every 1 / fps seconds; `taken` are its samples (8 W throughout)."""
    latency = np.full(200, 0.04) if latency is None else latency
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "source": "people.mp4",
        "model": model,
        "precision": "fp16",
        "backend": "tensorrt",
        "device": "a board",
    }
    config["live"] = live
    about = {
        "schema": 1,
        "started_wall": WALL,
        "t_boot_s": START,
        "command": ["/usr/bin/edgekit", "run", "yolo", "--model", model],
        "config": config,
        "asked": {"precision": "fp16", "backend": "auto"},
        "sampler": {"name": "jtop", "why": "the board's own meters", "interval_s": interval},
        "device": {"name": "Jetson Orin Nano", "jetpack": "6.2", "power_mode": "15W"},
        "versions": {"python": "3.10.12", "numpy": "1.26.4"},
        "git": {"revision": "0123abc", "changed": False},
    }
    write_json(folder / "run.json", about)
    with open(folder / "frames.jsonl", "w", encoding="utf-8") as file:
        for i, seconds in enumerate(latency):
            row = dict.fromkeys(COLUMNS, 0.0)
            row |= {"index": i, "t_boot_s": START + (i + 1) / fps, "latency": seconds, "age": seconds / 2}
            row |= {"capture": 0.002, "pre": 0.001, "infer": 0.030, "post": 0.001, "encode": 0.006}
            file.write(json.dumps({**row, "found": 3, "dropped": dropped(i)}) + "\n")
    if sampled:
        taken = samples(len(latency) / fps, interval=interval) if taken is None else taken
        about_log = {"interval_s": interval, "source": "jtop 4.3.2", "emulated": emulated}
        with LogWriter(folder / "samples.jsonl", **about_log) as log:
            for what in taken:
                log.write(what)
    if not killed:
        ended = {"frames": len(latency), "precision": "fp16", "backend": "tensorrt", "note": "", "error": ""}
        write_json(folder / "summary.json", {**ended, **(summary or {})})
    return read_run(folder)
