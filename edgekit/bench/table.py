"""The seed tables of a sweep: speed against a baseline, and accuracy × latency × joules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.engine import PRECISIONS
from edgekit.report.tables import Absent

Row = dict[str, Any]
HEAD = (
    "model",
    "part",
    "back end",
    "precision",
    "batch",
    "latency ms",
    "p95 ms",
    "pictures/s",
    "latency ×",
    "throughput ×",
    "util %",
    "of",
    "W",
    "J/picture",
    "pictures/s/W",
    "MB",
    "GPU MB",
    "GPU MHz",
    "CPU MHz",
    "°C start",
    "°C end",
    "trtexec ms",
    "clean",
)
#: What speed-ups start from where nothing is said: the framework, else the CPU; fp32 before the others.
FROM = ("pytorch", "onnxruntime-cpu", "onnxruntime-cuda", "tensorrt")
#: What no other figure may beat: (key, lower is better).
GOALS = (("AP", False), ("latency_ms", True), ("j_per_frame", True))


def speed(rows: Sequence[Row], baseline: str = "") -> tuple[list[str], list[list[Any]], list[str]]:
    """Head, cells and notes of the table of latency and throughput.

    Latency is the median of one call with the whole batch; throughput = 1000 / latency × batch; a speed-up
    compares with the baseline's row of the same model, part and batch.
    """
    timed = [row for row in rows if row["part"] != "accuracy"]
    bases: dict[str, tuple[str, str] | None] = {}
    cells, notes = [], []
    for row in timed:
        model = row["model"]
        if model not in bases:
            bases[model] = base = _baseline([r for r in timed if r["model"] == model], baseline)
            if base:
                notes.append(f"{model}: speed-ups against {' '.join(base)}, same part and batch")
        cells.append(_cells(row, _base_row(timed, row, bases[model])))
    for row in timed:
        for why in (row.get("failed"), *row.get("unclean", ())):
            if why:
                notes.append(f"{_name(row)}, batch {row['batch']}, {row['part']}: {why}")
    unknown = [row["throttling_unknown"] for row in timed if row.get("throttling_unknown")]
    notes += [f"throttling cannot be told: {why}" for why in dict.fromkeys(unknown)]
    return list(HEAD), cells, notes


def _cells(row: Row, base: Row | None) -> list[Any]:
    first = [row["model"], row["part"], row["backend"], row["precision"], row["batch"]]
    if "failed" in row:
        return [*first, *[Absent("failed: see below")] * (len(HEAD) - len(first) - 1), "failed"]
    no_power = Absent(f"power: {row['power_unknown'] or 'not known'}")
    faster = more = None
    if base is not None:
        faster = base["latency_ms"] / row["latency_ms"]
        more = row["throughput"] / base["throughput"]
    trtexec = Absent(row["trtexec_failed"]) if row.get("trtexec_failed") else row.get("trtexec_ms")
    return [
        *first,
        row["latency_ms"],
        row["p95_ms"],
        row["throughput"],
        faster,
        more,
        row["util_pct"],
        row["util_of"],
        *(no_power if row[key] is None else row[key] for key in ("watts", "j_per_frame", "fps_per_w")),
        row["memory_mb"],
        row["gpu_memory_mb"],
        row["gpu_mhz"],
        row["cpu_mhz"],
        row["temp_start_c"],
        row["temp_end_c"],
        trtexec,
        cleanness(row),
    ]


def _baseline(rows: Sequence[Row], wanted: str) -> tuple[str, str] | None:
    """Back end and precision to compare with: as wanted, else the first of `FROM` that was measured."""
    ways = {(row["backend"], row["precision"]) for row in rows if "failed" not in row}
    if wanted:
        backend, _, precision = wanted.partition(":")
        ways = {way for way in ways if way[0] == backend and precision in ("", way[1])}
    return min(ways, key=lambda way: (FROM.index(way[0]), PRECISIONS.index(way[1])), default=None)


def _base_row(rows: Sequence[Row], row: Row, base: tuple[str, str] | None) -> Row | None:
    for other in rows:
        same = all(other[key] == row[key] for key in ("model", "part", "batch"))
        if same and (other["backend"], other["precision"]) == base and "failed" not in other:
            return other
    return None


def pareto(rows: Sequence[Row]) -> list[Row]:
    """A row for each model, back end and precision that has an AP and a latency, best AP first.

    Latency and joules are those of the whole pipeline (of the engine where it was not measured) at the
    smallest batch. "front" is True where no other row is at least as good in all that both know, and
    better in one.
    """
    found = []
    for scored in rows:
        if scored["part"] != "accuracy" or "failed" in scored:
            continue
        same = [
            row
            for row in rows
            if row["part"] != "accuracy"
            and "failed" not in row
            and all(row[key] == scored[key] for key in ("model", "backend", "precision"))
        ]
        if same:
            timed = min(same, key=lambda row: (row["batch"], row["part"] != "pipeline"))
            found.append(
                {
                    **{key: scored[key] for key in ("model", "backend", "precision")},
                    **{key: scored.get(key) for key in ("AP", "AP50", "AP75", "APs", "APm", "APl")},
                    **{key: timed[key] for key in ("part", "batch", "latency_ms", "j_per_frame", "watts")},
                    "power_unknown": timed["power_unknown"],
                    "clean": cleanness(timed),
                }
            )
    for row in found:
        row["front"] = row["AP"] is not None and not any(_beats(other, row) for other in found)
    return sorted(found, key=lambda row: (-(row["AP"] or 0), row["latency_ms"]))


def _beats(one: Row, other: Row) -> bool:
    """At least as good in each goal that both know, and better in one."""
    signs = [
        (-1 if lower else 1, key) for key, lower in GOALS if one[key] is not None and other[key] is not None
    ]
    steps = [sign * (one[key] - other[key]) for sign, key in signs]
    return "AP" in [key for _, key in signs] and min(steps) >= 0 and max(steps) > 0


def cleanness(row: Row) -> str:
    """ "no" where something spoilt a row, "unknown" where throttling cannot be told, else "yes"."""
    return "no" if row["unclean"] else "unknown" if row["throttling_unknown"] else "yes"


def in_words(row: Row) -> str:
    """A row as one line while a sweep goes on."""
    if "failed" in row:
        return f"FAILED: {row['failed']}"
    if row["part"] == "accuracy":
        return f"AP {row['AP']:.3f}, AP50 {row['AP50']:.3f}" if row["AP"] is not None else "nothing to find"
    mark = " (emulated)" if row["emulated"] else ""
    power = f", {row['watts']:.1f} W{mark}" if row["watts"] is not None else ""
    spoilt = f", NOT CLEAN: {'; '.join(row['unclean'])}" if row["unclean"] else ""
    return f"{row['latency_ms']:.2f} ms, {row['throughput']:.1f} pictures/s{power}{spoilt}"


def _name(row: Row) -> str:
    return f"{row['model']}, {row['backend']} {row['precision']}"
