"""Which back end opens a model, and the sentence that says why."""

from __future__ import annotations

from pathlib import Path

from edgekit.engine import PRECISIONS, Engine, ShapeRanges
from edgekit.errors import InputError, MissingError

BACKENDS = ("auto", "tensorrt", "onnxruntime", "onnxruntime-cpu", "onnxruntime-cuda", "pytorch")
PLANS = (".plan", ".engine", ".trt")


def tensorrt_missing() -> str | None:
    """Why TensorRT cannot run a plan here, or None if it can: a GPU, the library and pycuda."""
    from edgekit.device import describe
    from edgekit.engine.trt_module import load_tensorrt

    if describe().gpu is None:
        return "this machine has no NVIDIA GPU"
    try:
        load_tensorrt()
    except MissingError:
        return "TensorRT is not installed"
    try:
        import pycuda.driver as cuda
    except ImportError:
        return "pycuda is not installed"
    try:
        cuda.init()
        return None if cuda.Device.count() else "there is no CUDA device"
    except cuda.Error as error:
        return f"CUDA does not start ({error})"


def choose_engine(
    model: str | Path, precision: str, backend: str, shapes: ShapeRanges | None = None, beside: bool = False
) -> Engine:
    """What `open_engine` does; see there."""
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}.")
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}.")
    from edgekit.models import find

    path = find(model)
    if path.suffix in PLANS:
        if backend not in ("auto", "tensorrt"):
            raise InputError(f"{path.name} is a TensorRT plan; {backend} cannot run it. Give the ONNX file.")
        return _tensorrt(path, "a plan was given", beside)
    if backend == "tensorrt":
        return _built(path, precision, shapes, "asked for", beside)
    if backend == "pytorch":
        from edgekit.engine.pytorch import PyTorchEngine

        return PyTorchEngine(path, precision=precision, why="PyTorch: asked for")
    if backend == "auto" and (missing := tensorrt_missing()) is None:
        return _built(path, precision, shapes, "TensorRT and a GPU are here", beside)
    reason = "asked for" if backend != "auto" else f"{missing}"
    return _onnxruntime(path, precision, backend, reason, beside)


def _built(onnx: Path, precision: str, shapes: ShapeRanges | None, why: str, beside: bool) -> Engine:
    if missing := tensorrt_missing():
        raise MissingError(f"TensorRT cannot run here: {missing}. `edgekit doctor` names the cure.")
    from edgekit.engine.build import build

    plan = build(onnx, precision, shapes)
    return _tensorrt(plan.path, f"{why}; {plan.reason}", beside)


def _tensorrt(plan: Path, why: str, beside: bool) -> Engine:
    if missing := tensorrt_missing():
        raise MissingError(f"{plan.name} needs TensorRT: {missing}. `edgekit doctor` names the cure.")
    from edgekit.engine.tensorrt import TensorRTEngine

    return TensorRTEngine(plan, why=why, beside=beside)


def _onnxruntime(onnx: Path, precision: str, backend: str, reason: str, beside: bool) -> Engine:
    from edgekit.engine.onnxruntime import OnnxRuntimeEngine, cuda_missing

    if backend == "onnxruntime-cuda":
        return OnnxRuntimeEngine(
            onnx, "cuda", precision, why="ONNX Runtime on CUDA: asked for", beside=beside
        )
    if backend == "onnxruntime-cpu":
        return OnnxRuntimeEngine(onnx, "cpu", precision, why="ONNX Runtime on the CPU: asked for")
    if cuda_missing() is None:
        try:
            why = f"ONNX Runtime on CUDA: {reason}"
            return OnnxRuntimeEngine(onnx, "cuda", precision, why=why, beside=beside)
        except MissingError as error:
            reason = f"{reason}, and {error}"
    return OnnxRuntimeEngine(onnx, "cpu", precision, why=f"ONNX Runtime on the CPU: {reason}")
