"""ONNX Runtime as an engine: the CPU, or CUDA where its provider is installed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec, check_feeds
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.ort_cuda import DTYPES, OPEN_ENDED, OrtCuda
from edgekit.engine.resident import Tenant
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.limits import usable_cores

if TYPE_CHECKING:
    import onnxruntime
    from onnx import ModelProto

CUDA = "CUDAExecutionProvider"


def cuda_missing() -> str | None:
    """Why ONNX Runtime cannot use CUDA here, or None if its provider is installed."""
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        return None
    return "this onnxruntime has no CUDA provider (pip install onnxruntime-gpu)"


class OnnxRuntimeEngine:
    """An ONNX file run by ONNX Runtime; see `edgekit.engine.Engine` for the protocol.

    Args:
        model: path of the ONNX file.
        device: "cpu" or "cuda".
        precision: what was asked for. CUDA converts an fp32 file to fp16 when asked; the CPU quantises a
            file of one picture input to int8 (`edgekit.engine.int8`). The CPU has no fp16 kernels worth
            using and runs the file as it is, which `why` then says.
        threads: CPU threads; default: the usable cores, at most 8 (beyond that small nets get slower).
        why: why this back end was chosen, kept for reports.
        beside: as of `open_engine`.

    On CUDA the GPU's owner thread does the work (`edgekit.engine.gpu_thread`), where pycuda is installed;
    without it the engine runs on the caller's thread, and its tensors go through the host.

    Raises:
        InputError: the file cannot be read or is no ONNX model that this onnxruntime can run.
        MissingError: CUDA was asked for and is not there.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "cpu",
        precision: str = "fp32",
        threads: int | None = None,
        why: str = "",
        beside: bool = False,
    ) -> None:
        import onnxruntime

        from edgekit.engine.onnx_file import load_model

        self.path = Path(model)
        if not self.path.is_file():
            raise InputError(f"{self.path} is not there; give the path of an ONNX file.")
        if device == "cuda" and (missing := cuda_missing()):
            raise MissingError(f"ONNX Runtime cannot use CUDA: {missing}.")
        self.threads = threads or max(1, min(int(usable_cores()), 8))
        proto = load_model(self.path)
        self._open_ended = ", ".join(sorted({node.op_type for node in proto.graph.node} & OPEN_ENDED))
        payload, self.precision, note = _at_precision(self.path, proto, device, precision)
        self.why = "; ".join(part for part in (why, note) if part)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1  # the nets here are chains: one operator at a time
        options.log_severity_level = 3
        # A spinning pool takes the cores from capture, drawing and encoding between two calls.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._device = device
        self._tenant: Tenant[OrtCuda] | None = None

        # A trial of every algorithm takes seconds for each new shape: worth it where there is only one.
        open_shape = any(not d.dim_value for i in proto.graph.input for d in i.type.tensor_type.shape.dim)
        search = {"cudnn_conv_algo_search": "HEURISTIC" if open_shape else "EXHAUSTIVE"}

        def make(cuda: Mapping[str, str] | None = None) -> Any:
            own = [] if cuda is None else [(CUDA, {**search, **cuda})]
            providers = [*own, "CPUExecutionProvider"]
            try:
                session = onnxruntime.InferenceSession(payload, options, providers=providers)
            except Exception as error:  # onnxruntime raises a dozen unrelated classes
                raise InputError(
                    f"{self.path} cannot be run by ONNX Runtime: {_first_line(error)}."
                ) from error
            if cuda is not None and session.get_providers()[0] != CUDA:
                raise MissingError(
                    "ONNX Runtime's CUDA provider did not start (driver or CUDA libraries do not match); "
                    "cure: install the onnxruntime-gpu made for your CUDA, or use the CPU."
                )
            return session

        if device == "cuda" and (gpu := _owner_thread(beside)) is not None:
            try:
                self._tenant = Tenant(gpu, lambda gpu: OrtCuda(gpu, make))
            finally:
                gpu.release()
            session = self._tenant.held.session
        else:
            session = make({} if device == "cuda" else None)
        self._session: Any = session
        self.backend = f"onnxruntime-{device}"
        self.device = f"{_cpu_name()}, {self.threads} threads" if device == "cpu" else "CUDA device 0"
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self.times: dict[str, float] = {}
        self._device_inputs: dict[str, Any] = {}

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once; see `Engine.__call__`."""
        if self._session is None:
            raise EdgekitError(f"the engine of {self.path.name} is closed; open it again to use it.")
        check_feeds(self.inputs, feeds)
        return self._run(feeds) if self._tenant is None else self._tenant.call(self._run, feeds)

    def resident(self) -> OrtCuda:
        """What keeps its tensors on the GPU (`edgekit.engine.resident`).

        Raises:
            MissingError: it runs on the CPU, pycuda is missing, or outputs are as large as the data wills.
        """
        if self._device == "cpu":
            raise MissingError(f"{self.backend} keeps its tensors on the host")
        if self._tenant is None:
            raise MissingError("pycuda is not installed")
        if self._open_ended:
            raise MissingError(f"the shapes of its outputs depend on the data ({self._open_ended})")
        return self._tenant.held

    def _run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        start = time.perf_counter()
        binding = self._session.io_binding()
        for name, value in feeds.items():
            self._bind_input(binding, name, np.ascontiguousarray(value))
        for spec in self.outputs:
            binding.bind_output(spec.name, self._device)
        binding.synchronize_inputs()
        ready = time.perf_counter()
        try:
            self._session.run_with_iobinding(
                binding, None if self._tenant is None else self._tenant.held.plain
            )
            binding.synchronize_outputs()
        except Exception as error:
            raise EdgekitError(f"{self.path.name} failed while running: {_first_line(error)}.") from error
        done = time.perf_counter()
        outputs = [value.numpy() for value in binding.get_outputs()]
        self.times = {"upload": ready - start, "infer": done - ready, "download": time.perf_counter() - done}
        return dict(zip((spec.name for spec in self.outputs), outputs, strict=True))

    def _bind_input(self, binding: onnxruntime.IOBinding, name: str, value: NDArray) -> None:
        """Bind host memory as it is; on CUDA copy into a device buffer that is kept between calls."""
        if self._device == "cpu":
            binding.bind_cpu_input(name, value)
            return
        import onnxruntime

        kept = self._device_inputs.get(name)
        if kept is not None and tuple(kept.shape()) == value.shape:
            kept.update_inplace(value)
        else:
            kept = onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0)
            self._device_inputs[name] = kept
        binding.bind_ortvalue_input(name, kept)

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        self._device_inputs.clear()
        self._session = None
        if self._tenant is not None:
            self._tenant.close()

    def __enter__(self) -> OnnxRuntimeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _owner_thread(beside: bool) -> GpuThread | None:
    """The GPU's owner thread; None where pycuda or a driver is missing."""
    try:
        return acquire(0, beside)
    except MissingError:
        return None


