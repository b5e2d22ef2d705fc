"""The loop: source → task → sinks, on three threads that overlap.

Capture, inference and output (draw, encode, write) hand frames over in slots of bounded size. Inference
takes a frame only when its result has somewhere to go, so a live picture never grows old in a queue: what
cannot be worked on in time is dropped at the camera, and counted there.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekit.camera import Source
from edgekit.clocks import Stats, Summary
from edgekit.errors import EdgekitError, InputError
from edgekit.pipeline import Pipeline, Task, is_open
from edgekit.runlog import RunLog
from edgekit.sinks import Sink

__all__ = ["Session", "Summary", "Task", "run", "stop_all"]

#: Seconds that `stop` waits, and within which a camera is free again.
PATIENCE_S = 2.0


class Session:
    """Frames from a source through a task into sinks, in the background, started and stopped at will.

    with Session("sample", lambda: open_yolo("edgekit-person")) as session:
        session.start()
        ...
        print(session.stats())

    What is given as a recipe is opened by `start` and closed at the end of each run: a source's spec, a
    callable that opens a source, a task or a sink. What is given open serves one run and is closed with
    it; only an open task stays open, and the caller's.

    Args:
        source: what `open_source` takes, a callable that returns a `Source`, or an open one.
        task: a callable that returns a `Task`, or an open one.
        sinks: callables that return a sink, or open ones.
        limit: frames at most.
        model: the model's name, for the summary.
        log: a `RunLog`, which keeps stage times, power and heat in a folder, or a callable that makes one.

    Attributes:
        spec: the source's name; "" where a callable opens it.
        model: as given.
    """

    def __init__(
        self,
        source: str | Path | Source | Callable[[], Source],
        task: Task | Callable[[], Task],
        sinks: Sequence[Sink | Callable[[], Sink]] = (),
        *,
        limit: int | None = None,
        model: str = "",
        log: RunLog | Callable[[], RunLog] | None = None,
    ) -> None:
        self.spec = source.spec if isinstance(source, Source) else "" if callable(source) else str(source)
        self._source, self._task, self._sinks = source, task, list(sinks)
        self._limit, self.model, self._log = limit, model, log
        self._pipeline: Pipeline | None = None
        self._lock = threading.RLock()

    @property
    def running(self) -> bool:
        """Frames are being worked on, or things are still being opened or closed."""
        return self._pipeline is not None and not self._pipeline.ended.is_set()

    @property
    def error(self) -> BaseException | None:
        """What ended the last run, or None."""
        return None if self._pipeline is None else self._pipeline.error

    @property
    def source(self) -> Source | None:
        """The source while it is open."""
        return None if self._pipeline is None else self._pipeline.source

    @property
    def task(self) -> Task | None:
        """The task while it is open."""
        return None if self._pipeline is None else self._pipeline.task

    def start(self) -> Session:
        """Open everything and begin, in the background; nothing happens where it runs already.

        What goes wrong is in `error`, and `join` raises it. A live source that another session of this
        process holds is taken from it, so that a notebook cell can be run again.

        Raises:
            InputError: the source was given open, and has served its run.
            EdgekitError: the last run is still closing.
        """
        with self._lock:
            if self.running:
                if not self._stopping:
                    return self
                self.wait(PATIENCE_S)
                if self.running:
                    raise EdgekitError("the session is still stopping; try again in a moment.")
            if isinstance(self._source, Source) and self._pipeline is not None:
                raise InputError(f"{self.spec} was given open and has served its run; give its name instead.")
            self._take_over()
            sinks, self._sinks = self._sinks, [s for s in self._sinks if not is_open(s, "write")]
            self._pipeline = Pipeline(self._source, self._task, sinks, self._limit, self.model, self._log)
            _running.add(self)
            self._pipeline.start(at_end=lambda: _running.discard(self))
            return self

    @property
    def _stopping(self) -> bool:
        return self._pipeline is not None and self._pipeline.stopping.is_set()

    def _take_over(self) -> None:
        for other in list(_running):
            same = other is not self and bool(self.spec) and other.spec == self.spec
            if same and (other.source is None or other.source.live):
                other.stop()

    def stop(self, timeout: float = PATIENCE_S) -> None:
        """End after the present frame and free everything; waits up to `timeout` seconds for it.

        A second call does nothing. `running` says whether it ended in time (a network in the middle of a
        long inference is waited for in the background).
        """
        if self._pipeline is not None:
            begun = time.monotonic()
            self._pipeline.stop()
            self.wait(max(0.0, timeout - (time.monotonic() - begun)))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds; True when it has ended."""
        pipeline = self._pipeline
        return pipeline is None or pipeline.is_own_thread() or pipeline.ended.wait(timeout)

    def join(self, timeout: float | None = None) -> Summary:
        """Wait for the end of the run (at most `timeout` seconds) and say what it did so far.

        Raises:
            BaseException: the first error of any stage; KeyboardInterrupt stops the session first.
            EdgekitError: the session was never started.
        """
        if self._pipeline is None:
            raise EdgekitError("the session was not started; call start() first.")
        try:
            self.wait(timeout)
        except BaseException:
            self.stop()
            raise
        if self._pipeline.error is not None:
            raise self._pipeline.error
        return self._pipeline.summary()

    def use(self, task: Task | Callable[[], Task]) -> None:
        """Work with another task from the next frame on. It is opened here, while the old one goes on."""
        pipeline = self._pipeline
        if self.running and pipeline is not None:
            pipeline.swap(task)
        self._task = task

    def add(self, sink: Sink | Callable[[], Sink]) -> None:
        """Let `sink` have the frames from now on. A callable is asked for a sink at each run."""
        with self._lock:
            if self.running and self._pipeline is not None:
                self._pipeline.add(sink)
            if not (self.running and is_open(sink, "write")):
                self._sinks.append(sink)

    def remove(self, sink: Sink | Callable[[], Sink]) -> None:
        """Take a sink away, as it was given to `add`, and close it."""
        with self._lock:
            if sink in self._sinks:
                self._sinks.remove(sink)
            if self._pipeline is not None:
                self._pipeline.remove(sink)

    def stats(self) -> Stats:
        """Rates and times of the last two seconds; may be asked from any thread, and costs little."""
        return Stats() if self._pipeline is None else self._pipeline.stats()

    def close(self) -> None:
        """The same as `stop`."""
        self.stop()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


