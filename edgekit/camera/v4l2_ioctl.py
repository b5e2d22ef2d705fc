"""The kernel's V4L2 calls as Python functions: what a camera is, its modes, controls and buffers.

Numbers and layouts are those of linux/videodev2.h (kernel 4.15 and later), on 64-bit machines, x86-64 and
aarch64 alike; a test compares them with the header through a C compiler.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
from ctypes import c_int32, c_int64, c_uint8, c_uint32, c_uint64
from typing import Any

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
MMAP = 1  # V4L2_MEMORY_MMAP
FIELD_NONE = 1
CAP_CAPTURE, CAP_CAPTURE_MPLANE, CAP_META, CAP_STREAMING = 0x1, 0x1000, 0x800000, 0x4000000
CAP_DEVICE_CAPS = 0x80000000
DISCRETE = 1  # of V4L2_FRMSIZE_TYPE_ and V4L2_FRMIVAL_TYPE_: 2 is continuous, 3 stepwise
CONTROL_DISABLED, CONTROL_INACTIVE = 0x1, 0x10
BUFFER_ERROR = 0x40
TIMESTAMP_MASK, TIMESTAMP_MONOTONIC = 0xE000, 0x2000
EXPOSURE_AUTO = 0x009A0901  # a menu; for what each number is, see EXPOSURE_*
EXPOSURE_TIME = 0x009A0902  # V4L2_CID_EXPOSURE_ABSOLUTE, in units of 100 µs
EXPOSURE_MODE_AUTO, EXPOSURE_MODE_MANUAL, EXPOSURE_MODE_APERTURE = 0, 1, 3  # 3: what USB cameras call auto


class Capability(ctypes.Structure):
    _fields_ = [
        ("driver", c_uint8 * 16),
        ("card", c_uint8 * 32),
        ("bus_info", c_uint8 * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    ]


class FormatDescription(ctypes.Structure):
    _fields_ = [
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_uint8 * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    ]


class FrameSize(ctypes.Structure):
    #: discrete: width, height; else: min, max and step of the width, then of the height
    _fields_ = [
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    ]


class FrameInterval(ctypes.Structure):
    #: fractions (numerator, denominator) of a second; discrete: one, else: min, max, step
    _fields_ = [
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    ]


class Format(ctypes.Structure):
    """struct v4l2_format with its `pix` member; the union is aligned to 8 and 200 bytes long."""

    _fields_ = [
        ("type", c_uint32),
        ("_hole", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("_rest", c_uint8 * (200 - 28)),
    ]


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm with its `capture` member."""

    _fields_ = [
        ("type", c_uint32),
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("numerator", c_uint32),
        ("denominator", c_uint32),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("_rest", c_uint8 * (200 - 24)),
    ]


class RequestBuffers(ctypes.Structure):
    _fields_ = [
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint32),
    ]


class Buffer(ctypes.Structure):
    _fields_ = [
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("_hole", c_uint32),
        ("seconds", c_int64),
        ("microseconds", c_int64),
        ("timecode", c_uint32 * 4),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("offset", c_uint64),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
        ("_hole2", c_uint32),
    ]


class ControlQuery(ctypes.Structure):
    _fields_ = [
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_uint8 * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    ]


class Control(ctypes.Structure):
    _fields_ = [("id", c_uint32), ("value", c_int32)]


#: name: (direction: 1 write, 2 read, 3 both; number; what it takes)
CALLS: dict[str, tuple[int, int, Any]] = {
    "QUERYCAP": (2, 0, Capability),
    "ENUM_FMT": (3, 2, FormatDescription),
    "G_FMT": (3, 4, Format),
    "S_FMT": (3, 5, Format),
    "REQBUFS": (3, 8, RequestBuffers),
    "QUERYBUF": (3, 9, Buffer),
    "QBUF": (3, 15, Buffer),
    "DQBUF": (3, 17, Buffer),
    "STREAMON": (1, 18, c_int32),
    "STREAMOFF": (1, 19, c_int32),
    "G_PARM": (3, 21, StreamParameters),
    "S_PARM": (3, 22, StreamParameters),
    "G_CTRL": (3, 27, Control),
    "S_CTRL": (3, 28, Control),
    "QUERYCTRL": (3, 36, ControlQuery),
    "ENUM_FRAMESIZES": (3, 74, FrameSize),
    "ENUM_FRAMEINTERVALS": (3, 75, FrameInterval),
}


def number(name: str) -> int:
    """The request number of VIDIOC_<name>, as the kernel's _IOC macro makes it."""
    direction, nr, kind = CALLS[name]
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | nr


def call(fd: int, name: str, argument: Any) -> None:
    """VIDIOC_<name> on `fd`; `argument` is filled in place. OSError as the kernel gives it."""
    while True:
        try:
            fcntl.ioctl(fd, number(name), argument)
            return
        except InterruptedError:
            continue


def listed(fd: int, name: str, argument: Any) -> bool:
    """As `call` for one entry of a list; False where the list has ended or there is none."""
    try:
        call(fd, name, argument)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
            return False
        raise
    return True


def fourcc(name: str) -> int:
    """ "MJPG" as the kernel's number."""
    return int.from_bytes(name.ljust(4).encode("ascii"), "little")


def fourcc_name(code: int) -> str:
    """The kernel's number as "MJPG"."""
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1").rstrip()


def text(raw: Any) -> str:
    """A C string of fixed length as text."""
    return bytes(raw).split(b"\0", 1)[0].decode(errors="replace").strip()
