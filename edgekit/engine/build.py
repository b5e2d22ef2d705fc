"""ONNX or `.wts` → TensorRT plan, kept in `engines/built/<device>/` and rebuilt when its source changes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.engine import PRECISIONS
from edgekit.engine.builder import Compiled, Request, compile_plan, is_strong
from edgekit.engine.calibration import Preprocess, Recipe
from edgekit.engine.network import hand_built
from edgekit.engine.network_onnx import onnx_twin
from edgekit.engine.onnx_file import external_digests, load_model
from edgekit.engine.place import Place, find_place, workspace_limit
from edgekit.engine.plan import (
    Plan,
    layers_path,
    read_sidecar,
    sidecar_path,
    to_json,
    why_stale,
    write_all,
)
from edgekit.engine.progress import Bar, Phases, ProgressCall, run_watched
from edgekit.engine.shapes import Range, as_range, check_shapes, model_inputs, spell_shapes
from edgekit.engine.typed import Calibration, calibrating, converted_path, typed
from edgekit.errors import InputError
from edgekit.files import data_dir, sha256
from edgekit.topology import Topology

#: Raised when the same inputs would give another plan; older plans are then rebuilt.
RECIPE = 1
_one_build = threading.Lock()


def build(
    onnx: str | Path,
    precision: str = "fp16",
    shapes: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    workspace: int | None = None,
    dla: int | None = None,
    calibration: Calibration | None = None,
    preprocess: Preprocess | Recipe | None = None,
    timing_cache: bool = True,
    progress: bool | ProgressCall = True,
    cancel: threading.Event | None = None,
    force: bool = False,
    out: str | Path | None = None,
    topology: Topology | None = None,
    size: int | None = None,
) -> Plan:
    """Build a TensorRT plan from an ONNX or `.wts` file, or take the one that is there if it still fits.

    Args:
        onnx: the ONNX file. Its inputs and outputs keep their types in every precision. A `.wts` file is
            TrtPose's, built layer by layer.
        precision: "fp32" (TF32 where the GPU has it), "fp16" or "int8" (the rest of the model in fp16).
        shapes: {input: (min, opt, max)} of each dynamic input, or {input: shape} for one shape.
        target: compute capability to build ahead for with TensorRT-RTX, such as "sm86".
        workspace: MiB the build may use; by default half of what is free.
        dla: DLA core of an Orin or Xavier to run on; layers it lacks run on the GPU. fp16 only.
        calibration: for int8, a folder of pictures or an iterable of feeds.
        preprocess: pictures (BGR uint8) → input array; the recipe of YOLO v5, v8 and 11 by default.
        timing_cache: keep TensorRT's measurements for the next build.
        progress: show a bar, or a function called with (fraction or None, phase).
        cancel: set it from another thread to stop the build.
        force: build even if the plan fits.
        out: where to put the plan; by default `engines/built/<device key>/`.
        topology: of a `.wts` file; upstream's person by default.
        size: side of a `.wts` network's input in pixels; upstream's by default.

    Raises:
        InputError: the file, a shape or a setting cannot be used.
        MissingError: TensorRT or a GPU is not here.
        BuildCancelled: Ctrl-C or `cancel`; nothing is left behind.
        EdgekitError: memory or the disk ran out; nothing is left behind.
    """
    onnx = Path(onnx)
    _check(onnx, precision, dla)
    hand = hand_built(onnx, topology, size) if onnx.suffix.lower() == ".wts" else None
    place = find_place(target)
    given = {name: as_range(name, value) for name, value in (shapes or {}).items()}
    calib = calibrating(precision, calibration, preprocess)
    wanted = {
        "onnx_sha256": sha256(onnx),
        "module": place.module,
        "tensorrt": place.trt.__version__,
        "cuda": place.cuda,
        "gpu": place.gpu,
        "sm": place.sm,
        "precision": precision,
        "shapes": spell_shapes(given),
        "workspace_asked": workspace,
        "dla": dla,
        "calibration_sha256": calib.digest if calib else None,
        "recipe": RECIPE,
        "by_hand": hand.words() if hand else None,
    }
    path = Path(out) if out is not None else plan_path(onnx, wanted, place)
    stale = why_stale(path, wanted)
    if stale is None and not force:
        return Plan(path, read_sidecar(path), True, "it still fits its model and device", precision)
    model = onnx_twin(hand, "batch" if given else 1) if hand else load_model(onnx)
    inputs = model_inputs(model)
    ranges = check_shapes(inputs, given)
    _check_dla_shapes(dla, ranges)
    strong = is_strong(place.trt, dla)
    kept = converted_path(path, wanted, strong)
    data = None if hand else typed(model, precision, strong, inputs, ranges, calib, kept)
    limit, limit_from = workspace_limit(place, workspace)
    timing = None if place.is_rtx or not timing_cache else timing_path(path, place)
    request = Request(onnx, data, precision, strong, ranges, limit, dla, place.target, timing, hand)
    start = time.perf_counter()
    compiled = _watched(request, place, progress, cancel)
    sidecar = {
        **wanted,
        "model": onnx.stem,
        "onnx": onnx.name,
        "external": {} if hand else external_digests(onnx),
        "metadata": {p.key: p.value for p in model.metadata_props},
        "target": place.target,
        "calibration": calib.words if calib else None,
        "workspace_bytes": limit,
        "workspace_from": limit_from,
        "seconds": round(time.perf_counter() - start, 3),
        **_facts(request, compiled, timing_cache and place.is_rtx),
    }
    _write(path, kept, request, compiled, sidecar)
    return Plan(path, sidecar, False, stale or "a new build was asked for", precision)


def plan_path(onnx: Path, wanted: Mapping[str, Any], place: Place) -> Path:
    """`built/<device key>/<model>-<precision>[-<shapes>][-dla<n>].plan` in the kit's data folder."""
    name = f"{onnx.stem}{'-wts' if wanted['by_hand'] else ''}-{wanted['precision']}"
    if wanted["shapes"]:
        name += "-" + hashlib.sha256(wanted["shapes"].encode()).hexdigest()[:8]
    if wanted["dla"] is not None:
        name += f"-dla{wanted['dla']}"
    return data_dir() / "built" / place.key / f"{name}.plan"


