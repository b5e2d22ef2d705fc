"""An ONNX Runtime session on CUDA, on the GPU's owner thread and its stream: a `Resident`.

Inputs and outputs are bound once to GPU memory, and a run is queued on the thread's stream like a kernel, so
that what comes before and after it needs neither a copy to the host nor a synchronization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit.engine import Shape
from edgekit.engine.cuda import DeviceArray
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
#: A run option of ONNX Runtime (onnxruntime_run_options_config_keys.h): a run does not wait for its end.
NO_WAIT = "disable_synchronize_execution_providers"


class OrtCuda:
    """A session on the owner thread; all of it belongs there.

    Args:
        gpu: the thread.
        make_session: gives the session, for options of the CUDA provider.
    """

    recordable = True

    def __init__(self, gpu: GpuThread, make_session: Callable[[dict[str, str]], Any]) -> None:
        import onnxruntime

        self.gpu = gpu
        self.session = make_session({"user_compute_stream": str(gpu.stream.handle)})
        self._types = {node.name: np.dtype(DTYPES[node.type]) for node in self.session.get_inputs()}
        self._names = [node.name for node in self.session.get_outputs()]
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry(NO_WAIT, "1")
        self.version = 0
        self._shapes: dict[str, Shape] = {}
        self._binding: Any = None
        self._inputs: dict[str, DeviceArray] = {}
        self._outputs: dict[str, DeviceArray] = {}
        self._values: list[Any] = []  # what the binding's addresses belong to

    def place(self, shapes: Mapping[str, Shape]) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        if dict(shapes) != self._shapes:
            self._bind(dict(shapes))
        return self._inputs

    def enqueue(self) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        try:
            self.session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise EdgekitError(f"ONNX Runtime failed on CUDA: {error}.") from error
        if not self._outputs:  # the first run found their shapes: from now on they lie where they are
            for name, value in zip(self._names, self._binding.get_outputs(), strict=True):
                self._outputs[name] = _array(value)
                self._binding.bind_ortvalue_output(name, value)
                self._values.append(value)
        return self._outputs

    def free(self) -> None:
        """Let go of the memory, then of the session."""
        self._binding = None
        self._inputs, self._outputs, self._shapes = {}, {}, {}
        self._values.clear()
        self.session = None

    def _bind(self, shapes: dict[str, Shape]) -> None:
        import onnxruntime

        if set(shapes) != set(self._types):
            raise InputError(f"the engine's inputs are {', '.join(self._types)}, not {', '.join(shapes)}.")
        self.gpu.stream.synchronize()  # the last run may still read what is let go of here
        self._shapes, self._outputs = {}, {}
        self.version += 1
        self._values.clear()
        binding = self.session.io_binding()
        inputs = {}
        for name, shape in shapes.items():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(shape), self._types[name], "cuda", 0
            )
            binding.bind_ortvalue_input(name, value)
            inputs[name] = _array(value)
            self._values.append(value)
        for name in self._names:
            binding.bind_output(name, "cuda")
        self._binding, self._inputs, self._shapes = binding, inputs, shapes


def _array(value: Any) -> DeviceArray:
    """Where an OrtValue lies."""
    return DeviceArray(value.data_ptr(), tuple(value.shape()), np.dtype(DTYPES[value.data_type()]))
