"""Sources of frames: the sample, files, folders, cameras and streams, all alike.

with open_source("sample") as source:
    for frame in source:
        ...
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.camera.source import Source
from edgekit.errors import InputError
from edgekit.files import PACKAGE

__all__ = ["Source", "open_source"]

SAMPLES = {
    "sample": PACKAGE / "samples" / "people.mp4",
    "sample-picture": PACKAGE / "samples" / "people.jpg",
}
SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")


def open_source(spec: str | Path) -> Source:
    """Open whatever `spec` names as a `Source`.

    Args:
        spec: "sample" (a clip that ships), "sample-picture", a video or picture file, a folder or glob
            of pictures, a camera number ("0") or node ("/dev/video0"), or a stream ("rtsp://…").

    Raises:
        InputError: the file is not there, is empty or cannot be decoded.
        MissingError: the camera is absent, busy or not permitted.
    """
    text = str(spec).strip()
    if not text:
        raise InputError("the source is empty; give a file, a folder, a camera number or a stream.")
    if text in SAMPLES:
        text = str(SAMPLES[text])
    if camera := re.fullmatch(r"(?:/dev/video)?(\d{1,3})", text):
        from edgekit.camera.v4l2 import UsbCamera

        return UsbCamera(int(camera.group(1)))
    if "://" in text:
        scheme = text.split("://", 1)[0].lower()
        if scheme not in SCHEMES:
            raise InputError(f"streams of kind {scheme}:// are unknown; known are {', '.join(SCHEMES)}.")
        from edgekit.camera.video import Stream

        return Stream(text)
    from edgekit.camera.pictures import PICTURES, Pictures
    from edgekit.camera.video import VideoFile

    path = Path(text).expanduser()
    if path.is_dir() or (any(c in text for c in "*?[") and not path.exists()):
        return Pictures(path)
    if not path.exists():
        raise InputError(f"{text} is not there: no such file, folder, camera or stream.")
    if not path.is_file():
        raise InputError(f"{text} is neither a file nor a folder; a camera is named by its number, as in 0.")
    if path.stat().st_size == 0:
        raise InputError(f"{text} is empty (0 bytes); copy or record it again.")
    return Pictures(path) if path.suffix.lower() in PICTURES else VideoFile(path)
