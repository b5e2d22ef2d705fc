"""Run one step of the self-test in a process of its own, and tell how it ended, whatever it did."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from edgekit.bench.child import ask_worker, why_ended

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
    ended = ask_worker(WORKER, asked, limit_s)
    answer, words = ended.answer, ended.words
    if not isinstance(answer, dict):
        said = [line.strip() for line in words.splitlines() if line.strip()]
        last = f"; its last words: {said[-1][:200]}" if said else ""
        late = f"not done after {limit_s:g} s, and ended{last}"
        answer = {
            "state": "failed",
            "words": late if ended.late else why_ended(ended.code, words),
            "figures": {},
        }
    elif ended.code and answer["state"] != "failed":
        answer = {**answer, "state": "failed", "words": f"done, but then {why_ended(ended.code, words)}"}
    return {**answer, "seconds": round(time.monotonic() - begun, 2), "log": words[-TAIL:]}
