"""Exposure of a V4L2 camera: automatic, or a time."""

from __future__ import annotations

import errno

from edgekit.camera import v4l2_ioctl as v4l2
from edgekit.errors import InputError

UNITS_PER_MS = 10  # the control counts in 100 µs


def apply_exposure(fd: int, exposure: str | float | None, name: str) -> str:
    """Set the exposure of the open camera and say how it is set now: "exposure auto", "exposure 8 ms".

    Args:
        fd: the open node.
        exposure: "auto", milliseconds, or None to leave it as it is (a camera remembers it from the program
            that used it before).
        name: of the camera, for messages.

    Raises:
        InputError: it has no such setting, or the time is out of its range.
    """
    if exposure == "auto":
        _automatic(fd, name)
    elif isinstance(exposure, (int, float)) and not isinstance(exposure, bool):
        _manual(fd, float(exposure), name)
    elif exposure is not None:
        raise InputError(f"exposure={exposure!r} cannot be; give 'auto' or milliseconds.")
    return _present(fd)


def _get(fd: int, control: int) -> int | None:
    value = v4l2.Control(id=control)
    try:
        v4l2.call(fd, "G_CTRL", value)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY, errno.EACCES):
            return None
        raise
    return int(value.value)


def _set(fd: int, control: int, value: int) -> bool:
    try:
        v4l2.call(fd, "S_CTRL", v4l2.Control(id=control, value=value))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ERANGE, errno.ENOTTY, errno.EACCES):
            return False
        raise
    return True


def _automatic(fd: int, name: str) -> None:
    # USB cameras call it "aperture priority", others "auto"
    if not any(
        _set(fd, v4l2.EXPOSURE_AUTO, mode) for mode in (v4l2.EXPOSURE_MODE_APERTURE, v4l2.EXPOSURE_MODE_AUTO)
    ):
        raise InputError(f"{name} has no automatic exposure; leave `exposure` out, or give milliseconds.")


def _manual(fd: int, ms: float, name: str) -> None:
    query = v4l2.ControlQuery(id=v4l2.EXPOSURE_TIME)
    if not v4l2.listed(fd, "QUERYCTRL", query) or query.flags & v4l2.CONTROL_DISABLED:
        raise InputError(f"{name} has no exposure time to set; leave `exposure` out.")
    low, high = query.minimum / UNITS_PER_MS, query.maximum / UNITS_PER_MS
    if not low <= ms <= high:
        raise InputError(f"{name} exposes for {low:g} to {high:g} ms; exposure={ms:g} is outside.")
    _set(fd, v4l2.EXPOSURE_AUTO, v4l2.EXPOSURE_MODE_MANUAL)  # some have manual exposure only, and no switch
    if not _set(fd, v4l2.EXPOSURE_TIME, round(ms * UNITS_PER_MS)):
        raise InputError(f"{name} did not take an exposure of {ms:g} ms; it takes {low:g} to {high:g} ms.")


def _present(fd: int) -> str:
    mode, time = _get(fd, v4l2.EXPOSURE_AUTO), _get(fd, v4l2.EXPOSURE_TIME)
    if mode in (v4l2.EXPOSURE_MODE_AUTO, v4l2.EXPOSURE_MODE_APERTURE):
        return "exposure auto"
    return f"exposure {time / UNITS_PER_MS:g} ms" if time is not None else "exposure not told"
