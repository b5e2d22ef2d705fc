"""Windows of action recognition on the GPU: a frame is scaled on the host, sent as bytes, and kept there.

The network's picture is small and Pillow's filter the training's: scaling and optical flow stay the host's. A
window, 32 frames of floats, is written where the network reads it, by one kernel a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Marks
from edgekit.engine.gpu_thread import GpuThread, acquire, load_driver
from edgekit.engine.resident import Replay, Tenant, resident
from edgekit.errors import MissingError
from edgekit.ops.clip_cuda import CudaClip
from edgekit.tasks.action_nets import Net
from edgekit.tasks.action_tape import Planes
from edgekit.tasks.windowed import window_ops

PEOPLE = "people are cut out of whole frames, which the host has"
Tables = Mapping[str, Sequence[NDArray[np.float32]]]


def open_gpu(
    ops: str, net: Net, tables: Tables, reach: int, people: bool
) -> tuple[str, str, ActionGpu | None]:
    """Where windows are made: "host" or "cuda", why, and for "cuda" what does it.

    Args:
        ops: one of `edgekit.engine.OPS`.
        tables, reach: of `ActionGpu`.
        people: the network looks at people.

    Raises:
        InputError: `ops` is unknown.
        MissingError: "cuda" was asked for and cannot be.
    """
    chosen, why = window_ops(ops, net.engine)
    if chosen == "host":
        return chosen, why, None
    if people:
        if ops == "cuda":
            raise MissingError(f'ops="cuda" cannot be: {PEOPLE}. Take ops="host".')
        return "host", PEOPLE, None
    return chosen, why, ActionGpu(net, tables, reach)


class ActionGpu:
    """The last frames of each stream, and the network's answers to windows of them.

    Args:
        net: its engine keeps its tensors on the GPU; it stays open.
        tables: for each stream and channel the value of each byte.
        reach: frames that are kept.

    Attributes:
        seconds: of the GPU, of the last answer.
    """

    def __init__(self, net: Net, tables: Tables, reach: int) -> None:
        self.seconds = 0.0
        self._reach = reach
        with ExitStack() as stack:
            self._ask = Tenant(resident(net.engine).gpu, lambda gpu: _Ask(gpu, net))
            stack.callback(self._ask.close)
            loop = acquire(self._ask.gpu.key[0])
            stack.callback(loop.release)
            self._rings: dict[str, Tenant[CudaClip]] = {}
            for kind, stream in net.streams.items():
                ring = Tenant(loop, lambda gpu, kind=kind: CudaClip(gpu, tables[kind], reach))  # type: ignore[misc]
                stack.callback(ring.close)
                ring.call(ring.held.open, stream.size)
                self._rings[kind] = ring
            stack.pop_all()
        loop.release()

    def put(self, planes: Mapping[str, Planes], number: int) -> None:
        """Send frame `number`, counted from 0: for each stream and channel uint8 [H, W], of its size."""
        for kind, ring in self._rings.items():
            ring.call(ring.held.add_planes, planes[kind], number % self._reach)

    def window(self, frames: Mapping[str, NDArray[np.int64]], first: int) -> None:
        """Write a window where the network reads it; the network must have nothing to do.

        Args:
            frames: for each stream those of the window, counted from `first`.
            first: number of a frame.
        """
        inputs = self._ask.call(self._ask.held.place)
        for kind, ring in self._rings.items():
            ring.call(ring.held.gather, frames[kind], first, inputs[kind])
        for ring in self._rings.values():
            ring.call(ring.gpu.stream.synchronize)

    def __call__(self) -> NDArray[np.floating]:
        """What the network gives for the window that was written last: logits [1, classes]."""
        logits, self.seconds = self._ask.call(self._ask.held.run)
        return logits

    def close(self) -> None:
        """Free what is the task's own."""
        with ExitStack() as stack:
            stack.callback(self._ask.close)
            for ring in self._rings.values():
                stack.callback(ring.close)


class _Ask:
    """The network's side, on its engine's thread: one row a call, in the first place of a fixed batch."""

    def __init__(self, gpu: GpuThread, net: Net) -> None:
        self._gpu, self._net, self._body = gpu, net, resident(net.engine)
        self._given: DeviceArray | None = None
        self._scores = Buffer(gpu)
        self._marks = Marks(1)
        self._replay = Replay(gpu)

    def place(self) -> dict[str, DeviceArray]:
        """Where each stream's clip goes."""
        streams, rows = self._net.streams, self._net.rows or 1
        inputs = self._body.place({one.name: one.shape_of(rows) for one in streams.values()})
        found = {kind: inputs[one.name] for kind, one in streams.items()}
        return {kind: DeviceArray(one.address, (1, *one.shape[1:]), one.dtype) for kind, one in found.items()}

    def run(self) -> tuple[NDArray[np.floating], float]:
        """The logits of the first row, and the seconds."""
        self._replay(self._body.version, (self._infer, self._body.recordable), (self._fetch, True))
        self._gpu.stream.synchronize()
        assert self._given is not None
        logits = self._scores.view(self._given.shape, self._given.dtype)[:1].copy()
        return logits, self._marks.seconds()[0]

    def _infer(self) -> None:
        self._marks.mark(0, self._gpu.stream)
        self._given = self._body.enqueue()[self._net.output]

    def _fetch(self) -> None:
        stream, given = self._gpu.stream, self._given
        assert given is not None
        self._scores.array(given.shape, given.dtype)
        load_driver().memcpy_dtoh_async(self._scores.host[: given.nbytes], given.address, stream)
        self._marks.mark(1, stream)

    def free(self) -> None:
        """Free all but the engine."""
        self._replay.free()
        self._marks.free()
        self._scores.free()
