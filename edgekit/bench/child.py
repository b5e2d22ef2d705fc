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
        try:
            text, _ = process.communicate(json.dumps(case), timeout=time_limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {time_limit:g} s (--time-limit), and ended"}
        finally:
            end_session(process)
            os.close(writer)
        with suppress(ValueError, IndexError):
            answer = json.loads(text.strip().splitlines()[-1])
            if isinstance(answer, dict) and process.returncode == 0:
                return answer
        words.seek(0)
        return {"failed": why_ended(process.returncode, words.read())}


def end_session(process: subprocess.Popen[str]) -> None:
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
