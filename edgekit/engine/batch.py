"""Open the batch of an ONNX file: one that takes exactly one picture becomes one that takes any number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.engine.onnx_file import load_model
from edgekit.engine.plan import write_all
from edgekit.engine.shapes import model_inputs
from edgekit.errors import InputError
from edgekit.files import data_dir


def open_batch(onnx: Path | str, out: Path | str | None = None) -> Path:
    """Write a copy of an ONNX file whose first axis of inputs and outputs is dynamic, and try it.

    This relabels the axis. A file that holds the batch size inside (in a Reshape) cannot be opened so: it
    is run with two pictures before anything is written.

    Args:
        out: the new file; default: `<name>-batch.onnx` beside the plans, in `engines/built/`.

    Raises:
        InputError: the file cannot be read, or holds its batch size inside.
    """
    path = Path(onnx)
    model = load_model(path)
    for value in [*model.graph.input, *model.graph.output]:
        shape = value.type.tensor_type.shape
        if shape.dim:
            shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # inferred with the old size
    data = model.SerializeToString()
    feeds = {s.name: np.zeros([2, *(n or 32 for n in s.shape[1:])], s.dtype) for s in model_inputs(model)}
    if not _runs(data, feeds):
        raise InputError(
            f"{path.name} holds its batch size inside; export it with a dynamic batch "
            "(torch.onnx.export: dynamic_axes, YOLO: dynamic=True)."
        )
    target = Path(out) if out is not None else data_dir() / "built" / f"{path.stem}-batch.onnx"
    write_all({target: data})
    return target


def _runs(data: bytes, feeds: dict[str, np.ndarray]) -> bool:
    """Whether every output of two pictures is two long, by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a refusal is an answer here
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return all(len(output) == 2 for output in session.run(None, feeds))
    except Exception:  # onnxruntime raises a dozen unrelated classes
        return False
