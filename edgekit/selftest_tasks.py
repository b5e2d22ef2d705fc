"""Steps of the self-test about whole tasks: each on the sample clip, on the host, grafted, by kernels."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from edgekit.camera import open_source
from edgekit.errors import MissingError
from edgekit.results import Frame
from edgekit.selftest_compare import unlike
from edgekit.selftest_steps import MODELS
from edgekit.selftest_worker import Case, Found, must, say, shipped

#: Frames of the sample clip that a task is run on, with a GPU and without one.
FRAMES, FEWER = 80, 16
#: Pixels and scores by which results may differ from the host's: kernels compute what the host computes, a
#: graft is rounded as the network is.
ALLOWED = {"cuda": (0.1, 0.002), "graft": (2.0, 0.03)}
#: What is told of a line of the benchmark.
KEPT = (
    "part", "backend", "precision", "latency_ms", "p95_ms", "throughput", "watts", "j_per_frame", "power",
    "power_unknown", "power_mode", "jetson_clocks", "temp_start_c", "temp_end_c", "unclean", "emulated",
)  # fmt: skip


def task(case: Case, task: str, ops: str) -> Found:
    """A task on the sample clip; with its steps elsewhere than on the host the results are compared."""
    shipped(MODELS[task])
    backend = _backend(case)
    say(f"running {task} with ops={ops}")
    settings = _settings(task, ops)
    results, figures = _run(case, task, ops, backend, settings)
    found = sum(map(len, results))
    must(found or case.quick, "nothing was found in the whole clip")
    words = f"{len(results)} frames, {figures['fps']:.1f} FPS on {figures['on']}, {found} found"
    if ops == "host":
        return words, figures
    say("running it on the host")
    hosts, beside = _run(case, task, "host", backend, settings)
    pixels, score = ALLOWED[ops]
    for number, (one, other) in enumerate(zip(results, hosts, strict=True)):
        why = unlike(one, other, pixels, score, beside["threshold"])
        must(not why, f"frame {number} is not the host's: {why}")
    return f"{words}; as the host's, which makes {beside['fps']:.1f} FPS", {**figures, "host": beside}


def _backend(case: Case) -> str:
    """TensorRT where it runs, else ONNX Runtime; a quick test builds no plan."""
    from edgekit.engine.choose import tensorrt_missing

    return "onnxruntime" if case.quick and tensorrt_missing() is None else "auto"


def _opener(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = resolve_name(f"edgekit.tasks.{name}:open_{name}")
    return found


def _settings(name: str, ops: str) -> dict[str, Any]:
    """What a task is opened with; the same for both ways of it."""
    settings: dict[str, Any] = {"cold": "pad"} if name in ("slowfast", "action") else {}
    if (name, ops) == ("action", "cuda"):
        settings["people"] = False  # windows of people are cut out on the host
    return settings


def _run(
    case: Case, name: str, ops: str, backend: str, settings: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Results of the task on the sample clip, and its figures."""
    from edgekit.run import run

    kept = _Keep()
    with _opener(name)(MODELS[name], backend=backend, ops=ops, **settings) as opened:
        steps = opened if hasattr(opened, "ops") else opened.detector
        taken, why = steps.ops, steps.ops_why
        if taken != ops:
            raise MissingError(f"its steps run on the {taken}: {why}")
        threshold = float(getattr(opened, "score", 0.0))
        with open_source("sample") as source:
            summary = run(source, opened, [kept], model=MODELS[name], limit=_frames(case), progress=False)
    ms = {stage: round(row["median_ms"], 3) for stage, row in summary.stages.items()}
    figures: dict[str, Any] = {"fps": round(summary.fps, 2), "ms": ms, "ops": taken, "why": summary.why}
    figures["threshold"] = threshold
    return kept.results, {**figures, "on": f"{summary.backend} {summary.precision}", "frames": summary.frames}


def _frames(case: Case) -> int:
    from edgekit.device import describe

    return case.frames(FRAMES if describe().gpu else FEWER)


class _Keep:
    """A sink that keeps the results."""

    picture_side = None

    def __init__(self) -> None:
        self.results: list[Any] = []

    def write(self, frame: Frame, result: Any, picture: Any) -> None:
        self.results.append(result)

    def close(self) -> None:
        """Nothing to close."""


def joules(case: Case) -> Found:
    """Energy of a run of the detector over the sample clip."""
    from edgekit.run import run
    from edgekit.runlog import RunLog
    from edgekit.tasks.yolo import open_yolo

    log = RunLog(case.scratch, sampler="auto", interval=0.2)
    yolo: Any
    with open_source("sample") as source, open_yolo(MODELS["yolo"], backend=_backend(case)) as yolo:
        limit = 40 if case.quick else FRAMES
        summary = run(source, yolo, [_Keep()], model=MODELS["yolo"], limit=limit, progress=False, log=log)
    spent = summary.energy or {"joules": None, "void": "nothing was sampled"}
    if spent["joules"] is None:
        raise MissingError(f"the energy is not known here: {spent['void']}")
    each = spent["joules_per_frame"]
    words = f"{spent['joules']:.1f} J, {spent['mean_w']:.1f} W, {each:.3g} J a frame, by {spent['source']}"
    return words, {**spent, "fps": round(summary.fps, 2)}


def bench(case: Case) -> Found:
    """The detector's line of `edgekit bench`: milliseconds, pictures a second, watts and joules."""
    from edgekit.bench import Settings, sweep
    from edgekit.engine.choose import tensorrt_missing

    plan = tensorrt_missing() is None and not case.quick
    settings = Settings(
        backends=["tensorrt" if plan else "onnxruntime-cpu"],
        precisions=["fp16" if plan else "fp32"],
        seconds=0.5 if case.quick else 5.0,
        iterations=case.frames(50),
        idle=0.5 if case.quick else 3.0,
        time_limit=600.0,
    )
    rows = sweep(settings, say=say).rows
    must(rows, "nothing was measured")
    bad = [row["failed"] for row in rows if "failed" in row]
    must(not bad, "; ".join(bad))
    figures = [{name: row.get(name) for name in KEPT} for row in rows]
    told = [f"{row['part']} {row['latency_ms']:.2f} ms" for row in rows]
    watts = rows[0].get("watts")
    power = f"{watts:.1f} W, {rows[0]['j_per_frame']:.3g} J a picture" if watts else "power unknown"
    return f"{rows[0]['backend']} {rows[0]['precision']}: {', '.join(told)}; {power}", {"rows": figures}
