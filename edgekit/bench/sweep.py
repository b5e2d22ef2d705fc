"""The sweep: case after case in worker processes, power and heat watched meanwhile, each row kept at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekit.bench import table
from edgekit.bench.cases import PARTS, Case, Settings, cases
from edgekit.bench.child import WORKER, run_worker
from edgekit.bench.power import Watch, figures
from edgekit.bench.store import Row, Rows
from edgekit.bench.trtexec import find_trtexec, run_trtexec
from edgekit.bench.worker import on_gpu_words
from edgekit.telemetry.sample import wall_iso

Say = Callable[[str], Any]


@dataclass
class Found:
    """What a sweep found.

    Attributes:
        settings: as given.
        rows: one dictionary a case: "model", "part" (engine, pipeline or accuracy), "backend", "precision",
            "batch"; "failed" with the reason, or the figures: "latency_ms", "p95_ms", "throughput" (pictures
            a second), "util_pct" of "util_of", "memory_mb", "watts", "joules", "j_per_frame", "fps_per_w",
            "power_unknown", "temp_start_c", "temp_end_c", "unclean" (sentences), "trtexec_ms", "times_ms";
            for accuracy those of `edgekit.evaluate.evaluate`. None where not known.
        notes: what was not measured, and why.
        about: device, sampler, idle power, date.
        stopped: it was interrupted; the rows are those measured until then.
    """

    settings: Settings
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False

    @property
    def unclean(self) -> list[Row]:
        """Rows whose figures are spoilt (by throttling, for one)."""
        return [row for row in self.rows if row.get("unclean")]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if "failed" in row]

    def speed(self) -> tuple[list[str], list[list[Any]], list[str]]:
        """The table of latency, throughput, power and memory: head, rows, notes."""
        return table.speed(self.rows, self.settings.baseline)

    def pareto(self) -> list[Row]:
        """Accuracy × latency × joules, best first; "front" marks what no other row beats in all of them."""
        return table.pareto(self.rows)

    def text(self) -> str:
        """Everything as text, for the terminal."""
        from edgekit.bench.output import to_text

        return to_text(self)


def sweep(settings: Settings, say: Say = lambda line: None, command: Sequence[str] = WORKER) -> Found:
    """Measure every case that is not kept yet.

    Ctrl-C ends the case under way and the sweep; what was measured is in the answer, with `stopped` set.

    Args:
        say: called with a line of text for each case.
        command: the worker.

    Raises:
        InputError, MissingError: a model, the data set, the folder or the sampler cannot be used.
    """
    from edgekit.telemetry.choose import open_sampler

    planned = cases(settings)
    kept = Rows(settings.out)
    found = Found(settings)
    done = [case for case in planned if case.key in kept and not settings.again]
    if done:
        say(f"{len(done)} of {len(planned)} rows are in {kept.path} already (--again measures them anew)")
    with Watch(open_sampler(settings.sampler, settings.interval)) as watch:
        found.about = _about(watch)
        try:
            if len(done) < len(planned):
                found.about["idle_w"] = watch.idle_w(settings.idle)
            _measure(planned, settings, kept, watch, found, say, command)
        except KeyboardInterrupt:
            found.stopped = True
    models = [str(model) for model in settings.models]
    planned.sort(key=lambda case: (models.index(case.model), PARTS.index(case.part)))
    found.rows = [kept.rows[case.key] for case in planned if case.key in kept.rows]
    return found


def _measure(
    planned: Sequence[Case],
    settings: Settings,
    kept: Rows,
    watch: Watch,
    found: Found,
    say: Say,
    command: Sequence[str],
) -> None:
    program = find_trtexec()
    plans = any(case.backend == "tensorrt" for case in planned)
    prepared: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, case in enumerate(planned, 1):
        if case.key in kept and not settings.again:
            continue
        way = (case.model, case.detector, case.backend, case.precision, case.batch)
        makes = case.backend == "tensorrt" or case.precision == "int8" or case.batch > 1
        if makes and way not in prepared:  # making files is not to be in the memory of what runs them
            prepared[way] = run_worker({**asdict(case), "part": "prepare"}, settings.time_limit, command)
        answer = prepared.get(way, {})
        if "refused" not in answer and "failed" not in answer:
            answer = run_worker(asdict(case), settings.time_limit, command)
        if "refused" in answer:
            if (note := f"{Path(case.model).name}, {answer['refused']}") not in found.notes:
                found.notes.append(note)
                say(f"[{number}/{len(planned)}] {case}: not measured: {answer['refused']}")
            continue
        row = {
            **{"key": case.key, "model": Path(case.model).name, "part": case.part, "batch": case.batch},
            **{"backend": case.backend, "precision": case.precision, "sha256": case.sha256},
            **{"date": wall_iso(), "place": dict(case.place)},
            **_completed(case, answer, watch, found.about.get("idle_w")),
        }
        if (
            case.part == "engine"
            and program
            and "failed" not in row
            and (case.backend == "tensorrt" or not plans)
        ):
            row |= _trtexec(program, case, row, settings)
        kept.add(row)
        say(f"[{number}/{len(planned)}] {case}: {table.in_words(row)}")


def _completed(case: Case, answer: dict[str, Any], watch: Watch, idle_w: float | None) -> dict[str, Any]:
    """The worker's answer with what follows from it and from the samples of its time."""
    if "failed" in answer or case.part == "accuracy":
        return answer
    start, end, calls = answer["start_s"], answer["end_s"], answer["iterations"]
    log = watch.log(start, end)
    pictures = calls * case.batch
    heat = figures(log, start, end, pictures, idle_w, case.subtract_idle, answer["cpu_s"], answer["on"])
    throughput = 1000 / answer["latency_ms"] * case.batch
    on_gpu = on_gpu_words(answer["backend"], answer["on"])
    return {
        **answer,
        **heat,
        "throughput": throughput,
        "fps_per_w": throughput / heat["watts"] if heat["watts"] else None,
        "util_pct": heat["gpu_pct"] if on_gpu else answer["cpu_pct"],
        "util_of": "GPU" if on_gpu else "CPU",
    }


def _trtexec(program: str, case: Case, row: Row, settings: Settings) -> dict[str, Any]:
    """trtexec on the very plan, or on the ONNX file where there is no TensorRT for Python."""
    from edgekit.engine.choose import PLANS
    from edgekit.engine.exact import with_batch
    from edgekit.errors import EdgekitError
    from edgekit.models import find

    try:
        path = find(case.model)
        onnx, ranges = (path, {}) if path.suffix in PLANS else with_batch(path, case.batch)
    except EdgekitError as error:
        return {"trtexec_failed": str(error)}
    file = Path(row["file"]) if case.backend == "tensorrt" else onnx
    shapes = {name: spread[1] for name, spread in ranges.items()}
    return run_trtexec(program, file, case.precision, shapes, case.seconds, settings.time_limit)


def _about(watch: Watch) -> dict[str, Any]:
    from edgekit.device import describe
    from edgekit.telemetry.log import Log

    watch.sampler.wait(1)
    device, latest = describe(), watch.sampler.latest
    return {
        "device": str(device),
        "board": device.board,
        "cpu": device.cpu,
        "os": device.os,
        "sampler": watch.sampler.why.partition("; ")[0],
        "power": Log.of([latest] if latest else [], watch.sampler.interval).label,
        "emulated": watch.sampler.emulated,
        "power_mode": (latest.power_mode if latest else None) or device.power_mode,
        "jetson_clocks": latest.jetson_clocks if latest else None,
        "idle_w": None,
        "date": wall_iso(),
    }
