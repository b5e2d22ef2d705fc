"""One run of a session: its threads, its slots, and the order in which things open and close."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.camera import Reader, Source, open_source
from edgekit.clocks import StageClock, Stats, Summary
from edgekit.draw import draw
from edgekit.engine import Engine
from edgekit.results import Frame, Result
from edgekit.runlog import RunLog
from edgekit.sinks import Sink
from edgekit.slots import Slot


class Task(Protocol):
    """Preprocess → engine → postprocess; a result in the pixels of the frame it was given."""

    engine: Engine
    times: Mapping[str, float]

    def __call__(self, frame: Frame) -> Result: ...

    def close(self) -> None: ...


def is_open(given: Any, member: str) -> bool:
    """`given` is a thing that has `member`, not a recipe for one (a function, or its class)."""
    return hasattr(given, member) and not isinstance(given, type)


@dataclass
class _Done:
    """A frame with its result, on its way to the sinks."""

    frame: Frame
    result: Result
    times: dict[str, float]


@dataclass
class _Output:
    """A sink as it was given and as it is open."""

    given: Any
    sink: Sink


class Pipeline:
    """Three threads: the reader's, inference (which opens and closes everything), output.

    Attributes:
        stopping: an end was asked for.
        ended: everything is closed and freed.
        error: the first thing that went wrong in any thread.
        source, task: as long as they are open.
    """

    def __init__(
        self,
        source: str | Path | Source | Callable[[], Source],
        task: Task | Callable[[], Task],
        sinks: Sequence[Sink | Callable[[], Sink]],
        limit: int | None,
        model: str,
        log: RunLog | Callable[[], RunLog] | None = None,
    ) -> None:
        self._given_log = log
        self._given_source, self._given_task, self._given_sinks = source, task, sinks
        self._limit, self._model = limit, model
        self.stopping, self.ended = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.source: Reader | None = None
        self.task: Task | None = None
        self._owned: list[Task] = []  # opened here, and to be closed here
        self._next: Task | None = None
        self._tasks_closed = False
        self._outputs: list[_Output] = []
        self._log: RunLog | None = None
        self._lock = threading.RLock()  # of the tasks
        self._writing = threading.RLock()  # of the outputs
        self._slot: Slot[_Done] = Slot()
        self._clock = StageClock()
        self._summary = Summary("", model, "", "", "", "")
        self._found_now = 0
        self._exhausted = False  # the source or the limit ended the run, nobody else
        self._threads: list[threading.Thread] = []

    def start(self, at_end: Callable[[], None]) -> None:
        """Begin; `at_end` is called when everything is freed."""

        def work() -> None:
            try:
                self._work()
            except BaseException as error:
                self._fail(error)
            finally:
                at_end()
                self.ended.set()

        self._thread(work, "edgekit-infer")

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        # Daemons, since the interpreter would wait for others before it lets anybody stop them.
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def is_own_thread(self) -> bool:
        """The caller is one of the threads, which must not wait for itself."""
        return threading.current_thread() in self._threads

    def stop(self) -> None:
        """Ask for the end: no new frame; those inferred still reach the sinks."""
        with self._lock:
            if self.stopping.is_set() or self.ended.is_set():
                return
            self._summary.interrupted = not self._exhausted
            self.stopping.set()
            source = self.source
        if source is not None:
            source.close()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
            self.stopping.set()
            source = self.source
        self._slot.close()
        if source is not None:
            source.close()

    def _work(self) -> None:
        """Open, infer, close; a camera is free before the last results are written."""
        with ExitStack() as stack:
            stack.callback(self._close_sinks)
            for given in self._given_sinks:
                self.add(given)
            stack.callback(self._close_source)
            source = self._open_source()
            stack.push(self._end_log)
            stack.callback(self._close_tasks)
            self._next = self._open_task(self._given_task)
            self._say_engine(self._next)
            self._begin_log()
            self._slot = Slot(1 if source.policy == "latest" else 2)
            stack.callback(self._count_seconds, time.perf_counter())
            output = self._thread(self._write_all, "edgekit-output")
            stack.callback(output.join)
            stack.callback(self._slot.end)
            stack.callback(self._close_source)
            self._infer_all(source)

    def _begin_log(self) -> None:
        given = self._given_log
        if given is not None:
            self._log = given if is_open(given, "begin") else given()  # type: ignore[assignment, operator]
            assert self._log is not None
            try:
                self._log.begin(self._summary)
            except BaseException:
                self._log.close()
                self._log = None
                raise

    def _end_log(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._log is not None:
            self._summary.energy = self._log.end(self.summary(), error or self.error)

    def _count_seconds(self, begun: float) -> None:
        self._summary.seconds = time.perf_counter() - begun

    def _open_source(self) -> Reader:
        given = self._given_source
        if not isinstance(given, Source):
            given = given() if callable(given) else open_source(given)
        # A source that reads ahead by itself has its thread already.
        reader = given if isinstance(given, Reader) else Reader(given, "latest" if given.live else "every")
        with self._lock:
            self.source = reader
            self._summary.source, self._summary.how = reader.spec, reader.how
            self._summary.live = reader.live
            stopped = self.stopping.is_set()
        if stopped:  # while it was opened, when there was nothing to close yet
            reader.close()
        return reader

    def _close_source(self) -> None:
        with self._lock:
            source, self.source = self.source, None
        if source is not None:
            source.close()
            self._summary.dropped, self._summary.note = source.dropped, source.note

    def _infer_all(self, source: Reader) -> None:
        frames = iter(source)
        left = self._limit
        while left != 0 and self._slot.wait_for_room():
            frame = next(frames, None)
            if frame is None:
                break
            task = self._take_task()
            age = time.monotonic() - frame.captured
            result = task(frame)
            self._slot.put(_Done(frame, result, {"capture": source.took, "age": age, **task.times}))
            left = None if left is None else left - 1
        self._exhausted = not self.stopping.is_set()

    # tasks: the present one, and one that waits for the next frame

    def _open_task(self, given: Task | Callable[[], Task]) -> Task:
        task: Task = given if is_open(given, "engine") else given()  # type: ignore[assignment, call-arg, operator]
        if task is not given:
            self._owned.append(task)
        if hasattr(task, "live"):  # it can work beside the loop, so that a live picture does not wait
            task.live = self._summary.live
        return task

    def swap(self, given: Task | Callable[[], Task]) -> None:
        """Open another task here and now, and let inference take it with its next frame."""
        task = self._open_task(given)
        with self._lock:
            before, self._next = (task, None) if self._tasks_closed else (self._next, task)
        if before is not None:
            self._close_task(before)

    def _take_task(self) -> Task:
        with self._lock:
            before, task = self.task, self._next
            if task is None:
                assert before is not None
                return before
            self.task, self._next = task, None
            self._say_engine(task)
        if before is not None:
            self._close_task(before)
        return task

    def _say_engine(self, task: Task) -> None:
        engine = task.engine
        self._summary.backend, self._summary.precision = engine.backend, engine.precision
        self._summary.device, self._summary.why = engine.device, engine.why

    def _close_task(self, task: Task) -> None:
        if task in self._owned:
            self._owned.remove(task)
            task.close()

    def _close_tasks(self) -> None:
        with self._lock:
            self.task = self._next = None
            self._tasks_closed = True
        while self._owned:
            self._owned.pop().close()

    # output

    def add(self, given: Sink | Callable[[], Sink]) -> None:
        """Open a sink, if it is not, and let it have the frames from now on."""
        sink = given if is_open(given, "write") else given()  # type: ignore[operator]
        with self._writing:
            self._outputs.append(_Output(given, sink))  # type: ignore[arg-type]

    def remove(self, given: Sink | Callable[[], Sink]) -> None:
        """Take a sink out, as it was given, between two frames, and close it."""
        with self._writing:
            gone = [output for output in self._outputs if output.given is given]
            self._outputs = [output for output in self._outputs if output.given is not given]
        for output in gone:
            output.sink.close()

    def _close_sinks(self) -> None:
        with self._writing:
            outputs, self._outputs = self._outputs, []
        with ExitStack() as stack:  # each one is closed, also after another's error
            for output in outputs:
                stack.callback(output.sink.close)

    def _write_all(self) -> None:
        try:
            while (done := self._slot.get()) is not None:
                self._write(done)
        except BaseException as error:
            self._fail(error)

    def _write(self, done: _Done) -> None:
        """Draw what is wanted, once for each size, and give it to the sinks."""
        start = time.perf_counter()
        with self._writing:
            sinks = [(output.sink, output.sink.picture_side) for output in self._outputs]
            pictures: dict[int | None, NDArray[np.uint8] | None] = {None: None}
            for _, side in sinks:
                if side is not None and side not in pictures:
                    pictures[side] = draw(done.frame, done.result, side)
            drawn = time.perf_counter()
            for sink, side in sinks:
                sink.write(done.frame, done.result, pictures[side])
        latency = time.monotonic() - done.frame.captured
        own = {"draw": drawn - start, "encode": time.perf_counter() - drawn, "latency": latency}
        times = {**done.times, **own}
        self._clock.add(times)
        if self._log is not None:
            source = self.source
            dropped = self._summary.dropped if source is None else source.dropped
            self._log.frame(done.frame, done.result, times, dropped)
        self._found_now = len(done.result)
        self._summary.frames += 1
        self._summary.found += self._found_now

    def stats(self) -> Stats:
        """The run at this moment."""
        fps, stages = self._clock.now()
        with self._lock:
            source, summary = self.source, self._summary
            dropped = summary.dropped if source is None else source.dropped
            note, state = (summary.note, "") if source is None else (source.note, source.state)
        return Stats(
            not self.ended.is_set(),
            fps,
            stages.get("latency", 0.0),
            summary.frames,
            dropped,
            self._found_now,
            stages,
            note,
            state,
            self.error,
        )

    def summary(self) -> Summary:
        """What the run has done so far; whole when it has ended."""
        return replace(self._summary, stages=self._clock.table())
