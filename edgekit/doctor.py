"""`edgekit doctor`: what this machine has, what it lacks, and the cure, one line each.

It must work where the kit does not: each check stands alone, an exception in one becomes a line of
the table, and rich is optional.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit import doctor_machine, doctor_python
from edgekit.device import Device, describe

Status = Literal["ok", "warning", "bad"]
Finding = tuple[Status, str, str]  # status, what was found, cure
_COLOURS = {"ok": "#2e7d32", "warning": "#b26a00", "bad": "#c62828"}

CHECKS: dict[str, Callable[[Device, Path], Finding]] = {
    "board": doctor_machine.board,
    "JetPack": doctor_machine.jetpack,
    "Python": doctor_python.python,
    "system": doctor_machine.operating_system,
    "GPU": doctor_machine.gpu,
    "CUDA": doctor_python.cuda,
    "TensorRT": doctor_python.tensorrt,
    "pycuda": doctor_python.pycuda,
    "ONNX Runtime": doctor_python.onnxruntime,
    "OpenCV": doctor_python.opencv,
    "GStreamer": doctor_machine.gstreamer,
    "cameras": doctor_machine.cameras,
    "groups": doctor_machine.groups,
    "video files": doctor_python.video,
    "Jupyter": doctor_python.jupyter,
    "jtop": doctor_machine.jtop,
    "power meter": doctor_machine.power_meter,
    "power mode": doctor_machine.power_mode,
    "memory": doctor_machine.memory_free,
    "disk": doctor_machine.disk,
    "clock": doctor_machine.clock,
    "shipped model": doctor_python.shipped_model,
}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        status: "ok"; "warning": something is absent or slow and the kit works without it; "bad": it does not.
        value: what was found, in words.
        cure: what to do about it; empty where there is nothing to do.
    """

    name: str
    status: Status
    value: str
    cure: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class Checks(list[Check]):
    """The lines of a report; in a notebook, a table in green, amber and red."""

    def __init__(self, lines: Sequence[Check] = (), device: Device | None = None) -> None:
        super().__init__(lines)
        self.device = device

    @property
    def healthy(self) -> bool:
        """Whether no line is bad."""
        return all(check.status != "bad" for check in self)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`: the device and the lines."""
        device = asdict(self.device) if self.device else None
        return {"healthy": self.healthy, "device": device, "checks": [check.to_dict() for check in self]}

    def summary(self) -> str:
        """ "17 ok, 3 warnings, 0 bad"."""
        count = {status: sum(check.status == status for check in self) for status in _COLOURS}
        plural = "" if count["warning"] == 1 else "s"
        return f"{count['ok']} ok, {count['warning']} warning{plural}, {count['bad']} bad"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{html.escape(check.name)}</td>'
            f'<td style="text-align:left;color:white;background:{_COLOURS[check.status]}">{check.status}</td>'
            f'<td style="text-align:left">{html.escape(check.value)}</td>'
            f'<td style="text-align:left">{html.escape(check.cure)}</td></tr>'
            for check in self
        )
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in ("", "", "found", "cure"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{self.summary()}</p>"


def checks(root: Path | str = "/") -> Checks:
    """Look at everything.

    Args:
        root: folder that holds etc, proc, sys, dev and so on of the machine.
    """
    device = describe(str(root))
    lines = []
    for name, look in CHECKS.items():
        try:
            status, value, cure = look(device, Path(root))
        except Exception as error:  # whatever is broken on this machine: the other lines still count
            status, value, cure = "warning", f"could not be checked: {type(error).__name__}: {error}", ""
        lines.append(Check(name, status, value, cure))
    return Checks(lines, device)


def _plain(found: Checks) -> str:
    lines = []
    for check in found:
        lines.append(f"{check.status:8}{check.name}: {check.value}")
        if check.cure:
            lines.append(f"{'':8}cure: {check.cure}")
    return "\n".join([*lines, found.summary()])


def render(found: Checks) -> None:
    """Show the report in the terminal."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        sys.stdout.write(_plain(found) + "\n")
        return
    table = Table(show_header=False, box=None, padding=(0, 1))
    for check in found:
        text = Text(check.value)
        if check.cure:
            text.append(f"\ncure: {check.cure}", style="dim")
        table.add_row(Text(check.status, style=f"bold {_COLOURS[check.status]}"), Text(check.name), text)
    console = Console()
    console.print(table)
    console.print(Text(found.summary()))


def add_parser(subparsers: Any) -> None:
    """Add `doctor` to the subcommands of `edgekit`."""
    parser = subparsers.add_parser("doctor", help="what this machine has, what it lacks, and the cure")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit doctor`; returns 1 where a line is bad."""
    found = checks()
    if args.json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=2) + "\n")
    else:
        render(found)
    return 0 if found.healthy else 1
