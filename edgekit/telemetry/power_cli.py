"""`edgekit power`: the board's power mode, clocks and fan as they are, and the commands that change them.

It reads files and changes nothing: what it prints is for the user to run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgekit.telemetry.power import Mode, Power, find_mode, hertz, read_power

ROOT = Path("/")
#: What the commands are for.
WHY = {
    "store": "note the clocks as they are, to come back to them.",
    "hold": "hold all clocks at the mode's highest until the next restart: steady figures in a benchmark, "
    "at the price of heat and of power when idle. Set the mode before.",
    "restore": "let the clocks follow the load again.",
}


def state(power: Power) -> list[str]:
    """What is set now, as lines."""
    if power.mode:
        lines = [f"mode     {power.mode.number}, {power.mode.name}: {power.mode.limits}"]
    else:
        lines = [f"mode     unknown: {power.missing['mode']}"]
    for name, clock in power.clocks.items():
        span = "held there" if clock.held else f"moves between {hertz(clock.low)} and {hertz(clock.high)}"
        lines.append(f"clock    {name:<6}{hertz(clock.now)}, {span}")
    if power.clocks:
        held = all(clock.held for clock in power.clocks.values())
        words = "held, as by jetson_clocks" if held else "follow the load: jetson_clocks is not on"
        lines.append(f"clocks   {words}; the memory's clock is told by: sudo jetson_clocks --show")
    else:
        lines.append(f"clocks   unknown: {power.missing['clocks']}")
    fan = f"{power.fan_pct:.0f} %" if power.fan_pct is not None else f"unknown: {power.missing['fan']}"
    profile = power.fan_profile or power.missing.get("fan_profile", "not said")
    lines.append(f"fan      {fan}; profile: {profile}")
    return lines


def modes(power: Power) -> list[str]:
    """The modes, as lines."""
    if not power.modes:
        return [f"modes    unknown: {power.missing['modes']}"]
    lines = []
    for mode in power.modes:
        marks = ["now"] if power.mode and power.mode.number == mode.number else []
        marks += ["default"] if mode.number == power.default else []
        mark = f"  ({', '.join(marks)})" if marks else ""
        lines.append(f"mode {mode.number:<4}{mode.name:<14}{mode.limits}{mark}")
    return lines


def commands(power: Power, wanted: Mode | None) -> list[str]:
    """The commands that change it, each with the reason to run it."""
    number = "N" if wanted is None else str(wanted.number)
    to = "a mode of the list above" if wanted is None else f"{wanted.name}: {wanted.limits}"
    rows = [
        (f"sudo nvpmodel -m {number}", f"{to}. It stays over restarts."),
        ("sudo jetson_clocks --store", WHY["store"]),
        ("sudo jetson_clocks", WHY["hold"]),
        ("sudo jetson_clocks --restore", WHY["restore"]),
    ]
    others = [name for name in power.fan_profiles if name != power.fan_profile]
    if others:
        change = f"s/FAN_DEFAULT_PROFILE .*/FAN_DEFAULT_PROFILE {others[0]}/"
        profiles = f"the fan's profile; there are {', '.join(power.fan_profiles)}."
        rows.append((f"sudo sed -i '{change}' /etc/nvfancontrol.conf", profiles))
        for step in ("systemctl stop nvfancontrol", "rm -f /var/lib/nvfancontrol/status"):
            rows.append((f"sudo {step}", ""))
        rows.append(("sudo systemctl start nvfancontrol", "so that the profile counts."))
    lines = [line for command, why in rows for line in (f"  {command}", f"      {why}" * bool(why)) if line]
    warning = "Some modes restart the board; nvpmodel asks before it does. Save what is open first."
    if wanted and power.mode and wanted.gpu_parts != power.mode.gpu_parts:
        warning = (
            f"Mode {wanted.name} switches parts of the GPU, which takes a restart: save what is open first."
        )
    return [*lines, f"  {warning}"]


def add_parser(subparsers: Any) -> None:
    """Add `power` to the subcommands of `edgekit`."""
    words = "a Jetson's power mode, clocks and fan, and the commands that change them (it runs none)"
    parser = subparsers.add_parser("power", help=words, description=words)
    parser.add_argument("mode", nargs="?", metavar="MODE", help="number or name of the mode to change to")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit power`."""
    power = read_power(ROOT)
    wanted = find_mode(power, args.mode) if args.mode else None
    if wanted and wanted == power.mode:
        head = f"The board is in mode {wanted.name} already. What else can be changed:"
    else:
        head = "To change it, run (edgekit changes nothing itself):"
    lines = [*state(power), "", *modes(power), "", head, *commands(power, wanted)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
