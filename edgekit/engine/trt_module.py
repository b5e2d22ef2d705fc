"""The TensorRT module itself: which one is here, its log, and the facts that differ by version.

Everything works on 8.5 to 11 and on TensorRT-RTX; names that some version lacks are asked for with
`getattr`. No TensorRT module is imported before it is needed.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.engine.cuda import Buffer
from edgekit.errors import InputError, MissingError

MODULES = ("tensorrt", "tensorrt_rtx")
#: NumPy twin of a TensorRT type, by name. `trt.nptype` is no help: with 8.5 it breaks on NumPy ≥ 1.24.
DTYPES: dict[str, np.dtype] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "INT8": np.dtype(np.int8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
}

_log = logging.getLogger("edgekit.tensorrt")
_loggers: dict[str, Any] = {}
_allocators: dict[str, Any] = {}
_lock = threading.Lock()


def load_tensorrt(prefer: str = "tensorrt", fallback: bool = True) -> Any:
    """Import TensorRT.

    Args:
        prefer: "tensorrt" or "tensorrt_rtx".
        fallback: take the other one if the preferred one is not installed.

    Raises:
        MissingError: not installed, or it cannot be loaded; says how to get it on this machine.
    """
    if prefer not in MODULES:
        raise InputError(f"there is no TensorRT module {prefer!r}; choose one of {', '.join(MODULES)}.")
    names = [prefer, *(name for name in MODULES if fallback and name != prefer)]
    reasons = []
    for name in names:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            reasons.append(str(error))
    raise MissingError(f"{prefer} cannot be loaded ({reasons[0]}). {_cure(prefer)}")


def _cure(module: str) -> str:
    if module == "tensorrt_rtx":
        return "Install it with `pip install tensorrt-rtx-cu13` (RTX cards; building needs no GPU)."
    if Path("/etc/nv_tegra_release").exists():
        return (
            "On a Jetson it comes with JetPack (`sudo apt install nvidia-jetpack`), and the virtual "
            "environment must be made with `--system-site-packages`; pip's tensorrt does not run there."
        )
    return (
        "On a PC with an NVIDIA GPU `pip install tensorrt` does; without one, use the onnxruntime back end."
    )


def logger_for(trt: Any) -> Any:
    """The one logger of a TensorRT module, kept for ever: its plugin registry never lets go of it.

    Warnings go to the `edgekit.tensorrt` log; the latest errors of the calling thread are kept in
    `logger.errors`, as engines run on two. While
    `logger.listener` is set, every message goes there instead, as (name of the severity, text).
    """
    with _lock:
        if trt.__name__ not in _loggers:
            _loggers[trt.__name__] = _new_logger(trt)
        return _loggers[trt.__name__]


def _new_logger(trt: Any) -> Any:
    worst = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
    warning = trt.ILogger.Severity.WARNING

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._said = threading.local()
            self.listener: Callable[[str, str], None] | None = None

        @property
        def errors(self) -> deque[str]:
            if not hasattr(self._said, "errors"):
                self._said.errors = deque(maxlen=8)
            return self._said.errors

        def log(self, severity: Any, msg: str) -> None:
            if self.listener is not None:
                self.listener(severity.name, msg.strip())
            elif severity in worst:
                self.errors.append(msg.strip())
                _log.debug("%s", msg)  # the exception that follows tells it
            elif severity == warning:
                _log.warning("%s", msg)

    return Logger()


def load_plugins(trt: Any, logger: Any) -> None:
    """Register TensorRT's own plugins (ROIAlign_TRT, …). TensorRT-RTX has none."""
    init = getattr(trt, "init_libnvinfer_plugins", None)
    if init is not None:
        init(logger, "")


def output_allocator(trt: Any, buffer: Buffer) -> Any:
    """A `trt.IOutputAllocator` that lets TensorRT grow `buffer` while it runs.

    After the enqueue, `shape` is the shape of the result and `error` what went wrong in here, or None.
    """
    with _lock:
        if trt.__name__ not in _allocators:
            _allocators[trt.__name__] = _new_allocator_class(trt)
    return _allocators[trt.__name__](buffer)


def _new_allocator_class(trt: Any) -> Any:
    class OutputAllocator(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self, buffer: Buffer) -> None:
            trt.IOutputAllocator.__init__(self)
            self.buffer = buffer
            self.shape: tuple[int, ...] | None = None
            self.error: Exception | None = None

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            try:
                self.buffer.grow(size)
            except Exception as error:  # must not cross the C++ above; 0 tells TensorRT to give up
                self.error = error.with_traceback(None)  # its frames would keep GPU objects alive
                return 0
            return self.buffer.address

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:  # TensorRT ≥ 10 calls this one, 8.x the other
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shape = tuple(shape)

    return OutputAllocator


def numpy_dtype(trt_dtype: Any, tensor: str) -> np.dtype:
    """NumPy's twin of a `trt.DataType`, asked by name: enum numbers differ between versions.

    Raises:
        InputError: NumPy has no such type (bf16, fp8, int4, …).
    """
    name = trt_dtype.name
    if name not in DTYPES:
        raise InputError(
            f"tensor {tensor!r} is {name}, which NumPy does not have; "
            "export the model with float32 or float16 inputs and outputs."
        )
    return DTYPES[name]
