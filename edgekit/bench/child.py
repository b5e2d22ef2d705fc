"""Run one case in a worker process, and tell how it ended: an answer, a crash, or out of time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgekit.bench.worker import ALIVE

WORKER = (sys.executable, "-m", "edgekit.bench.worker")


def run_worker(case: Mapping[str, Any], time_limit: float, command: Sequence[str] = WORKER) -> dict[str, Any]:
    """The worker's answer, or {"failed": why there is none}.

    The worker is ended with its children when the time is up or when this call is interrupted, and ends
    itself when this process dies.

    Args:
        case: what the worker is given, as JSON.
        time_limit: seconds.
        command: the worker.
    """
    ended = ask_worker(command, case, time_limit)
    if ended.late:
        return {"failed": f"not done after {time_limit:g} s (--time-limit), and ended"}
    if isinstance(ended.answer, dict) and ended.code == 0:
        return ended.answer
    return {"failed": why_ended(ended.code, ended.words)}


@dataclass(frozen=True)
class Ended:
    """What is left of a worker.

    Attributes:
        answer: its last line as JSON; None where that is none.
        code: with which it ended by itself, 0 where it did not.
        late: its time was up.
        words: what it wrote to standard error.
    """

    answer: Any
    code: int
    late: bool
    words: str


def ask_worker(command: Sequence[str], case: Mapping[str, Any], time_limit: float) -> Ended:
    """Give a worker its case as JSON and wait; nothing of it is left, and it dies with this process."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                pass_fds=[reader],
                env={**os.environ, ALIVE: str(reader)},
                start_new_session=True,
            )
        finally:
            os.close(reader)
        late, answer, code = False, None, None
        try:
            text, _ = process.communicate(json.dumps(case), timeout=time_limit)
            with suppress(ValueError, IndexError):
                answer = json.loads(text.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            late = True
        finally:
            code = process.poll()
            _end_session(process)
            os.close(writer)
        words.seek(0)
        return Ended(answer, code or 0, late, words.read())


def _end_session(process: subprocess.Popen[str]) -> None:
    """Kill what is left of the worker's session, and wait for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def why_ended(code: int, words: str) -> str:
    """How the worker ended, with its last line."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    last = f": {lines[-1][:300]}" if lines else ""
    if code == -signal.SIGKILL:
        return f"killed by SIGKILL, as the kernel does when memory runs out{last}"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}{last}"
    return f"the worker ended with code {code}{last}"