def _at_precision(path: Path, model: ModelProto, device: str, wanted: str) -> tuple[str | bytes, str, str]:
    """What to load, the precision it really runs in, and a note where that differs from `wanted`."""
    from edgekit.engine.precision import INT8_NOTE, precision_of, to_fp16

    own = precision_of(model)
    if wanted == own:
        return str(path), own, next((p.value for p in model.metadata_props if p.key == INT8_NOTE), "")
    if wanted == "fp16" and own == "fp32" and device == "cuda":
        return to_fp16(model).SerializeToString(), "fp16", ""
    if wanted == "fp16":
        return str(path), own, f"runs in {own}: ONNX Runtime has no fp16 kernels for the CPU"
    if wanted == "int8" and device == "cpu":
        from edgekit.engine.int8 import quantised
        from edgekit.engine.onnx_file import load_model

        try:
            other = quantised(path)
            return _at_precision(other, load_model(other), device, wanted)
        except EdgekitError as error:
            return str(path), own, f"runs in {own}: {error}"
    return str(path), own, f"runs in {own}, as the file is stored, not {wanted}"


def _spec(node: Any) -> TensorSpec:
    shape = tuple(n if isinstance(n, int) and n >= 0 else None for n in node.shape)
    if node.type not in DTYPES:
        raise InputError(f"tensor {node.name!r} is a {node.type}; the kit runs {', '.join(DTYPES.values())}.")
    return TensorSpec(node.name, shape, np.dtype(DTYPES[node.type]))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _cpu_name() -> str:
    import platform

    return f"{platform.machine()} CPU"
