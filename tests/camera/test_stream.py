"""Network streams from real servers: RTSP (GStreamer's own server), HTTP, TCP and UDP."""

from __future__ import annotations

import base64
import functools
import http.server
import itertools
import re
import socket
import threading
import time

import cv2
import numpy as np
import pytest
from gst_here import RtspServer, child, held, take, wait_until

from edgekit.camera import Reader, open_source
from edgekit.camera.gstreamer import has_element
from edgekit.camera.stream import GstStream, open_stream, stream_words
from edgekit.camera.stream_av import AvStream
from edgekit.errors import EdgekitError, InputError, MissingError

pytestmark = pytest.mark.gstreamer
BARS_SOURCE = "videotestsrc is-live=true pattern=smpte75"
RAW = BARS_SOURCE + " ! video/x-raw,format=I420,width={w},height={h},framerate=30/1"
CODECS = {
    "/h264": "x264enc tune=zerolatency key-int-max=10 bitrate=4000 ! rtph264pay name=pay0 config-interval=1",
    "/h265": "x265enc tune=zerolatency key-int-max=10 bitrate=4000 ! rtph265pay name=pay0 config-interval=1",
    "/mjpeg": "jpegenc quality=95 ! rtpjpegpay name=pay0",
    "/vp8": "vp8enc deadline=1 keyframe-max-dist=10 target-bitrate=4000000 ! rtpvp8pay name=pay0",
}
DECODERS = {"/h264": "avdec_h264", "/h265": "avdec_h265", "/mjpeg": "jpegdec", "/vp8": "vp8dec"}
#: The ways that a stream can be read: (value of `via`, GStreamer's route)
WAYS = (("gstreamer", "PyGObject"), ("gstreamer", "gst-launch"), ("pyav", "gst-launch"))
#: Full bars of 75 %, left to right, as BGR: 191 of 255.
BARS = [(1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (1, 0, 0)]


def mounts(w=320, h=240):
    return [f"{path}={RAW.format(w=w, h=h)} ! {encoder}" for path, encoder in CODECS.items()]


@pytest.fixture(scope="module")
def server():
    sound = "/sound=audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0"
    running = RtspServer(*mounts(), sound)
    yield running
    running.kill()


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(way))
def via(request, monkeypatch):
    take(request.param[1], monkeypatch)
    return request.param[0]


@pytest.fixture(params=["PyGObject", "gst-launch"])
def route(request, monkeypatch):
    take(request.param, monkeypatch)
    return request.param


