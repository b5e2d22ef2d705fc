"""Times of work on a GPU's stream, by CUDA events: as launches, as a recorded graph, with a cold cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from gpu_board import Board, Work

from edgekit.engine.cuda import Graph

#: (starts the recorded work, frees it)
Recorded = tuple[Work, Work]
Record = Callable[[Work, int], Recorded]
COPY, SENT, FLUSH = 1 << 30, 1 << 26, 1 << 28  # bytes
BATCH_US = 15_000  # of launches between two events, about
TURNS = 5  # such batches; their median counts


class Clock:
    """Measures on the current stream of PyTorch, which is the owner thread's.

    Attributes:
        cache: bytes of the GPU's L2 cache.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.cache = int(torch.cuda.get_device_properties(0).L2_cache_size)
        self._flush = torch.zeros(FLUSH // 4, device="cuda")
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def speeds(self) -> dict[str, float]:
        """Bytes a second: of a copy on the GPU (read and written), and from pinned memory to it."""
        one, other = (torch.zeros(COPY, dtype=torch.uint8, device="cuda") for _ in range(2))
        memory = 2 * COPY / self._median(partial(other.copy_, one), 5) * 1e6
        pinned = torch.zeros(SENT, dtype=torch.uint8, pin_memory=True)
        sent = SENT / self._median(partial(one[:SENT].copy_, pinned, non_blocking=True), 5) * 1e6
        return {"memory": memory, "host to device": sent}

    def empty(self) -> dict[str, Any]:
        """What a kernel takes that does next to nothing: one number of PyTorch's counted up."""
        return self.measure(partial(torch.zeros(1, device="cuda").add_, 1), self.record_torch)

    def measure(self, work: Work, record: Record | None) -> dict[str, Any]:
        """Microseconds; without `record` there is no graph."""
        for _ in range(3):
            work()
        self.board.sync()
        found: dict[str, Any] = {"launches": self._paced(work)}
        if record is None:
            return found | {"cold": self._cold(work)}
        times = max(1, min(20, int(2000 / found["launches"])))
        try:
            found["graph"] = self._recorded(record, work, times, self._paced) / times
            found["cold"] = self._recorded(record, work, 1, self._cold)
        except Exception as error:
            found["note"] = f"not recorded: {said(error)}"
        return found

    def _recorded(self, record: Record, work: Work, times: int, clock: Callable[[Work], float]) -> float:
        """Microseconds by `clock` of work done so many times in one graph."""
        start, free = record(work, times)
        try:
            start()
            self.board.sync()
            return clock(start)
        finally:
            self.board.sync()
            free()

    def record(self, work: Work, times: int) -> Recorded:
        """Kernels of ours, as the kit itself records them."""
        handle = self.board.gpu.stream.handle
        graph = Graph(handle, lambda: repeated(work, times))
        return partial(graph.launch, handle), graph.free

    def record_torch(self, work: Work, times: int) -> Recorded:
        """Operations of PyTorch."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            repeated(work, times)
        return graph.replay, graph.reset

    def _between(self, work: Work, count: int) -> float:
        """Microseconds of one of `count` in a row."""
        begun, ended = self._events
        begun.record()
        repeated(work, count)
        ended.record()
        ended.synchronize()
        return float(begun.elapsed_time(ended)) * 1e3 / count

    def _paced(self, work: Work) -> float:
        """The median of batches of about `BATCH_US`."""
        return self._median(work, rounds(self._between(work, 3)))

    def _median(self, work: Work, count: int) -> float:
        return float(median(self._between(work, count) for _ in range(TURNS)))

    def _cold(self, work: Work) -> float:
        """Median of single ones, each after other memory has filled the cache (read, so that it is clean)."""
        found = []
        for _ in range(9):
            self._flush.sum()  # longer than the host takes to start what follows
            found.append(self._between(work, 1))
        return float(median(found))


class DryClock:
    """Does the work, plainly and recorded, and measures nothing."""

    cache = 50_000_000

    def __init__(self, board: Board) -> None:
        self.board = board

    def speeds(self) -> dict[str, float]:
        return {"memory": 1e12, "host to device": 1e10}

    def empty(self) -> dict[str, Any]:
        return {}

    def measure(self, work: Work, record: Record | None) -> dict[str, Any]:
        work()
        self.board.sync()
        if record is not None:
            start, free = record(work, 2)
            start()
            self.board.sync()
            free()
        return {}

    def record(self, work: Work, times: int) -> Recorded:
        handle = self.board.gpu.stream.handle
        graph = Graph(handle, lambda: repeated(work, times))
        return partial(graph.launch, handle), graph.free

    def record_torch(self, work: Work, times: int) -> Recorded:
        return partial(repeated, work, times), int


def repeated(work: Work, times: int) -> None:
    for _ in range(times):
        work()


def rounds(microseconds: float) -> int:
    """How many fill `BATCH_US`."""
    return max(2, min(300, int(BATCH_US / max(microseconds, 1e-3))))


def said(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]
