"""Sources of frames: the sample, files, folders, cameras, streams and patterns, all alike.

with open_source("sample") as source:
    for frame in source:
        ...

A live source (camera, stream) gives the newest frame and drops what came between; a file gives every
frame. `policy` changes that.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.camera.reader import Reader
from edgekit.camera.source import POLICIES, Source
from edgekit.errors import InputError
from edgekit.files import PACKAGE

__all__ = ["POLICIES", "Reader", "Source", "open_source"]

SAMPLES = {
    "sample": PACKAGE / "samples" / "people.mp4",
    "sample-picture": PACKAGE / "samples" / "people.jpg",
}
SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")


def open_source(spec: str | Path, *, policy: str | None = None, **options: Any) -> Source:
    """Open whatever `spec` names as a `Source`.

    Args:
        spec: "sample" (a clip that ships), "sample-picture", a video or picture file, a folder or glob of
            pictures, "synthetic" (a pattern with known motion), a USB camera ("0" or "/dev/video0"), a CSI
            camera ("csi" or "csi:1"), a stream ("rtsp://…", "http://…"), or "gst: " and a GStreamer
            pipeline without its sink.
        policy: "latest" or "every"; default: latest for what is live, every for the rest.
        options: what this kind of source takes besides (size, fps, …): `edgekit sources` lists them.

    Raises:
        InputError: the file is not there, is empty or cannot be decoded; an option does not fit.
        MissingError: the camera is absent, busy or not permitted, or a package is missing.
    """
    if policy is not None and policy not in POLICIES:
        raise InputError(f"policy={policy!r} is unknown; give one of {', '.join(POLICIES)}.")
    make = _kind(str(spec).strip())
    if policy is not None and "policy" in _options_of(make):  # GStreamer can make its pipeline wait
        options["policy"] = policy
    _check_options(make, options, str(spec))
    source = make(**options)
    chosen = policy or ("latest" if source.live else "every")
    return source if chosen == source.policy == "every" else Reader(source, chosen)


def _options_of(make: Callable[..., Source]) -> list[str]:
    return [p.name for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _check_options(make: Callable[..., Source], options: dict[str, Any], spec: str) -> None:
    known = _options_of(make)
    for name in options:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InputError(f"{spec} has no option {name!r}; {takes}.")


def _kind(text: str) -> Callable[..., Source]:
    """What opens the source that `text` names; its keyword-only parameters are the source's options."""
    if not text:
        raise InputError("the source is empty; give a file, a folder, a camera number or a stream.")
    if text == "synthetic":
        from edgekit.camera.synthetic import Synthetic

        return Synthetic
    if camera := re.fullmatch(r"(?:usb:|/dev/video)?(\d{1,3})", text):
        from edgekit.camera.v4l2 import open_usb

        return partial(open_usb, int(camera.group(1)))
    if text.startswith("/dev/v4l/"):  # udev's names, which stay with the camera
        from edgekit.camera.v4l2 import open_usb

        return partial(open_usb, text)
    if camera := re.fullmatch(r"csi(?::(\d))?", text):
        from edgekit.camera.csi import open_csi

        return partial(open_csi, int(camera.group(1) or 0))
    if text.startswith("gst:"):
        from edgekit.camera.gstreamer import GstPipeline

        return partial(GstPipeline, text.removeprefix("gst:").strip())
    if "://" in text:
        scheme = text.split("://", 1)[0].lower()
        if scheme not in SCHEMES:
            raise InputError(f"streams of kind {scheme}:// are unknown; known are {', '.join(SCHEMES)}.")
        from edgekit.camera.stream import open_stream

        return partial(open_stream, text)
    return _file_kind(text)


def _file_kind(text: str) -> Callable[..., Source]:
    from edgekit.camera.pictures import PICTURES, Pictures
    from edgekit.camera.video import VideoFile

    path = Path(SAMPLES.get(text, text)).expanduser()
    if path.is_dir() or (any(c in text for c in "*?[") and not path.exists()):
        return partial(Pictures, path)
    if not path.exists():
        raise InputError(f"{text} is not there: no such file, folder, camera or stream.")
    if not path.is_file():
        raise InputError(f"{text} is neither a file nor a folder; a camera is named by its number, as in 0.")
    if path.stat().st_size == 0:
        raise InputError(f"{text} is empty (0 bytes); copy or record it again.")
    return partial(Pictures if path.suffix.lower() in PICTURES else VideoFile, path)
