"""What of a TensorRT engine lives on the GPU's owner thread: made, run and freed there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Shape, TensorSpec
from edgekit.engine.cuda import Buffer, CaptureError, DeviceArray, Graph
from edgekit.engine.gpu_thread import NON_BLOCKING, GpuThread, load_driver
from edgekit.engine.plan import REBUILD
from edgekit.engine.shapes import check_within
from edgekit.engine.trt_module import load_plugins, logger_for, numpy_dtype, output_allocator
from edgekit.errors import EdgekitError, InputError, MissingError


@dataclass
class Tensor:
    """An input or output: what the plan says of it, its buffer, its shape in the present call."""

    spec: TensorSpec
    buffer: Buffer
    limits: tuple[Shape, Shape] | None = None  # least and greatest shape of a dynamic input
    shape: Shape = ()
    allocator: Any = None  # of an output whose shape depends on the data

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.spec.dtype.itemsize

    def on_device(self) -> DeviceArray:
        return DeviceArray(self.buffer.address, self.shape, self.spec.dtype)

    def view(self) -> NDArray:
        return self.buffer.view(self.shape, self.spec.dtype)


class Session:
    """A deserialized plan with its context, stream and buffers. Every method but `check_ranges` belongs
    to the owner thread. It is a `Resident` too (`edgekit.engine.resident`)."""

    def __init__(
        self,
        gpu: GpuThread,
        trt: Any,
        plan: Path,
        blob: bytes,
        about: Mapping[str, Any],
        graph: bool,
        dla_core: int | None,
        zero_copy: bool | None,
    ) -> None:
        self.notes: list[str] = []
        self.sources: list[Tensor] = []
        self.results: list[Tensor] = []
        self.gpu, self._trt, self._plan = gpu, trt, plan
        self._logger = logger_for(trt)
        self._drv = load_driver()
        self.version = 0
        self._shapes: dict[str, Shape] = {}  # the input shapes that the context is set to
        self._enqueued = False  # with these shapes: the first enqueue must not be recorded
        self._graph: Graph | None = None
        self._graph_wanted = graph
        self._stream: Any = None
        self._events: list[Any] = []
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._undo = ExitStack()  # frees in the reverse order of what follows
        if not graph:
            self.notes.append("No CUDA graph: switched off.")
        elif dla_core is not None:
            self._no_graph("a deep-learning accelerator cannot be recorded")
        try:
            with self._plain_errors():
                self._open_stream()
                self._load(blob, about, dla_core)
                self._read_tensors(zero_copy)
                self._open_context()
        except BaseException:
            with suppress(self._drv.Error):  # the first error tells more
                self.free()
            raise
        gpu.kept.append(self)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor.spec for tensor in self.sources)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor.spec for tensor in self.results)

    def check_ranges(self, shapes: Mapping[str, Shape]) -> None:
        """Refuse shapes outside the plan's range, naming tensor, shape and range."""
        for tensor in self.sources:
            if tensor.limits is None:
                continue
            name, (least, most) = tensor.spec.name, tensor.limits
            check_within(name, shapes[name], least, most, f"the plan {self._plan.name}")

    def run(self, feeds: Mapping[str, NDArray]) -> tuple[dict[str, NDArray], dict[str, float]]:
        """Copy in, run, copy out: the outputs as views of the pinned buffers, and the stage times."""
        if self._context is None:
            raise EdgekitError("this engine is closed; open it again.")
        with self._plain_errors():
            self._set_shapes({name: array.shape for name, array in feeds.items()})
            began = time.perf_counter()
            for tensor in self.sources:
                np.copyto(tensor.view(), feeds[tensor.spec.name], casting="no")
            copying = time.perf_counter() - began
            start, sent, inferred, fetched = self._events
            try:
                start.record(self._stream)
                for tensor in self.sources:
                    tensor.buffer.upload(tensor.nbytes, self._stream)
                sent.record(self._stream)
                self._infer()
                inferred.record(self._stream)
                self._read_late_shapes()
                for tensor in self.results:
                    tensor.buffer.download(tensor.nbytes, self._stream)
                fetched.record(self._stream)
            finally:
                self._stream.synchronize()  # on failure too: nothing may still write when buffers move
            times = {
                "upload": copying + sent.time_since(start) / 1e3,
                "infer": inferred.time_since(sent) / 1e3,
                "download": fetched.time_since(inferred) / 1e3,
            }
            return {tensor.spec.name: tensor.view() for tensor in self.results}, times

    @property
    def recordable(self) -> bool:
        """Its work may be part of a CUDA graph."""
        return self._graph_wanted

    def place(self, shapes: Mapping[str, Shape]) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        if self._context is None:
            raise EdgekitError("this engine is closed; open it again.")
        self.check_ranges(shapes)
        with self._plain_errors():
            self._set_shapes(dict(shapes))
        return {tensor.spec.name: tensor.on_device() for tensor in self.sources}

    def check_resident(self) -> None:
        """Refuse a plan with an output whose shape only the data tells: somebody must wait for it."""
        self.place(
            {
                t.spec.name: t.limits[0] if t.limits else tuple(n or 0 for n in t.spec.shape)
                for t in self.sources
            }
        )
        for tensor in self.results:
            if tensor.allocator is not None:
                raise MissingError(f"the shape of {tensor.spec.name!r} depends on the data")

    def enqueue(self) -> dict[str, DeviceArray]:
        """See `edgekit.engine.resident.Resident`."""
        with self._plain_errors():
            self._enqueue(self.gpu.stream)
        return {tensor.spec.name: tensor.on_device() for tensor in self.results}

    def free(self) -> None:
        """Free graph, context, engine, runtime, buffers, events and stream, in this order."""
        with suppress(ValueError):
            self.gpu.kept.remove(self)
        self._undo.close()

    def _open_stream(self) -> None:
        self._undo.callback(self._drop, "_stream")
        self._stream = self._drv.Stream(NON_BLOCKING)
        self._undo.callback(self._events.clear)
        for _ in range(4):
            self._events.append(self._drv.Event())

    def _load(self, blob: bytes, about: Mapping[str, Any], dla_core: int | None) -> None:
        load_plugins(self._trt, self._logger)
        self._undo.callback(self._free_buffers)
        self._undo.callback(self._drop, "_runtime")
        self._runtime = self._trt.Runtime(self._logger)
        if dla_core is not None:
            cores = self._runtime.num_DLA_cores
            if not 0 <= dla_core < cores:
                raise InputError(f"there is no DLA core {dla_core}: {self.gpu.name} has {cores}.")
            self._runtime.DLA_core = dla_core
        self._undo.callback(self._drop, "_engine")
        try:
            self._engine = self._runtime.deserialize_cuda_engine(blob)
        except (RuntimeError, ValueError, TypeError) as error:
            self._logger.errors.append(str(error))
        if self._engine is None:
            made = ", ".join(str(about[key]) for key in ("tensorrt", "gpu") if about.get(key))
            raise InputError(
                f"TensorRT {self._trt.__version__} on {self.gpu.name} cannot load {self._plan}"
                f"{f' (made with {made})' if made else ''}: {self._reason()} "
                f"A plan fits one TensorRT version and one kind of GPU. {REBUILD}"
            )

    def _read_tensors(self, zero_copy: bool | None) -> None:
        trt = self._trt
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            dtype = numpy_dtype(self._engine.get_tensor_dtype(name), name)
            if self._engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise InputError(f"tensor {name!r} holds a shape; export the model with that shape fixed.")
            if self._engine.get_tensor_format(name) != trt.TensorFormat.LINEAR:
                raise InputError(f"tensor {name!r} of {self._plan} has a packed layout. {REBUILD}")
            shape = tuple(self._engine.get_tensor_shape(name))
            spec = TensorSpec(name, tuple(None if n < 0 else n for n in shape), dtype)
            tensor = Tensor(spec, Buffer(self.gpu, zero_copy))
            if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                if -1 in shape:
                    least, _, most = self._engine.get_tensor_profile_shape(name, 0)
                    tensor.limits = tuple(least), tuple(most)
                    tensor.spec = replace(spec, most=tuple(most))
                self.sources.append(tensor)
            else:
                self.results.append(tensor)

    def _open_context(self) -> None:
        self._undo.callback(self._drop, "_context")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EdgekitError(
                f"TensorRT gives no context for {self._plan}: {self._reason()} "
                "Free some memory (close other engines and programs) and try again."
            )
        self._undo.callback(self._drop_graph)
        if all(
            tensor.limits is None for tensor in self.sources
        ):  # allocate now: better than at the first call
            self._set_shapes({t.spec.name: tuple(n or 0 for n in t.spec.shape) for t in self.sources})

    def _set_shapes(self, shapes: dict[str, Shape]) -> None:
        """Tell the context the input shapes; grow buffers and pass their addresses where that is needed."""
        if shapes == self._shapes and self._shapes:
            return
        self._drop_graph()
        self._shapes = {}  # half set counts as not set
        self.version += 1
        self._enqueued = False
        for tensor in self.sources:
            tensor.shape = shapes[tensor.spec.name]
            if not self._context.set_input_shape(tensor.spec.name, tensor.shape):
                raise InputError(
                    f"TensorRT refuses {list(tensor.shape)} for input {tensor.spec.name!r}: {self._reason()}"
                )
        for tensor in self.results:
            tensor.shape = tuple(self._context.get_tensor_shape(tensor.spec.name))
            if -1 in tensor.shape and tensor.allocator is None:
                tensor.allocator = output_allocator(self._trt, tensor.buffer)
                self._require(self._context.set_output_allocator(tensor.spec.name, tensor.allocator), tensor)
                self._no_graph(f"the shape of {tensor.spec.name!r} depends on the data")
        for tensor in (*self.sources, *self.results):
            if tensor.allocator is None:
                tensor.buffer.grow(tensor.nbytes)
                self._require(
                    self._context.set_tensor_address(tensor.spec.name, tensor.buffer.address), tensor
                )
        self._shapes = shapes

    def _infer(self) -> None:
        """Enqueue once; from then on record and replay, as long as the shapes stay the same."""
        if self._graph is None and self._graph_wanted and self._enqueued:
            try:
                self._graph = Graph(self._stream.handle, lambda: self._enqueue(self._stream))
            except CaptureError as error:
                self._no_graph(str(error))
        if self._graph is not None:
            self._graph.launch(self._stream.handle)
        else:
            self._enqueue(self._stream)
            self._enqueued = True

    def _enqueue(self, stream: Any) -> None:
        for tensor in self.results:
            if tensor.allocator is not None:
                tensor.allocator.shape = tensor.allocator.error = None
        if not self._context.execute_async_v3(stream.handle):
            for tensor in self.results:
                if tensor.allocator is not None and tensor.allocator.error is not None:
                    raise tensor.allocator.error
            raise EdgekitError(f"TensorRT failed to run {self._plan}: {self._reason()}")

    def _read_late_shapes(self) -> None:
        for tensor in self.results:
            if tensor.allocator is not None:
                if tensor.allocator.shape is None:
                    raise EdgekitError(f"TensorRT gave no shape for output {tensor.spec.name!r}.")
                tensor.shape = tensor.allocator.shape

    def _require(self, accepted: bool, tensor: Tensor) -> None:
        if not accepted:
            raise EdgekitError(f"TensorRT refuses the buffer of {tensor.spec.name!r}: {self._reason()}")

    def _no_graph(self, reason: str) -> None:
        if self._graph_wanted:
            self._graph_wanted = False
            self.notes.append(f"No CUDA graph: {reason}.")

    def _reason(self) -> str:
        return self._logger.errors[0] if self._logger.errors else "it gives no reason."

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.free()

    def _free_buffers(self) -> None:
        for tensor in (*self.sources, *self.results):
            tensor.allocator = None
            tensor.buffer.free()

    def _drop(self, name: str) -> None:
        """Let go of a CUDA or TensorRT object; nobody else holds it, so it is freed here and now."""
        setattr(self, name, None)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Turn errors of pycuda and TensorRT into the kit's, which name the plan."""
        self._logger.errors.clear()
        try:
            yield
        except self._drv.MemoryError as error:
            raise EdgekitError(
                f"{self.gpu.name} has no memory left for {self._plan}; "
                "use a smaller batch or input, or close other engines and programs."
            ) from error
        except (self._drv.Error, CaptureError) as error:
            raise EdgekitError(
                f"CUDA failed while working on {self._plan}: {error}. Restart Python if it does so again."
            ) from error
        except (RuntimeError, TypeError) as error:  # what pybind11 makes of a null pointer or a C++ exception
            raise EdgekitError(f"TensorRT failed with {self._plan} ({error}): {self._reason()}") from error
