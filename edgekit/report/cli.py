"""`edgekit report RUN…`: runs and logs as a page, as Markdown, or as a table on the terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.runlog import Run
    from edgekit.telemetry.log import Log


def add_parser(subparsers: Any) -> None:
    """Add `report`."""
    parser = subparsers.add_parser("report", help="latency, power and heat of runs as one page")
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder of a run (the --out of `edgekit run`), or one log",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page that needs no network")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.set_defaults(run=report)


def report(args: argparse.Namespace) -> int:
    """Read the runs, write what was asked for; returns the exit code."""
    from edgekit.report.page import page
    from edgekit.report.parts import log_parts, run_parts, runs_parts, subtitle
    from edgekit.report.tables import write_text
    from edgekit.report.words import as_markdown, as_text

    runs, log = read(args.runs)
    title = " · ".join(run.name for run in runs) or args.runs[0].name
    if log is not None:
        parts, below = log_parts(log), log.label
    elif len(runs) == 1:
        parts, below = run_parts(runs[0]), subtitle(runs[0])
    else:
        parts, below = runs_parts(runs), f"{len(runs)} runs side by side"
    for path, make in ((args.html, page), (args.markdown, as_markdown)):
        if path is None:
            continue
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file.")
        try:
            write_text(path, make(title, parts, subtitle=below))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
        sys.stdout.write(f"{path}\n")
    if args.html is None and args.markdown is None:
        sys.stdout.write(as_text(parts))
    return 0


def read(paths: list[Path]) -> tuple[list[Run], Log | None]:
    """The runs of some folders, or the one log that was given instead.

    Raises:
        InputError: a path is neither, or a log is given beside something else.
    """
    from edgekit.runlog import RUN, read_run
    from edgekit.telemetry.log import read_log

    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path} does not exist; give the folder that `edgekit run` wrote, named by its --out."
            )
    logs = [
        path for path in paths if path.is_file() or (not (path / RUN).is_file() and any(path.glob("*.jsonl")))
    ]
    if not logs:
        return named([read_run(path if path.name else path.resolve()) for path in paths]), None
    if len(paths) > 1:
        raise InputError(f"{logs[0]} is a log and no run's folder; give it by itself.")
    return [], read_log(logs[0])


def named(runs: list[Run]) -> list[Run]:
    """Runs that can be told apart by their names: those of the same name are called by their whole paths."""
    from edgekit.runlog import Run

    class ByPath(Run):
        @property
        def name(self) -> str:
            return str(self.folder)

    names = [run.name for run in runs]
    return [
        run if names.count(run.name) == 1 else ByPath(run.folder, run.meta, run.frames, run.log, run.summary)
        for run in runs
    ]