def timing_path(plan: Path, place: Place) -> Path:
    """The timing cache, shared by the plans of a folder that one TensorRT version builds."""
    return plan.parent / f"timing-{place.sm}-trt{place.trt.__version__}.cache"


def _check(onnx: Path, precision: str, dla: int | None) -> None:
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}.")
    if not onnx.is_file():
        raise InputError(f"there is no ONNX file {onnx}.")
    if onnx.suffix.lower() not in (".onnx", ".wts"):
        raise InputError(f"{onnx.name} is not an ONNX file: plans are built from .onnx and .wts files.")
    if onnx.suffix.lower() == ".wts" and precision == "int8":
        raise InputError(f"{onnx.name}: int8 is built from ONNX; export it with `edgekit export trtpose`.")
    if dla is not None and precision != "fp16":
        raise InputError(f"a DLA core runs fp16 plans here, not {precision}: give --precision fp16.")


def _check_dla_shapes(dla: int | None, ranges: Mapping[str, Range]) -> None:
    for name, (low, opt, high) in ranges.items():
        if dla is not None and not low == opt == high:
            raise InputError(f"a DLA core takes no dynamic shapes: give input {name!r} one shape.")


def _watched(
    request: Request, place: Place, progress: bool | ProgressCall, cancel: threading.Event | None
) -> Compiled:
    phases = Phases()
    bar = Bar(f"{request.onnx.stem} {request.precision}") if progress is True else None
    show = bar.show if bar else (progress if callable(progress) else None)
    measured = getattr(place.trt, "IProgressMonitor", None) is not None
    with _one_build:  # TensorRT has one log for all builds of a process
        try:
            result: Compiled = run_watched(
                lambda: compile_plan(place.trt, request, phases), phases, show, cancel, measured
            )
        finally:
            if bar:
                bar.close()
    return result


def _facts(request: Request, compiled: Compiled, no_timing: bool) -> dict[str, Any]:
    """What the sidecar says of the plan itself."""
    notes = [*compiled.notes]
    if no_timing:
        notes.append("TensorRT-RTX measures nothing while it builds, so there is no timing cache to keep")
    return {
        "strongly_typed": request.strong,
        "inputs": compiled.inputs,
        "outputs": compiled.outputs,
        "layers": len(compiled.layers["layers"]),
        "layers_kind": compiled.layers["what"],
        "plan_bytes": memoryview(compiled.plan).nbytes,
        "plan_sha256": hashlib.sha256(compiled.plan).hexdigest(),
        "edgekit": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "notes": notes,
    }


def _write(path: Path, kept: Path, request: Request, compiled: Compiled, sidecar: dict[str, Any]) -> None:
    """Put all files of the plan in place together, and drop the rewritten ONNX files of earlier builds."""
    files: dict[Path, Any] = {
        path: memoryview(compiled.plan),
        sidecar_path(path): to_json(sidecar),
        layers_path(path): to_json(compiled.layers),
    }
    if request.timing is not None and compiled.timing is not None:
        files[request.timing] = compiled.timing
    if request.data is not None:
        files[kept] = request.data
    write_all(files)
    for old in path.parent.glob(f"{path.stem}.*.onnx"):
        if old != kept:
            old.unlink()


def jetson_note(plan: Plan) -> str:
    """What a plan built ahead proves, and what it does not, for someone with a Jetson. One line."""
    notes, precision = plan.sidecar, plan.precision
    return (
        f"TensorRT-RTX {notes['tensorrt']} reads every layer of {notes['onnx']} and built a {precision} plan "
        f"for {notes['sm']} ({notes['gpu']}). That proves the model builds; it is no plan for a Jetson: the "
        f"board makes its own on first use, or with `edgekit build {notes['model']} --precision {precision}`."
    )
