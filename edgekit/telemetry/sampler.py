"""The thread that samples: at a steady pace, through every fault of its probe, for whoever listens."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Protocol

from edgekit.errors import EdgekitError, InputError
from edgekit.telemetry.sample import Event, Sample, boot_clock, event

#: A reading older than this many intervals is stale, and a silence longer than it is a gap.
STALE = 3.0
#: jtop was steady down to 0.1 s; below that the readings of INA3221 sensors repeat.
SHORTEST_S = 0.1
#: Samples kept in memory: half an hour at 2 Hz. A log keeps them all.
KEPT = 3600
#: Pauses between attempts to read again, in seconds; the last one is repeated.
BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)

Listener = Callable[[Sample | Event], None]


class ProbeError(EdgekitError):
    """A reading failed and may succeed later; the message says why."""


class Probe(Protocol):
    """One way of measuring.

    Attributes:
        name: "jtop", "sysfs", "nvml", "host" or "none".
        why: one sentence: what it is and why it was chosen.
        emulated: what it reads is an emulated board.
        paced: `read` itself waits for the next reading; otherwise it measures when it is called.
    """

    name: str
    why: str
    emulated: bool
    paced: bool

    def read(self) -> Sample:
        """One reading, within 3 intervals.

        Raises:
            ProbeError: it failed; calling again is allowed, and begins anew what died.
        """
        ...

    def close(self) -> None:
        """Free everything, within 2 s, also while another thread is in `read`; a second call does nothing."""
        ...


class Sampler:
    """Samples of a probe, in the background, until it is stopped.

    with open_sampler() as sampler:      # started
        sampler.wait(1)
        print(sampler.latest.power_total_mw)

    Stale readings and those that repeat the last one's time are dropped. Where none comes for three
    intervals, listeners get an event "gap", and "back" when they come again.

    Args:
        probe: closed with the sampler.
        interval: seconds between samples, 0.1 or more.

    Attributes:
        interval: as given.
        latest: the newest sample, or None.
        samples: the newest ones, at most half an hour at 2 Hz.
        note: what is wrong at this moment, "" where samples come.
        count, dropped: samples so far, and readings left out as stale or repeated.
    """

    def __init__(self, probe: Probe, interval: float = 0.5) -> None:
        if not SHORTEST_S <= interval <= 3600:
            raise InputError(f"--interval {interval:g} must lie between {SHORTEST_S:g} and 3600 seconds.")
        self.probe, self.interval = probe, interval
        self.latest: Sample | None = None
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.note = ""
        self.count = self.dropped = 0
        self._listeners: list[Listener] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._silent_since = boot_clock()
        self._in_gap = False

    @property
    def name(self) -> str:
        return self.probe.name

    @property
    def why(self) -> str:
        return self.probe.why

    @property
    def emulated(self) -> bool:
        return self.probe.emulated

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> Sampler:
        """Begin; nothing happens where it runs already."""
        if self._thread is None:
            self._silent_since = boot_clock()
            self._thread = threading.Thread(target=self._work, name="edgekit-sampler", daemon=True)
            self._thread.start()
        return self

    def add(self, listener: Listener) -> None:
        """Let `listener` have each sample and event from now on, in the sampler's thread."""
        with self._changed:
            self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """No more for `listener`; when this returns, no call to it is under way (unless it called this)."""
        with self._changed:
            # compared, not identified: a bound method is a new object each time it is named
            self._listeners = [other for other in self._listeners if other != listener]

    def wait(self, more: int = 1, timeout: float | None = None) -> bool:
        """Wait for so many more samples (default: one, within three intervals and a second)."""
        timeout = STALE * self.interval * max(1, more) + 1.0 if timeout is None else timeout
        with self._changed:
            wanted = self.count + more
            self._changed.wait_for(lambda: self.count >= wanted or self._stopping.is_set(), timeout)
            return self.count >= wanted

    def stop(self) -> None:
        """End exactly here: no sample reaches a listener after this returns. Everything is freed."""
        self._stopping.set()
        self.probe.close()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        with self._changed:
            self._listeners.clear()
            self._changed.notify_all()

    close = stop

    def __enter__(self) -> Sampler:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # the thread

    def _work(self) -> None:
        due, failures = time.monotonic(), 0
        while not self._stopping.is_set():
            try:
                sample = self.probe.read()
            except Exception as error:  # whatever a driver or a service throws must not end the log
                if self._stopping.is_set():
                    return
                words = str(error) if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
                self._missed(words)
                self._pause(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
                failures, due = failures + 1, time.monotonic()
                continue
            failures = 0
            self._take(sample)
            if not self.probe.paced:
                # On a grid, so that the time of reading does not add up; what was slept through is left out.
                due = max(due + self.interval, time.monotonic())
                self._stopping.wait(due - time.monotonic())

    def _pause(self, seconds: float) -> None:
        """Wait; a silence that grows to a gap meanwhile is told when it does."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, self.interval)):
            self._tell_gap()

    def _missed(self, words: str) -> None:
        self.note = f"{self.name}: {words}"
        self._tell_gap()

    def _tell_gap(self) -> None:
        if not self._in_gap and boot_clock() - self._silent_since > STALE * self.interval:
            self._in_gap = True
            self._tell(event("gap", self.note))

    def _take(self, sample: Sample) -> None:
        last = self.latest
        if (last is not None and sample.t_boot_s <= last.t_boot_s) or sample.age_s > STALE * self.interval:
            self.dropped += 1
            if boot_clock() - self._silent_since > STALE * self.interval:
                self._missed("the same reading comes again and again, or old ones do")
            return
        silence = sample.t_boot_s - self._silent_since
        self._silent_since = sample.t_boot_s
        if self._in_gap or (last is not None and silence > STALE * self.interval):
            self._in_gap = False
            self._tell(event("back", f"no sample for {silence:.1f} s"))
        self.note = ""
        if last is not None:
            for text in _differences(last, sample):
                self._tell(event(*text))
        sample = replace(sample, seq=self.count)
        with self._changed:
            if self._stopping.is_set():
                return
            self.latest = sample
            self.samples.append(sample)
            self.count += 1
            for listener in list(self._listeners):
                listener(sample)
            self._changed.notify_all()

    def _tell(self, what: Event) -> None:
        with self._changed:
            if not self._stopping.is_set():
                for listener in list(self._listeners):
                    listener(what)


def _differences(last: Sample, now: Sample) -> list[tuple[str, str]]:
    """What changed between two samples that a reader of the figures must know."""
    told = []
    if last.power_total_name != now.power_total_name:
        told.append(
            ("total", f"total power was {last.power_total_name}, and is {now.power_total_name} from here")
        )
    for name, count in now.oc_events.items():
        if count > last.oc_events.get(name, count):
            told.append(("throttle", f"{name}: {count - last.oc_events[name]} over-current events more"))
    for reason in now.throttle:
        if reason not in last.throttle:
            told.append(("throttle", f"clocks held down: {reason}"))
    return told
