"""Work beside a loop: one job at a time, results and errors, and its end."""

from __future__ import annotations

import gc
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

from edgekit.beside import Beside
from edgekit.errors import EdgekitError


def test_a_job_runs_on_another_thread_while_the_loop_goes_on() -> None:
    go = threading.Event()
    beside: Beside[str] = Beside("made-for-this")
    assert beside.free
    beside.give(lambda word: go.wait(10) and f"{word} on {threading.current_thread().name}", "done")
    assert not beside.free
    assert beside.take() is None
    go.set()
    assert beside.take(timeout=10) == "done on made-for-this"
    assert beside.take() is None
    assert beside.free
    assert beside.close()


def test_one_job_at_a_time_and_its_result_is_fetched_first() -> None:
    beside: Beside[int] = Beside()
    go = threading.Event()
    beside.give(lambda: go.wait(10) and 1)
    with pytest.raises(EdgekitError, match="ask `free` first"):
        beside.give(int)
    go.set()
    while not beside._done:
        time.sleep(0.001)
    assert not beside.free
    with pytest.raises(EdgekitError, match="ask `free` first"):
        beside.give(int)
    assert beside.take() == 1
    beside.give(lambda: 2)
    assert beside.take(timeout=None) == 2
    beside.close()


@pytest.mark.parametrize("kind", [ValueError, EdgekitError, KeyboardInterrupt, SystemExit])
def test_an_error_is_raised_where_the_loop_asks_once_with_its_cause(kind: type[BaseException]) -> None:
    beside: Beside[None] = Beside()

    def fail() -> None:
        raise kind("in the network") from RuntimeError("the cause")

    beside.give(fail)
    with pytest.raises(kind, match="in the network") as caught:
        beside.take(timeout=10)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "in fail" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert beside.free
    beside.give(lambda: None)
    assert beside.take(timeout=10) is None
    assert beside.close()


def test_close_waits_for_the_job_but_not_for_ever() -> None:
    go = threading.Event()
    beside: Beside[bool] = Beside()
    beside.give(go.wait, 30)
    begun = time.monotonic()
    assert not beside.close(timeout=0.05)
    assert time.monotonic() - begun < 5
    assert beside.take() is None
    assert not beside.free
    go.set()
    assert beside.close()
    assert beside.take() is None  # what came after the end is dropped
    with pytest.raises(EdgekitError):
        beside.give(int)


def test_unused_it_has_no_thread_and_closed_none_is_left() -> None:
    before = threading.active_count()
    beside: Beside[int] = Beside()
    assert threading.active_count() == before
    beside.give(lambda: 3)
    assert beside.take(timeout=10) == 3
    assert beside.close()
    assert beside.close()
    assert threading.active_count() == before
    assert Beside().close()


def test_a_finished_jobs_arrays_are_let_go() -> None:
    beside: Beside[float] = Beside()
    window = np.ones(10)
    kept = weakref.ref(window)
    beside.give(np.sum, window)
    assert beside.take(timeout=10) == 10
    del window
    deadline = time.monotonic() + 5
    while kept() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert kept() is None
    beside.close()
