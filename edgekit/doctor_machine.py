"""The doctor's checks of the machine: board, cameras, groups, memory, disk, power.

Each looks at one thing and returns (status, what was found, cure). "bad" is kept for what stops
the kit on this machine: a laptop without GPU or camera is healthy.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.device import Device, family, installed
from edgekit.limits import memory, read_text

if TYPE_CHECKING:
    from edgekit.doctor import Finding

GIB = 1 << 30


def board(device: Device, root: Path) -> Finding:
    if not device.is_jetson:
        name = f"{device.board}, " if device.board else ""
        return "ok", f"{name}{device.machine}: not a Jetson; the kit runs here too", ""
    return (
        "ok",
        f"{device.board or 'a Jetson'} ({device.soc or 'chip unknown'}, {device.sm or 'sm unknown'})",
        "",
    )


def jetpack(device: Device, root: Path) -> Finding:
    if not device.is_jetson:
        return "ok", "none: not a Jetson", ""
    if device.l4t is None:
        return (
            "warning",
            f"unknown: {device.missing['l4t']}",
            "docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro …",
        )
    found = f"{device.jetpack or 'unknown'} (L4T {device.l4t})"
    if int(device.l4t.split(".")[0]) >= 36:
        return "ok", found, ""
    if "orin" in family(device.board).lower():
        return "bad", f"{found} is too old: its Python is 3.8, the kit needs 3.10", "flash JetPack 6 or 7"
    return (
        "bad",
        f"{found} is too old, and this board gets no newer one",
        "use an Orin or Thor board; JetPack 6 and 7 do not run on Nano, TX2 and Xavier",
    )


def operating_system(device: Device, root: Path) -> Finding:
    return "ok", f"{device.os}; {device.cpu}, {device.cores:g} cores usable", ""


def gpu(device: Device, root: Path) -> Finding:
    if device.gpu:
        return "ok", f"{device.gpu}, {device.sm or 'sm unknown'}", ""
    return (
        "warning",
        f"none: {device.missing['gpu']}; models run on the CPU",
        "nothing to do unless there is one: then install its driver",
    )


def gstreamer(device: Device, root: Path) -> Finding:
    program = any(
        (root / folder / "gst-launch-1.0").exists() for folder in ("usr/bin", "usr/local/bin", "bin")
    )
    plugin = next(iter(root.glob("usr/lib/*/gstreamer-1.0/libgstnvarguscamerasrc.so")), None)
    if not device.is_jetson:
        found = "gst-launch-1.0 is here" if program else "not installed"
        return (
            "ok" if program else "warning",
            f"{found}; only CSI cameras need it, and only a Jetson has them",
            "",
        )
    if not program:
        return (
            "warning",
            "gst-launch-1.0 is not installed: no CSI camera",
            "sudo apt install gstreamer1.0-tools",
        )
    if plugin is None:
        return (
            "warning",
            "the plugin nvarguscamerasrc is not installed: no CSI camera",
            "sudo apt install nvidia-l4t-gstreamer nvidia-l4t-camera",
        )
    return "ok", "gst-launch-1.0 and nvarguscamerasrc", ""


def cameras(device: Device, root: Path) -> Finding:
    nodes = sorted((root / "dev").glob("video[0-9]*"), key=lambda p: int(re.sub(r"\D", "", p.name) or 0))
    found, closed = [], []
    for node in nodes:
        about = root / "sys/class/video4linux" / node.name
        if (read_text(about / "index") or "0") != "0":
            continue  # a USB camera's second node carries metadata, no pictures
        kind = (
            "CSI"
            if (name := read_text(about / "name") or "unknown").startswith("vi-output")
            else "USB or other"
        )
        found.append(f"/dev/{node.name}: {name} ({kind})")
        if not os.access(node, os.R_OK | os.W_OK):
            closed.append(f"/dev/{node.name}")
    if not found:
        return (
            "warning",
            "none; the sample clip and video files need none",
            "plug in a USB camera"
            + (
                ", or a CSI camera with the board switched off (then sudo /opt/nvidia/jetson-io/jetson-io.py)"
                if device.l4t
                else ""
            )
            + ", then run this again",
        )
    if closed:
        return (
            "bad",
            f"no permission for {', '.join(closed)}; {'; '.join(found)}",
            "sudo usermod -aG video $USER, then log out and in",
        )
    return "ok", "; ".join(found), ""


def groups(device: Device, root: Path) -> Finding:
    import grp
    import pwd

    if os.geteuid() == 0:
        return "ok", "root, who needs no group", ""
    user = pwd.getpwuid(os.geteuid()).pw_name
    wanted = {"video": device.is_jetson or any((root / "dev").glob("video*")), "render": device.is_jetson}
    wanted["jtop"] = (root / "run/jtop.sock").exists()
    now = {group.gr_name for group in grp.getgrall() if group.gr_gid in os.getgroups()}
    listed = dict(re.findall(r"^(\w+):[^:]*:\d+:(.*)$", read_text(root / "etc/group") or "", re.MULTILINE))
    absent = [name for name, needed in wanted.items() if needed and name in listed and name not in now]
    if not absent:
        return "ok", ", ".join(name for name, needed in wanted.items() if needed) or "none needed", ""
    if all(user in listed[name].split(",") for name in absent):
        return (
            "warning",
            f"{user} was added to {', '.join(absent)} and has not logged in since",
            "log out and in (or reboot)",
        )
    return (
        "warning",
        f"{user} is not in {', '.join(absent)}",
        f"sudo usermod -aG {','.join(absent)} {user}, then log out and in",
    )


def memory_free(device: Device, root: Path) -> Finding:
    total, free = memory(root)
    swap = re.search(r"^SwapTotal:\s+(\d+)", read_text(root / "proc/meminfo") or "", re.MULTILINE)
    swapped = int(swap[1]) / (1 << 20) if swap else 0.0
    found = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free, {swapped:.1f} GiB swap"
    if free < GIB:
        return (
            "warning",
            f"{found}: a TensorRT build may not fit",
            "close the browser and other programs; on a Jetson: sudo systemctl isolate multi-user",
        )
    if device.is_jetson and total < 9 * GIB and swapped < 2:
        return (
            "warning",
            f"{found}: a small board builds more surely with swap",
            "./setup/jetson.sh --swap 4G, or sudo systemctl enable --now nvzramconfig",
        )
    return "ok", found, ""


def disk(device: Device, root: Path) -> Finding:
    from edgekit.files import data_dir

    folder = data_dir()
    free = shutil.disk_usage(folder).free / GIB
    found = f"{free:.1f} GiB free for {folder}"
    if not os.access(folder, os.W_OK):
        return "bad", f"{folder} cannot be written", "copy the kit to a folder of your own"
    if free < 2:
        return (
            "bad" if free < 0.2 else "warning",
            found,
            "make room: plans and clips need a few GiB (edgekit keeps plans in engines/built)",
        )
    return "ok", found, ""


def power_meter(device: Device, root: Path) -> Finding:
    """What tells the power here without jtop, whose line is its own."""
    from edgekit.errors import EdgekitError
    from edgekit.telemetry.choose import open_probe

    reason = ""
    for name in ("sysfs", "nvml", "host"):
        try:
            probe = open_probe(name, 0.5, root)
            try:
                sample = probe.read()
            finally:
                probe.close()
        except EdgekitError:
            continue
        if sample.power_total_mw is not None:
            return "ok", f"{sample.power_total_mw / 1e3:.1f} W now: {sample.power_total_name}, by {name}", ""
        reason = sample.missing.get("power_total_mw", "")
    cure = "nothing to do; the notebooks use an emulated board, and say so"
    if device.is_jetson:
        cure = "in a container: docker run -v /sys:/sys:ro …; else look for ina3221 in /sys/bus/i2c"
    return "warning", f"none: joules stay unknown ({reason})", cure


def power_mode(device: Device, root: Path) -> Finding:
    if not device.is_jetson:
        return "ok", "none: not a Jetson", ""
    if device.power_mode is None:
        return "warning", f"unknown: {device.missing['power_mode']}", "sudo nvpmodel -q"
    return "ok", f"{device.power_mode}; sudo nvpmodel -m N changes it: say it beside every figure", ""


def jtop(device: Device, root: Path) -> Finding:
    socket = root / "run/jtop.sock"
    if not device.is_jetson:
        return "ok", "none: only a Jetson has it", ""
    if not socket.exists():
        return (
            "warning",
            "its service does not run; power is read from sysfs",
            "sudo systemctl restart jtop; if there is none, ./setup/jetson.sh installs it",
        )
    if not os.access(socket, os.R_OK | os.W_OK):
        return (
            "warning",
            "its service runs and this user may not ask it",
            "sudo usermod -aG jtop $USER, then log out and in",
        )
    return (
        "ok",
        f"its service runs; client {installed('jetson-stats') or 'not installed in this environment'}",
        "",
    )


def clock(device: Device, root: Path) -> Finding:
    now = time.strftime("%Y-%m-%d %H:%M %Z")
    if time.gmtime().tm_year < 2025:  # a board without a battery wakes up in 1970; then every download fails
        return (
            "bad",
            f"{now} is wrong: secure downloads fail",
            "sudo timedatectl set-ntp true, or sudo date -s '2030-01-31 12:00'",
        )
    return "ok", now, ""
