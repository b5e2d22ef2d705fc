"""One build with TensorRT's own API: parse, set up, build. One path for 8.5 to 11 and TensorRT-RTX.

A `.wts` file has nothing to parse: `network_trt` puts its layers in.
What a version lacks is probed for, never looked up by version number. The precision is in the ONNX
file (strong typing) wherever TensorRT knows that; older ones get the FP16 and INT8 flags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.engine import layers as layer_info
from edgekit.engine.graft_weak import hold_steps
from edgekit.engine.network import HandBuilt
from edgekit.engine.network_trt import fill_network
from edgekit.engine.progress import Phases, progress_monitor
from edgekit.engine.shapes import Range, spell_shapes
from edgekit.engine.trt_module import load_plugins, logger_for, numpy_dtype
from edgekit.errors import EdgekitError, InputError


@dataclass(frozen=True)
class Request:
    """What to build.

    Attributes:
        onnx: the file the user gave (named in errors).
        data: the rewritten ONNX file as bytes; None parses `onnx` itself.
        precision: "fp32", "fp16" or "int8".
        strong: strongly typed: the types stand in the ONNX file.
        shapes: min, opt, max of each dynamic input.
        workspace: bytes, or None to leave TensorRT's own limit.
        dla: DLA core, or None.
        target: "sm86" to build ahead with TensorRT-RTX, or None for the GPU of this machine.
        timing: file of the timing cache, or None.
        hand: the network to build layer by layer; `onnx` is then its `.wts` file.
    """

    onnx: Path
    data: bytes | None
    precision: str
    strong: bool
    shapes: Mapping[str, Range] = field(default_factory=dict)
    workspace: int | None = None
    dla: int | None = None
    target: str | None = None
    timing: Path | None = None
    hand: HandBuilt | None = None


@dataclass(frozen=True)
class Compiled:
    """What came out: the plan's bytes, layers, inputs and outputs, the timing cache to keep, notes."""

    plan: Any
    layers: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    timing: bytes | None
    notes: list[str]


