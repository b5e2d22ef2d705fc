"""A double of TensorRT whose shape is the real bindings' and whose arithmetic is ONNX Runtime's.

The "plan" is an ONNX file. Each double class copies a class of the real `tensorrt_rtx`: a name that the
real class lacks, a wrong number, name or type of arguments, or an unknown attribute that is set is an
error, read off the signatures in the real classes' docstrings. Enums, loggers and output allocators are
the real ones.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorrt_rtx as real
from cuda_double import FakeCuda
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.shape_inference import infer_shapes

TYPES = {
    "FLOAT": real.DataType.FLOAT,
    "FLOAT16": real.DataType.HALF,
    "BFLOAT16": real.DataType.BF16,
    "INT8": real.DataType.INT8,
    "INT32": real.DataType.INT32,
    "INT64": real.DataType.INT64,
    "BOOL": real.DataType.BOOL,
    "UINT8": real.DataType.UINT8,
}
PARAMETER = re.compile(r"(\w+): ([^=]+?)(?: = (.+))?$")


def signatures(member: Any) -> list[list[tuple[str, str, bool]]]:
    """(name, type, optional) of each parameter of each overload of a pybind method, without `self`."""
    name, found = member.__name__, []
    for line in (member.__doc__ or "").splitlines():
        match = re.match(rf"\s*(?:\d+\. )?{name}\((self: .*)\) ->", line)
        if match:
            parts = re.split(r", (?=\w+: )", match[1])[1:]
            found.append([(m[1], m[2], m[3] is not None) for m in map(PARAMETER.match, parts) if m])
    assert found, f"no signature of {name} in {member.__doc__!r}"
    return found


def accepts(parameters: list[tuple[str, str, bool]], args: tuple, kwargs: dict[str, Any]) -> bool:
    names = [name for name, _, _ in parameters]
    if len(args) > len(names) or set(kwargs) - set(names[len(args) :]):
        return False
    given = dict(zip(names, args, strict=False), **kwargs)
    if any(name not in given and not optional for name, _, optional in parameters):
        return False
    kinds = {
        "str": str,
        "typing.SupportsInt": (int, np.integer),
        "typing_extensions.Buffer": (bytes, memoryview),
    }
    return all(
        isinstance(given[name], kinds.get(kind, object)) for name, kind, _ in parameters if name in given
    )


def strict(original: type) -> Callable[[type], type]:
    """Make a class as narrow as `original`: its public names, its signatures, no new attributes."""

    def checked(name: str, method: Callable) -> Callable:
        overloads = signatures(getattr(original, name))

        @wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not any(accepts(parameters, args, kwargs) for parameters in overloads):
                raise TypeError(f"{original.__name__}.{name} takes {overloads}, not {args} {kwargs}")
            return method(self, *args, **kwargs)

        return call

    def guard(self: Any, name: str, value: Any) -> None:
        if not name.startswith("_") and not isinstance(getattr(original, name), property):
            raise AttributeError(f"{original.__name__}.{name} is no property")
        object.__setattr__(self, name, value)

    def narrow(double: type) -> type:
        for name, member in list(vars(double).items()):
            if name.startswith("_"):
                continue
            assert hasattr(original, name), f"{original.__name__} has no {name}"
            assert isinstance(member, property) == isinstance(getattr(original, name), property), name
            if not isinstance(member, property):
                setattr(double, name, checked(name, member))
        double.__setattr__ = guard  # type: ignore[assignment, method-assign]
        return double

    return narrow


class FakeTensorRT:
    """Stands for the `tensorrt` module: the real names, with a `Runtime` that needs no GPU.

    `old` calls output allocators as 8.5 does. `spoil` names an enum answer to give for each tensor
    instead of the right one, such as {"get_tensor_format": …}.
    """

    def __init__(self, cuda: FakeCuda, old: bool = False, dla_cores: int = 0) -> None:
        self.cuda, self.old, self.dla_cores = cuda, old, dla_cores
        self.spoil: dict[str, Any] = {}
        self.enqueues = 0
        self.__name__, self.__version__ = "tensorrt", "10.3.0"

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 (TensorRT's own name)
        assert isinstance(logger, real.ILogger)
        return _Runtime(self, logger)


class _Tracked:
    """On the fake GPU's ledger from birth to destruction."""

    def __init__(self, trt: FakeTensorRT, kind: str) -> None:
        trt.cuda.must(kind, RuntimeError)
        self._trt, self._kind = trt, kind
        self._handle = trt.cuda.new(kind)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._trt.cuda.drop(self._handle, self._kind)


@strict(real.Runtime)
class _Runtime(_Tracked):
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        super().__init__(trt, "runtime")
        self._logger = logger
        self.DLA_core = -1

    @property
    def num_DLA_cores(self) -> int:  # noqa: N802 (TensorRT's own name)
        return self._trt.dla_cores

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        try:
            model = onnx.load_from_string(serialized_engine)
            onnx.checker.check_model(model)
        except Exception as error:
            self._logger.log(
                real.ILogger.Severity.ERROR, f"Error Code 1: Serialization ({type(error).__name__})"
            )
            return None
        return _Engine(self._trt, model, self._logger)


