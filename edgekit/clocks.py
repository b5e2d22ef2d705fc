"""Where the time of a run goes: a clock for every stage, rates over a window, the end table."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: What the threads spend on a frame. "capture" is the source's: decoding a file, or waiting for a camera.
STAGES = ("capture", "pre", "infer", "post", "draw", "encode")
#: How old the frame is: when inference takes it, and when the last sink has it (camera to display).
AGES = ("age", "latency")
#: Frames whose times are kept; older ones leave, so that a day of live video costs no more memory.
KEPT = 100_000
WINDOW_S = 2.0


class StageClock:
    """Seconds of each stage, frame by frame. One thread adds, any may read."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=KEPT)
        self._recent: deque[tuple[float, tuple[float, ...]]] = deque()
        self._lock = threading.Lock()

    def add(self, times: Mapping[str, float]) -> None:
        """Add a frame; a stage that is not in `times` took no time."""
        row = tuple(times.get(name, 0.0) for name in STAGES + AGES)
        with self._lock:
            self._rows.append(row)
            self._recent.append((time.monotonic(), row))
            self._forget()

    def _forget(self) -> None:
        oldest = time.monotonic() - WINDOW_S
        while self._recent and self._recent[0][0] < oldest:
            self._recent.popleft()

    def now(self) -> tuple[float, dict[str, float]]:
        """FPS and the median milliseconds of every stage and age, over the last two seconds."""
        with self._lock:
            self._forget()
            times = [t for t, _ in self._recent]
            rows = [row for _, row in self._recent]
        if len(rows) < 2:
            return 0.0, {}
        medians = np.median(np.array(rows), axis=0) * 1e3
        fps = (len(times) - 1) / max(times[-1] - times[0], 1e-9)
        return fps, dict(zip(STAGES + AGES, map(float, medians), strict=True))

    def table(self) -> dict[str, dict[str, float]]:
        """Per stage: median and 95th percentile in milliseconds, and its share of all stages, 0 to 1.

        The ages have no share: they overlap the stages.
        """
        with self._lock:
            # The first frame pays for lazy initialisation; with more than a few it would hide the rest.
            rows = np.array(self._rows)[1 if len(self._rows) > 3 else 0 :] * 1e3
        if not len(rows):
            return {}
        total = rows[:, : len(STAGES)].sum()
        table = {}
        for i, name in enumerate(STAGES + AGES):
            column = rows[:, i]
            table[name] = {
                "median_ms": float(np.median(column)),
                "p95_ms": float(np.percentile(column, 95)),
            }
            if name in STAGES:
                table[name]["share"] = float(column.sum() / total) if total else 0.0
        return table


@dataclass
class Stats:
    """A running session at this moment; rates and times are of the last two seconds.

    Attributes:
        running: frames are being worked on, or the session is still opening or closing.
        fps: frames a second that left the last sink.
        latency_ms: median age of a frame when the last sink had it.
        frames: frames done since the start.
        dropped: frames thrown away to stay fresh since the start.
        found: detections, poses or actions of the last frame.
        stages: median milliseconds by stage and age.
        note, state: as of the source.
        error: what ended the session, or None.
    """

    running: bool = False
    fps: float = 0.0
    latency_ms: float = 0.0
    frames: int = 0
    dropped: int = 0
    found: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    note: str = ""
    state: str = ""
    error: BaseException | None = None


@dataclass
class Summary:
    """What a run did. `note` and `interrupted` say what a reader must know before the numbers.

    `energy` is None where no `RunLog` was given; else the fields of `edgekit.telemetry.energy.Energy`, with
    `joules_per_frame`.
    """

    source: str
    model: str
    backend: str
    precision: str
    device: str
    why: str
    how: str = ""
    live: bool = False
    frames: int = 0
    dropped: int = 0
    seconds: float = 0.0
    found: int = 0
    interrupted: bool = False
    note: str = ""
    energy: dict[str, Any] | None = None
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames a second of the whole run, all stages included."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON: every field, and `fps`."""
        return {**self.__dict__, "fps": round(self.fps, 2), "seconds": round(self.seconds, 3)}

    def table(self) -> str:
        """The end table as text."""
        lines = [f"{'stage':<10}{'median ms':>11}{'p95 ms':>9}{'share':>8}"]
        for name, row in self.stages.items():
            share = f"{row['share']:>8.0%}" if "share" in row else ""
            lines.append(f"{name:<10}{row['median_ms']:>11.2f}{row['p95_ms']:>9.2f}{share}")
        lines += [
            "",
            f"frames     {self.frames} in {self.seconds:.1f} s = {self.fps:.1f} FPS; {self.found} found",
            f"model      {self.model}, {self.precision}",
            f"back end   {self.backend} on {self.device}",
            f"chosen     {self.why}",
        ]
        if self.energy is not None:
            lines.append(f"energy     {_energy_words(self.energy)}")
        if self.how:
            lines.append(f"source     {self.how}")
        if self.dropped:
            lines.append(f"dropped    {self.dropped} frames, to stay with the live picture")
        if self.note:
            lines.append(f"note       {self.note}")
        if self.interrupted:
            lines.append("note       stopped before the source ended; the files hold all frames up to there")
        return "\n".join(lines)


def _energy_words(energy: Mapping[str, Any]) -> str:
    """One line of the end table; never a figure without its meter."""
    if energy["joules"] is None:
        return f"unknown: {energy['void']}"
    meter = f"{energy['source']}, {energy['name']}, {energy['method']}"
    if energy["emulated"]:
        meter += "; emulated, no measurement"
    each = energy["joules_per_frame"]
    frame = "" if each is None else f", {each:.3g} J a frame"
    return f"{energy['joules']:.1f} J{frame}, {energy['mean_w']:.2f} W on average ({meter})"
