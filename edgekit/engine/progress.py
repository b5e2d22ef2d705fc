"""Progress of a build, and how to stop it.

TensorRT ≥ 10 reports phases and steps from its own threads. The monitor only notes them; the bar is
drawn by the thread that waits for the build, so nothing is ever raised into TensorRT.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError

#: Called with the fraction done (0 to 1; None where TensorRT tells none) and the name of the phase.
ProgressCall = Callable[[float | None, str], None]


class BuildCancelled(EdgekitError):  # noqa: N818 (it is no fault)
    """The build was stopped on request (Ctrl-C or the cancel event); nothing was written."""

    exit_code = 130  # as a shell tells that a program was ended by Ctrl-C


class Phases:
    """The tree of phases TensorRT is in, as one fraction that never goes back. Thread-safe.

    TensorRT tells how many steps a phase has, but not how many phases lie inside a step: the first of
    them counts for half of the step, the next for half of what is left, and so on.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._best = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, index: int) -> bool:
        """Step `index` of a phase is done; False asks TensorRT to stop."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done, phase.inside = min(index + 1, phase.steps), 0
        return not self.cancelled.is_set()

    def finish(self, name: str) -> None:
        """A phase ends."""
        with self._lock:
            phase = self._phases.pop(name, None)
            parent = self._phases.get(phase.parent or "") if phase else None
            if parent is not None:
                parent.inside += 1

    def now(self) -> tuple[float, str]:
        """The fraction done, 0 to 1, and the name of the phase begun last of those not ended."""
        with self._lock:
            tops = [name for name, phase in self._phases.items() if phase.parent not in self._phases]
            self._best = max([self._best, *(self._fraction(name) for name in tops)])
            return self._best, next(reversed(self._phases), "building")

    def _fraction(self, name: str) -> float:
        phase = self._phases[name]
        children = [self._fraction(key) for key, child in self._phases.items() if child.parent == name]
        within = 1 - 0.5**phase.inside * (1 - 0.5 * max(children, default=0.0))
        return min(1.0, (phase.done + within) / phase.steps)


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    inside: int = 0  # phases that ended within the current step


def progress_monitor(trt: Any, phases: Phases) -> Any:
    """A `trt.IProgressMonitor` that notes into `phases`; None where TensorRT has none (8.5, 8.6)."""
    base = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return None

    class Monitor(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return phases.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


class Bar:
    """A tqdm bar: text in a terminal, a widget in Jupyter. `show` is a `ProgressCall`."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None

    def show(self, fraction: float | None, phase: str) -> None:
        bar = self._bar = self._bar or _tqdm(self._title, fraction is not None)
        bar.set_postfix_str(phase[:40], refresh=False)
        if fraction is not None:
            bar.update(round(100 * fraction) - bar.n)
        bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _tqdm(title: str, measured: bool) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", and in a notebook without ipywidgets
        from tqdm.autonotebook import tqdm
    layout = (
        "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}" if measured else "{desc}: {elapsed}{postfix}"
    )
    silent = None if tqdm.__module__ == "tqdm.std" else False  # None: not where stderr is no terminal
    return tqdm(total=100 if measured else None, desc=title, bar_format=layout, leave=False, disable=silent)


def run_watched(
    work: Callable[[], Any],
    phases: Phases,
    show: ProgressCall | None,
    cancel: threading.Event | None = None,
    measured: bool = True,
    period: float = 0.1,
) -> Any:
    """Run `work` in a thread of its own, draw its progress, and stop it on Ctrl-C or on `cancel`.

    Args:
        work: the build; must look at `phases` through a progress monitor for a stop to take effect.
        phases: what the monitor notes.
        show: draws; called in this thread every `period` seconds.
        cancel: set from another thread, it stops the build.
        measured: False where TensorRT reports nothing: such a build cannot be stopped inside, so it is
            left to end by itself in a daemon thread and its result is dropped.

    Raises:
        BuildCancelled: it was stopped.
    """
    result: list[Any] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=target, name="edgekit-build", daemon=True)
    worker.start()
    try:
        alive = True
        while alive:
            worker.join(period)
            if cancel is not None and cancel.is_set():  # also where the build was faster
                raise BuildCancelled("the build was cancelled; nothing was written.")
            alive = worker.is_alive()
            if show is not None and alive:
                fraction, phase = phases.now()
                show(fraction if measured else None, phase if measured else "building")
    except BaseException as error:
        phases.cancelled.set()
        if measured:
            worker.join()
        if isinstance(error, KeyboardInterrupt):
            raise BuildCancelled("the build was stopped with Ctrl-C; nothing was written.") from None
        raise
    if failure:
        raise failure[0]
    if show is not None:
        show(1.0 if measured else None, "done")
    return result[0]
