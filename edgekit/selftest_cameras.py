"""Steps of the self-test about sources: files, GStreamer, the Jetson's decoder, CSI and USB cameras."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera import SAMPLES, open_source
from edgekit.errors import MissingError
from edgekit.results import Frame
from edgekit.selftest_worker import Case, Found, here, must, say

#: Mean difference in grey levels between two decoders' pictures of one frame: chroma is scaled up, and YUV
#: turned into BGR, in ways of their own.
DECODED = 6.0


def _frames(source: Any, most: int) -> tuple[list[Frame], float]:
    """Frames of an open source, and those a second after the first."""
    frames: list[Frame] = []
    begun = time.monotonic()
    for frame in source:
        frames.append(frame)
        if len(frames) == 1:
            begun = time.monotonic()
        if len(frames) == most:
            break
    seconds = time.monotonic() - begun
    return frames, (len(frames) - 1) / seconds if seconds > 0 and len(frames) > 1 else 0.0


def pyav(case: Case) -> Found:
    """The sample clip by PyAV."""
    with open_source("sample") as source:
        frames, fps = _frames(source, case.frames(80))
        how = getattr(source, "how", "")
    _lively(frames, case.frames(80))
    return f"{len(frames)} frames, {frames[0].width}×{frames[0].height}, {fps:.0f} a second", {
        "fps": fps,
        "how": how,
    }


def gstreamer(case: Case) -> Found:
    """A test picture by a GStreamer pipeline."""
    from edgekit.camera.gstreamer import route, version

    wanted = case.frames(30)
    with open_source(f"gst: videotestsrc num-buffers={wanted} ! video/x-raw,width=320,height=240") as source:
        frames, fps = _frames(source, wanted)
    must(len(frames) == wanted, f"{len(frames)} of {wanted} pictures came")
    must(frames[0].image.shape == (240, 320, 3), f"the picture is {frames[0].image.shape}")
    _lively(frames, wanted)
    return f"GStreamer {version()} ({route()}), {len(frames)} pictures", {"fps": fps, "way": route()}


def decoder(case: Case) -> Found:
    """The sample clip by the Jetson's decoder, beside PyAV's pictures of it."""
    from edgekit.camera.gstreamer import has_element

    for element in ("nvv4l2decoder", "nvvidconv", "h264parse", "qtdemux"):
        if not has_element(element):
            raise MissingError(f"GStreamer has no {element} here" + _jetson_only(element))
    wanted = case.frames(30)
    clip = SAMPLES["sample"]
    pipeline = f'filesrc location="{clip}" ! qtdemux ! h264parse ! nvv4l2decoder'
    pipeline += " ! nvvidconv ! video/x-raw,format=BGRx"
    say("decoding with nvv4l2decoder")
    with open_source(f"gst: {pipeline}") as source:
        frames, fps = _frames(source, wanted)
    with open_source("sample") as source:
        references, _ = _frames(source, wanted)
    must(len(frames) == wanted, f"{len(frames)} of {wanted} frames came")
    off = [
        float(np.abs(ours.image.astype(np.int16) - theirs.image).mean())
        for ours, theirs in zip(frames, references, strict=True)
    ]
    words = f"{max(off):.2f} grey levels from PyAV's"
    must(max(off) <= DECODED, f"its pictures are {words}, more than {DECODED:g}")
    return f"{wanted} frames, {fps:.0f} a second, {words}", {"fps": fps, "off": off}


def _jetson_only(element: str) -> str:
    return "; only a Jetson has it" if element.startswith("nv") else ""


def csi(case: Case) -> Found:
    """The first CSI camera."""
    from edgekit.sources_cli import sources

    entry = next(one for one in sources() if one.spec.startswith("csi"))
    if not entry.usable:
        raise MissingError(entry.found)
    return _camera(case, "csi", lambda: open_source("csi"))


def usb(case: Case, node: str | None) -> Found:
    """One V4L2 node, where it is a camera."""
    from edgekit.camera.v4l2 import open_usb
    from edgekit.camera.v4l2_find import look

    if node is None:
        raise MissingError("no camera is plugged in (/dev/video* is empty)")
    with here():
        camera = look(Path(node), with_modes=True)
    if camera.kind != "camera":
        raise MissingError(f"{node} ({camera.name}) gives no pictures of its own: {camera.kind}")
    words, figures = _camera(case, node, lambda: open_usb(node))
    figures |= {"name": camera.name, "driver": camera.driver, "modes": len(camera.modes)}
    return f"{camera.name}: {words}", figures


def _camera(case: Case, spec: str, opened: Callable[[], Any]) -> Found:
    """Pictures of a live camera: they come, they are not black, and it lets go."""
    wanted = case.frames(60)
    say(f"opening {spec}")
    with here(), opened() as source:
        frames, fps = _frames(source, wanted)
        how, size = getattr(source, "how", ""), source.size
    must(len(frames) == wanted, f"{len(frames)} of {wanted} pictures came")
    changes = float(np.mean([np.any(a.image != b.image) for a, b in pairwise(frames)]))
    brightness = float(frames[-1].image.mean())
    must(len(frames) < 2 or changes > 0, f"all {len(frames)} pictures are the same one")
    dark = " (it is dark: is the lens covered?)" if brightness < 5 else ""
    say("opening it again")
    with here(), opened() as source:
        _frames(source, 1)
    figures = {"fps": fps, "size": list(size), "how": how, "brightness": brightness}
    return f"{len(frames)} pictures, {size[0]}×{size[1]}, {fps:.1f} a second{dark}", figures


def _lively(frames: list[Frame], wanted: int) -> None:
    must(len(frames) == wanted, f"{len(frames)} of {wanted} frames came")
    must(frames[0].image.std() > 5, "the picture is of one colour")
