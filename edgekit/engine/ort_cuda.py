"""An ONNX Runtime session on CUDA, on the GPU's owner thread and its stream: a `Resident`.

Inputs and outputs are bound to GPU memory that stays where it is, and a run is queued on the thread's stream
like a kernel, so that what comes before and after it needs neither a copy to the host nor a synchronization.
ONNX Runtime records its own part as a CUDA graph; it cannot be part of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.engine import Shape
from edgekit.engine.cuda import DeviceArray, Room
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import EdgekitError, InputError

#: ONNX Runtime's names for tensor types (its OrtValue.data_type()) as NumPy's.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
#: Operators whose outputs are as large as the data wills; their results cannot be bound beforehand.
OPEN_ENDED = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress"})
#: Run options of ONNX Runtime (onnxruntime_run_options_config_keys.h): a run does not wait for its end, and
#: the number of the CUDA graph that it is recorded as; -1: it is not recorded.
NO_WAIT, GRAPH = "disable_synchronize_execution_providers", "gpu_graph_id"
#: Combinations of shapes that are recorded at most: ONNX Runtime never lets a graph go.
MOST_GRAPHS = 40


@dataclass
class _Set:
    """What belongs to one combination of input shapes."""

    binding: Any
    options: Any
    number: int
    inputs: dict[str, DeviceArray]
    outputs: dict[str, DeviceArray] = field(default_factory=dict)
    bound: bool = False  # the outputs too


class OrtCuda:
    """A session on the owner thread; all of it belongs there.

    Args:
        gpu: the thread.
        make_session: gives the session, for options of the CUDA provider.

    Attributes:
        session: ONNX Runtime's.
        plain: options of a run that is not recorded, for somebody with other memory, which waits.
    """

    recordable = False

    def __init__(self, gpu: GpuThread, make_session: Callable[[dict[str, str]], Any]) -> None:
        self.gpu = gpu
        options = {"user_compute_stream": str(gpu.stream.handle)}
        try:
            self.session = make_session({**options, "enable_cuda_graph": "1"})
            self._graphs = True
        except InputError:  # a part of the network has no CUDA kernel
            self.session = make_session(options)
            self._graphs = False
        self.plain = _options({GRAPH: "-1"})
        self._unrecorded = _options({NO_WAIT: "1", GRAPH: "-1"})
        self._types = {node.name: np.dtype(DTYPES[node.type]) for node in self.session.get_inputs()}
        self._names = [node.name for node in self.session.get_outputs()]
        self._rooms = {name: Room() for name in (*self._types, *self._names)}
        self._made = 0
        self._sets: dict[tuple[tuple[str, Shape], ...], _Set] = {}
        self._now: _Set | None = None
        self._first: list[Any] = []  # the outputs of a first run, until the second

    @property
    def version(self) -> int:
        """Differs with the shapes, and where memory had to grow."""
        return self._now.number if self._now else 0

    def place(self, shapes: Mapping[str, Shape]) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        key = tuple(sorted(shapes.items()))
        if key not in self._sets:
            if set(shapes) != set(self._types):
                raise InputError(
                    f"the engine's inputs are {', '.join(self._types)}, not {', '.join(shapes)}."
                )
            self._sets[key] = self._bind({name: (shape, self._types[name]) for name, shape in shapes.items()})
        self._now = self._sets[key]
        return self._now.inputs

    def enqueue(self) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        now = self._now
        if now is None:
            raise EdgekitError("the engine does not know the shapes of its inputs yet.")
        if now.outputs and not now.bound:
            self._bind_outputs(now)
        try:
            # ONNX Runtime records at the first run that may be: only when the outputs have their places
            self.session.run_with_iobinding(now.binding, now.options if now.bound else self._unrecorded)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise EdgekitError(f"ONNX Runtime failed on CUDA: {error}.") from error
        if not now.outputs:  # the first run finds their shapes
            self._first = list(now.binding.get_outputs())
            now.outputs = dict(zip(self._names, map(_array, self._first), strict=True))
        return now.outputs

    def free(self) -> None:
        """Let go of the session, then of the memory."""
        self._sets.clear()
        self._first.clear()
        self._now = self.session = None
        for room in self._rooms.values():
            room.free()

    def _bind(self, inputs: Mapping[str, tuple[Shape, np.dtype]]) -> _Set:
        """A binding of inputs; its outputs are ONNX Runtime's own for one run."""
        self._made += 1
        binding, places = self.session.io_binding(), {}
        for name, array in self._arrays(inputs, None).items():
            places[name] = array
            binding.bind_input(name, "cuda", 0, array.dtype, array.shape, array.address)
        for name in self._names:
            binding.bind_output(name, "cuda")
        graph = str(self._made) if self._graphs and self._made <= MOST_GRAPHS else "-1"
        return _Set(binding, _options({NO_WAIT: "1", GRAPH: graph}), self._made, places)

    def _bind_outputs(self, now: _Set) -> None:
        """From the second run on the outputs lie where they stay."""
        now.bound = True
        now.outputs = self._arrays({name: (a.shape, a.dtype) for name, a in now.outputs.items()}, now)
        for name, array in now.outputs.items():
            now.binding.bind_output(name, "cuda", 0, array.dtype, array.shape, array.address)
        self._first.clear()

    def _arrays(
        self, wanted: Mapping[str, tuple[Shape, np.dtype]], whose: _Set | None
    ) -> dict[str, DeviceArray]:
        """Room for tensors. Where some of it had to move, all but `whose` set is stale, and forgotten."""
        self.gpu.stream.synchronize()  # the last run may still use what is let go of here
        found = {}
        for name, (shape, dtype) in wanted.items():
            room, new = self._rooms[name], DeviceArray(0, shape, dtype)
            if room.size and room.size < new.nbytes:
                room.grow(2 * new.nbytes)  # people come and go: it shall not move with each of them
                self._sets = {key: one for key, one in self._sets.items() if one is whose}
            found[name] = room.array(shape, dtype)
        return found


def _options(entries: Mapping[str, str]) -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    for name, value in entries.items():
        options.add_run_config_entry(name, value)
    return options


def _array(value: Any) -> DeviceArray:
    """Where an OrtValue lies."""
    return DeviceArray(value.data_ptr(), tuple(value.shape()), np.dtype(DTYPES[value.data_type()]))
