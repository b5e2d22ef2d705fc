"""Folders of runs, made up: so many frames at so many watts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.runlog import COLUMNS, Run, read_run
from edgekit.sinks import write_json
from edgekit.telemetry.log import LogWriter
from edgekit.telemetry.sample import Sample


def make_run(
    folder: Path,
    *,
    frame_s: float = 0.1,
    watts: float | None = 6.0,
    found: Sequence[int] = (7,) * 80,
    first: int = 0,
    stages: Mapping[str, float] | None = None,
    config: Mapping[str, Any] | None = None,
    source: str = "emulated",
    total: str = "VDD_IN",
    interval_s: float = 0.1,
    finished: bool = True,
    error: str = "",
    dropped: int = 0,
    start_s: float = 100.0,
) -> Run:
    """A run of `len(found)` frames, one each `frame_s` seconds, at steady `watts`."""
    folder.mkdir(parents=True)
    config = {"source": "people.mp4", "model": "edgekit-person", **(config or {})}
    head = {"schema": 1, "started_wall": folder.name, "t_boot_s": start_s}
    write_json(folder / "run.json", {**head, "config": config})
    blank = dict.fromkeys(COLUMNS, 0.0)
    blank |= stages or {"capture": frame_s, "infer": 0.03}
    lines = [
        {**blank, "index": first + i, "t_boot_s": start_s + frame_s * (i + 1), "found": n, "dropped": dropped}
        for i, n in enumerate(found)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "frames.jsonl").write_text(text, encoding="utf-8")
    with LogWriter(folder / "samples.jsonl", interval_s=interval_s, source=source, emulated=True) as log:
        for i in range(int(len(found) * frame_s / interval_s) + 4):
            t, wall = start_s + (i - 1) * interval_s, "2026-11-21T12:00:00.000Z"
            known = {} if watts is None else {"power_total_mw": 1e3 * watts, "power_total_name": total}
            absent = {"power_total_mw": "no meter"} if watts is None else {}
            kind = None if watts is None else "input"
            log.write(
                Sample(t, wall, source, i, True, power_total_kind=kind, missing=absent, **known)  # type: ignore[arg-type]
            )
    if finished:
        write_json(folder / "summary.json", {"frames": len(found), "error": error})
    return read_run(folder)