#: Sessions between start and end: kept alive here, whoever else forgets them.
_running: set[Session] = set()


@atexit.register
def stop_all() -> None:
    """Stop every running session of this process, and free its camera."""
    sessions = list(_running)
    for session in sessions:
        session.stop(timeout=0)
    for session in sessions:
        session.stop()


def run(
    source: Source,
    task: Task,
    sinks: Sequence[Sink] = (),
    *,
    model: str = "",
    limit: int | None = None,
    stop: threading.Event | None = None,
    progress: bool = False,
    log: RunLog | None = None,
) -> Summary:
    """Take frames from `source` until it ends, `limit` frames are done, or `stop` is set.

    The source and the sinks are closed in every case, so that each file is whole up to the last frame.

    Args:
        source: an open source.
        task: what makes a result of a frame; it stays open.
        sinks: where frame, result and drawing go.
        model: the model's name, for the summary.
        limit: frames at most.
        stop: set it from a signal handler or another thread to end after the present frame.
        progress: show a bar.
        log: keeps stage times, power and heat in a folder.
    """
    with Session(source, task, sinks, limit=limit, model=model, log=log) as session:
        if progress:
            session.add(_Bar(source.length, limit))
        session.start()
        while not session.wait(0.1):
            if stop is not None and stop.is_set():
                session.stop(timeout=0)
        return session.join()


class _Bar:
    """A progress bar as a sink."""

    picture_side = None

    def __init__(self, length: int | None, limit: int | None) -> None:
        from tqdm.auto import tqdm

        total = min((n for n in (length, limit) if n is not None), default=None)
        self._bar = tqdm(total=total, unit="frame", leave=False)

    def write(self, *_: Any) -> None:
        """One frame more."""
        self._bar.update(1)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
