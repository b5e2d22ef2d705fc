"""The ONNX file TensorRT is given: the user's own, or one rewritten for the precision asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.engine import calibration as cal
from edgekit.engine import precision as prec
from edgekit.engine.graft import network_of
from edgekit.engine.graft_note import PICTURES
from edgekit.engine.shapes import Range, model_inputs
from edgekit.errors import InputError

if TYPE_CHECKING:
    import onnx

#: A folder of pictures, or ready feeds {input name: array}.
Calibration = str | Path | Iterable[Mapping[str, NDArray]]


@dataclass(frozen=True)
class Calibrating:
    """Where int8 scales come from.

    Attributes:
        pictures: the picture files, None where feeds are given.
        feeds: ready feeds, None where pictures are given.
        preprocess: pictures → input array.
        digest: changes when the pictures or the recipe do. Feeds are not looked into.
        words: for the table: "128 pictures, Recipe(style='yolox', …)".
    """

    pictures: list[Path] | None
    feeds: Iterable[Mapping[str, NDArray]] | None
    preprocess: cal.Preprocess | cal.Recipe
    digest: str
    words: str


def calibrating(
    precision: str, calibration: Calibration | None, preprocess: cal.Preprocess | cal.Recipe | None
) -> Calibrating | None:
    """The calibration of an int8 build; None for another precision, or if none was given."""
    if precision != "int8" or calibration is None:
        return None
    preprocess = preprocess or cal.Recipe()
    if not isinstance(calibration, str | Path):
        return Calibrating(None, calibration, preprocess, "feeds given in Python", "feeds given in Python")
    pictures = cal.pictures(calibration)
    recipe = getattr(preprocess, "__qualname__", None) or repr(preprocess)
    digest = hashlib.sha256(f"{cal.digest(pictures)} {recipe}".encode()).hexdigest()
    return Calibrating(pictures, None, preprocess, digest, f"{len(pictures)} pictures, {recipe}")


def converted_path(plan: Path, wanted: Mapping[str, Any], strong: bool) -> Path:
    """The rewritten ONNX file beside a plan, named by all that went into it."""
    parts = [
        str(wanted[key]) for key in ("onnx_sha256", "precision", "shapes", "calibration_sha256", "recipe")
    ]
    digest = hashlib.sha256("|".join([*parts, str(strong)]).encode()).hexdigest()[:12]
    return plan.with_name(f"{plan.stem}.{digest}.onnx")


def typed(
    model: onnx.ModelProto,
    precision: str,
    strong: bool,
    inputs: tuple[TensorSpec, ...],
    ranges: Mapping[str, Range],
    calibration: Calibrating | None,
    kept: Path,
) -> bytes | None:
    """The ONNX file rewritten for the precision; None where the file itself will do.

    Args:
        strong: the types must stand in the file; else TensorRT's flags lower an fp32 file to fp16.
        kept: the rewritten file of an earlier build, if it is there.

    Raises:
        InputError: int8 without calibration, or another precision of a model that is int8.
    """
    now = prec.precision_of(model)
    if now == "int8":
        if precision != "int8":
            raise InputError(
                f"the ONNX file is int8 already and cannot become {precision}; build it with int8."
            )
        return bytes(prec.to_fp16(model).SerializeToString()) if strong else None
    if precision == "int8":
        if calibration is None:
            raise InputError(
                "int8 needs calibration pictures: a folder of some 100 pictures like those the model will "
                "see (--calibration DIR)."
            )
        if calibration.feeds is None and kept.is_file():
            return kept.read_bytes()
        return bytes(
            prec.to_int8(model, _feeds(model, calibration, inputs, ranges), fp16=strong).SerializeToString()
        )
    if precision == "fp32" and now == "fp16":
        return bytes(prec.to_fp32(model).SerializeToString())
    if precision == "fp16" and now == "fp32" and strong:
        return bytes(prec.to_fp16(model).SerializeToString())
    return None


def _feeds(
    model: onnx.ModelProto,
    calibration: Calibrating,
    inputs: tuple[TensorSpec, ...],
    ranges: Mapping[str, Range],
) -> Iterable[Mapping[str, NDArray]]:
    """What the network is calibrated with: of a grafted model, what goes into the network inside."""
    if calibration.pictures is None:
        return calibration.feeds or ()
    opt = {name: given[1] for name, given in ranges.items()}
    if (network := network_of(model)) is not None:
        inputs = model_inputs(network)
        if opt:
            n, *sides, _ = opt[PICTURES]
            opt = {inputs[0].name: (n, 3, *sides)}
    return cal.picture_feeds(calibration.pictures, cal.picture_input(inputs, opt), calibration.preprocess)
