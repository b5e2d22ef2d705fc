"""What a report says in figures and words: tiles, tables, and what was run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.report.clean import throttled, throttling_unknown, verdict
from edgekit.report.numbers import hottest, percentiles, ratios, setting, stages
from edgekit.report.tables import DASH, Absent, Shown, figure

if TYPE_CHECKING:
    from edgekit.runlog import Run
    from edgekit.telemetry.energy import Energy
    from edgekit.telemetry.log import Log

Tile = tuple[str, str, str]
Row = list[Any]


def headline(run: Run, reasons: Sequence[str]) -> list[Tile]:
    """The figures that matter most, as (name, figure, remark). What is not known is a dash, and why."""
    frames, at = len(run.frames["index"]), percentiles(run)
    energy = run.energy()
    tiles: list[Tile] = []
    if frames:
        dropped = int(run.frames["dropped"][-1])
        remark = f"{frames} frames in {run.seconds:.1f} s" + (f", {dropped} dropped" if dropped else "")
        tiles.append(("Speed", f"{figure(run.fps)} FPS", remark))
        tiles.append(("Latency, median", f"{figure(at[50])} ms", f"95 % within {figure(at[95])} ms"))
    each = energy.per(frames)
    mark = "emulated, " if energy.emulated else ""
    why = _short(energy.void)
    tiles.append(("Energy per frame", joules(each), why if each is None else f"{mark}by {energy.method}"))
    per_watt = f"{figure(1 / each)} FPS/W" if each else DASH
    tiles.append(("Efficiency", per_watt, f"{mark}frames a joule" if each else why))
    held = [] if run.log is None else throttled(run.log, run.start_s, run.end_s)
    tiles += power_tiles(run.log, run.start_s, run.end_s, held)
    tiles.append(
        ("Clean", "no" if reasons else "yes", f"{len(reasons)} reasons above" if len(reasons) > 1 else "")
    )
    return tiles


def power_tiles(log: Log | None, start: float, end: float, held: Sequence[str]) -> list[Tile]:
    """Power, the hottest zone, and throttling of a stretch of a log."""
    from edgekit.telemetry.energy import energy

    if log is None:
        return [("Power", DASH, "nothing was sampled")]
    measured = energy(log, start, end)
    mark = "emulated, " if log.emulated else ""
    if measured.mean_w is None:
        tiles = [("Power, mean", DASH, _short(measured.void))]
    else:
        tiles = [("Power, mean", f"{figure(measured.mean_w)} W", f"{mark}{measured.name}")]
    warmest = hottest(log, start, end)
    if warmest is not None:
        tiles.append(("Hottest", f"{warmest[1]:.1f} °C", f"{mark}{warmest[0]}"))
    why = throttling_unknown(log)
    seen = "yes" if held else DASH if why else "none seen"
    tiles.append(("Throttling", seen, held[0] if held else _short(why)))
    return tiles


def joules(value: float | None) -> str:
    """Joules with a unit that suits them; a dash where not known."""
    if value is None:
        return DASH
    return f"{figure(1e3 * value)} mJ" if value < 1 else f"{figure(value)} J"


def stage_table(run: Run) -> list[Row]:
    """Stages with median, p95, share of the busy time, and joules of one frame; the ages below them."""
    energy = run.energy()
    unit = f"mJ per frame{', emulated' if energy.emulated else ''}"
    rows: list[Row] = [["stage", "median, ms", "p95, ms", "share, %", unit]]
    why = (
        f"energy is not known: {energy.void}"
        if energy.void
        else "capture of a live source waits for pictures"
    )
    absent = Absent(why)
    for stage in stages(run, energy):
        each = absent if stage.joules is None else 1e3 * stage.joules
        rows.append([stage.name, stage.median_ms, stage.p95_ms, 100 * stage.share, each])
    for column, words in (("age", "age at inference"), ("latency", "camera to last sink")):
        at = percentiles(run, column)
        if at:
            rows.append([words, at[50], at[95], "", ""])  # they overlap the stages
    return rows


def energy_rows(whole: Energy, rails: Mapping[str, Energy]) -> list[Row]:
    """Power and energy of the total and of each rail."""
    rows: list[Row] = [["", "mean, W", "lowest, W", "highest, W", "energy, J"]]
    names = {"input": f"{whole.name}, the input", "sum": f"all: {whole.name}"}
    total = names.get(str(whole.kind), str(whole.name))
    for name, part in {total: whole, **rails}.items():
        if part is whole or name != whole.name:
            known = Absent(f"void: {part.void}") if part.joules is None else part.joules
            rows.append([name, part.mean_w, part.min_w, part.max_w, known])
    return rows


def compared(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The figures of each run under names with their unit; None where not known."""
    rows = []
    for run in runs:
        frames, energy, at = len(run.frames["index"]), run.energy(), percentiles(run)
        each = energy.per(frames)
        warmest = None if run.log is None else hottest(run.log, run.start_s, run.end_s)
        rows.append(
            {
                "run": run.name,
                "FPS": run.fps if frames else None,
                **{f"latency p{percent}, ms": at.get(percent) for percent in (50, 95, 99)},
                "power, W": energy.mean_w,
                "mJ per frame": None if each is None else 1e3 * each,
                "FPS/W": 1 / each if each else None,
                "hottest, °C": None if warmest is None else warmest[1],
            }
        )
    return rows


