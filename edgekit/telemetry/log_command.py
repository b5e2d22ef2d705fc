"""A command that is measured: begun without a shell, left to itself, its exit code passed on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit.telemetry.sample import boot_clock
from edgekit.telemetry.sampler import Sampler

#: What shells return for a command that is not there, or that may not be run.
NOT_FOUND, NOT_RUNNABLE = 127, 126
#: A sample after the command's end is waited for, so that its last moments are covered; no longer than this.
AFTER_S = 1.0


@dataclass(frozen=True)
class Ran:
    """A command that ran.

    Attributes:
        code: its exit code; 128 + N where signal N ended it.
        start_s, end_s: when, on the boot clock.
        baseline_w: idle power before it, or None.
    """

    code: int
    start_s: float
    end_s: float
    baseline_w: float | None = None


def problem(command: str) -> tuple[int, str]:
    """Why `command` cannot be run, as an exit code and a sentence; 0 and "" where it can."""
    if shutil.which(command):
        return 0, ""
    if os.sep in command and Path(command).exists():
        return NOT_RUNNABLE, f"{command} may not be run; cure: chmod +x {command}"
    return NOT_FOUND, f"{command} is not here: there is no such command. Cure: its whole path, or install it."


def run_command(words: Sequence[str], sampler: Sampler, baseline_s: float | None = None) -> Ran:
    """Start sampling, run the command to its end, and wait for the sample that covers it.

    Ctrl-C and SIGTERM are for the command: they are passed on, and it decides. It is never killed.

    Args:
        words: program and arguments; no shell sees them.
        sampler: is started, and left running.
        baseline_s: seconds for which the idle power is measured before.
    """
    sampler.start()
    sampler.wait(1)
    baseline_w = _idle(sampler, baseline_s) if baseline_s else None
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int) -> None:
        if child is None:
            early.append(number)
        elif number != signal.SIGINT or not at_terminal():
            child.send_signal(number)

    with on_signals(pass_on):
        start = boot_clock()
        if early:
            return Ran(128 + early[0], start, start, baseline_w)
        try:
            child = subprocess.Popen(words)
        except OSError as error:
            sys.stderr.write(f"edgekit: {words[0]} cannot be run: {error.strerror or error}.\n")
            return Ran(NOT_RUNNABLE, start, start, baseline_w)
        for number in early:
            pass_on(number)
        code = child.wait()
        end = boot_clock()
        sampler.wait(1, timeout=AFTER_S)
    return Ran(128 - code if code < 0 else code, start, end, baseline_w)


def _idle(sampler: Sampler, seconds: float) -> float | None:
    from edgekit.telemetry.energy import idle
    from edgekit.telemetry.log import Log

    begun = boot_clock()
    time.sleep(seconds)
    return idle(Log.of(list(sampler.samples), sampler.interval), begun, boot_clock())


def at_terminal() -> bool:
    """Whether this process and its children are in the foreground of a terminal.

    Then the terminal itself gives a Ctrl-C to each of them, and passing it on would make two of it.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextmanager
def on_signals(handler: Callable[[int], None]) -> Iterator[None]:
    """Let `handler` have SIGINT and SIGTERM; one that is ignored (as in a shell's background) stays so."""
    before = {
        number: old
        for number in (signal.SIGINT, signal.SIGTERM)
        if (old := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, lambda number, frame: handler(number))
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
