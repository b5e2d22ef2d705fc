"""Engines whose tensors stay on the GPU, and what a step around them needs there.

    frame → upload → [kernels] → the engine's inputs → engine → its outputs → [kernels] → some rows → host

All of it is done by the GPU's owner thread, on one stream (`GpuThread.stream`), and nothing waits before
the last copy. A step whose shapes stay the same is recorded once and replayed as a CUDA graph; around an
engine that cannot be part of it (ONNX Runtime records itself), as two.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from edgekit.engine import OPS, Engine, Shape
from edgekit.engine.cuda import CaptureError, DeviceArray, Graph, find_nvcc
from edgekit.engine.gpu_thread import Freeable, GpuThread, acquire, load_driver
from edgekit.errors import EdgekitError, InputError, MissingError

T = TypeVar("T")
F = TypeVar("F", bound=Freeable)


@runtime_checkable
class Resident(Protocol):
    """An engine's inside, for those on its owner thread.

    Attributes:
        gpu: that thread.
        recordable: `enqueue` may be part of somebody's CUDA graph.
        version: goes up whenever shapes are set anew, by anybody: what was recorded before is stale then.
    """

    @property
    def gpu(self) -> GpuThread: ...

    @property
    def recordable(self) -> bool: ...

    @property
    def version(self) -> int: ...

    def place(self, shapes: Mapping[str, Shape]) -> dict[str, DeviceArray]:
        """Where the inputs, of these shapes, are to be written; the same places until the shapes change.

        Raises:
            InputError: the engine takes no such shapes.
        """
        ...

    def enqueue(self) -> dict[str, DeviceArray]:
        """Run on `gpu.stream`, once; nothing waits. The outputs stay as they are until the next time."""
        ...


def resident(engine: Engine) -> Resident:
    """The inside of an engine that keeps its tensors on the GPU. Any thread may ask.

    Raises:
        MissingError: the engine's tensors are on the host, with the reason.
    """
    inside = getattr(engine, "resident", None)
    if inside is None:
        raise MissingError(f"{engine.backend} keeps its tensors on the host")
    found: Resident = inside()
    return found


def choose_ops(ops: str, engine: Engine) -> tuple[str, str]:
    """Where the steps around an engine run, "host", "graft" or "cuda", and why, in words.

    Args:
        ops: one of `OPS`; "auto": "cuda" where the engine keeps its tensors on the GPU and nvcc is found.

    Raises:
        InputError: `ops` is unknown.
        MissingError: "cuda" was asked for and cannot be.
    """
    import shutil

    if ops not in OPS:
        raise InputError(f"ops={ops!r} is unknown; choose one of {', '.join(OPS)}.")
    if ops in ("host", "graft"):
        return ops, "asked for"
    try:
        resident(engine)
        nvcc = find_nvcc()
        if shutil.which(nvcc) is None:
            raise MissingError(f"the kernels are compiled by nvcc, and {nvcc} is not there")
    except MissingError as error:
        if ops == "cuda":
            raise MissingError(f'ops="cuda" cannot be: {error}. Take ops="host".') from error
        return "host", str(error)
    return "cuda", "asked for" if ops == "cuda" else "the engine's tensors are on the GPU"


class Tenant(Generic[F]):
    """What a task keeps on a GPU's owner thread: made, used and freed there, whoever asks.

    Args:
        gpu: the thread, alive.
        make: gives the object, which has `free`, from the thread.

    Attributes:
        gpu: the thread.
        held: what `make` gave.
    """

    def __init__(self, gpu: GpuThread, make: Callable[[GpuThread], F]) -> None:
        self.gpu = acquire(*gpu.key)
        try:
            kept: _Kept[F] = self.gpu.call(_guarded, self.gpu, _Kept, self.gpu, make)
        except BaseException:
            self.gpu.release()
            raise
        self.held = kept.held
        self._kept = kept
        self._close = weakref.finalize(self, self.gpu.abandon, kept)
        self._close.atexit = False  # the owner thread frees what is open when the interpreter ends

    def call(self, method: Callable[..., T], *args: Any) -> T:
        """`method(*args)` on the owner thread.

        Raises:
            EdgekitError: it is closed, or CUDA failed.
        """
        if not self._close.alive:
            raise EdgekitError("this is closed; open the task again.")
        return self.gpu.call(_guarded, self.gpu, method, *args)

    def close(self) -> None:
        """Free it, waiting for a call that is under way. A second call does nothing."""
        if self._close.detach() is not None:
            self.gpu.give_up(self._kept)


class _Kept(Generic[F]):
    """On the list of what the thread frees when it ends."""

    def __init__(self, gpu: GpuThread, make: Callable[[GpuThread], F]) -> None:
        self._gpu, self.held = gpu, make(gpu)
        gpu.kept.append(self)

    def free(self) -> None:
        with suppress(ValueError):
            self._gpu.kept.remove(self)
        self.held.free()


def _guarded(gpu: GpuThread, method: Callable[..., T], *args: Any) -> T:
    """Errors of CUDA become the kit's; nothing is under way any more when they get out."""
    drv = load_driver()
    try:
        try:
            return method(*args)
        except BaseException:
            with suppress(drv.Error):
                gpu.stream.synchronize()  # nothing may still write when buffers move
            raise
    except drv.MemoryError as error:
        raise EdgekitError(f"{gpu.name} has no memory left; close other engines and programs.") from error
    except (drv.Error, CaptureError) as error:
        raise EdgekitError(f"CUDA failed ({error}); open the task again.") from error


class Replay:
    """A step recorded as CUDA graphs and replayed, as long as its key stays the same. Owner thread only.

    Args:
        gpu: the thread, on whose stream the step works.

    Attributes:
        note: why steps are not recorded; "" where they are.
    """

    def __init__(self, gpu: GpuThread) -> None:
        self.note = ""
        self._gpu = gpu
        self._key: Hashable = None
        self._graphs: list[Graph | None] = []

    def __call__(self, key: Hashable, *parts: tuple[Callable[[], Any], bool]) -> None:
        """Do the parts of a step: plainly the first time for a key, which makes what it needs; then recorded.

        Args:
            key: all that the step's kernels are given by value, and its addresses depend on.
            parts: each starts something on the stream, at the same places each time, and waits for nothing;
                and whether it can be recorded. Those that follow each other and can are one graph.
        """
        if key != self._key:
            self.free()
            for work, _ in parts:
                work()
            self._key = key
            return
        groups = [(can, [work for work, _ in some]) for can, some in groupby(parts, key=lambda one: one[1])]
        for number, (can, works) in enumerate(groups):
            if number == len(self._graphs):
                self._graphs.append(self._record(works) if can and not self.note else None)
            graph = self._graphs[number]
            if graph is not None:
                graph.launch(self._gpu.stream.handle)
                continue
            for work in works:
                work()

    def _record(self, works: Sequence[Callable[[], Any]]) -> Graph | None:
        def all_of_them() -> None:
            for work in works:
                work()

        try:
            return Graph(self._gpu.stream.handle, all_of_them)
        except CaptureError as error:
            self.note = f"No CUDA graph: {error}."
            return None

    def free(self) -> None:
        graphs, self._graphs, self._key = self._graphs, [], None
        for graph in graphs:
            if graph is not None:
                graph.free()