def looks_right(image: np.ndarray) -> bool:
    """Whether the colour bars, as BGR, stand where they should, within what lossy codecs do."""
    h, w = image.shape[:2]
    seen = [image[h // 4, int((bar + 0.5) * w / 7)].astype(int) for bar in range(7)]
    return bool(np.abs(np.array(seen) - 191 * np.array(BARS)).max() < 40)


@pytest.mark.parametrize("path", CODECS)
def test_rtsp_in_every_codec(server, via, path):
    with open_source(server.url(path), via=via) as source:
        assert source.live
        assert source.policy == "latest"
        frames = []
        for frame in source:  # the first ones may be grey, up to a key frame
            frames.append(frame)
            if frame.index > 10 and (looks_right(frame.image) or frame.index > 60):
                break
        how = source.how
    assert source.size == (320, 240)
    assert [f.index for f in frames] == sorted({f.index for f in frames})
    assert looks_right(frames[-1].image)
    assert all(b.captured > a.captured for a, b in itertools.pairwise(frames))
    assert time.monotonic() - frames[-1].captured < 10
    wanted = DECODERS[path] if via == "gstreamer" else "PyAV"
    assert wanted in how
    assert "in software" in how


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_over_tcp_and_udp(server, via, transport):
    with open_source(server.url("/h264"), via=via, transport=transport, latency_ms=50) as source:
        assert any(looks_right(frame.image) for frame, _ in zip(source, range(40)))  # noqa: B905


def test_a_server_that_speaks_udp_only_is_told(via):
    server = RtspServer("--udp", *mounts()[:1])
    try:
        with open_source(server.url("/h264"), via=via, transport="udp") as source:
            assert next(iter(source)).width == 320
        with pytest.raises(EdgekitError):
            open_source(server.url("/h264"), via=via, transport="tcp", timeout_s=5)
    finally:
        server.kill()


def test_a_sender_with_odd_size(via):
    server = RtspServer("/odd=" + mounts(322, 182)[0].split("=", 1)[1])
    try:
        with open_source(server.url("/odd"), via=via) as source:
            frame = next(frame for frame in source if looks_right(frame.image))
    finally:
        server.kill()
    assert frame.image.shape == (182, 322, 3)


def test_a_password_opens_and_is_shown_nowhere(via):
    server = RtspServer("--user", "anna:se!cr-et", *mounts()[:1])
    try:
        with open_source(server.url("/h264", "anna:se!cr-et"), via=via) as source:
            frame = next(iter(source))
            shown = f"{source.spec} {source.how} {source.note} {source.state} {frame.source}"
        assert "anna:***@" in frame.source
        assert "cr-et" not in shown
        for user in ("", "anna:wrong-cr-et"):
            with pytest.raises(InputError, match="user name or password is missing or wrong") as caught:
                open_source(server.url("/h264", user), via=via, timeout_s=5)
            assert "cr-et" not in str(caught.value)
    finally:
        server.kill()


def test_wrong_path_and_sound_only(server, via):
    with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+/nothing.*404"):
        open_source(server.url("/nothing"), via=via, timeout_s=5)
    with pytest.raises(InputError, match=r"no video|no picture"):
        open_source(server.url("/sound"), via=via, timeout_s=3)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rtsp://u:secret@127.0.0.1:9/x", "connection refused at port 9"),
        ("http://u:secret@127.0.0.1:9/x", "connection refused at port 9"),
        ("tcp://127.0.0.1:9", "connection refused at port 9"),
        ("rtsp://u:secret@no-such-host.invalid/x", "the host no-such-host.invalid is unknown"),
        ("http://no-such-host.invalid/x", "the host no-such-host.invalid is unknown"),
    ],
)
def test_servers_that_cannot_be_reached(via, url, words):
    start = time.monotonic()
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_source(url, via=via, timeout_s=5)
    assert time.monotonic() - start < 15
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up_in_time(via):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(InputError, match=r"no picture for 1 s"):
            open_source(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x", via=via, timeout_s=1)
        assert time.monotonic() - start < 8


def test_udp_without_a_sender_is_given_up_in_time(via):
    with pytest.raises(InputError, match="Does the sender send"):
        open_source("udp://127.0.0.1:45871", via=via, timeout_s=1)


# --- breaks -----------------------------------------------------------------------------------------------


def test_a_killed_server_that_comes_back_is_found_again(via):
    """With another picture size, as after a change of settings; the numbers of the frames go on."""
    server = RtspServer(*mounts()[:1])
    port = server.port
    try:
        with open_source(server.url("/h264"), via=via, timeout_s=3) as source:
            frames = iter(source)
            last = [next(frames).index for _ in range(5)][-1]
            server.kill()
            got = []
            thread = threading.Thread(
                target=lambda: got.append(next(f for f in frames if f.width == 160 and looks_right(f.image)))
            )
            thread.start()
            wait_until(lambda: "reconnecting" in source.state, 20)
            assert "127.0.0.1" in source.state
            server = RtspServer(*mounts(160, 120)[:1], port=port)
            thread.join(30)
            assert not thread.is_alive()
            assert got[0].index > last
            assert source.state == ""
            assert source.size == (160, 120)
            assert "broke off" in source.note
    finally:
        server.kill()


def test_close_while_the_server_is_gone_is_quick_and_leaves_nothing(via):
    server = RtspServer(*mounts()[:1])
    try:
        with open_source(server.url("/h264"), via=via) as source:  # what libraries keep for good
            next(iter(source))
        before = held()
        source = open_source(server.url("/h264"), via=via, timeout_s=3)
        frames = iter(source)
        next(frames)
        thread = threading.Thread(target=lambda: list(frames))
        thread.start()
        server.kill()
        wait_until(lambda: "reconnecting" in source.state, 20)
        start = time.monotonic()
        source.close()
        assert time.monotonic() - start < 2.0
        thread.join(2.0)
        assert not thread.is_alive()
    finally:
        server.kill()
    wait_until(lambda: held()[1:] == (before[1], before[2] - {server._child.pid}))
    wait_until(lambda: held()[0] < before[0] + 1)


def test_a_server_that_falls_silent_is_a_break(via):
    """kill -STOP: the connection stays, no picture comes."""
    import signal

    server = RtspServer(*mounts()[:1])
    try:
        with open_source(server.url("/h264"), via=via, timeout_s=1.5) as source:
            frames = iter(source)
            next(frames)
            server._child.send_signal(signal.SIGSTOP)
            got = []
            thread = threading.Thread(target=lambda: got.extend(frames))
            thread.start()
            wait_until(lambda: "no picture for 1.5 s" in source.state, 20)
            server._child.send_signal(signal.SIGCONT)
            count = len(got)
            wait_until(lambda: len(got) > count + 3 and not source.state, 30)
            source.close()
            thread.join(3)
            assert not thread.is_alive()
    finally:
        server.kill()


def test_a_slow_consumer_stays_fresh(server, via):
    with open_source(server.url("/mjpeg"), via=via) as source:
        assert isinstance(source, Reader)
        for count, frame in enumerate(source):
            if count > 1:
                assert time.monotonic() - frame.captured < 0.8
            if count == 4:
                break
            time.sleep(1.0)
        assert source.dropped >= 30


@pytest.mark.slow
def test_a_hundred_connections_leak_nothing(server, route):
    def once():
        with open_source(server.url("/mjpeg")) as source:
            assert next(iter(source)).width == 320

    for _ in range(3):
        once()
    before = held()
    for _ in range(100):
        once()
    wait_until(lambda: held()[1:] == before[1:])
    wait_until(lambda: held()[0] <= before[0] + 2)


# --- HTTP, TCP, UDP ---------------------------------------------------------------------------------------


class Pictures(http.server.BaseHTTPRequestHandler):
    """MJPEG as cameras send it, at /mjpeg; /401 wants anna:secret; what else is asked is not there."""

    log_message = lambda *_: None  # noqa: E731
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        token = base64.b64encode(b"anna:secret").decode()
        if self.path == "/401" and self.headers.get("Authorization") != f"Basic {token}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in ("/mjpeg", "/401"):
            self.send_error({"/403": 403}.get(self.path, 404))
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=edge")
        self.end_headers()
        picture = np.zeros((90, 120, 3), np.uint8)
        picture[:] = (30, 120, 200)
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        try:
            while not self.server.stop.wait(0.04):
                self.wfile.write(head + data + b"\r\n")
        except OSError:
            pass
        self.close_connection = True


@pytest.fixture
def web():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as running:
        running.stop = threading.Event()
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.stop.set()
        running.shutdown()
        thread.join()


def test_mjpeg_over_http(web, via):
    with open_source(f"http://{web}/mjpeg", via=via) as source:
        frames = [frame for frame, _ in zip(source, range(8))]  # noqa: B905
    assert source.size == (120, 90)
    assert np.abs(frames[-1].image.astype(int) - (30, 120, 200)).max() < 10
    assert frames[-1].index > frames[0].index


def test_answers_of_a_web_server(web, via):
    for path, words in (("401", "401"), ("403", "403"), ("nothing", "404")):
        with pytest.raises(InputError, match=words):
            open_source(f"http://{web}/{path}", via=via, timeout_s=5)
    with open_source(f"http://anna:secret@{web}/401", via=via, timeout_s=5) as source:
        assert next(iter(source)).width == 120


def test_a_file_on_a_web_server_is_read_to_its_end(clip):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            with open_source(f"http://127.0.0.1:{running.server_port}/clip.mp4") as source:
                assert not source.live
                assert source.policy == "every"
                frames = []
                for frame in source:
                    frames.append(frame)
                    time.sleep(0.01)
        finally:
            running.shutdown()
            thread.join()
    assert [f.index for f in frames] == list(range(30))
    np.testing.assert_allclose([f.t for f in frames], np.arange(30) / 10, atol=1e-3)
    assert source.note == ""


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


TS = (
    "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width=320,height=240,framerate=30/1 "
    "! x264enc tune=zerolatency key-int-max=10 bitrate=4000 ! mpegtsmux alignment=7 !"
)


def test_a_transport_stream_over_tcp(via):
    port = free_port()
    sink = f"tcpserversink host=127.0.0.1 port={port}"
    with child("gst-launch-1.0", *TS.split(), *sink.split()):
        wait_until(lambda: listens(port))
        with open_source(f"tcp://127.0.0.1:{port}", via=via) as source:
            assert any(looks_right(frame.image) for frame, _ in zip(source, range(60)))  # noqa: B905


def test_a_transport_stream_over_udp(via):
    port = free_port(socket.SOCK_DGRAM)
    sender = child("gst-launch-1.0", *TS.split(), "udpsink", "host=127.0.0.1", f"port={port}")
    with sender, open_source(f"udp://127.0.0.1:{port}", via=via) as source:
        assert any(looks_right(frame.image) for frame, _ in zip(source, range(60)))  # noqa: B905


# --- options and the choice of the way --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("rtsp://h/x", {"transport": "http"}, "transport='http'"),
        ("rtsp://h/x", {"latency_ms": -1}, "latency_ms=-1"),
        ("rtsp://h/x", {"timeout_s": 0}, "timeout_s=0"),
        ("rtsp://h/x", {"via": "vlc"}, "via='vlc'"),
        ("rtsp:///x", {}, "names no host"),
        ("rtsp://h:port/x", {}, "is no address"),
        ("tcp://h", {}, "names no port"),
        ("http://h/a.mp4", {"via": "gstreamer"}, "is a file"),
    ],
)
def test_options_that_do_not_fit(url, options, words):
    with pytest.raises(InputError, match=re.escape(words)):
        open_stream(url, **options)


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(InputError, match="it takes transport, latency_ms, timeout_s, via"):
        open_source("rtsp://h/x", size=(1, 2))


