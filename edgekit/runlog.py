"""One folder a run: what was run where, stage times of each frame, power and heat, all on one clock.

out/yolo/run.json       config, device, versions, revision, sampler; written when the run begins
out/yolo/frames.jsonl   one line a frame: stage times in seconds, moment on the boot clock
out/yolo/samples.jsonl  power and heat; see `edgekit.telemetry.log`
out/yolo/summary.json   written when it ends: a run without it was killed, and is read all the same
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.clocks import AGES, STAGES, Summary
from edgekit.errors import InputError
from edgekit.files import PACKAGE
from edgekit.results import Frame, Result
from edgekit.sinks import read_lines, write_json
from edgekit.telemetry.log_writer import LogWriter, boot_id
from edgekit.telemetry.sample import boot_clock, wall_iso

if TYPE_CHECKING:
    from edgekit.telemetry import Sampler
    from edgekit.telemetry.energy import Energy
    from edgekit.telemetry.log import Log

SCHEMA = 1
RUN, FRAMES, SAMPLES, SUMMARY = "run.json", "frames.jsonl", "samples.jsonl", "summary.json"
#: Columns of frames.jsonl; stages and ages in seconds, "dropped" since the start.
COLUMNS = ("index", "t_boot_s", *STAGES, *AGES, "found", "dropped")
#: Packages whose versions change a figure.
PACKAGES = (
    "edgekit",
    "numpy",
    "opencv-python",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "pycuda",
    "torch",
    "av",
)
#: A first sample is waited for so long before the frames begin, and a last one after them.
PATIENCE_S = 2.0


class RunLog:
    """Writes a run's folder while it runs; readable at every moment, also after a kill.

    Session("sample", open_yolo, log=lambda: RunLog("out/yolo")).start()

    Args:
        folder: made where it is absent; the files of an earlier run in it are replaced.
        sampler: what `open_sampler` takes, a `Sampler` that runs (and stays the caller's), or None.
        interval: seconds between samples, of a sampler that is opened here.
        asked: settings as they were asked for, to note beside what became of them, as JSON.

    Attributes:
        folder: as given.
        note: what could not be written, "" where all was.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        sampler: str | Sampler | None = "auto",
        interval: float = 0.5,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.note = ""
        self._given, self._interval, self._asked = sampler, interval, dict(asked or {})
        self._sampler: Sampler | None = None
        self._writer: LogWriter | None = None
        self._frames: Any = None

    def begin(self, summary: Summary) -> None:
        """Source and task are open, and frames will come.

        Raises:
            InputError: the folder cannot be written, or there is no such sampler.
            MissingError: the sampler asked for cannot measure here.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in (RUN, SUMMARY, FRAMES, *(p.name for p in self.folder.glob("samples*.jsonl"))):
                (self.folder / old).unlink(missing_ok=True)
            self._frames = open(self.folder / FRAMES, "wb", buffering=0)  # noqa: SIM115 closed by `close`
            self._begin_samples()
            start = {"t_boot_s": boot_clock(), "started_wall": wall_iso(), "boot_id": boot_id()}
            head: dict[str, Any] = {"schema": SCHEMA, **start}
            head |= {"command": list(sys.argv), "config": _config(summary), "asked": self._asked}
            write_json(self.folder / RUN, {**head, "sampler": self._about_sampler(), **where_and_what()})
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror or error}.") from error

    def _begin_samples(self) -> None:
        if self._given is None:
            return
        from edgekit.telemetry import open_sampler

        sampler = open_sampler(self._given, self._interval) if isinstance(self._given, str) else self._given
        self._sampler = sampler
        self._writer = writer = LogWriter(
            self.folder / SAMPLES,
            interval_s=sampler.interval,
            source=sampler.name,
            emulated=sampler.emulated,
            about={"why": sampler.why},
        )
        sampler.add(writer.write)
        sampler.start()
        sampler.wait(1, PATIENCE_S)

    def _about_sampler(self) -> dict[str, Any] | None:
        sampler = self._sampler
        if sampler is None:
            return None
        about = {"name": sampler.name, "why": sampler.why}
        return {**about, "interval_s": sampler.interval, "emulated": sampler.emulated}

    def frame(self, frame: Frame, result: Result, times: Mapping[str, float], dropped: int) -> None:
        """One frame is through the last sink. What cannot be written is left out, and `note` says so."""
        row: dict[str, float] = {"index": frame.index, "t_boot_s": round(boot_clock(), 6)}
        row |= {name: round(times.get(name, 0.0), 6) for name in (*STAGES, *AGES)}
        row |= {"found": len(result), "dropped": dropped}
        line = json.dumps(row).encode() + b"\n"
        place = self._frames.tell()
        try:
            if self._frames.write(line) != len(line):
                raise OSError("the disk is full")
        except OSError as error:
            self._frames.truncate(place)  # no half line
            self._frames.seek(place)
            self.note = f"{FRAMES} lacks frames: {error.strerror or error}"

    def end(self, summary: Summary, error: BaseException | None = None) -> dict[str, Any] | None:
        """No more frames will come: write the summary, with the energy of the run, which is returned."""
        if self._sampler is not None and self._sampler.running and not self._sampler.note:
            # one sample after the last frame, so that the energy is known up to it
            self._sampler.wait(1, min(PATIENCE_S, 2 * self._sampler.interval))
        sampled = self._sampler is not None
        self.close()
        spent: dict[str, Any] | None = None
        if sampled:
            measured = read_run(self.folder).energy()
            spent = {**asdict(measured), "joules_per_frame": measured.per(summary.frames)}
        notes = {"energy": spent, "error": str(error) if error else "", "log_note": self.note}
        try:
            write_json(self.folder / SUMMARY, {**summary.to_dict(), **notes})
        except OSError as problem:
            self.note = f"{SUMMARY} is not written: {problem.strerror or problem}"
        return spent

    def close(self) -> None:
        """Close every file, and the sampler where it was opened here; a second call does nothing."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        sampler, self._sampler = self._sampler, None
        writer, self._writer = self._writer, None
        if sampler is not None:
            if writer is not None:
                sampler.remove(writer.write)
            if sampler is not self._given:
                sampler.stop()
        if writer is not None:
            writer.close()
            self.note = self.note or writer.note


def _config(summary: Summary) -> dict[str, Any]:
    names = ("source", "how", "live", "model", "backend", "precision", "device", "why")
    return {name: getattr(summary, name) for name in names}


def where_and_what() -> dict[str, Any]:
    """What makes a figure repeatable: this device, the versions of what computes, the kit's revision."""
    from edgekit.device import describe

    versions = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"device": {**asdict(describe()), "name": str(describe())}, "versions": versions, "git": _git()}


