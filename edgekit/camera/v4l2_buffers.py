"""The pictures a V4L2 driver fills: mapped memory, its queue, and what is in it as BGR."""

from __future__ import annotations

import contextlib
import mmap
import select
import time
from ctypes import c_int32
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.camera import v4l2_ioctl as v4l2

#: One is filled, one waits, one is taken: the fewest with which none is lost at full rate. They add no
#: delay, since a reader takes a frame when it is there.
COUNT = 3


@dataclass(frozen=True)
class Filled:
    """A picture the driver has finished.

    Attributes:
        image: uint8 [H, W, 3] BGR; None where the transfer was damaged.
        captured: `time.monotonic()` of its first byte, by the driver's stamp where it is on that clock.
        sequence: the driver's count, which goes on over frames that were lost.
    """

    image: NDArray[np.uint8] | None
    captured: float
    sequence: int


class Buffers:
    """Buffers of the open camera `fd`, in the format it has now; streaming from here on.

    Raises:
        OSError: as the kernel gives it; EBUSY where another program streams.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._maps: list[mmap.mmap] = []
        self.format = v4l2.Format(type=v4l2.CAPTURE)
        v4l2.call(fd, "G_FMT", self.format)
        self._code = v4l2.fourcc_name(self.format.pixelformat)
        request = v4l2.RequestBuffers(count=COUNT, type=v4l2.CAPTURE, memory=v4l2.MMAP)
        v4l2.call(fd, "REQBUFS", request)
        try:
            for index in range(request.count):
                buffer = self._buffer(index)
                v4l2.call(fd, "QUERYBUF", buffer)
                self._maps.append(mmap.mmap(fd, buffer.length, offset=buffer.offset))
                v4l2.call(fd, "QBUF", buffer)
            v4l2.call(fd, "STREAMON", c_int32(v4l2.CAPTURE))
        except BaseException:
            self.close()
            raise

    def _buffer(self, index: int = 0) -> v4l2.Buffer:
        return v4l2.Buffer(index=index, type=v4l2.CAPTURE, memory=v4l2.MMAP)

    def take(self) -> Filled | None:
        """The next finished picture; None where there is none yet. OSError ENODEV: unplugged."""
        buffer = self._buffer()
        try:
            v4l2.call(self._fd, "DQBUF", buffer)
        except BlockingIOError:
            return None
        now = time.monotonic()
        damaged = bool(buffer.flags & v4l2.BUFFER_ERROR)
        data = b"" if damaged else self._maps[buffer.index][: buffer.bytesused]
        filled_at, sequence = buffer.seconds + buffer.microseconds / 1e6, buffer.sequence
        kernel_clock = buffer.flags & v4l2.TIMESTAMP_MASK == v4l2.TIMESTAMP_MONOTONIC
        v4l2.call(self._fd, "QBUF", buffer)  # before decoding: the camera goes on filling
        captured = filled_at if kernel_clock and 0 < filled_at <= now else now
        return Filled(self._decode(np.frombuffer(data, np.uint8)), captured, sequence)

    def _decode(self, data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """As BGR in memory of its own; None where bytes are missing or no JPEG."""
        width, height, row = self.format.width, self.format.height, self.format.bytesperline
        if self._code in ("MJPG", "JPEG"):
            with contextlib.suppress(cv2.error):  # an empty one, for one
                return cv2.imdecode(data, cv2.IMREAD_COLOR)
            return None
        across, conversion, rows = {
            "YUYV": (2, cv2.COLOR_YUV2BGR_YUYV, height),
            "UYVY": (2, cv2.COLOR_YUV2BGR_UYVY, height),
            "NV12": (1, cv2.COLOR_YUV2BGR_NV12, height * 3 // 2),
            "BGR3": (3, None, height),
            "RGB3": (3, cv2.COLOR_RGB2BGR, height),
            "GREY": (1, cv2.COLOR_GRAY2BGR, height),
        }[self._code]
        row = max(row, width * across)  # a row may be longer than its pixels
        if data.size < row * rows:
            return None
        pixels = data[: row * rows].reshape(rows, row)[:, : width * across]
        shaped = pixels.reshape(rows, width, across) if across > 1 else pixels
        return shaped.copy() if conversion is None else cv2.cvtColor(shaped, conversion)

    def close(self) -> None:
        """Stop streaming and give the memory back; what an unplugged camera answers does not matter."""
        with contextlib.suppress(OSError):
            v4l2.call(self._fd, "STREAMOFF", c_int32(v4l2.CAPTURE))
        while self._maps:
            self._maps.pop().close()
        with contextlib.suppress(OSError):
            v4l2.call(self._fd, "REQBUFS", v4l2.RequestBuffers(0, v4l2.CAPTURE, v4l2.MMAP))


def wait_readable(fd: int, seconds: float) -> None:
    """Wait until the camera has something to say, at most so long."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll(seconds * 1000)
