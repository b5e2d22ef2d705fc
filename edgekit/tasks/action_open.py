"""The shapes that a plan of a network of action recognition is built for."""

from __future__ import annotations

from pathlib import Path

from edgekit.engine import Shape, ShapeRanges
from edgekit.tasks.action_nets import is_action

#: People in one call at most where the engine itself sets no bound.
MAX_BATCH = 8


def plan_shapes(model: str | Path, backend: str = "auto") -> ShapeRanges | None:
    """The shapes that a plan of this model is built for: 1 to 8 rows, best for 1.

    None where no plan is to be built (another back end, a plan that is there), for a model of another kind,
    and for one that leaves nothing open, or more than its batch.
    """
    from edgekit.engine.choose import tensorrt_missing
    from edgekit.models import find

    if backend not in ("auto", "tensorrt") or tensorrt_missing() is not None:
        return None
    path = find(model)
    return open_shapes(path) if path.suffix == ".onnx" else None


def open_shapes(path: Path) -> ShapeRanges | None:
    """As `plan_shapes`, of an ONNX file."""
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.shapes import model_inputs

    inputs = model_inputs(load_model(path))
    if not is_action(inputs) or any(spec.shape[:1] != (None,) or None in spec.shape[1:] for spec in inputs):
        return None
    ranges: dict[str, tuple[Shape, Shape, Shape]] = {}
    for spec in inputs:
        rest = tuple(n for n in spec.shape[1:] if n is not None)
        ranges[spec.name] = ((1, *rest), (1, *rest), (MAX_BATCH, *rest))
    return ranges