def test_without_gstreamer_pyav_reads_and_says_why(server, monkeypatch, tmp_path):
    take("gst-launch", monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with open_source(server.url("/h264")) as source:
        assert source.how.startswith("PyAV")
        assert source.how.endswith("(GStreamer is not here)")
        assert any(looks_right(frame.image) for frame, _ in zip(source, range(40)))  # noqa: B905
    with pytest.raises(MissingError, match="GStreamer is not here"):
        open_source(server.url("/h264"), via="gstreamer")


def test_a_missing_decoder_leads_to_pyav(server, route, monkeypatch):
    def lacking(self, url, **_):
        raise MissingError("GStreamer here has no decoder for H.264; cure: x.")

    monkeypatch.setattr(GstStream, "__init__", lacking)
    with open_source(server.url("/h264")) as source:
        assert "no decoder for H.264" in source.how


def test_on_a_jetson_the_hardware_decodes():
    words = stream_words("rtsp://h/x", "udp", 40, jetson=True)
    assert words[-4:] == ["!", "nvvidconv", "!", "video/x-raw,format=BGRx"]
    assert "protocols=udp" in words
    assert "latency=40" in words
    assert "drop-on-latency=true" in words
    assert stream_words("rtsp://h/x", "tcp", 40, jetson=False)[-1] == "decodebin"


@pytest.mark.parametrize("mark", ['"', "'", " ", "\\"])
def test_marks_in_an_address_do_not_end_the_word(mark):
    words = stream_words(f"rtsp://h/a{mark}b", "tcp", 1, jetson=False)
    assert f"location=rtsp://h/a%{ord(mark):02X}b" in words


def test_pyav_gives_back_its_thread_when_its_server_hangs():
    """The read cannot be called off; `close` does not wait for it, and it ends by its own time-out."""
    import signal

    server = RtspServer(*mounts()[:1])
    try:
        source = AvStream(server.url("/h264"), timeout_s=3)
        server._child.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        start = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - start < 4.0
        assert list(source) == []
        wait_until(lambda: not source._thread.is_alive(), 8)
    finally:
        server.kill()


def test_the_elements_that_streams_need_are_here():
    assert has_element("rtspsrc", "souphttpsrc", "udpsrc", "tcpclientsrc", "decodebin")
