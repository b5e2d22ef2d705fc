"""A USB camera through V4L2, spoken to directly.

Not through cv2.VideoCapture: its `read` cannot be ended from another thread and waits ten seconds for a
camera that went silent, and it gives out frames that the driver marks as damaged.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgekit.camera import v4l2_find as find
from edgekit.camera import v4l2_ioctl as v4l2
from edgekit.camera.source import Source
from edgekit.camera.v4l2_buffers import Buffers, Filled, wait_readable
from edgekit.camera.v4l2_exposure import apply_exposure
from edgekit.camera.v4l2_modes import SAME_RATE, Mode, choose, modes
from edgekit.errors import MissingError
from edgekit.results import Frame

#: Seconds without a frame after which `state` says so, and after which the camera counts as dead.
SILENCE_S, DEAD_S = 2.0, 10.0
LOOK_S = 0.1  # how often a wait for a frame looks whether it was closed
#: Seconds that `close` waits for the driver. One whose device went away may hang far longer.
PATIENCE_S = 1.8


class UsbCamera(Source):
    """Frames of a camera, live; `t` and `captured` are the driver's time stamp on `time.monotonic()`.

    Args:
        node: its number or path: 0 or "/dev/video0".
        size: (width, height); default: 640×480, or what is nearest.
        fps: frames a second; default: 30, or what is nearest.
        format: "MJPG", "YUYV", …; default: MJPG where it has the size and rate.
        exposure: "auto", or milliseconds; default: as the camera is set.

    Attributes:
        camera: what the node said of itself.
        mode: as the camera really took it.

    Raises:
        InputError: the camera has no such mode or exposure; the message lists what it has.
        MissingError: absent, busy, not permitted or no camera, with the cure.
    """

    live = True

    def __init__(
        self,
        node: int | str | Path,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        format: str | None = None,
        exposure: str | float | None = None,
    ) -> None:
        self._node = find.DEV / f"video{node}" if isinstance(node, int) else Path(node)
        self.spec = str(self._node)
        self._lock = threading.Lock()  # held while a thread waits for and decodes a frame
        self._closed = False
        self._fd = -1
        self._buffers: Buffers | None = None
        try:
            self._fd = find.open_node(self._node)
            self._open(size, fps, format, exposure)
        except OSError as error:
            self.close()  # first, so that it is not named as who holds the camera
            raise MissingError(self._words(error)) from error
        except BaseException:
            self.close()
            raise

    def _words(self, error: OSError) -> str:
        if error.errno == errno.EBUSY:
            return find.busy(self._node)
        if error.errno == errno.ENOSPC:
            return (
                f"{self._node}: the USB bus has no room for this mode beside the other cameras on it. Take a "
                "smaller size, format='MJPG', or another port."
            )
        return f"{self._node} does not start: {error.strerror or error}. Plug it in again."

    def _open(
        self,
        size: tuple[int, int] | None,
        fps: float | None,
        format: str | None,
        exposure: str | float | None,
    ) -> None:
        try:
            self.camera = find.describe(self._fd, self._node)
        except OSError as error:
            raise MissingError(
                f"{self._node} is no camera: {error.strerror or error}. See what is one: edgekit sources"
            ) from error
        self._refuse_other_kinds()
        wanted = choose(modes(self._fd, size, fps), size, fps, format, str(self._node))
        self.mode = self._apply(wanted)
        exposed = apply_exposure(self._fd, exposure, str(self._node))
        self._buffers = Buffers(self._fd)
        self.size = (self.mode.width, self.mode.height)
        self.fps = self.mode.fps
        self.how = f"V4L2 {self.mode}{self._difference(wanted, fps)}, {exposed} ({self.camera.name})"
        if isinstance(exposure, (int, float)) and self.fps and exposure > 1000 / self.fps:
            self.how += f"; an exposure of {exposure:g} ms allows {1000 / exposure:.3g} FPS at most"

    def _refuse_other_kinds(self) -> None:
        kind = self.camera.kind
        if kind == "csi":
            raise MissingError(
                f"{self._node} is a CSI sensor ({self.camera.name}), which gives raw pictures here; "
                "use --source csi:0, which develops them."
            )
        if kind != "camera":
            here = find.cameras(self._node.parent)
            twins = [str(c.node) for c in here if c.kind == "camera" and c.bus == self.camera.bus]
            carries = "the camera's metadata" if kind == "metadata" else "no pictures to read"
            cure = f"its pictures come from {twins[0]}" if twins else "see what does: edgekit sources"
            raise MissingError(f"{self._node} ({self.camera.name}) carries {carries}; {cure}.")

    def _apply(self, wanted: Mode) -> Mode:
        """Set format, size and rate; what the driver made of them."""
        form = v4l2.Format(
            type=v4l2.CAPTURE,
            width=wanted.width,
            height=wanted.height,
            pixelformat=v4l2.fourcc(wanted.format),
            field=v4l2.FIELD_NONE,
        )
        v4l2.call(self._fd, "S_FMT", form)
        parameters = v4l2.StreamParameters(type=v4l2.CAPTURE)
        rate = None
        try:
            if wanted.fps is not None:
                parameters.numerator, parameters.denominator = 1000, round(wanted.fps * 1000)
                v4l2.call(self._fd, "S_PARM", parameters)
            v4l2.call(self._fd, "G_PARM", parameters)
            if parameters.numerator and parameters.denominator:
                rate = parameters.denominator / parameters.numerator
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):  # not every driver has a rate to set
                raise
        return Mode(v4l2.fourcc_name(form.pixelformat), form.width, form.height, rate)

    def _difference(self, wanted: Mode, fps: float | None) -> str:
        """What the camera did otherwise than it was asked."""
        got = self.mode
        rate = fps if fps is not None else wanted.fps
        same = (got.format, got.width, got.height) == (wanted.format, wanted.width, wanted.height)
        if same and (rate is None or got.fps is None or abs(got.fps - rate) <= SAME_RATE):
            return ""
        return f" (asked for: {wanted})"

    def __iter__(self) -> Iterator[Frame]:
        index, bad, expected = 0, 0, None
        good = time.monotonic()
        while (filled := self._next(index, good)) is not None:
            if expected is not None and filled.sequence > expected:
                self.dropped += filled.sequence - expected  # the driver had no buffer to fill
            expected = filled.sequence + 1
            if filled.image is None:
                bad += 1
                self.note = f"{bad} damaged pictures of the camera were left out (cable, hub, USB power?)"
                continue
            yield Frame(filled.image, index, filled.captured, self.spec, filled.captured)
            index += 1
            good = time.monotonic()

    def _next(self, index: int, good: float) -> Filled | None:
        """The next picture; None when closed, unplugged, or without a good one since `good` for too long."""
        if self._closed:  # without the lock, which a driver that hangs may keep
            return None
        with self._lock:
            while not self._closed and self._buffers is not None:
                silent = time.monotonic() - good
                if silent > DEAD_S:
                    self.note = (
                        f"the camera {self._node} gave no frame for {DEAD_S:g} s, after {index} frames"
                    )
                    return None
                self.state = f"no frame from {self._node} for {silent:.0f} s" if silent > SILENCE_S else ""
                try:
                    filled = self._buffers.take()
                    if filled is not None:
                        return filled
                    wait_readable(self._fd, LOOK_S)
                except OSError as error:
                    gone = error.errno == errno.ENODEV
                    words = "was unplugged" if gone else f"failed ({error.strerror or error})"
                    self.note = f"the camera {self._node} {words} after {index} frames"
                    return None
            return None

    def close(self) -> None:
        """Free the camera; a thread that waits for a frame gets none."""
        if self._closed:
            return
        self._closed = True
        # a thread of its own, since a driver may hang in the calls below
        thread = threading.Thread(target=self._free, name="edgekit-usb-close", daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        if thread.is_alive():
            self.note = f"{self._node}: the driver did not let go within {PATIENCE_S:g} s"

    def _free(self) -> None:
        with self._lock:
            if self._buffers is not None:
                self._buffers.close()
                self._buffers = None
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def open_usb(
    node: int | str | Path,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    format: str | None = None,
    exposure: str | float | None = None,
) -> Source:
    """A `UsbCamera` that is opened again after it was unplugged, wherever it comes back.

    Arguments and errors are those of `UsbCamera`.
    """
    from edgekit.camera.reconnect import Reconnecting

    known: list[find.Camera] = []

    def open_camera() -> UsbCamera:
        at: int | str | Path = node
        if known:
            found = find.find_again(known[0])
            if found is None:
                raise MissingError(f"the camera {known[0].name} is not plugged in.")
            at = found
        source = UsbCamera(at, size=size, fps=fps, format=format, exposure=exposure)
        ids = source.camera.ids or (known[0].ids if known else ())  # udev makes the links a moment later
        known[:] = [replace(source.camera, ids=ids)]
        return source

    return Reconnecting(open_camera)