class Log:
    """What TensorRT said during one build."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.layers = ""

    def __call__(self, severity: str, text: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(text)
        elif severity == "WARNING" and text not in self.warnings:
            self.warnings.append(text)
        elif text.startswith("Layers:"):
            self.layers = text


def is_strong(trt: Any, dla: int | None) -> bool:
    """Whether to build strongly typed: wherever it exists.

    DLA is the exception: TensorRT 8 to 10 take its precision from the FP16 flag.
    """
    if dla is not None and getattr(trt.BuilderFlag, "FP16", None) is not None:
        return False
    return getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None) is not None


def targets(trt: Any) -> dict[str, Any]:
    """The compute capabilities TensorRT-RTX builds ahead for: {"sm86": …}; empty for full TensorRT."""
    kinds = getattr(trt, "ComputeCapability", None)
    members = getattr(kinds, "__members__", {})
    return {name.lower(): value for name, value in members.items() if name.startswith("SM")}


def compile_plan(trt: Any, request: Request, phases: Phases) -> Compiled:
    """Build one plan. Called in a thread of its own.

    Raises:
        InputError: TensorRT cannot parse or build the model.
        EdgekitError: memory ran out, or there is no such DLA core.
    """
    logger, log = logger_for(trt), Log()
    logger.listener = log
    try:
        return _compile(trt, request, phases, logger, log)
    finally:
        logger.listener = None


def _compile(trt: Any, request: Request, phases: Phases, logger: Any, log: Log) -> Compiled:
    load_plugins(trt, logger)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt, request.strong))
    if request.hand is None:
        held = trt.OnnxParser(network, logger)
        _parse(held, request)
    else:
        half, dynamic = request.strong and request.precision == "fp16", bool(request.shapes)
        held = fill_network(trt, network, request.hand, half=half, dynamic=dynamic)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_precision(trt, config, request)
    if not request.strong:
        hold_steps(trt, network, config)
    _set_target(trt, config, request)
    _set_dla(trt, builder, config, request)
    _set_profile(builder, config, request)
    if request.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace)
    notes = _load_timing(config, request.timing)
    monitor = progress_monitor(trt, phases)
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    del held  # parser or weights: the network points into it
    if plan is None:
        raise _build_error(request, log)
    timing = _timing_bytes(config) if request.timing else None
    found = None if request.target else layer_info.from_inspector(trt, logger, plan)
    found = found or layer_info.from_log(log.layers) or layer_info.from_network(network)
    inputs = [_spec(network.get_input(i)) for i in range(network.num_inputs)]
    outputs = [_spec(network.get_output(i)) for i in range(network.num_outputs)]
    return Compiled(plan, found, inputs, outputs, timing, notes)


def _network_flags(trt: Any, strong: bool) -> int:
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    flags = 1 << int(explicit) if explicit is not None else 0
    return flags | (1 << int(typed)) if strong and typed is not None else flags


def _parse(parser: Any, request: Request) -> None:
    ok = parser.parse_from_file(str(request.onnx)) if request.data is None else parser.parse(request.data)
    if not ok:
        errors = [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
        more = f" (and {len(errors) - 4} more)" if len(errors) > 4 else ""
        raise InputError(
            f"TensorRT cannot read {request.onnx.name}: {'; '.join(errors[:4]) or 'no reason given'}{more}. "
            "Export the model without these layers, or run it with --backend onnxruntime."
        )


def _parser_error(error: Any) -> str:
    name = getattr(error, "node_name", None)  # from TensorRT 10 on
    kind = getattr(error, "node_operator", None)
    if name is not None and kind is not None and kind():
        where = f"node {name()!r} ({kind()}): "
    else:
        where = f"node number {error.node()}: " if error.node() >= 0 else ""
    return where + error.desc().strip().removeprefix("Assertion failed: ").rstrip(".")


def _set_precision(trt: Any, config: Any, request: Request) -> None:
    if request.strong:
        return
    if request.precision in ("fp16", "int8"):
        config.set_flag(trt.BuilderFlag.FP16)
    if request.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)


def _set_target(trt: Any, config: Any, request: Request) -> None:
    if request.target is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(targets(trt)[request.target], 0)


def _set_dla(trt: Any, builder: Any, config: Any, request: Request) -> None:
    if request.dla is None:
        return
    cores = builder.num_DLA_cores
    if not 0 <= request.dla < cores:
        has = f"TensorRT sees {cores} (numbered from 0)" if cores else "TensorRT sees none on this machine"
        raise InputError(f"there is no DLA core {request.dla}: {has}. Build without --dla.")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = request.dla
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _set_profile(builder: Any, config: Any, request: Request) -> None:
    if not request.shapes:
        return
    profile = builder.create_optimization_profile()
    for name, (low, opt, high) in request.shapes.items():
        profile.set_shape(name, low, opt, high)
    if config.add_optimization_profile(profile) < 0:
        raise InputError(f"TensorRT refuses the shapes {spell_shapes(request.shapes)}.")


def _load_timing(config: Any, path: Path | None) -> list[str]:
    """Give the config its timing cache; a damaged file counts as none, and the note says so."""
    if path is None:
        return []
    notes, data = [], b""
    if path.is_file():
        blob = path.read_bytes()
        data = blob[32:]
        if hashlib.sha256(data).digest() != blob[:32]:
            data = b""
            notes.append(f"the timing cache {path.name} was damaged and is made anew")
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        notes.append(f"TensorRT refused the timing cache {path.name}; it is made anew")
        config.set_timing_cache(config.create_timing_cache(b""), False)
    return notes


def _timing_bytes(config: Any) -> bytes:
    """The timing cache after the build, its SHA-256 in front."""
    data = bytes(config.get_timing_cache().serialize())
    return hashlib.sha256(data).digest() + data


def _build_error(request: Request, log: Log) -> EdgekitError:
    said = "; ".join(_plain(text) for text in log.errors[-3:]) or "TensorRT gave no reason"
    if "out of memory" in said.lower() or "outofmemory" in said.lower():
        return EdgekitError(
            f"memory ran out while building {request.onnx.name} ({said}). Close other programs, "
            "give a smaller --workspace, or add swap."
        )
    return InputError(
        f"TensorRT cannot build {request.onnx.name} in {request.precision}: {said}. "
        "Export the model without the layer named there, or run it with --backend onnxruntime."
    )


def _plain(text: str) -> str:
    """A message of TensorRT without the places in its own source code."""
    text = re.sub(r"^\[[^\]]*\]\s*", "", " ".join(text.split()))
    return re.sub(r"\.?( In \w+)? at /_src/[^ )]+", "", text)


def _spec(tensor: Any) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": [None if n < 0 else int(n) for n in tensor.shape],
        "dtype": str(numpy_dtype(tensor.dtype, tensor.name)),
    }
