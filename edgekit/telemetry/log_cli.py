"""`edgekit log`: samples into a file, for Prometheus, or beside a command; and a log as a table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, InputError
from edgekit.telemetry.log_command import Ran, on_signals, problem, run_command
from edgekit.telemetry.sample import Event, Sample, boot_clock
from edgekit.telemetry.sampler import Sampler

if TYPE_CHECKING:
    from edgekit.telemetry.log import LogWriter

MEGABYTE = 1_000_000


def add_parser(subparsers: Any) -> None:
    """Add `log` to the subcommands of `edgekit`."""
    words = "log power, heat and load; measure a command; export a log"
    parser = subparsers.add_parser(
        "log",
        help=words,
        description=words,
        epilog="With -- COMMAND its exit code is passed on, and what it cost goes to standard error.",
    )
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between samples (default 0.5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write, as JSON lines")
    parser.add_argument("--append", action="store_true", help="go on in a log that is there")
    parser.add_argument("--duration", type=float, metavar="S", help="end after so many seconds")
    parser.add_argument(
        "--sampler",
        default="auto",
        metavar="NAME",
        help="auto, jtop, sysfs, nvml, host, none, or emulated:BOARD (default auto)",
    )
    parser.add_argument("--rotate", type=float, metavar="MB", help="begin a new part at this size")
    parser.add_argument("--keep", type=int, default=5, metavar="N", help="full parts kept (default 5)")
    parser.add_argument("--baseline", type=float, metavar="S", help="measure the idle power so long first")
    parser.add_argument("--prometheus", type=int, metavar="PORT", help="serve the figures to Prometheus")
    parser.add_argument(
        "--prometheus-address", default="127.0.0.1", metavar="IP", help="0.0.0.0: to the whole network"
    )
    parser.add_argument(
        "--export", choices=("csv", "parquet"), help="write the log FILE as a table, to --out or beside it"
    )
    parser.add_argument("--quiet", action="store_true", help="no line of figures, no table")
    parser.add_argument("words", nargs="*", metavar="-- COMMAND | FILE", help="what is run, or exported")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit log`."""
    if args.export:
        return _export(args)
    _check(args)
    if args.words:
        code, words = problem(args.words[0])
        if code:
            sys.stderr.write(f"edgekit: {words}\n")
            return code
    return _log(args)


def _check(args: argparse.Namespace) -> None:
    """The settings that argparse cannot judge."""
    if args.words and args.duration is not None:
        raise InputError("give --duration or a command, not both; the log ends with the command.")
    if not (args.words or args.out or args.prometheus is not None):
        raise InputError("give --out FILE, --prometheus PORT or -- COMMAND; else nothing is kept.")
    for name in ("duration", "baseline", "rotate"):
        value = getattr(args, name)
        if value is not None and not 0 < value < 1e9:
            raise InputError(f"--{name} {value:g} must be more than 0.")
    if args.keep < 0:
        raise InputError(f"--keep {args.keep} must be 0 or more.")
    if args.baseline and not args.words:
        raise InputError("--baseline goes with a command.")


def _export(args: argparse.Namespace) -> int:
    from edgekit.telemetry.export import export

    if len(args.words) != 1:
        raise InputError(
            f"--export {args.export} wants one log: edgekit log --export {args.export} run.jsonl"
        )
    sys.stdout.write(f"{export(args.words[0], args.export, args.out)}\n")
    return 0


def _log(args: argparse.Namespace) -> int:
    """Open everything, sample until the end, say what it was."""
    from edgekit.device import describe
    from edgekit.telemetry.choose import open_sampler
    from edgekit.telemetry.log import LogWriter

    with ExitStack() as stack:
        sampler = open_sampler(args.sampler, args.interval)
        stack.callback(sampler.stop)
        board = str(describe())
        if args.prometheus is not None:
            from edgekit.telemetry.prometheus import Server

            server = stack.enter_context(
                Server(sampler, args.prometheus, args.prometheus_address, board=board)
            )
            if not args.quiet:
                sys.stderr.write(f"serving {server.url}\n")
        path, writer = args.out, None
        if path is None and args.words:  # the figures of a command need a log for as long as it runs
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-log-"))) / "run.jsonl"
        if path is not None:
            writer = stack.enter_context(
                LogWriter(
                    path,
                    interval_s=args.interval,
                    source=sampler.name,
                    emulated=sampler.emulated,
                    about={"board": board, "why": sampler.why, "command": args.words},
                    max_bytes=int(args.rotate * MEGABYTE) if args.rotate else None,
                    keep=args.keep,
                    append=args.append,
                )
            )
            sampler.add(writer.write)
        teller = _Teller(writer, line=not (args.quiet or args.words))
        sampler.add(teller.take)
        if not args.quiet:
            sys.stderr.write(f"sampler: {sampler.why}\n")
        ran = run_command(args.words, sampler, args.baseline) if args.words else _wait(args.duration, sampler)
        sampler.stop()
        teller.close()
        if writer is not None:
            writer.close()
            if not args.quiet:
                _tell(args, ran, teller, writer)
    return ran.code


def _tell(args: argparse.Namespace, ran: Ran, teller: _Teller, writer: LogWriter) -> None:
    """The table of what was logged. A log that is gone by now is said, and costs no exit code."""
    from edgekit.telemetry.log import read_log
    from edgekit.telemetry.log_table import text

    # without a command, what counts is from the first sample to the last, written or lost
    start, end = (ran.start_s, ran.end_s) if args.words else (teller.first_s, teller.last_s)
    try:
        log = read_log(writer.path)
    except EdgekitError as error:
        sys.stderr.write(f"edgekit: {error}\n")
        return
    words = text(log, start, end, baseline_w=ran.baseline_w, path=args.out, lost=writer.lost)
    (sys.stderr if args.words else sys.stdout).write(words + "\n")


def _wait(duration: float | None, sampler: Sampler) -> Ran:
    """Sample until the time is over, or until Ctrl-C or SIGTERM, which is how a log without an end ends."""
    over = threading.Event()
    with on_signals(lambda number: over.set()):
        start = boot_clock()
        sampler.start()
        while not over.is_set():
            left = 3600.0 if duration is None else start + duration - boot_clock()
            if left <= 0:
                return Ran(0, start, boot_clock())
            over.wait(left)
    return Ran(0 if duration is None else 130, start, boot_clock())


class _Teller:
    """A listener that says in the terminal what a person must know: faults once, and figures as one line.

    Attributes:
        first_s, last_s: times of the first and the newest sample; 0 before there is one.
    """

    def __init__(self, writer: LogWriter | None, *, line: bool) -> None:
        self._writer = writer
        self._line = line and sys.stderr.isatty()
        self._note = ""
        self.first_s = self.last_s = 0.0

    def take(self, what: Sample | Event) -> None:
        note = self._writer.note if self._writer else ""
        if note and not self._note:
            self._say(f"edgekit: {note}.")
        elif self._note and not note:
            self._say(f"edgekit: {self._writer.path if self._writer else ''} is written again.")
        self._note = note
        if isinstance(what, Event):
            self._say(f"{what.event}: {what.text}")
            return
        self.first_s, self.last_s = self.first_s or what.t_boot_s, what.t_boot_s
        if self._line:
            from edgekit.telemetry.line import line_of

            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{line_of(what)[:width]}")
            sys.stderr.flush()

    def close(self) -> None:
        """What is written next begins on a line of its own."""
        if self._line and self.last_s:
            sys.stderr.write("\n")

    def _say(self, words: str) -> None:
        sys.stderr.write(("\r\x1b[K" if self._line else "") + words + "\n")
