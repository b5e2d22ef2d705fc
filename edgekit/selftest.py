"""`edgekit selftest`: try on this machine whatever it can do, and write one file that can be sent.

Each step runs in a process of its own with a time limit, and ends as passed, failed (why) or not here (what
is missing). The file is whole after each of them and holds no names, addresses or paths.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.selftest_child import run_step
from edgekit.selftest_report import STATES, Report, default_path
from edgekit.selftest_steps import Step, choose, steps

Say = Callable[[str], Any]


def selftest(
    chosen: Sequence[Step],
    report: Report,
    *,
    quick: bool = False,
    root: Path | str = "/",
    calibration: str = "",
    minutes: float = math.inf,
    say: Say = lambda text: None,
) -> bool:
    """Run steps one after the other; the report's file is written before and after each.

    Args:
        chosen: the steps.
        report: keeps what is found.
        quick: a few frames only, and no plan is built.
        root: folder that holds etc, proc, sys and so on of the machine.
        calibration: folder of pictures for int8; "": frames of the sample clip.
        minutes: no step begins later than this.
        say: called with pieces of text for the terminal.

    Returns:
        Whether no step failed.
    """
    until = time.monotonic() + 60 * minutes
    how = {"quick": quick, "root": str(root), "calibration": calibration}
    for number, step in enumerate(chosen, 1):
        say(f"[{number:>2}/{len(chosen)}] {step.name:<30} ")
        report.begin(step.name)
        try:
            if time.monotonic() < until:
                result = run_step({"run": step.run, "given": dict(step.given), **how}, step.limit_s)
            else:
                words = f"{minutes:g} minutes were over; run it again: plans that were built are kept"
                result = {"state": "not here", "words": words, "seconds": 0.0}
        except KeyboardInterrupt:
            report.end({"state": "failed", "words": "interrupted"})
            say("interrupted\n")
            raise
        line = report.end(result)
        say(f"{line['state']:<9}{line['seconds']:>6.1f} s  {_short(line['words'])}\n")
    return not report.count("failed")


def _short(words: str, most: int = 110) -> str:
    """For one line of a terminal; the file has it whole."""
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def add_parser(subparsers: Any) -> None:
    """Add `selftest`."""
    parser = subparsers.add_parser(
        "selftest",
        help="try everything that this machine can do, and write one file to send",
        description="Try everything that this machine can do, each step in a process of its own; write one "
        "file that can be sent: it holds no names, addresses or paths. Where plans must be built first it "
        "may take a second run to get through: they are kept. Exit code 1: something failed.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one minute: a few frames of each, and no plan is built")
    add(
        "--only", nargs="+", default=[], metavar="STEP", help="these steps, as in: doctor build 'task/*/host'"
    )
    add("--out", type=Path, metavar="FILE", help="default: selftest-DEVICE-DAY.json")
    add("--calibration", default="", metavar="DIR", help="pictures for int8 (default: the sample clip's)")
    add("--minutes", type=float, default=10.0, metavar="M", help="begin no step after so many (default: 10)")
    add("--list", action="store_true", help="name the steps, and run none")
    add("--table", nargs="*", metavar="FILE", help="print README's table, with what received files add")
    add("--into", type=Path, metavar="README", help="with --table: put it into this file instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit selftest`; returns 1 where a step failed."""
    if args.table is not None:
        return _table(args.table, args.into)
    chosen = choose(steps(), args.only, args.quick)
    if args.list:
        lines = [
            f"{step.name:<30} {'quick' if step.quick else '':<6}up to {step.limit_s:g} s" for step in chosen
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    asked = {"quick": args.quick, "only": args.only, "calibration": bool(args.calibration)}
    report = Report(args.out or default_path(), asked)
    name, begun = report.found["device"]["name"], time.monotonic()
    _say(f"edgekit selftest on {name}: {len(chosen)} steps; kept in {report.path}\n")
    try:
        how = {"quick": args.quick, "calibration": args.calibration, "minutes": args.minutes}
        good = selftest(chosen, report, say=_say, **how)
    except KeyboardInterrupt:
        _say(f"What was found until then: {report.path}\n")
        raise
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    counts = ", ".join(f"{report.count(state)} {state}" for state in STATES)
    _say(f"\n{counts}, in {minutes} min {seconds} s\n")
    for step in report.found["steps"]:
        if step["state"] == "failed":
            _say(f"failed  {step['step']}: {step['words']}\n")
    _say(f"The file to send: {report.path}\nIt holds no names, addresses or paths; look into it before.\n")
    return 0 if good else 1


def _table(files: Sequence[str], into: Path | None) -> int:
    from edgekit.selftest_report import read_report
    from edgekit.selftest_table import put_into, section

    text = section([read_report(file) for file in files])
    if into is None:
        sys.stdout.write(text)
    else:
        put_into(into, text)
        _say(f"written: {into}\n")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
