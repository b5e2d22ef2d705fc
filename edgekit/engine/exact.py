"""Open a model in exactly the precision and batch asked for, or say why that cannot be.

`open_engine` takes what the machine can do and says so in `why`; a table of figures needs the thing itself.
"""

from __future__ import annotations

from pathlib import Path

from edgekit.engine import Engine, Shape, ShapeRanges, TensorSpec, open_engine
from edgekit.engine.choose import PLANS, tensorrt_missing
from edgekit.errors import InputError
from edgekit.files import data_dir, sha256
from edgekit.models import find


def open_exact(
    model: str | Path,
    precision: str,
    backend: str = "auto",
    *,
    batch: int = 1,
    calibration: Path | str | None = None,
) -> Engine:
    """An engine that runs in `precision` and takes `batch` pictures at once.

    A fixed batch is opened where the file allows it (`edgekit.engine.batch`).

    Args:
        model, precision, backend: as of `open_engine`.
        batch: size of the first axis.
        calibration: folder of pictures for int8; default: frames of the sample clip.

    Raises:
        InputError: the back end would run another precision, or the model another batch.
        MissingError: the back end is not here.
    """
    engine = _opened(model, precision, backend, batch, calibration)
    if engine.precision == precision and fits(engine.inputs, batch):
        return engine
    engine.close()
    if engine.precision != precision:
        raise InputError(
            f"{engine.backend}: it runs in {engine.precision}, not in {precision} ({engine.why})."
        )
    inputs = ", ".join(map(str, engine.inputs))
    raise InputError(f"{engine.backend}: {Path(model).name} takes no batch of {batch}: {inputs}.")


def _opened(
    model: str | Path, precision: str, backend: str, batch: int, calibration: Path | str | None
) -> Engine:
    path = find(model)
    if path.suffix in PLANS:
        return open_engine(path, precision, backend)
    path, shapes = with_batch(path, batch)
    if backend in ("auto", "tensorrt") and tensorrt_missing() is None:
        return _plan(model, path, precision, shapes, calibration)
    if precision == "int8" and backend not in ("pytorch", "onnxruntime-cuda"):
        from edgekit.engine.int8 import quantised

        path = quantised(path, like=model, calibration=calibration)
    return open_engine(path, precision, backend)


def with_batch(path: Path, batch: int) -> tuple[Path, ShapeRanges]:
    """The ONNX file, or a copy of it with its batch opened; and the shape of each dynamic input.

    Raises:
        InputError: the file holds its batch size inside, or has other open sizes than batch and picture.
    """
    from edgekit.engine.batch import open_batch
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.shapes import model_inputs

    model = load_model(path)
    inputs = model_inputs(model)
    if not fits(inputs, batch):
        opened = data_dir() / "built" / "batch" / f"{path.stem}.{sha256(path)[:12]}.onnx"
        path = opened if opened.is_file() else open_batch(path, opened)
        inputs = model_inputs(load_model(path))
    notes = {p.key: p.value for p in model.metadata_props}
    filled = {spec.name: filled_shape(spec, batch, notes) for spec in inputs}
    open_ones = [spec.name for spec in inputs if None in spec.shape]
    return path, {name: (filled[name],) * 3 for name in open_ones}


def fits(inputs: tuple[TensorSpec, ...], batch: int) -> bool:
    """Whether every input takes `batch` on its first axis."""
    return all(not spec.shape or spec.shape[0] in (None, batch) for spec in inputs)


def filled_shape(spec: TensorSpec, batch: int, notes: dict[str, str]) -> Shape:
    """The whole shape of an input: its open first axis is the batch, an open picture the model's size.

    Raises:
        InputError: another axis is open.
    """
    shape = [batch if i == 0 and n is None else n for i, n in enumerate(spec.shape)]
    if len(shape) == 4 and shape[1] in (3, None):
        from edgekit.tasks.yolo_settings import input_size

        shape[1:] = [3, *input_size(spec, None, notes)]
    if len(shape) == 5 and None in shape:
        from edgekit.tasks.slowfast_open import filled

        shape = list(filled(spec, notes))
    if None in shape:
        raise InputError(f"input {spec} is open in more than its batch; export it with fixed sizes.")
    return tuple(n for n in shape if n is not None)


def _plan(
    model: str | Path, path: Path, precision: str, shapes: ShapeRanges, calibration: Path | str | None
) -> Engine:
    from edgekit.engine.build import build
    from edgekit.engine.int8 import calibrated_with
    from edgekit.engine.tensorrt import TensorRTEngine

    pictures, recipe = calibrated_with(model, path, calibration) if precision == "int8" else (None, None)
    plan = build(path, precision, shapes, calibration=pictures, preprocess=recipe)
    return TensorRTEngine(plan.path, why=plan.reason)
