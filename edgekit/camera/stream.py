"""Network streams: by GStreamer where it is here, else by PyAV (FFmpeg); `how` says which."""

from __future__ import annotations

import base64
import http.client
import re
import urllib.request
from urllib.parse import unquote, urlsplit, urlunsplit

from edgekit.camera.gstreamer import TIMEOUT_S, Pipeline, has_element, route
from edgekit.camera.gstreamer_errors import masked
from edgekit.camera.reconnect import Reconnecting
from edgekit.camera.source import Source
from edgekit.camera.stream_av import AvStream
from edgekit.camera.stream_errors import PROBE_S, explained
from edgekit.errors import EdgekitError, InputError, MissingError

#: A path that ends so is a file on a web server: it has an end, and every picture of it is wanted.
FILES = re.compile(r"\.(mp4|m4v|mov|mkv|webm|avi|mpe?g)$", re.IGNORECASE)
#: The element that fetches each kind of stream; what is not here goes to PyAV.
FETCH = {
    "rtsp": "rtspsrc",
    "rtsps": "rtspsrc",
    "http": "souphttpsrc",
    "https": "souphttpsrc",
    "udp": "udpsrc",
    "tcp": "tcpclientsrc",
    "srt": "srtsrc",
}


def open_stream(
    url: str,
    *,
    transport: str = "tcp",
    latency_ms: int = 100,
    timeout_s: float = TIMEOUT_S,
    via: str | None = None,
) -> Source:
    """Open a stream; it is opened again when it breaks off. A video file on a web server is read to its end.

    A user name and password go into the address (rtsp://user:password@host/path). The password is in no
    message and no result; other users of this machine may see it in `ps` while gst-launch-1.0 runs.

    Args:
        url: rtsp://, rtsps://, http://, https://, udp://@:port, tcp://host:port, srt:// or rtmp://.
        transport: "tcp" (nothing is lost) or "udp" (less delay on a good network); for RTSP.
        latency_ms: how long RTSP waits for packets that come late, in milliseconds.
        timeout_s: seconds without a picture after which the stream has broken off.
        via: "gstreamer" or "pyav"; default: GStreamer where it has what the stream needs.

    Raises:
        InputError: an option does not fit; the host is unknown, refuses, wants a password, has no such
            stream, sends no video, or does not answer in time.
        MissingError: neither GStreamer nor PyAV is here.
    """
    _check(url, transport, latency_ms, timeout_s, via)
    parts = urlsplit(url)
    if parts.scheme.lower() in ("http", "https") and FILES.search(parts.path):
        if via == "gstreamer":
            raise InputError(f"{masked(url)} is a file, which PyAV reads; leave via='gstreamer' out.")
        return AvStream(url, timeout_s=timeout_s, policy="every")

    def open_once() -> Source:
        why = "" if via == "pyav" else _lack(parts.scheme.lower())
        if via != "pyav" and not why:
            try:
                return GstStream(url, transport=transport, latency_ms=latency_ms, timeout_s=timeout_s)
            except MissingError as error:
                why = str(error)
        if via == "gstreamer":
            raise MissingError(why)
        source = AvStream(url, transport=transport, latency_ms=latency_ms, timeout_s=timeout_s)
        if why:
            source.how += f" ({why.rstrip('.')})"
        return source

    return Reconnecting(open_once)


def _check(url: str, transport: str, latency_ms: int, timeout_s: float, via: str | None) -> None:
    name = masked(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{name} is no address: {error}.") from error
    if not parts.hostname and parts.scheme != "udp":
        raise InputError(f"{name} names no host.")
    if parts.scheme in ("udp", "tcp", "srt") and port is None:
        raise InputError(f"{name} names no port, as in {parts.scheme}://{parts.hostname or '@'}:5000.")
    if transport not in ("tcp", "udp"):
        raise InputError(f"transport={transport!r} is unknown; give tcp or udp.")
    if not 0 <= latency_ms <= 60_000:
        raise InputError(f"latency_ms={latency_ms!r} must lie between 0 and 60000 milliseconds.")
    if not timeout_s > 0:
        raise InputError(f"timeout_s={timeout_s!r} must be a number of seconds above 0.")
    if via not in (None, "gstreamer", "pyav"):
        raise InputError(f"via={via!r} is unknown; give gstreamer or pyav.")


def _lack(scheme: str) -> str:
    """Why GStreamer cannot take a stream of this kind, or ""."""
    if not route():
        return "GStreamer is not here"
    if scheme not in FETCH:
        return f"{scheme} is read by PyAV"
    return "" if has_element(FETCH[scheme], "decodebin") else f"GStreamer here has no {FETCH[scheme]}"


class GstStream(Pipeline):
    """A stream by GStreamer, always the newest picture; arguments and errors as `open_stream`.

    decodebin takes the decoder of the highest rank, on a Jetson nvv4l2decoder, whose pictures
    nvvidconv brings into ordinary memory. Who joins in between two key frames of a camera may see grey
    pictures until the next one.
    """

    def __init__(
        self, url: str, *, transport: str = "tcp", latency_ms: int = 100, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = url
        jetson = has_element("nvv4l2decoder", "nvvidconv")
        words = stream_words(url, transport, latency_ms, jetson, parted=_is_parted(url))
        # what a demuxer stamps is the sender's time, not ours
        clocked = url.lower().startswith("rtsp") or "multipartdemux" in words
        super().__init__(url, words, timeout_s=timeout_s, clocked=clocked)

    def _told(self, error: EdgekitError) -> EdgekitError:
        return explained(self._url, error)


def _is_parted(url: str) -> bool:
    """Whether a web server sends picture after picture (MJPEG), as cameras do; False: it does not say."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        return False
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(address)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=PROBE_S) as answer:
            return bool(answer.headers.get_content_maintype() == "multipart")
    except (OSError, ValueError, http.client.HTTPException):
        return False  # GStreamer tells what is wrong


def stream_words(url: str, transport: str, latency_ms: int, jetson: bool, parted: bool = False) -> list[str]:
    """The pipeline up to raw video, as command-line words.

    `jetson`: the decoder gives NVMM memory. `parted`: picture after picture comes, as multipart.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    address = re.sub(r"[\"'\\\s]", lambda found: f"%{ord(found[0]):02X}", url)  # they would end the word
    words = [FETCH[scheme]]
    if scheme in ("rtsp", "rtsps"):
        words += [f"location={address}", f"protocols={transport}", f"latency={latency_ms}"]
        words += ["drop-on-latency=true", "!", "application/x-rtp,media=video"]
    elif scheme in ("http", "https"):
        words += [f"location={address}", "is-live=true", "retries=0"]
        if parted:  # decodebin alone would wait ten seconds for a second stream
            words += ["do-timestamp=true", "!", "multipartdemux", "single-stream=true"]
    elif scheme == "udp":
        words += [f"address={parts.hostname or '0.0.0.0'}", f"port={parts.port}"]
    elif scheme == "tcp":
        words += [f"host={parts.hostname}", f"port={parts.port}"]
    else:
        words += [f"uri={address}"]
    words += ["!", "decodebin"]
    return [*words, "!", "nvvidconv", "!", "video/x-raw,format=BGRx"] if jetson else words