def side_by_side(runs: Sequence[Run]) -> list[Row]:
    """One column a run, each figure with its ratio to the first run's."""
    rows: list[Row] = [["", *(run.name for run in runs)]]
    rows.append(["frames", *(len(run.frames["index"]) for run in runs)])
    each = compared(runs)
    for name in [name for name in each[0] if name != "run"]:
        values = [row[name] for row in each]
        over = [None] * len(runs) if name.endswith("°C") else [None, *ratios(values)[1:]]
        rows.append([name, *(_cell(value, ratio) for value, ratio in zip(values, over, strict=True))])
    return rows


def differences(runs: Sequence[Run]) -> list[Row]:
    """One column a run: what it was, and whether its figures are clean."""
    rows: list[Row] = [["", *(run.name for run in runs)]]
    for words, name in (("model", "model"), ("precision", "precision"), ("back end", "backend")):
        rows.append([words, *(setting(run, name) or DASH for run in runs)])
    rows.append(["throttling", *(_throttling(run) for run in runs)])
    rows.append(["clean", *("no" if verdict(run) else "yes" for run in runs)])
    rows.append(["power from", *(run.log.label if run.log is not None else "not sampled" for run in runs)])
    return rows


def about(run: Run) -> list[Row]:
    """What was run, where, with which versions."""
    device, sampler = run.meta.get("device", {}), run.meta.get("sampler") or {}
    precision, asked = setting(run, "precision"), run.meta.get("asked", {}).get("precision")
    if asked and asked not in precision:
        precision += f" ({asked} was asked for)"
    modes = [] if run.log is None else list(dict.fromkeys(mode for mode in run.log.power_mode if mode))
    held = [] if run.log is None or not len(run.log) else [run.log.samples(newest=1)[0].jetson_clocks]
    git = run.meta.get("git") or {}
    rows: list[tuple[str, Any]] = [
        ("model", setting(run, "model")),
        ("precision", precision),
        ("back end", setting(run, "backend")),
        ("chosen", setting(run, "why")),
        ("source", setting(run, "source")),
        ("opened as", setting(run, "how")),
        ("device", device.get("name")),
        ("JetPack", device.get("jetpack")),
        ("power mode", ", ".join(modes) or device.get("power_mode")),
        ("clocks held highest", held[0] if held else None),
        ("sampler", sampler.get("why")),
        ("versions", ", ".join(f"{name} {number}" for name, number in run.meta.get("versions", {}).items())),
        ("revision", _revision(git)),
        ("started", day(run.meta.get("started_wall"))),
        ("command", _command(run)),
        ("folder", str(run.folder)),
    ]
    return [[name, value] for name, value in rows if value not in (None, "")]


def _revision(git: Mapping[str, Any]) -> str:
    return f"{git['revision']}{', with changes' if git.get('changed') else ''}" if git.get("revision") else ""


def day(iso: object) -> str:
    """A moment in UTC as people write it."""
    return str(iso or "")[:19].replace("T", " ") + (" UTC" if iso else "")


def _command(run: Run) -> str:
    words = [str(word) for word in run.meta.get("command", [])]
    if words and Path(words[0]).name in ("__main__.py", "edgekit"):
        words[0] = "edgekit"
    return shlex.join(words)


def _cell(value: float | None, ratio: float | None) -> Shown | None:
    if value is None:
        return None
    return Shown(figure(float(value)) + (f" (×{ratio:.2f})" if ratio is not None else ""))


def _throttling(run: Run) -> str:
    if run.log is None or throttling_unknown(run.log):
        return DASH
    return "yes" if throttled(run.log, run.start_s, run.end_s) else "none seen"


def _short(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " …"
