"""Run one step of the self-test in a process of its own, and tell how it ended, whatever it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from edgekit.bench.child import end_session, why_ended
from edgekit.bench.worker import ALIVE

WORKER = (sys.executable, "-m", "edgekit.selftest_worker")
#: Characters kept of what a step printed, from its end.
TAIL = 3000


def run_step(asked: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
    """{"state", "words", "figures", "seconds", "log"} of a step; "log" is the end of what it printed.

    A step that crashes, hangs or runs out of memory has failed; it and its children are gone afterwards, also
    where this call is interrupted or this process is killed.

    Args:
        asked: what the worker is given: "run", "given", "quick", "root", "calibration".
        limit_s: seconds.
    """
    begun = time.monotonic()
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            process = subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=[reader],
                env={**os.environ, ALIVE: str(reader)},
                start_new_session=True,
            )
        finally:
            os.close(reader)
        late, answer = False, None
        try:
            text, _ = process.communicate(json.dumps(asked), timeout=limit_s)
            with suppress(ValueError, IndexError):
                answer = json.loads(text.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            late = True
        finally:
            code = process.poll()
            end_session(process)
            os.close(writer)
        log.seek(0)
        words = log.read()
    if not isinstance(answer, dict):
        said = [line.strip() for line in words.splitlines() if line.strip()]
        last = f"; its last words: {said[-1][:200]}" if said else ""
        why = f"not done after {limit_s:g} s, and ended{last}" if late else why_ended(code or 0, words)
        answer = {"state": "failed", "words": why, "figures": {}}
    elif code and answer["state"] != "failed":
        answer = {**answer, "state": "failed", "words": f"done, but then {why_ended(code, words)}"}
    return {**answer, "seconds": round(time.monotonic() - begun, 2), "log": words[-TAIL:]}
