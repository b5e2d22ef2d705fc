"""Cameras that are files: builds v4l2_emulation.c and runs product code in a process that sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.camera.synthetic import paint

ROOT = Path(__file__).parents[2]
WEBCAM = """card EdgeCam HD
driver uvcvideo
bus usb-0000:00:14.0-1
mode MJPG 160 120 60 30 15
mode MJPG 320 240 30 15
mode YUYV 160 120 30 15
exposure 3 166 3 2047
"""
BEGIN = """
import json, os, sys, threading, time
from pathlib import Path
from edgekit import EdgekitError, InputError, MissingError
from edgekit.camera.synthetic import read_number
from edgekit.camera.v4l2 import UsbCamera, open_usb
dev = Path(os.environ["V4L2_EMULATION"])
node = dev / "video0"
def say(**values):
    print(json.dumps(values), flush=True)
"""


def build(folder: Path) -> Path:
    """Compile the emulation; a machine without a C compiler fails the test."""
    library = folder / "v4l2_emulation.so"
    source = Path(__file__).with_name("v4l2_emulation.c")
    command = [
        "cc",
        "-Wall",
        "-Wextra",
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        library,
        source,
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


class Cameras:
    """A folder of cameras.

    Attributes:
        dev: where the nodes are.
    """

    def __init__(self, dev: Path, library: Path) -> None:
        self.dev = dev
        self._library = library

    def film_all(self) -> None:
        """Write the pictures of `WEBCAM`."""
        for mode in ("MJPG_160x120", "MJPG_320x240", "YUYV_160x120"):
            self.film(mode)

    def film(self, mode: str, count: int = 64, padding: int = 0) -> None:
        """Write the pictures of a mode: `paint(0)`, `paint(1)`, …"""
        form, size = mode.split("_")
        width, height = map(int, size.split("x"))
        folder = self.dev / "frames" / mode
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            raw = encode(paint(index, (width, height)), form)
            if padding:
                rows = np.frombuffer(raw, np.uint8).reshape(height * 3 // 2 if form == "NV12" else height, -1)
                raw = np.pad(rows, ((0, 0), (0, padding)), constant_values=77).tobytes()
            (folder / str(index)).write_bytes(raw)

    def plug_in(self, number: int = 0, text: str = WEBCAM, serial: str = "") -> Path:
        """Make node `number`; with a serial number, its name under v4l/by-id too."""
        node = self.dev / f"video{number}"
        node.write_text(text)
        if serial:
            folder = self.dev / "v4l" / "by-id"
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / f"usb-EdgeCam_{serial}-video-index0"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../video{number}")
        return node

    def fault(self, words: str, number: int = 0) -> None:
        """What is wrong with node `number` from now on; "" for nothing."""
        (self.dev / f"video{number}.fault").write_text(words)

    def start(self, script: str) -> subprocess.Popen[str]:
        """Run Python lines in a process that sees the cameras."""
        env = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "V4L2_EMULATION": str(self.dev),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "error::ResourceWarning",
                "-c",
                BEGIN + textwrap.dedent(script),
            ],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, timeout: float = 60) -> dict[str, Any]:
        """As `start`, to the end; everything that the lines said."""
        with self.start(script) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            finally:
                process.kill()
        assert process.returncode == 0, f"{out}\n{err}"
        assert "Exception" not in err, err
        said: dict[str, Any] = {}
        for line in out.splitlines():
            said |= json.loads(line)
        return said


def encode(image: np.ndarray, form: str) -> bytes:
    """A BGR picture as a camera gives it."""
    if form == "MJPG":
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    if form == "GREY":
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).tobytes()
    ycc = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    height, width = image.shape[:2]
    if form == "NV12":
        chroma = ycc[height:].reshape(2, -1).T
        return ycc[:height].tobytes() + chroma.tobytes()
    chroma = ycc[height:].reshape(2, height // 2, width // 2).repeat(2, axis=1)
    out = np.empty((height, width // 2, 4), np.uint8)
    luma = ycc[:height].reshape(height, width // 2, 2)
    out[..., 0], out[..., 1], out[..., 2], out[..., 3] = luma[..., 0], chroma[0], luma[..., 1], chroma[1]
    return (out if form == "YUYV" else out[..., [1, 0, 3, 2]]).tobytes()
