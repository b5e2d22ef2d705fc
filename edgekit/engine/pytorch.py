"""An ONNX file run by PyTorch, converted by onnx2torch: what other back ends are measured against."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import check_feeds
from edgekit.engine.onnx_file import load_model
from edgekit.engine.precision import precision_of
from edgekit.engine.shapes import model_inputs, specs
from edgekit.errors import EdgekitError, InputError, MissingError

CURE = "cure: pip install 'edgekit[pytorch]'"


def pytorch_missing() -> str | None:
    """Why PyTorch cannot run an ONNX file here, or None if it can. Nothing heavy is imported."""
    from importlib.util import find_spec

    absent = [name for name in ("torch", "onnx2torch") if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed" if absent else None


class PyTorchEngine:
    """An ONNX file as a PyTorch module; see `edgekit.engine.Engine` for the protocol.

    Args:
        model: path of the ONNX file.
        device: "cpu" or "cuda"; None: CUDA where PyTorch has it.
        precision: what was asked for. fp16 is autocast on CUDA; the CPU runs fp32, and `why` says so.
        why: why this back end was chosen, kept for reports.

    Raises:
        InputError: the file cannot be read, is no fp32 model, or has an operator that onnx2torch lacks.
        MissingError: torch or onnx2torch is not installed, or CUDA was asked for and is not there.
    """

    backend = "pytorch"

    def __init__(
        self, model: str | Path, device: str | None = None, precision: str = "fp32", why: str = ""
    ) -> None:
        if missing := pytorch_missing():
            raise MissingError(f"PyTorch cannot run ONNX files here: {missing}; {CURE}.")
        import torch

        convert = _converter()
        self.path = Path(model)
        network = load_model(self.path)
        if (own := precision_of(network)) != "fp32":
            raise InputError(f"{self.path.name} is stored in {own}; PyTorch takes fp32 files here.")
        if device == "cuda" and not torch.cuda.is_available():
            raise MissingError("this PyTorch has no CUDA device; leave the device out, or use the CPU.")
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._module: Any = convert(network).eval().to(self._device)
        except Exception as error:  # onnx2torch raises NotImplementedError, and whatever torch does
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{self.path.name} cannot be converted to PyTorch: {words}.") from error
        on_cuda = self._device == "cuda"
        self.precision = precision if precision == "fp16" and on_cuda else "fp32"
        note = "" if precision == self.precision else f"runs in fp32: no {precision} here"
        if on_cuda and self.precision == "fp32" and torch.backends.cudnn.allow_tf32:
            note = "; ".join(filter(None, [note, "convolutions in TF32, PyTorch's default"]))
        self.why = "; ".join(part for part in (why, note) if part)
        self.device = (
            torch.cuda.get_device_name(0) if on_cuda else f"CPU, {torch.get_num_threads()} threads of PyTorch"
        )
        self.inputs = model_inputs(network)
        self.outputs = specs(network.graph.output)
        self.metadata: dict[str, str] = {p.key: p.value for p in network.metadata_props}
        self.times: dict[str, float] = {}

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once; see `Engine.__call__`."""
        if self._module is None:
            raise EdgekitError(f"the engine of {self.path.name} is closed; open it again to use it.")
        check_feeds(self.inputs, feeds)
        import torch

        def waited() -> float:
            if self._device == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter()

        start = time.perf_counter()
        given = [
            torch.from_numpy(np.ascontiguousarray(feeds[spec.name])).to(self._device) for spec in self.inputs
        ]
        ready = waited()
        try:
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, self.precision == "fp16"):
                answer = self._module(*given)
        except Exception as error:
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EdgekitError(f"{self.path.name} failed in PyTorch: {words}.") from error
        done = waited()
        tensors = answer if isinstance(answer, list | tuple) else [answer]
        outputs = {
            spec.name: tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype).cpu().numpy()
            for spec, tensor in zip(self.outputs, tensors, strict=True)
        }
        self.times = {"upload": ready - start, "infer": done - ready, "download": time.perf_counter() - done}
        return outputs

    def close(self) -> None:
        """Free the module; a second call does nothing."""
        self._module = None

    def __enter__(self) -> PyTorchEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _converter() -> Any:
    """onnx2torch.convert, also where torchvision is missing or was made for another torch.

    onnx2torch imports torchvision for NonMaxSuppression and RoiAlign, which no network here holds. On a
    Jetson the torchvision of PyPI does not fit NVIDIA's torch, and importing it fails.
    """
    try:
        import torchvision  # noqa: F401
    except Exception:  # ImportError where it is missing, RuntimeError where it does not fit
        absent, ops = ModuleType("torchvision"), ModuleType("torchvision.ops")
        absent.ops = ops  # type: ignore[attr-defined]
        ops.roi_align = None  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": absent, "torchvision.ops": ops})
        try:
            from onnx2torch import convert
        finally:
            del sys.modules["torchvision"], sys.modules["torchvision.ops"]
        return convert
    from onnx2torch import convert

    return convert
