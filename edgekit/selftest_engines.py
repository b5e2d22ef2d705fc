"""Steps of the self-test about engines: plans beside ONNX Runtime, DLA, zero copy, CUDA graphs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine
from edgekit.errors import MissingError
from edgekit.selftest_worker import Case, Found, here, must, say

#: ‖plan − reference‖ / ‖reference‖ of an output at most; the reference is ONNX Runtime on the CPU in fp32.
#: "fp32" is TF32 where the GPU has it, which keeps 10 bits of a number as fp16 does. The detector's int8 file
#: differs by 0.037, and its fp16 file by 0.0004, where ONNX Runtime runs them all.
TOLERANCE = {"fp32": 0.01, "fp16": 0.02, "int8": 0.15}
MODEL = "edgekit-person"
CALLS = 30


def relative(got: NDArray, want: NDArray) -> float:
    """‖got − want‖ / ‖want‖; infinite where shapes differ or `got` is not finite."""
    if got.shape != want.shape or not np.isfinite(got).all():
        return float("inf")
    scale = float(np.linalg.norm(want.astype(np.float64)))
    off = float(np.linalg.norm(got.astype(np.float64) - want))
    return off / scale if scale else float("inf") if off else 0.0


def compare(got: Mapping[str, NDArray], want: Mapping[str, NDArray], precision: str) -> dict[str, float]:
    """How far each output is off; AssertionError where one is further than the precision's tolerance."""
    most = TOLERANCE[precision]
    off = {name: relative(got[name], want[name]) for name in want}
    bad = [f"{name} is off by {value:.3g}" for name, value in off.items() if not value <= most]
    must(not bad, f"{', '.join(bad)} of its norm from ONNX Runtime's; {most:g} is allowed in {precision}")
    return off


def needs_tensorrt() -> None:
    """MissingError where no plan can run here."""
    from edgekit.engine.choose import tensorrt_missing

    if missing := tensorrt_missing():
        raise MissingError(missing)


def plan(case: Case, model: str, precision: str) -> Found:
    """A plan of a shipped model, built here or found built, and its outputs beside ONNX Runtime's."""
    needs_tensorrt()
    if model == "edgekit-slowfast":
        return _slowfast(precision)
    from edgekit.bench.calls import real_feeds
    from edgekit.engine.exact import open_exact

    with here(), ExitStack() as stack:
        say(f"building {model} in {precision}")
        engine = stack.enter_context(
            open_exact(model, precision, "tensorrt", calibration=case.calibration or None)
        )
        say("comparing it with ONNX Runtime")
        reference = stack.enter_context(open_exact(model, "fp32", "onnxruntime-cpu"))
        feeds = real_feeds(reference, model, 1)
        off = compare(engine(feeds), reference(feeds), precision)
        return _told(engine, feeds, off)


def _slowfast(precision: str) -> Found:
    """Body and head, RoIAlign between them on the host."""
    from edgekit.bench.calls import made_up
    from edgekit.tasks.slowfast_nets import net_of
    from edgekit.tasks.slowfast_open import open_networks

    with here(), ExitStack() as stack:
        nets = []
        for way in ((precision, "tensorrt"), ("fp32", "onnxruntime-cpu")):
            say(f"opening edgekit-slowfast in {way[0]} on {way[1]}")
            nets.append(net_of(*open_networks("edgekit-slowfast", *way)))
            stack.callback(nets[-1].close)
        engine = nets[0].engine
        feeds = made_up(engine, 1)
        clip = feeds[nets[0].slow.name], feeds[nets[0].fast.name]
        high, wide = clip[1].shape[3:]
        boxes = np.array([[0, 0, wide, high], [9, 5, wide / 2, high / 2]], np.float32)
        got, want = (np.array(net(*clip, boxes)) for net in nets)
        return _told(engine, feeds, compare({"scores": got}, {"scores": want}, precision))


def _told(engine: Any, feeds: Mapping[str, NDArray], off: Mapping[str, float]) -> Found:
    from edgekit.engine.plan import read_sidecar

    notes, ms = read_sidecar(engine.path), milliseconds(engine, feeds)
    figures = {"off": dict(off), "ms": ms, "why": engine.why}
    figures |= {key: notes.get(key) for key in ("seconds", "plan_bytes", "layers", "date", "notes")}
    worst = max(off.values())
    return f"{worst:.2g} from ONNX Runtime's, {ms:.2f} ms, built in {notes.get('seconds', 0):.0f} s", figures


