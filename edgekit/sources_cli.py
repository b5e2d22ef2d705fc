"""`edgekit sources`: what can be opened here as a source of frames, and with which options."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from edgekit.camera.v4l2_find import CONTAINER_MARKS, DEV, Camera, look, nodes
from edgekit.camera.v4l2_modes import Mode
from edgekit.errors import MissingError

#: What opens each kind; its keyword-only parameters are the options.
OPENERS = {
    "file": "edgekit.camera.video:VideoFile",
    "pictures": "edgekit.camera.pictures:Pictures",
    "synthetic": "edgekit.camera.synthetic:Synthetic",
    "usb": "edgekit.camera.v4l2:open_usb",
    "csi": "edgekit.camera.csi:open_csi",
    "stream": "edgekit.camera.stream:open_stream",
    "gst": "edgekit.camera.gstreamer:GstPipeline",
}
#: Decoders of H.264 by preference; the first two are a Jetson's and other boards' hardware.
DECODERS = ("nvv4l2decoder", "v4l2h264dec", "vah264dec", "avdec_h264", "openh264dec")
HARDWARE = DECODERS[:3]


@dataclass(frozen=True)
class Entry:
    """One thing that `open_source` takes, or the reason why it does not.

    Attributes:
        spec: what to give as --source.
        usable: whether it can be opened here, as far as can be told without opening it.
        found: what it is, or what is missing, and the cure.
        options: keywords that `open_source` takes with it.
        modes: of a USB camera.
    """

    spec: str
    usable: bool
    found: str
    options: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()


def sources(dev: Path = DEV) -> list[Entry]:
    """Look at everything; nothing is started.

    Args:
        dev: the folder of the camera nodes.
    """
    return [*_always(), *_usb(dev), _csi(dev), *_gstreamer()]


def options(kind: str) -> tuple[str, ...]:
    """The options of a kind of source, one of `OPENERS`."""
    parameters = inspect.signature(resolve_name(OPENERS[kind])).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _pyav() -> tuple[bool, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return True, f"PyAV {version('av')}"
    except PackageNotFoundError:
        return False, "PyAV is not installed, so no video is read; cure: pip install av"


def _always() -> Iterator[Entry]:
    reads, pyav = _pyav()
    yield Entry("sample", reads, f"a clip that ships: people walking, 768×576; {pyav}", options("file"))
    yield Entry("sample-picture", True, "a picture that ships", options("pictures"))
    yield Entry("synthetic", True, "a pattern with known motion and numbered frames", options("synthetic"))
    yield Entry("FILE", reads, f"a video; {pyav}", options("file"))
    yield Entry("PICTURE, FOLDER or GLOB", True, "pictures, by OpenCV", options("pictures"))


def _usb(dev: Path) -> Iterator[Entry]:
    any_node = False
    for node in nodes(dev):
        any_node = True
        try:
            camera = look(node, with_modes=True)
        except (MissingError, OSError) as error:
            yield Entry(str(node), False, str(error))
            continue
        if camera.kind == "camera":
            name = f"{camera.name}: {summary(camera.modes)}"
            yield Entry(str(node), True, name, options("usb"), camera.modes)
        elif camera.kind != "csi":
            yield Entry(str(node), False, f"{camera.name}: {camera.kind}, no pictures")
    if not any_node:
        boxed = any(mark.exists() for mark in CONTAINER_MARKS)
        cure = "start the container with --device /dev/video0" if boxed else "plug one in"
        yield Entry("0 or /dev/video0", False, f"no USB camera here; {cure}", options("usb"))


def summary(modes: tuple[Mode, ...]) -> str:
    """ "MJPG 640×480 (30, 15), 1280×720 (30); YUYV …": sizes with their rates."""
    table: dict[str, dict[str, list[str]]] = {}
    for mode in modes:
        rates = table.setdefault(mode.format, {}).setdefault(f"{mode.width}×{mode.height}", [])
        if mode.fps is not None:
            rates.append(f"{mode.fps:.4g}")
    return "; ".join(
        f"{form} "
        + ", ".join(f"{size} ({', '.join(rates)})" if rates else size for size, rates in sizes.items())
        for form, sizes in table.items()
    )


def _sensors(dev: Path) -> list[Camera]:
    found = []
    for node in nodes(dev):
        try:
            found.append(look(node))
        except MissingError:
            continue
    return [camera for camera in found if camera.kind == "csi"]


def _csi(dev: Path) -> Entry:
    from edgekit.camera.gstreamer import has_element

    sensors = ", ".join(f"{camera.name} at {camera.node}" for camera in _sensors(dev))
    if not has_element("nvarguscamerasrc"):
        missing = "GStreamer's nvarguscamerasrc is not here; only a Jetson has it"
        if sensors:
            missing += f". Sensors: {sensors}. Cure: sudo apt install nvidia-l4t-gstreamer nvidia-l4t-camera"
        return Entry("csi or csi:N", False, missing, options("csi"))
    if not sensors:
        return Entry("csi or csi:N", False, "nvarguscamerasrc is here; no sensor answers", options("csi"))
    return Entry("csi or csi:N", True, f"nvarguscamerasrc; {sensors}", options("csi"))


def _gstreamer() -> Iterator[Entry]:
    from edgekit.camera.gstreamer import has_element, route, version

    way = route()
    reads, pyav = _pyav()
    decoder = next((name for name in DECODERS if has_element(name)), None) if way else None
    place = "in hardware" if decoder in HARDWARE else "in software"
    here = (
        f"GStreamer {version()} ({way}); H.264 by {decoder or 'no decoder'}{f' {place}' if decoder else ''}"
    )
    streams = here if way and has_element("rtspsrc") else f"no GStreamer with rtspsrc; {pyav}, in software"
    yield Entry("rtsp://…, http://…", bool(way) or reads, streams, options("stream"))
    missing = "GStreamer is not here; cure: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good"
    yield Entry("gst: PIPELINE", bool(way), here if way else missing, options("gst"))


def add_parser(subparsers: Any) -> None:
    """Add `sources` to the subcommands of `edgekit`."""
    words = "what can be opened here: cameras and their modes, streams, files"
    parser = subparsers.add_parser("sources", help=words, description=words)
    parser.add_argument("--json", action="store_true", help="as JSON, with every mode of every camera")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """`edgekit sources`."""
    found = sources()
    if args.json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False) + "\n")
    else:
        render(found)
    return 0


def render(found: list[Entry]) -> None:
    """Show the list in the terminal."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        for one in found:
            mark = "yes" if one.usable else "no"
            sys.stdout.write(f"{mark:4}{one.spec}: {one.found}\n    options: {', '.join(one.options)}\n")
        return
    table = Table(box=None, padding=(0, 1), show_header=False)
    for one in found:
        mark = Text("yes", style="bold #2e7d32") if one.usable else Text("no", style="bold #b26a00")
        text = Text(one.found)
        if one.options:
            text.append(f"\noptions: {', '.join(one.options)}", style="dim")
        table.add_row(mark, Text(one.spec), text)
    Console().print(table)
