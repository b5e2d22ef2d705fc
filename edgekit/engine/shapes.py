"""Shapes of a model's inputs: what the ONNX file says, and the min/opt/max a dynamic one must be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.engine import Shape, TensorSpec
from edgekit.errors import InputError

if TYPE_CHECKING:
    import onnx

Range = tuple[Shape, Shape, Shape]


def specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """`TensorSpec` of each ONNX value info; a symbolic or missing size is None."""
    import onnx

    found = []
    for value in values:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        found.append(TensorSpec(value.name, shape, dtype))
    return tuple(found)


def model_inputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The inputs that must be fed: old files list the weights among them too."""
    weights = {weight.name for weight in model.graph.initializer}
    return specs([value for value in model.graph.input if value.name not in weights])


def check_shapes(inputs: Sequence[TensorSpec], shapes: Mapping[str, Any] | None) -> dict[str, Range]:
    """The range of every dynamic input, checked against the model.

    Args:
        inputs: the model's inputs.
        shapes: {name: (min, opt, max)}, or {name: shape} where the three are the same.

    Returns:
        {name: (min, opt, max)} of the dynamic inputs; empty for a static model.

    Raises:
        InputError: a range is missing, unknown, out of order or at odds with the model.
    """
    known = {spec.name: spec for spec in inputs}
    given = {name: as_range(name, value) for name, value in (shapes or {}).items()}
    if unknown := sorted(set(given) - set(known)):
        raise InputError(f"the model has no input {unknown[0]!r}; its inputs are {', '.join(known)}.")
    ranges = {}
    for name, spec in known.items():
        dynamic = None in spec.shape
        if name in given:
            _check_range(spec, given[name])
            if dynamic:
                ranges[name] = given[name]
        elif dynamic:
            raise InputError(_how_to_give(spec))
    return ranges


def as_range(name: str, value: Any) -> Range:
    """(min, opt, max) from a range or from one shape.

    Raises:
        InputError: it is neither.
    """
    try:
        parts = [value] * 3 if all(isinstance(n, int | np.integer) for n in value) else list(value)
        low, opt, high = (tuple(int(n) for n in part) for part in parts)
    except (TypeError, ValueError):
        raise InputError(
            f"the shapes of input {name!r} must be one shape or (min, opt, max), not {value!r}."
        ) from None
    return low, opt, high


def _check_range(spec: TensorSpec, given: Range) -> None:
    low, opt, high = given
    for word, shape in zip(("min", "opt", "max"), given, strict=True):
        if len(shape) != len(spec.shape):
            raise InputError(
                f"input {spec.name!r}: the {word} shape {spell(shape)} has {len(shape)} axes; "
                f"the model has {len(spec.shape)}: {spec}."
            )
    for axis, size in enumerate(spec.shape):
        sizes = low[axis], opt[axis], high[axis]
        where = f"input {spec.name!r}, axis {axis}"
        if min(sizes) < 1:
            raise InputError(f"{where}: a size must be at least 1, not {min(sizes)}.")
        if size is not None and set(sizes) != {size}:
            wrong = next(n for n in sizes if n != size)
            raise InputError(f"{where}: the model fixes it to {size}; {wrong} was given.")
        if not sizes[0] <= sizes[1] <= sizes[2]:
            raise InputError(f"{where}: min ≤ opt ≤ max is wanted, not {sizes[0]}, {sizes[1]}, {sizes[2]}.")


def check_within(name: str, given: Sequence[int], least: Shape, most: Shape, plan: str = "the plan") -> None:
    """Refuse a shape outside the range a plan was built for.

    Raises:
        InputError: names the input, the shape and the range.
    """
    if any(not low <= n <= high for low, n, high in zip(least, given, most, strict=True)):
        raise InputError(
            f"input {name!r} is {list(given)}; {plan} takes {list(least)} to {list(most)}. "
            "Split the batch, or rebuild with a wider range."
        )


def _how_to_give(spec: TensorSpec) -> str:
    def filled(batch: int) -> Shape:
        sizes = (batch, 3, 416, 416)
        return tuple(n or (sizes[i] if i < 4 else 32) for i, n in enumerate(spec.shape))

    ends = ":".join(spell(filled(batch)) for batch in (1, 4, 8))
    python = f"{{{spec.name!r}: ({filled(1)}, {filled(4)}, {filled(8)})}}"
    return (
        f"input {spec.name!r} is dynamic ({spec}): give its min, opt and max shape, for example "
        f"--shapes {spec.name}={ends} (in Python shapes={python})."
    )


def spell(shape: Sequence[int]) -> str:
    """ "1x3x416x416"."""
    return "x".join(str(n) for n in shape)


def spell_shapes(shapes: Mapping[str, Range]) -> str:
    """ "images=1x3x416x416:4x3x416x416:8x3x416x416", as `--shapes` takes it; empty for a static model."""
    return ",".join(f"{name}={':'.join(spell(s) for s in shapes[name])}" for name in sorted(shapes))


def parse_shapes(text: str) -> dict[str, Range]:
    """Read `--shapes`: "name=min:opt:max,…" with sizes as 1x3x416x416; one shape alone counts for all three.

    Raises:
        InputError: it is not of this form.
    """
    found: dict[str, Range] = {}
    for part in filter(None, text.split(",")):
        name, equals, sizes = part.rpartition("=")
        try:
            given = [tuple(int(n) for n in shape.split("x")) for shape in sizes.split(":")]
        except ValueError:
            given = []
        if not equals or not name or len(given) not in (1, 3):
            raise InputError(
                f"--shapes {part!r} is not of the form images=1x3x416x416:4x3x416x416:8x3x416x416."
            )
        found[name] = (given[0], given[0], given[0]) if len(given) == 1 else (given[0], given[1], given[2])
    return found
