"""Which V4L2 nodes there are, what each is, who holds it, and where a camera is after it moved."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgekit.camera import v4l2_ioctl as v4l2
from edgekit.camera.v4l2_modes import Mode, modes
from edgekit.errors import MissingError

DEV = Path("/dev")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


@dataclass(frozen=True)
class Camera:
    """What a node says of itself.

    Attributes:
        node: as in /dev/video0; the kernel gives another number when the camera is plugged in again.
        name: the maker's, as "HD Pro Webcam C920".
        driver: the kernel's, as "uvcvideo".
        bus: where it is plugged in, as "usb-0000:00:14.0-1".
        kind: "camera"; "csi": a sensor behind a Jetson's capture unit, which gives raw Bayer pictures;
            "metadata": a camera's second node; "other": an output, an encoder, a multi-planar device.
        ids: names under /dev/v4l/by-id that lead here; they hold the serial number.
        modes: what it offers.
    """

    node: Path
    name: str
    driver: str
    bus: str
    kind: str
    ids: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()


def number_of(node: Path) -> int:
    """7 for /dev/video7."""
    return int(re.sub(r"\D", "", node.name) or 0)


def nodes(dev: Path = DEV) -> list[Path]:
    """All nodes, in the order of their numbers."""
    return sorted(dev.glob("video[0-9]*"), key=number_of)


def describe(fd: int, node: Path, with_modes: bool = False) -> Camera:
    """What the open node says of itself; OSError where it is no V4L2 device."""
    caps = v4l2.Capability()
    v4l2.call(fd, "QUERYCAP", caps)
    driver, name = v4l2.text(caps.driver), v4l2.text(caps.card)
    flags = caps.device_caps if caps.capabilities & v4l2.CAP_DEVICE_CAPS else caps.capabilities
    if driver.startswith("tegra") or name.startswith("vi-output"):
        kind = "csi"
    elif flags & v4l2.CAP_CAPTURE and flags & v4l2.CAP_STREAMING:
        kind = "camera"
    else:
        kind = "metadata" if flags & v4l2.CAP_META else "other"
    offered = tuple(modes(fd)) if with_modes and kind == "camera" else ()
    return Camera(node, name, driver, v4l2.text(caps.bus_info), kind, _ids(node), offered)


def look(node: Path, with_modes: bool = False) -> Camera:
    """As `describe`, of a node that is not open. MissingError where it cannot be opened."""
    fd = open_node(node)
    try:
        return describe(fd, node, with_modes)
    except OSError as error:
        raise MissingError(f"{node} is no camera: {error.strerror or error}.") from error
    finally:
        os.close(fd)


def cameras(dev: Path = DEV) -> list[Camera]:
    """Every node that opens, without modes."""
    found = []
    for node in nodes(dev):
        with contextlib.suppress(MissingError):
            found.append(look(node))
    return found


def _ids(node: Path) -> tuple[str, ...]:
    folder = node.parent / "v4l" / "by-id"
    if not folder.is_dir():
        return ()
    return tuple(sorted(link.name for link in folder.iterdir() if link.resolve() == node.resolve()))


def find_again(known: Camera) -> Path | None:
    """The node at which a camera is now: by serial number, by port, or as the only one of its name."""
    dev = known.node.parent
    for name in known.ids:
        link = dev / "v4l" / "by-id" / name
        if link.exists():
            return dev / link.resolve().name
    # one that has a serial number, and another than ours, is another camera of the same make
    alike = [
        c for c in cameras(dev) if c.kind == "camera" and c.name == known.name and not (c.ids and known.ids)
    ]
    same_port = [one for one in alike if one.bus == known.bus]
    if same_port:
        return same_port[0].node
    return alike[0].node if len(alike) == 1 else None


def open_node(node: Path) -> int:
    """A file descriptor of the node, or MissingError with the cure."""
    try:
        return os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MissingError(_refusal(node, error)) from error


def _refusal(node: Path, error: OSError) -> str:
    boxed = any(mark.exists() for mark in CONTAINER_MARKS)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        found = ", ".join(one.name for one in nodes(node.parent)) or "none"
        inside = f" A container sees it only when started with --device {node}." if boxed else ""
        return f"there is no camera {node}; found: {found}. Plug it in, or use --source sample.{inside}"
    if error.errno in (errno.EACCES, errno.EPERM):
        group = _group(node)
        if boxed:
            return f"{node} may not be opened; start the container with --device {node} --group-add {group}."
        return f"{node} may not be opened; cure: sudo usermod -aG {group} $USER, then log in again."
    if error.errno == errno.EBUSY:
        return busy(node)
    return f"{node} does not open: {error.strerror or error}. Plug it in again; then see: sudo dmesg | tail"


def _group(node: Path) -> str:
    """The group that may open the node; "video" on every usual system."""
    import grp

    try:
        name = grp.getgrgid(node.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "video"
    return "video" if name == "root" else name


def busy(node: Path) -> str:
    """What to say of a camera that another program uses."""
    held = holders(node)
    if os.getpid() in held:
        return (
            f"{node} is busy: this very program (process {os.getpid()}) has it open. "
            "Stop the session that shows it (edgekit.run.stop_all()), then start again."
        )
    if held:
        who = ", ".join(f"{name} (process {pid})" for pid, name in held.items())
        return f"{node} is busy: {who} uses it. Close that program (a notebook: shut its kernel down)."
    return f"{node} is busy: another program uses it. See which: sudo fuser -v {node}"


def holders(node: Path) -> dict[int, str]:
    """Process number and name of the programs that have the node open, as far as this user may see them."""
    found: dict[int, str] = {}
    real = str(node.resolve())
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            for fd in (process / "fd").iterdir():
                if str(fd.readlink()) == real:
                    found[int(process.name)] = (process / "comm").read_text().strip()
                    break
    return found