def milliseconds(engine: Engine, feeds: Mapping[str, NDArray]) -> float:
    """Median of what the engine's calls take, copies included."""
    engine(feeds)
    engine(feeds)
    times = []
    for _ in range(CALLS):
        engine(feeds)
        times.append(sum(engine.times.values()))
    return float(np.median(times)) * 1e3


def dla(case: Case) -> Found:
    """The detector on the deep-learning accelerator."""
    needs_tensorrt()
    from edgekit.bench.calls import real_feeds
    from edgekit.engine.build import build
    from edgekit.engine.exact import open_exact, with_batch
    from edgekit.engine.tensorrt import TensorRTEngine
    from edgekit.engine.trt_module import load_tensorrt, logger_for
    from edgekit.models import find

    trt = load_tensorrt()
    if not trt.Builder(logger_for(trt)).num_DLA_cores:
        raise MissingError("this device has no DLA core")
    path, shapes = with_batch(find(MODEL), 1)
    say("building for DLA core 0")
    with ExitStack() as stack:
        stack.enter_context(here())
        engine = stack.enter_context(TensorRTEngine(build(path, "fp16", shapes, dla=0).path))
        reference = stack.enter_context(open_exact(MODEL, "fp32", "onnxruntime-cpu"))
        feeds = real_feeds(reference, MODEL, 1)
        return _told(engine, feeds, compare(engine(feeds), reference(feeds), "fp16"))


def zero_copy(case: Case) -> Found:
    """The same plan with copies and with the GPU working on host memory."""
    return _both_ways("zero_copy", ("copied", "zero copy"), "fp16")


def cuda_graph(case: Case) -> Found:
    """The same plan launched kernel by kernel and replayed as one CUDA graph."""
    return _both_ways("graph", ("launched", "replayed"), "fp16")


def _both_ways(option: str, words: tuple[str, str], precision: str) -> Found:
    """A plan's outputs must be the same to the last bit, whichever way it is run."""
    needs_tensorrt()
    from edgekit.bench.calls import real_feeds
    from edgekit.engine.exact import open_exact
    from edgekit.engine.tensorrt import TensorRTEngine

    say(f"building {MODEL} in {precision}")
    with here(), open_exact(MODEL, precision, "tensorrt") as engine:
        path, feeds = Path(engine.path), real_feeds(engine, MODEL, 1)  # type: ignore[attr-defined]
    outputs, ms = [], []
    for on in (False, True):
        say(f"running it {words[on]}")
        with here(), TensorRTEngine(path, **{option: on}) as engine:  # type: ignore[arg-type]
            ms.append(milliseconds(engine, feeds))
            outputs.append({name: array.copy() for name, array in engine(feeds).items()})
            refused = "No CUDA graph" in engine.why
        must(not (on and option == "graph" and refused), engine.why)
    unequal = [name for name in outputs[0] if not np.array_equal(outputs[0][name], outputs[1][name])]
    must(not unequal, f"{', '.join(unequal)} is not the same {words[0]} and {words[1]}")
    told = " and ".join(f"{value:.2f} ms {word}" for value, word in zip(ms, words, strict=True))
    return f"equal to the last bit; {told}", dict(zip(words, ms, strict=True))


def onnxruntime_cuda(case: Case) -> Found:
    """The detector by ONNX Runtime on the GPU, beside the CPU."""
    from edgekit.bench.calls import real_feeds
    from edgekit.engine.exact import open_exact
    from edgekit.engine.onnxruntime import cuda_missing

    if missing := cuda_missing():
        raise MissingError(missing)
    with (
        here(),
        open_exact(MODEL, "fp32", "onnxruntime-cuda") as engine,
        open_exact(MODEL, "fp32", "onnxruntime-cpu") as reference,
    ):
        feeds = real_feeds(reference, MODEL, 1)
        off = compare(engine(feeds), reference(feeds), "fp32")
        ms = milliseconds(engine, feeds)
    return f"{max(off.values()):.2g} from the CPU's, {ms:.2f} ms", {"off": off, "ms": ms}
