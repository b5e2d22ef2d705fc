"""Why a stream does not open, in one sentence."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

from edgekit.camera.gstreamer_errors import masked, told
from edgekit.errors import EdgekitError, InputError, MissingError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
#: Seconds for finding out why a server cannot be reached.
PROBE_S = 1.5
#: FFmpeg's errors whose like GStreamer has, as GStreamer says them.
ANSWERS = {
    "HTTPUnauthorizedError": "Unauthorized (401)",
    "HTTPForbiddenError": "Forbidden (403)",
    "HTTPNotFoundError": "Not Found (404)",
}
#: What it calls a read that it gave up when time was up.
SILENT = ("ExitError", "TimeoutError")


def _unreachable(url: str) -> str:
    """Why the server of `url` cannot be reached, to end a sentence; "": it can, or none is asked for."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme.lower())
    if parts.scheme in ("udp", "srt") or not parts.hostname or not port:
        return ""
    try:
        socket.create_connection((parts.hostname, port), PROBE_S).close()
    except socket.gaierror:
        return f"the host {parts.hostname} is unknown; check the name and the network."
    except ConnectionRefusedError:
        return f"connection refused at port {port}; is the server running, and is the port right?"
    except TimeoutError:
        return f"{parts.hostname} does not answer at port {port}; is it switched on and in this network?"
    except OSError as error:
        return f"{error.strerror or error}; check the address and the network."
    return ""


def explained(url: str, error: EdgekitError) -> EdgekitError:
    """`error`, or a clearer one where the server cannot even be reached."""
    if isinstance(error, MissingError) or re.search(r"\(40[134]\)|no video", str(error)):
        return error
    reason = _unreachable(url)
    if reason:
        return InputError(
            f"{masked(url)} does not open: {reason.rstrip('.?')}{'?' if reason[-1] == '?' else '.'}"
        )
    if urlsplit(url).scheme == "udp" and "no picture" in str(error):
        return InputError(f"{error} Does the sender send to this machine and port?")
    return error


def av_error(url: str, error: BaseException, reason: str, timeout_s: float, late: bool) -> EdgekitError:
    """PyAV's `error`, whose own words are `reason`, as one in ours; `late`: it came when time was up."""
    kind = type(error).__name__
    if kind in ANSWERS:
        return told(url, ANSWERS[kind])
    if kind in SILENT or late:
        return InputError(f"{masked(url)} has given no picture for {timeout_s:g} s.")
    return InputError(f"{masked(url)} does not open: {masked(reason)}; check the address and the network.")
