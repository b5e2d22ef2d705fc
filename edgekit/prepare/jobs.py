"""Work on many clips in several processes: one bad clip stops no other, and Ctrl-C stops them all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, TypeVar

from edgekit.errors import EdgekitError
from edgekit.prepare.clips import DiskFullError, extract

T = TypeVar("T")
POLL_S = 0.2
_counter: Any = None  # pictures written by all processes, shared


def extract_all(
    clips: Iterable[T],
    root: Path,
    cut: Any,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda _: None,
    work: Callable[..., Any] = extract,
) -> list[tuple[T, EdgekitError]]:
    """Write the pictures of all clips.

    Args:
        clips, root, cut: as of `extract`.
        jobs: processes; 1: this one alone.
        progress: told every now and then how many more pictures stand there.
        work: what makes one clip, called as `extract` is; a function of a module.

    Returns:
        The clips that could not be read, with the reasons.

    Raises:
        DiskFullError: nothing more can be written.
        EdgekitError: a process was killed, most likely since memory ran out.
    """
    clips = list(clips)
    if jobs <= 1 or len(clips) <= 1:
        return _here(clips, root, cut, progress, work)
    others = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")  # cv2 and FFmpeg have threads, which do not survive a fork
    counter = context.Value("q", 0)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(min(jobs, len(clips)), context, _begin, (counter,))
    waiting: dict[Future[str | None], T] = {}
    told = 0
    bad = []
    try:
        waiting = {pool.submit(_one, clip, root, cut, threads, work): clip for clip in clips}
        while waiting:
            finished, _ = wait(waiting, POLL_S, FIRST_COMPLETED)
            progress(counter.value - told)
            told = counter.value
            for future in finished:
                clip = waiting.pop(future)
                try:
                    words = future.result()
                except BrokenProcessPool as error:
                    raise EdgekitError(
                        "a process ended on its own, most likely since memory ran out; run it again with "
                        "fewer --jobs, it goes on where it stopped."
                    ) from error
                if words is not None:
                    bad.append((clip, EdgekitError(words)))
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return bad


def _here(
    clips: list[T], root: Path, cut: Any, progress: Callable[[int], None], work: Callable[..., Any]
) -> list[tuple[T, EdgekitError]]:
    bad = []
    for clip in clips:
        try:
            work(clip, root, cut, done=progress)
        except DiskFullError:
            raise
        except EdgekitError as error:
            bad.append((clip, error))
    return bad


def _begin(counter: Any) -> None:
    """In each process: leave Ctrl-C to the first one, and end when that one is gone."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with(sentinel: int) -> None:
        wait_for([sentinel])
        os._exit(1)

    threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()


def _count(pictures: int) -> None:
    with _counter.get_lock():
        _counter.value += pictures


def _one(clip: T, root: Path, cut: Any, threads: int, work: Callable[..., Any]) -> str | None:
    """One clip; the words of what is wrong with it, since our errors need not survive pickling."""
    try:
        work(clip, root, cut, threads=threads, done=_count)
    except DiskFullError:
        raise
    except EdgekitError as error:
        return str(error)
    return None