@strict(real.ICudaEngine)
class _Engine(_Tracked):
    def __init__(self, trt: FakeTensorRT, model: onnx.ModelProto, logger: Any) -> None:
        super().__init__(trt, "engine")
        self._model, self._logger = model, logger
        self._inputs = {value.name: value for value in model.graph.input}
        self._outputs = {value.name: value for value in model.graph.output}
        self._all = {**self._inputs, **self._outputs}
        self._profiles = {
            p.key[8:]: json.loads(p.value) for p in model.metadata_props if p.key[:8] == "profile:"
        }

    @property
    def num_io_tensors(self) -> int:
        return len(self._all)

    def get_tensor_name(self, index: int) -> str:
        return list(self._all)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return TYPES[onnx.TensorProto.DataType.Name(self._all[name].type.tensor_type.elem_type)]

    def get_tensor_mode(self, name: str) -> Any:
        return real.TensorIOMode.INPUT if name in self._inputs else real.TensorIOMode.OUTPUT

    def get_tensor_location(self, name: str) -> Any:
        return self._trt.spoil.get("get_tensor_location", real.TensorLocation.DEVICE)

    def get_tensor_format(self, name: str) -> Any:
        return self._trt.spoil.get("get_tensor_format", real.TensorFormat.LINEAR)

    def get_tensor_shape(self, name: str) -> Any:
        return real.Dims(_dims(self._all[name]))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        assert profile_index == 0
        assert name in self._inputs
        return [real.Dims(shape) for shape in self._profiles[name]]

    def create_execution_context(self) -> Any:
        if not self._trt.cuda.step("context none"):
            self._logger.log(real.ILogger.Severity.ERROR, "out of memory on purpose")
            return None
        return _Context(self._trt, self._model, self._logger)


@strict(real.IExecutionContext)
class _Context(_Tracked):
    def __init__(self, trt: FakeTensorRT, model: onnx.ModelProto, logger: Any) -> None:
        super().__init__(trt, "context")
        self._model, self._logger = model, logger
        self._arithmetic = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self._profiles = {
            p.key[8:]: json.loads(p.value) for p in model.metadata_props if p.key[:8] == "profile:"
        }
        self._inputs = {value.name: value for value in model.graph.input}
        self._outputs = [value.name for value in model.graph.output]
        self._dtypes = {
            value.name: np.dtype(tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
            for value in (*model.graph.input, *model.graph.output)
        }
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self._busy = threading.Lock()

    def set_input_shape(self, name: str, shape: Any) -> bool:
        wanted = _dims(self._inputs[name])
        if not self._trt.cuda.step("set_input_shape"):
            return False
        if len(wanted) != len(shape) or any(w not in (-1, n) for w, n in zip(wanted, shape, strict=True)):
            return False
        low, _, high = self._profiles.get(name, (shape, shape, shape))
        if any(not a <= n <= b for a, n, b in zip(low, shape, high, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> Any:
        if name in self._inputs:
            return real.Dims(self._shapes[name])
        assert set(self._shapes) == set(self._inputs), "output shapes are only known once all inputs are set"
        model = onnx.ModelProto.FromString(self._model.SerializeToString())
        for value in model.graph.input:
            for axis, n in zip(value.type.tensor_type.shape.dim, self._shapes[value.name], strict=True):
                axis.dim_value = n
        for value in model.graph.output:
            for axis in value.type.tensor_type.shape.dim:
                if not axis.HasField("dim_value"):
                    axis.Clear()
        inferred = {value.name: value for value in infer_shapes(model, data_prop=True).graph.output}
        return real.Dims(_dims(inferred[name]))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert name in self._dtypes
        assert memory % 16 == 0
        self._addresses[name] = memory
        return self._trt.cuda.step("set_tensor_address")

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        assert isinstance(output_allocator, real.IOutputAllocator)
        assert name in self._outputs
        self._allocators[name] = output_allocator
        return self._trt.cuda.step("set_output_allocator")

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._busy.acquire(blocking=False), "two enqueues of one context at once"
        try:
            self._trt.cuda.here("enqueue")
            self._trt.enqueues += 1
            if not self._trt.cuda.step("enqueue"):
                self._logger.log(real.ILogger.Severity.ERROR, "the enqueue fails on purpose")
                return False
            return self._enqueue(self._trt.cuda.streams[stream_handle])
        finally:
            self._busy.release()

    def _enqueue(self, stream: Any) -> bool:
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        if not self._allocators:
            stream.add(lambda: self._compute(addresses, shapes))
            return True
        if stream.recording is not None:
            return False
        for work in stream.pending:  # data must be there before shapes can be known
            work()
        stream.pending.clear()
        return self._compute(addresses, shapes, stream.handle)

    def _compute(
        self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]], stream: int = 0
    ) -> bool:
        feeds = {}
        for name, shape in shapes.items():
            nbytes = int(np.prod(shape)) * self._dtypes[name].itemsize
            feeds[name] = self._trt.cuda.view(addresses[name], nbytes).view(self._dtypes[name]).reshape(shape)
        for name, array in zip(self._outputs, self._arithmetic.run(self._outputs, feeds), strict=True):
            address = addresses.get(name, 0)
            if name in self._allocators:
                address = self._reallocate(name, array, stream)
                if not address:
                    return False
            self._trt.cuda.view(address, array.nbytes)[:] = (
                np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            )
        return True

    def _reallocate(self, name: str, array: np.ndarray, stream: int) -> int:
        allocator = self._allocators[name]
        if self._trt.old:
            address = allocator.reallocate_output(name, 0, array.nbytes, 256)
        else:
            address = allocator.reallocate_output_async(name, 0, array.nbytes, 256, stream)
        if address:
            allocator.notify_shape(name, real.Dims(array.shape))
        return address


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
