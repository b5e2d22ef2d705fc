"""Reading an ONNX file: whole or refused, with the files of weights that may lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import InputError
from edgekit.files import sha256

if TYPE_CHECKING:
    import onnx as onnx_module


def load_model(path: Path) -> onnx_module.ModelProto:
    """The ONNX file with its weights.

    Raises:
        InputError: it is no ONNX file, is cut short, or a file of weights beside it is missing.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has moved between versions
        raise InputError(f"{path} is not an ONNX file, or is cut short; fetch or export it again.") from error
    if not model.graph.node:
        raise InputError(f"{path} is not an ONNX file, or is empty; fetch or export it again.")
    for file in external_files(path, model):
        if not file.is_file():
            raise InputError(f"{path.name} keeps weights in {file.name}, which is not in {path.parent}.")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise InputError(f"the weights of {path.name} cannot be read: {error}") from error
    return model


def external_files(path: Path, model: onnx_module.ModelProto) -> list[Path]:
    """The files of weights a model that was read without them points to."""
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
    return [path.parent / name for name in sorted({e.value for e in entries if e.key == "location"})]


def external_digests(path: Path) -> dict[str, str]:
    """SHA-256 of each file of weights beside the ONNX file, by its whole path."""
    import onnx

    bare = onnx.load(path, load_external_data=False)  # reading the weights clears the names of their files
    return {str(file.resolve()): sha256(file) for file in external_files(path, bare)}
