"""Work beside a loop: one thread, one job at a time, its result or its error when the loop asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from edgekit.errors import EdgekitError

T = TypeVar("T")
#: Seconds that `close` waits for the job in hand: a network's pass on a slow board.
PATIENCE_S = 10.0


class Beside(Generic[T]):
    """A worker that takes one job while the loop goes on.

    The loop gives a job only when the worker is free, and makes it of the newest there is then; so nothing
    grows old in a queue. One thread gives jobs, takes results and closes.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str = "edgekit-beside") -> None:
        self._name = name
        self._lock = threading.Condition()
        self._job: tuple[Callable[..., T], tuple[Any, ...]] | None = None
        self._working = False
        self._done: list[T] = []
        self._error: BaseException | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def free(self) -> bool:
        """A job would be taken; a result or an error that waits must be fetched first."""
        with self._lock:
            return not (self._closed or self._working or self._done or self._error)

    def give(self, work: Callable[..., T], *args: Any) -> None:
        """Have `work(*args)` done; what it is given must not change until its result is there.

        Raises:
            EdgekitError: it is closed, or not `free`.
        """
        with self._lock:
            if self._closed or self._working or self._done or self._error:
                raise EdgekitError("the worker beside the loop is closed or has a job; ask `free` first.")
            if self._thread is None:  # a daemon: an interpreter that ends does not wait for a network
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            self._job, self._working = (work, args), True
            self._lock.notify_all()

    def take(self, timeout: float | None = 0.0) -> T | None:
        """The result of the last job, once; None where there is none yet.

        Args:
            timeout: seconds to wait for the job in hand; None: until it is done.

        Raises:
            BaseException: what the job raised, as it raised it, once.
        """
        with self._lock:
            if timeout != 0.0:
                self._lock.wait_for(lambda: not self._working, timeout)
            error, self._error = self._error, None
            done, self._done = self._done, []
        if error is not None:
            raise error
        return done[0] if done else None

    def close(self, timeout: float = PATIENCE_S) -> bool:
        """Take no more jobs and wait for the one in hand, `timeout` seconds at most; True: the thread ended.

        What the job gives or raises after this is dropped. A second call does nothing more.
        """
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            thread = self._thread
        if thread is None:
            return True
        if thread is not threading.current_thread():
            thread.join(timeout)
        return not thread.is_alive()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._job is not None or self._closed)
                job, self._job = self._job, None
            if job is None:
                return
            self._do(*job)
            del job  # else its arguments live until the next one comes

    def _do(self, work: Callable[..., T], args: tuple[Any, ...]) -> None:
        done: list[T] = []
        error: BaseException | None = None
        try:
            done.append(work(*args))
        except BaseException as raised:  # whatever it is, the loop is to have it
            error = raised
        with self._lock:
            if not self._closed:
                self._done, self._error = done, error
            self._working = False
            self._lock.notify_all()
        del done, error  # an error's traceback holds this frame, and so itself