def _git() -> dict[str, Any] | None:
    """Revision of the checkout that the kit runs from, and whether files differ from it."""
    from edgekit.device import ask

    top = PACKAGE.parent
    if not (top / ".git").exists():
        return None
    revision = ask(["git", "-C", str(top), "rev-parse", "HEAD"])
    changed = ask(["git", "-C", str(top), "status", "--porcelain", "--untracked-files=no"])
    return {"revision": revision, "changed": changed is not None} if revision else None


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it.

    Attributes:
        folder: where it lies.
        meta: `run.json`.
        frames: {column: float64 [N]} of `COLUMNS`, in the order in which frames left the last sink.
        log: power and heat, or None where none was sampled.
        summary: `summary.json`, or None where the run was killed or goes on.
    """

    folder: Path
    meta: dict[str, Any]
    frames: dict[str, NDArray[np.float64]]
    log: Log | None
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def complete(self) -> bool:
        """It ended by itself or was stopped, and wrote its summary."""
        return self.summary is not None

    @property
    def start_s(self) -> float:
        """When the first frame could have come, on the boot clock."""
        return float(self.meta["t_boot_s"])

    @property
    def end_s(self) -> float:
        """When the last frame had left the last sink."""
        t = self.frames["t_boot_s"]
        return float(t[-1]) if len(t) else self.start_s

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    @property
    def fps(self) -> float:
        """Frames a second over the whole run."""
        return len(self.frames["index"]) / self.seconds if self.seconds > 0 else 0.0

    def energy(self, *, baseline_w: float | None = None) -> Energy:
        """Energy from the beginning to the last frame; void where the power is not known.

        Known it is not where nothing was sampled, or only the meter of a device that did not do the work.
        """
        from edgekit.telemetry.energy import energy, of_work_on
        from edgekit.telemetry.log import Log

        log = self.log if self.log is not None else Log.of([], 1.0)
        spent = energy(log, self.start_s, self.end_s, baseline_w=baseline_w)
        return of_work_on(spent, str(self.meta.get("config", {}).get("device", "")))


def read_run(folder: Path | str) -> Run:
    """Read a run's folder, also one that was killed or still grows.

    Raises:
        InputError: it is no run's folder, or a file in it is damaged.
    """
    from edgekit.telemetry.log import read_log

    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise InputError(
            f"{folder} holds no {RUN}, so it is no run's folder; `edgekit run` makes one, named by its --out."
        )
    meta = _json(folder / RUN)
    if meta.get("schema", 0) > SCHEMA:
        raise InputError(f"{folder / RUN} was written by a newer edgekit; upgrade this one.")
    rows = read_lines(folder / FRAMES) if (folder / FRAMES).is_file() else []
    try:
        frames = {name: np.array([row[name] for row in rows], np.float64) for name in COLUMNS}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / FRAMES} lacks or spoils a column: {error}.") from error
    samples = folder / SAMPLES
    summary = folder / SUMMARY
    return Run(
        folder,
        meta,
        frames,
        read_log(samples) if samples.is_file() else None,
        _json(summary) if summary.is_file() else None,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
