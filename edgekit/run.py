"""The loop: source → task → sinks, with a clock on every stage."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

import numpy as np

from edgekit.camera import Source
from edgekit.draw import draw
from edgekit.engine import Engine
from edgekit.results import Frame, Result
from edgekit.sinks import Sink

STAGES = ("capture", "pre", "infer", "post", "draw", "encode")
#: Frames whose times are kept; older ones leave, so that a day of live video costs no more memory.
KEPT = 100_000


class Task(Protocol):
    """Preprocess → engine → postprocess; a result in the pixels of the frame it was given."""

    engine: Engine
    times: Mapping[str, float]

    def __call__(self, frame: Frame) -> Result: ...


class StageClock:
    """Seconds of each stage, frame by frame."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=KEPT)
        self._now = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside as `name` of the present frame."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._now[name] += time.perf_counter() - start

    def add(self, times: Mapping[str, float]) -> None:
        """Add stages that something else has timed (a task's pre, infer, post)."""
        for name, seconds in times.items():
            self._now[name] += seconds

    def next_frame(self) -> None:
        """Keep the present frame's times and start anew."""
        self._rows.append(tuple(self._now[name] for name in STAGES))
        self._now = dict.fromkeys(STAGES, 0.0)

    def table(self) -> dict[str, dict[str, float]]:
        """Per stage: median and 95th percentile in milliseconds, and its share of all time, 0 to 1."""
        if not self._rows:
            return {}
        # The first frame pays for lazy initialisation; with more than a few it would hide the rest.
        rows = np.array(self._rows)[1 if len(self._rows) > 3 else 0 :] * 1e3
        total = rows.sum()
        return {
            name: {
                "median_ms": float(np.median(rows[:, i])),
                "p95_ms": float(np.percentile(rows[:, i], 95)),
                "share": float(rows[:, i].sum() / total) if total else 0.0,
            }
            for i, name in enumerate(STAGES)
        }


@dataclass
class Summary:
    """What a run did. `note` and `interrupted` say what a reader must know before the numbers."""

    source: str
    model: str
    backend: str
    precision: str
    device: str
    why: str
    frames: int = 0
    seconds: float = 0.0
    found: int = 0
    interrupted: bool = False
    note: str = ""
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
            lines.append(f"{name:<10}{row['median_ms']:>11.2f}{row['p95_ms']:>9.2f}{row['share']:>8.0%}")
        lines += [
            "",
            f"frames     {self.frames} in {self.seconds:.1f} s = {self.fps:.1f} FPS; {self.found} found",
            f"model      {self.model}, {self.precision}",
            f"back end   {self.backend} on {self.device}",
            f"chosen     {self.why}",
        ]
        if self.note:
            lines.append(f"note       {self.note}")
        if self.interrupted:
            lines.append("note       stopped before the source ended; the files hold all frames up to there")
        return "\n".join(lines)


def run(
    source: Source,
    task: Task,
    sinks: Sequence[Sink] = (),
    *,
    model: str = "",
    limit: int | None = None,
    stop: Event | None = None,
    progress: bool = False,
) -> Summary:
    """Take frames from `source` until it ends, `limit` frames are done, or `stop` is set.

    The sinks are closed in every case, so that each file is whole up to the last frame.

    Args:
        source: an open source; it is not closed here.
        task: what makes a result of a frame.
        sinks: where frame, result and drawing go.
        model: the model's name, for the summary.
        limit: frames at most.
        stop: set it from a signal handler or another thread to end after the present frame.
        progress: show a bar.
    """
    engine = task.engine
    summary = Summary(source.spec, model, engine.backend, engine.precision, engine.device, engine.why)
    clock = StageClock()
    pictured = any(sink.wants_picture for sink in sinks)
    frames = iter(source)
    start = time.perf_counter()
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
        bar = stack.enter_context(_bar(source.length, limit, progress))
        while limit is None or summary.frames < limit:
            if stop is not None and stop.is_set():
                summary.interrupted = True
                break
            with clock.stage("capture"):
                frame = next(frames, None)
            if frame is None:
                break
            result = task(frame)
            clock.add(task.times)
            picture = None
            if pictured:
                with clock.stage("draw"):
                    picture = draw(frame, result)
            with clock.stage("encode"):
                for sink in sinks:
                    sink.write(frame, result, picture)
            clock.next_frame()
            summary.frames += 1
            summary.found += len(result)
            bar.update(1)
    summary.seconds = time.perf_counter() - start
    summary.stages = clock.table()
    summary.note = source.note
    return summary


def _bar(length: int | None, limit: int | None, shown: bool) -> Any:
    from tqdm.auto import tqdm

    total = min((n for n in (length, limit) if n is not None), default=None)
    return tqdm(total=total, unit="frame", disable=not shown, leave=False)
