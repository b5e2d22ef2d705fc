"""One thread owns the GPU, everybody else asks it.

A CUDA context is current on a thread, and notebook callbacks run on threads nobody chose. So one
`GpuThread` per GPU retains and pushes the primary context (the one TensorRT and PyTorch share),
does all the CUDA work, and frees everything before its last pop. `pycuda.autoinit` is never used.

Work on it takes turns. What runs beside a loop (a large network that looks now and then) would make the
loop's frames wait, so it has a second such thread, with the same context: each engine's stream is its own,
and the GPU shares itself between them.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import queue
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, MissingError

T = TypeVar("T")
START_SECONDS = 60.0  # the first context on a Jetson takes seconds, not a minute
CLOSE_SECONDS = 10.0
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING (cuda.h): no implicit wait on the legacy default stream

_LOCK = threading.Lock()
_THREADS: dict[tuple[int, bool], GpuThread] = {}  # by GPU, and whether it is the one beside the loop


class Freeable(Protocol):
    def free(self) -> None: ...


class GpuThread:
    """The one thread that talks to a GPU. Get it with `acquire`, give it back with `release`.

    Attributes:
        name: the GPU's name ("Orin", "NVIDIA H200").
        capability: compute capability, (8, 7) for Orin.
        mapped: True on an integrated GPU: it shares memory with the CPU, so buffers need no copy.
        kept: what to free, last first, should the thread end before its owner did so.
        key: what `acquire` takes to get this thread again.
    """

    def __init__(self, ordinal: int = 0, beside: bool = False) -> None:
        self.name = ""
        self.capability = (0, 0)
        self.mapped = False
        self.kept: list[Freeable] = []
        self.key = ordinal, beside
        self._ordinal = ordinal
        self._stream: Any = None
        self._users = 0
        self._pins: dict[int, tuple[weakref.ref, Any]] = {}  # pinned arrays, allocations; owner thread only
        self._stop = False
        self._ended = False
        self._jobs: queue.SimpleQueue[tuple[Future | None, Callable[..., Any], tuple]] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        name = f"edgekit-gpu{ordinal}{'-beside' if beside else ''}"
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        try:
            self._ready.result(START_SECONDS)
        except FutureTimeout:
            raise EdgekitError(f"GPU {ordinal} gives no context; restart the machine.") from None

    def call(self, work: Callable[..., T], *args: Any, timeout: float | None = None) -> T:
        """Run `work(*args)` on the owner thread; return what it returns, raise what it raises.

        Raises:
            EdgekitError: the thread has ended, or `timeout` seconds have passed.
        """
        if threading.current_thread() is self._thread:
            return work(*args)
        future = self._submit(work, *args)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = 1.0 if deadline is None else min(1.0, max(0.0, deadline - time.monotonic()))
                try:
                    return future.result(left)
                except FutureTimeout:
                    if future.done():
                        return future.result()  # the work itself raised it, or it ended just now
                    if not self._thread.is_alive():
                        raise self._gone() from None
                    if deadline is not None and time.monotonic() >= deadline:
                        raise EdgekitError(f"the GPU did not answer in {timeout:.0f} s.") from None
        finally:
            future.cancel()  # an interrupted caller's job must not run later; no effect once it has begun

    @property
    def alive(self) -> bool:
        """False once the thread has ended, and with it everything that was kept."""
        return self._thread.is_alive()

    @property
    def stream(self) -> Any:
        """The stream of all that stays on the GPU between two steps. Owner thread only."""
        if self._stream is None:
            self._stream = load_driver().Stream(NON_BLOCKING)
        return self._stream

    def post(self, work: Callable[..., Any], *args: Any) -> None:
        """Have the owner thread do `work` some time soon. Never blocks, safe in a finalizer."""
        self._jobs.put((None, work, args))

    def release(self) -> None:
        """Give the thread back; the last user's release ends it, unless pinned arrays are still in use.

        In that case it ends when the last of those arrays is gone.
        """
        with _LOCK:
            self._users -= 1
            last = self._users == 0
        if not last or not self._thread.is_alive():
            return
        self.post(_nothing)  # wakes the loop, which sees that nobody is left
        if threading.current_thread() is not self._thread:
            with suppress(EdgekitError):  # ended between the two lines, which is what is wanted
                if self.call(lambda: len(self._pins), timeout=CLOSE_SECONDS) == 0:
                    self._thread.join(CLOSE_SECONDS)

    def give_up(self, held: Freeable) -> None:
        """Free what a user held, waiting for a call that is under way, and release the thread."""
        try:
            self.call(held.free, timeout=CLOSE_SECONDS)
        except EdgekitError:
            if self.alive:  # it hangs; if it has ended it freed everything itself
                raise
        finally:
            self.release()

    def abandon(self, held: Freeable) -> None:
        """As `give_up`, for a user that was dropped: without waiting, as this may run anywhere."""
        self.post(held.free)
        self.post(self.release)

    def end(self, timeout: float = CLOSE_SECONDS) -> None:
        """Free everything kept and end the thread, whoever still uses it (interpreter exit)."""
        self._stop = True
        self.post(_nothing)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def pinned(self, nbytes: int) -> NDArray[np.uint8]:
        """Page-locked host memory (mapped into the GPU's space too): uint8 [nbytes]. Owner thread only.

        It is freed, by the owner thread, once this array and all views of it are gone: a result that
        outlives its engine stays readable.
        """
        import pycuda.driver as drv

        array: NDArray[np.uint8] = drv.pagelocked_empty(
            nbytes, np.uint8, mem_flags=drv.host_alloc_flags.DEVICEMAP
        )
        # a plain reference: weakref.finalize stops working before an interpreter that ends gets here
        pin = weakref.ref(array, self._let_go)
        self._pins[id(pin)] = pin, array.base
        return array

    def _let_go(self, pin: weakref.ref) -> None:
        if threading.current_thread() is self._thread:
            self._unpin(pin)  # at once: what is grown makes room for its successor
        else:
            self.post(self._unpin, pin)

    def _unpin(self, pin: weakref.ref) -> None:
        _, allocation = self._pins.pop(id(pin))
        allocation.free()

    def _submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        future: Future[T] = Future()
        if not self._thread.is_alive():  # also so in a forked child, where the lock may never open
            raise self._gone()
        with _LOCK:  # the end of the thread takes it too: no job can slip in behind the last look
            if self._ended:
                raise self._gone()
            self._jobs.put((future, work, args))
        return future

    def _gone(self) -> EdgekitError:
        return EdgekitError(f"the thread that owns GPU {self._ordinal} has ended; open the engine again.")

    def _main(self) -> None:
        try:
            context = self._enter()
        except BaseException as error:
            self._finish()
            self._ready.set_exception(error)
            return
        try:
            self._ready.set_result(None)
            self._serve()
        finally:
            self._leave(context)

    def _enter(self) -> Any:
        drv = load_driver()
        try:
            drv.init()
            device = drv.Device(self._ordinal)
            attribute = drv.device_attribute
            self.name = device.name()
            self.capability = device.compute_capability()
            self.mapped = bool(
                device.get_attribute(attribute.INTEGRATED)
                and device.get_attribute(attribute.CAN_MAP_HOST_MEMORY)
            )
            context = device.retain_primary_context()
            try:
                context.push()
            except BaseException:
                context.detach()
                raise
        except drv.Error as error:
            raise MissingError(
                f"GPU {self._ordinal} cannot be used ({error}); `edgekit doctor` says what is missing."
            ) from error
        return context

    def _serve(self) -> None:
        while True:
            future, work, args = self._jobs.get()
            _do(future, work, args)
            del future, work, args  # else the last job's arrays stay alive until the next one
            with _LOCK:
                if self._stop or (self._users == 0 and not self._pins and self._jobs.empty()):
                    self._ended = True
                    return

    def _leave(self, context: Any) -> None:
        """Free what is left, then pop: pycuda aborts the process if a thread dies with a context pushed."""
        try:
            for resource in reversed(list(self.kept)):
                with suppress(Exception):
                    resource.free()
            self.kept.clear()
            self._stream = None
            self._finish()
        finally:
            context.pop()
            if not self._pins:
                context.detach()
            for _, allocation in self._pins.values():  # somebody still reads them, and they die with the
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(allocation))  # context: keep both to the end

    def _finish(self) -> None:
        """Take no more jobs; refuse those that wait, but still free pinned memory that was let go."""
        with _LOCK:
            self._ended = True
            if _THREADS.get(self.key) is self:
                del _THREADS[self.key]
        with suppress(queue.Empty):
            while True:
                future, work, args = self._jobs.get_nowait()
                if future is None:
                    _do(None, work, args)
                elif future.set_running_or_notify_cancel():
                    future.set_exception(self._gone())


def _nothing() -> None:
    pass


def _do(future: Future | None, work: Callable[..., Any], args: tuple) -> None:
    if future is None:
        with suppress(Exception):
            work(*args)
    elif future.set_running_or_notify_cancel():
        try:
            future.set_result(work(*args))
        except BaseException as error:  # SystemExit too belongs to who asked, not to this thread
            future.set_exception(_without_frames(error))


class OwnerTracebackError(Exception):
    """The traceback of an error on the owner thread, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _without_frames(error: BaseException) -> BaseException:
    """The error with its traceback as text: frames hold GPU objects, which must die on this thread."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    error.__traceback__ = error.__context__ = None
    error.__cause__ = OwnerTracebackError(text)
    return error


def load_driver() -> Any:
    """`pycuda.driver`, or MissingError with the command that installs it."""
    try:
        import pycuda.driver as drv
    except (ImportError, OSError) as error:
        raise MissingError(
            f"pycuda cannot be loaded ({error}). `pip install pycuda` builds it against the CUDA toolkit; "
            "it needs NVIDIA's driver (libcuda.so.1) as well."
        ) from error
    return drv


def acquire(ordinal: int = 0, beside: bool = False) -> GpuThread:
    """The owner thread of GPU `ordinal`, started if need be. Each call needs its `release`.

    Args:
        ordinal: number of the GPU.
        beside: the second one, for what runs beside a loop and may take long.

    Raises:
        MissingError: no pycuda, no driver or no such GPU.
    """
    key = ordinal, beside
    with _LOCK:
        gpu = _THREADS.get(key)
        if gpu is not None and not gpu._ended and gpu._thread.is_alive():
            gpu._users += 1
            return gpu
    started = GpuThread(ordinal, beside)  # outside the lock: its end takes the lock
    with _LOCK:
        gpu = _THREADS.get(key)
        if gpu is None or gpu._ended:
            gpu = _THREADS[key] = started
        gpu._users += 1
    if gpu is not started:  # somebody else was faster
        started.end()
    return gpu


def _at_exit() -> None:
    for gpu in list(_THREADS.values()):
        gpu.end(timeout=5.0)


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_THREADS.clear)  # a child has the memory but not the threads
