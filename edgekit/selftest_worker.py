"""One step of `edgekit selftest` in a process of its own: `python -m edgekit.selftest_worker`.

A step is a function `step(case, **given)` that returns words for the terminal and figures for the file. It
raises MissingError for what this machine lacks, and anything else where something is wrong.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from edgekit.bench.worker import ALIVE
from edgekit.errors import EdgekitError, MissingError

Found = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """What every step is given.

    Attributes:
        quick: a few frames only, and no plan is built.
        root: folder that holds etc, proc, sys and so on of the machine.
        calibration: folder of pictures for int8; "": frames of the sample clip.
        scratch: an empty folder, removed afterwards.
    """

    quick: bool
    root: Path
    calibration: str
    scratch: Path

    def frames(self, usual: int) -> int:
        """How many frames to look at."""
        return min(usual, 3) if self.quick else usual


def must(holds: object, words: str) -> None:
    """Fail the step with `words` where something does not hold."""
    if not holds:
        raise EdgekitError(words)


@contextmanager
def here() -> Iterator[None]:
    """What a machine has must work: something missing inside is a failure, and not "not here"."""
    try:
        yield
    except MissingError as error:
        raise EdgekitError(str(error)) from error


def shipped(model: str) -> None:
    """Fail where a network that ships is not there, or is damaged."""
    from edgekit.models import find

    with here():
        find(model)


def say(words: str) -> None:
    """What is being done now; where the step hangs or dies, this is its last word."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def main() -> int:
    """Read a step from standard input, run it, and write the answer to standard output, as JSON."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not spoil the answer
    faulthandler.enable()
    if ALIVE in os.environ:
        threading.Thread(target=_die_with, args=(int(os.environ[ALIVE]),), daemon=True).start()
    with suppress(OSError):  # where memory runs out the kernel is to end this process, not the one above it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    asked = json.loads(sys.stdin.read())
    with tempfile.TemporaryDirectory(prefix="edgekit-selftest-") as scratch:
        found = run(asked, Path(scratch))
    answer.write(json.dumps(found) + "\n")
    answer.close()
    return 0


def _die_with(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the other end is closed
    os.killpg(0, signal.SIGKILL)  # this process leads its group, in which are its children


def run(asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """The step's answer: {"state": "passed", "failed" or "not here", "words", "figures"}."""
    case = Case(asked["quick"], Path(asked["root"]), asked["calibration"], scratch)
    try:
        words, figures = resolve_name(asked["run"])(case, **asked["given"])
    except MissingError as error:
        return {"state": "not here", "words": str(error), "figures": {}}
    except MemoryError:
        return {"state": "failed", "words": "out of memory", "figures": {}}
    except Exception as error:  # whatever is wrong here: one line of the report
        kit = isinstance(error, EdgekitError | AssertionError) and str(error)
        if not kit:
            traceback.print_exc()
        return {"state": "failed", "words": kit or f"{type(error).__name__}: {error}", "figures": {}}
    return {"state": "passed", "words": words, "figures": figures}


if __name__ == "__main__":
    sys.exit(main())
