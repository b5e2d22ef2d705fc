"""An ONNX file quantised to int8 for ONNX Runtime's CPU, kept in `engines/built/int8/`."""

from __future__ import annotations

import hashlib
import platform
import re
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.engine import calibration as cal
from edgekit.engine.exact import filled_shape
from edgekit.engine.graft import graft_of, network_of
from edgekit.engine.onnx_file import load_model
from edgekit.engine.plan import write_all
from edgekit.engine.pose_inputs import CropInput, Described, TrtPoseInput, crop_input, people_in
from edgekit.engine.precision import INT8_NOTE, precision_of, to_int8
from edgekit.engine.shapes import model_inputs
from edgekit.errors import EdgekitError, InputError
from edgekit.files import PACKAGE, data_dir, sha256
from edgekit.limits import read_text

if TYPE_CHECKING:
    import onnx

#: Raised when the same inputs would give another file.
RECIPE = 1
#: Frames of the sample clip that calibrate where no pictures are given: every second one.
SAMPLE_STEP = 2
#: What ONNX Runtime makes of a layer that has an int8 kernel, and of one that has none.
INT8_LAYERS = (
    "QLinearConv",
    "QLinearMatMul",
    "MatMulIntegerToFloat",
    "ConvInteger",
    "QGemm",
    "DynamicQuantizeMatMul",
)
OTHER_LAYERS = ("Conv", "FusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm")


def quantised(path: Path, *, like: str | Path | None = None, calibration: Path | str | None = None) -> Path:
    """The file's int8 twin, made on first use.

    Args:
        path: an ONNX file with one picture input; one that is int8 already comes back as it is.
        like: the model whose input recipe counts, where `path` is a copy of it.
        calibration: folder of pictures like those the model will see; default: frames of the sample clip.

    Raises:
        InputError: the model takes no pictures, has nothing to quantise, or ONNX Runtime has no int8
            kernel for any of its layers.
    """
    model = load_model(path)
    if precision_of(model) == "int8":
        return path
    folder, recipe = calibrated_with(like or path, path, calibration)
    pictures = cal.pictures(folder)
    parts = [sha256(path), cal.digest(pictures), repr(recipe), str(_reduce_range()), str(RECIPE)]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
    kept = data_dir() / "built" / "int8" / f"{path.stem}-int8.{digest}.onnx"
    if kept.is_file():
        return kept
    spec = cal.picture_input(model_inputs(network_of(model) or model), {})
    one = replace(spec, shape=filled_shape(spec, 1, _notes(model)))
    feeds = cal.picture_feeds(pictures, one, recipe)
    made = to_int8(model, feeds, fp16=False, outputs=True, reduce_range=_reduce_range())
    inside, outside = layers_in_int8(made)
    if not inside:
        raise InputError(f"ONNX Runtime has no int8 kernel for any layer of {path.name}.")
    source = "frames of the sample clip" if calibration is None else f"pictures of {Path(calibration).name}"
    source = f"people in {source}" if isinstance(recipe, CropInput) else source
    entry = made.metadata_props.add()
    entry.key = INT8_NOTE
    entry.value = (
        f"{inside} of {inside + outside} layers with weights in int8, calibrated on {len(pictures)} {source}"
    )
    write_all({kept: made.SerializeToString()})
    return kept


def sample_pictures() -> Path:
    """A folder with frames of the sample clip as pictures, made on first use."""
    import cv2

    from edgekit.camera import open_source

    clip = PACKAGE / "samples" / "people.mp4"
    folder = data_dir() / "built" / "calibration" / f"sample-{sha256(clip)[:12]}"
    if folder.is_dir():
        return folder
    with open_source(clip) as source:
        frames = [frame.image for frame in source][::SAMPLE_STEP]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:  # whole or not at all
        made = Path(scratch) / folder.name
        made.mkdir()
        for i, image in enumerate(frames):
            cv2.imwrite(str(made / f"{i:03}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        with suppress(OSError):  # another process was quicker
            made.rename(folder)
    return folder


def calibrated_with(
    model: str | Path, path: Path, calibration: Path | str | None = None
) -> tuple[Path, cal.Recipe | cal.Preprocess]:
    """The folder of pictures that calibrate a model, and how they become its input.

    Args:
        model: as given, by name or path.
        path: its ONNX file.
        calibration: folder of whole pictures; default: frames of the sample clip. For a top-down pose
            network the people in them are cut out.

    Raises:
        InputError: the folder holds no pictures, or no people where those are wanted.
    """
    folder, recipe = Path(calibration or sample_pictures()), recipe_of(model, path)
    if not isinstance(recipe, CropInput):
        return folder, recipe
    graph = load_model(path)
    spec = cal.picture_input(model_inputs(network_of(graph) or graph), {})
    if spec.shape[2] is None or spec.shape[3] is None:
        raise InputError(f"{path.name} leaves the size of its crops open; export it with a fixed one.")
    return people_in(folder, (spec.shape[2], spec.shape[3])), recipe


def recipe_of(model: str | Path, path: Path) -> cal.Recipe | cal.Preprocess:
    """How a model wants its pictures: by the shelf, else by its notes and outputs, else as most do.

    Of a grafted model: how its network wants them.
    """
    from edgekit.models import models
    from edgekit.tasks.choose import ACTIONS, kind_of, recipe_kind

    for one in models().values():
        if recipe_kind(one.recipe) == "yolo" and (str(model) == one.name or Path(model) == one.path):
            style = one.recipe if one.recipe in ("yolox", "darknet") else "ultralytics"
            return cal.Recipe(style, one.pad, one.colour == "RGB", one.recipe != "yolox")
    graph = load_model(path)
    file = Described.of(network_of(graph) or graph)
    kind = kind_of(model, file)  # type: ignore[arg-type]
    if kind == "topdown":
        return crop_input(file.metadata)
    if kind == "trtpose":
        return TrtPoseInput(str(model), file)
    if kind in ACTIONS:
        raise InputError(f"{path.name} sees windows of a video: pictures cannot calibrate it; use fp16.")
    note = graft_of(graph)
    return _yolo_recipe(file, note.head if note else "auto")


def _yolo_recipe(file: Described, wanted: str) -> cal.Recipe:
    from edgekit.tasks import yolo_heads
    from edgekit.tasks.yolo_settings import input_size, noted_names

    try:
        size = input_size(file.inputs[0], None, file.metadata)
        output = yolo_heads.pick_output(file.outputs)
        names = noted_names(file.metadata)
        head = yolo_heads.recognise(output, size, file.metadata, wanted, len(names))
    except (EdgekitError, IndexError, ValueError):  # no YOLO
        return cal.Recipe()
    return cal.Recipe(head.style, None, head.rgb, head.unit)


def layers_in_int8(model: onnx.ModelProto) -> tuple[int, int]:
    """How many layers with weights ONNX Runtime's CPU runs in int8, and how many it does not."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="edgekit-int8-") as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        made = onnx.load(options.optimized_model_filepath, load_external_data=False)
    kinds = Counter(node.op_type for node in made.graph.node)
    return sum(kinds[k] for k in INT8_LAYERS), sum(kinds[k] for k in OTHER_LAYERS)


def _notes(model: onnx.ModelProto) -> dict[str, str]:
    return {p.key: p.value for p in model.metadata_props}


def _reduce_range() -> bool:
    """Whether weights must stay in 7 bits: x86 without VNNI adds pairs of products in 16 bits, which
    overflow (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return not re.search(r"\b(avx512_vnni|avx_vnni)\b", read_text(Path("/proc/cpuinfo")) or "")
