"""GStreamer pipelines, by both routes, against pictures that are known."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from gst_here import ROUTES, children, fake_tool, gi_folder, held, take, wait_until

from edgekit.camera import open_source
from edgekit.camera.gstreamer import GstPipeline, has_element, route, words_of
from edgekit.camera.gstreamer_errors import PACKAGES, masked, package_of, told
from edgekit.camera.gstreamer_picture import SenderClock, bgr_rows
from edgekit.errors import EdgekitError, InputError, MissingError

pytestmark = pytest.mark.gstreamer
LIVE = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1"
#: One picture at once, the next after a minute.
STILL = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=1/60"


@pytest.fixture(params=ROUTES)
def way(request, monkeypatch):
    take(request.param, monkeypatch)
    return request.param


@pytest.fixture
def launch(monkeypatch):
    take("gst-launch", monkeypatch)


@pytest.mark.parametrize("size", [(320, 240), (321, 241), (17, 9), (2, 2)])
def test_colour_and_size_are_those_that_were_made(way, size):
    width, height = size
    text = (
        "videotestsrc num-buffers=3 pattern=solid-color foreground-color=0xff4080c0 "
        f"! video/x-raw,format=BGRx,width={width},height={height}"
    )
    with GstPipeline(text) as source:
        frames = list(source)
    assert source.size == size
    assert len(frames) == 3
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (height, width, 3)
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.writeable
        assert (frame.image == (0xC0, 0x80, 0x40)).all()


@pytest.mark.parametrize("form", ["I420", "NV12", "YUY2", "RGB", "GRAY8"])
def test_other_formats_become_bgr(way, form):
    text = (
        "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff4080c0 "
        f"! video/x-raw,format={form},width=102,height=57"
    )
    with GstPipeline(text) as source:
        image = next(iter(source)).image
    luma = round(0.299 * 0x40 + 0.587 * 0x80 + 0.114 * 0xC0)
    wanted = (luma,) * 3 if form == "GRAY8" else (0xC0, 0x80, 0x40)
    assert np.abs(image.astype(int) - wanted).max() <= 4


def test_position_of_the_pixels_is_right(way):
    """The known colour bars, left to right, in a width that is no multiple of four."""
    text = "videotestsrc num-buffers=1 pattern=smpte75 ! video/x-raw,format=BGR,width=70,height=40"
    with GstPipeline(text) as source:
        image = next(iter(source)).image
    bars = [image[5, 10 * bar + 5].astype(int) for bar in range(7)]
    wanted = [(1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (1, 0, 0)]  # BGR
    assert [tuple(int(v > 90) for v in bar) for bar in bars] == wanted


def test_every_frame_of_a_pipeline_with_an_end_comes_in_order(way):
    with GstPipeline("videotestsrc num-buffers=40 ! video/x-raw,framerate=20/1") as source:
        assert source.policy == "every"
        assert not source.live
        frames = []
        for frame in source:
            frames.append(frame)
            if frame.index == 5:
                time.sleep(0.5)  # a slow consumer loses nothing
    assert [f.index for f in frames] == list(range(40))
    np.testing.assert_allclose([f.t for f in frames], np.arange(40) / 20, atol=1e-3)
    assert source.fps == 20
    assert source.dropped == 0


def test_a_file_decodes_as_pyav_decodes_it(way, clip):
    from edgekit.camera.video import VideoFile

    with GstPipeline(f"filesrc location={clip} ! decodebin") as source, VideoFile(clip) as other:
        pairs = list(zip(source, other, strict=True))
        assert "avdec_h264 in software" in source.how
    assert len(pairs) == 30
    assert max(np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs) < 3


def test_the_opened_pipeline_says_how_it_runs(way):
    with GstPipeline(LIVE) as source:
        assert re.fullmatch(rf"GStreamer 1\.\d+ \({way}\), 320×240 at 30 FPS", source.how)
        assert source.live
        assert source.policy == "latest"
        assert source.spec == f"gst: {LIVE}"


def test_live_frames_know_when_they_were_captured(way):
    with GstPipeline(LIVE) as source:
        before = time.monotonic()
        for frame in source:
            assert 0 <= time.monotonic() - frame.captured < 1.0
            assert frame.t == frame.captured
            if frame.index == 20:
                break
        assert frame.captured > before
        assert 0.3 < frame.captured - before < 5


def test_a_slow_consumer_gets_fresh_frames_and_what_was_dropped_is_counted(way):
    """Each picture is moved by 2 pixels: the picture itself tells its number, and so its time."""
    text = (
        "videotestsrc is-live=true pattern=smpte75 horizontal-speed=2 "
        "! video/x-raw,format=GRAY8,width=320,height=64,framerate=30/1"
    )
    with open_source(f"gst: {text}") as source:
        frames = []
        for frame in source:
            if len(frames) > 2:
                assert time.monotonic() - frame.captured < 0.6  # one frame time, and a busy machine
            frames.append(frame)
            if len(frames) == 6:
                break
            time.sleep(0.8)
        assert source.dropped >= 30
    first = frames[0].image[5, :, 0].astype(int)
    shifts = [2 * n for n in range(160)]
    numbers = []
    for frame in frames:
        row = frame.image[5, :, 0].astype(int)
        errors = [np.abs(np.roll(first, -shift) - row).sum() for shift in shifts]
        numbers.append(int(np.argmin(errors)))
    seconds = np.array([f.captured for f in frames]) - frames[0].captured
    # From the second on; the first frame of a pipeline may have waited for its start.
    drift = (seconds - np.array(numbers) / 30)[1:]
    assert np.ptp(drift) < 0.35


def test_the_pipeline_itself_throws_old_pictures_away(way):
    """Without a reader in front; the child may have one picture in its pipe and one in its queue."""
    with GstPipeline(LIVE) as source:
        frames = iter(source)
        next(frames)
        time.sleep(1.5)
        frame = [next(frames) for _ in range(3)][-1]
        assert time.monotonic() - frame.captured < 0.7
        if way == "PyGObject":
            assert source.dropped >= 30


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("nosuchthing", MissingError, "no element nosuchthing"),
        ("videotestsrc ! x264enk", MissingError, "x264enk"),
        ("videotestsrc foo=3", InputError, "no property foo"),
        ("videotestsrc pattern=blue-ish", InputError, "pattern of videotestsrc takes no 'blue-ish'"),
        ("videotestsrc ! (", InputError, "no GStreamer pipeline"),
        ("audiotestsrc", InputError, "gives no raw video"),
        ("videotestsrc ! x264enc", InputError, "decodebin"),
        ("filesrc location=/no/such.mp4 ! decodebin", InputError, "No such file"),
        ("filesrc location=/etc/passwd ! decodebin", InputError, "no video"),
        ("v4l2src device=/dev/video97", InputError, "not there"),
        ("fakesrc num-buffers=0 ! video/x-raw,format=BGR,width=4,height=4", InputError, "before its first"),
    ],
)
def test_a_pipeline_that_cannot_run_is_one_clear_error(way, text, kind, words):
    before = held()[1:]
    with pytest.raises(kind, match=re.escape(words)) as caught:
        GstPipeline(text, timeout_s=5)
    assert str(caught.value).startswith(f"gst: {text}")
    assert "\n" not in str(caught.value)
    assert held()[1:] == before


def test_a_missing_element_of_a_known_package_names_the_cure(way):
    if has_element("nvarguscamerasrc"):
        pytest.skip("this is a Jetson")
    with pytest.raises(MissingError, match="nvidia-l4t-gstreamer, which only a Jetson has"):
        GstPipeline("nvarguscamerasrc")


def test_no_picture_in_time_is_an_error_in_time(way):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"no picture for 0\.5 s"):
        GstPipeline("videotestsrc is-live=true ! valve drop=true", timeout_s=0.5)
    assert time.monotonic() - start < 4


def test_a_pipeline_that_falls_silent_ends_in_an_error(way):
    with GstPipeline(STILL, timeout_s=0.5) as source, pytest.raises(EdgekitError, match="no picture for"):
        list(source)


def test_a_pipeline_that_fails_while_it_runs_says_so(way):
    with GstPipeline(f"{LIVE} ! identity error-after=6") as source:
        frames = iter(source)
        assert next(frames).index == 0
        with pytest.raises(EdgekitError, match="identity"):
            list(frames)


def test_close_from_another_thread_ends_a_loop_that_waits(way):
    source = GstPipeline(STILL)
    seen, errors = [], []

    def loop():
        try:
            seen.extend(source)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    wait_until(lambda: source._first is None)
    time.sleep(0.2)
    start = time.monotonic()
    source.close()
    assert time.monotonic() - start < 2.0
    thread.join(2.0)
    assert not thread.is_alive()
    assert not errors
    assert len(seen) == 1
    source.close()
    assert list(source) == []


@pytest.mark.slow
def test_a_hundred_pipelines_leak_nothing(way):
    text = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=60/1"

    def once():
        with GstPipeline(text) as source:
            assert next(iter(source)).width == 64

    for _ in range(3):  # what GStreamer keeps for good
        once()
    before = held()
    tasks = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    for _ in range(100):
        once()
    # what tests before this one have left behind may go meanwhile, so there may be less of it
    wait_until(lambda: held()[0] <= before[0] and held()[1:] == before[1:])
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= tasks + 2)  # noqa: PTH208 - GLib keeps idle workers


def test_a_closed_pipeline_gives_nothing_more(way):
    source = GstPipeline(LIVE)
    source.close()
    assert list(source) == []


def test_policy_and_time_out_are_checked(way):
    with pytest.raises(InputError, match="policy"):
        GstPipeline(LIVE, policy="all")
    with pytest.raises(InputError, match="timeout_s"):
        GstPipeline(LIVE, timeout_s=0)


def test_every_can_be_asked_for(way):
    with open_source(f"gst: {LIVE}", policy="every") as source:
        assert isinstance(source, GstPipeline)
        assert source.policy == "every"
        assert not source.live
        time.sleep(0.3)
        times = [frame.t for frame, _ in zip(source, range(6))]  # noqa: B905
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=0.02)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a pipeline"),
        ("videotestsrc !", "ends in '!'"),
        ("videotestsrc ! autovideosink", "its own sink, autovideosink"),
        ("videotestsrc ! fakesink name=x sync=false", "its own sink, fakesink"),
        ("videotestsrc 'x", "no closing quotation"),
        ("-v videotestsrc", "option -v"),
    ],
)
def test_texts_that_are_refused_before_they_run(text, words):
    with pytest.raises(InputError, match=re.escape(words)):
        GstPipeline(text)


def test_a_text_is_split_as_a_shell_would():
    text = "filesrc location='a b.mp4' ! decodebin ! \"video/x-raw(memory:NVMM), width=3\""
    assert words_of(text) == [
        "filesrc", "location=a b.mp4", "!", "decodebin", "!", "video/x-raw(memory:NVMM), width=3",
    ]  # fmt: skip


def test_a_path_with_a_blank_is_read(way, clip):
    other = clip.with_name("a clip.mp4")
    clip.rename(other)
    with GstPipeline(f"filesrc location='{other}' ! decodebin") as source:
        assert source.size == (160, 120)


def test_a_branch_may_have_a_sink_of_its_own(way):
    with GstPipeline(f"{LIVE} ! tee name=t t. ! queue ! fakesink t. ! queue") as source:
        assert source.size == (320, 240)


def test_sound_beside_the_pictures_is_left_alone(way, tmp_path):
    film = tmp_path / "film.mkv"
    made = (
        "audiotestsrc num-buffers=40 ! audioconvert ! vorbisenc ! m. "
        f"videotestsrc num-buffers=20 ! jpegenc ! m. matroskamux name=m ! filesink location={film}"
    )
    subprocess.run(["gst-launch-1.0", "-q", *made.split()], check=True, timeout=60)
    with GstPipeline(f"filesrc location={film} ! decodebin") as source:
        assert len(list(source)) == 20


def test_a_size_may_change_on_the_way(way):
    text = (
        "videotestsrc num-buffers=3 ! video/x-raw,width=63,height=48 ! c. "
        "videotestsrc num-buffers=3 ! video/x-raw,width=34,height=25 ! c. concat name=c"
    )
    with GstPipeline(text) as source:
        sizes = [(frame.width, frame.height) for frame in source]
    assert sizes == [(63, 48)] * 3 + [(34, 25)] * 3
    assert source.size == (63, 48)


def test_a_library_that_throws_does_not_end_this_process(monkeypatch):
    """libsrt uses C++ exceptions, which libunwind, that GStreamer brings, once turned into a crash."""
    take("PyGObject", monkeypatch)
    program = (
        "from edgekit.camera.gstreamer import Pipeline\n"
        "Pipeline('srt', 'srtsrc uri=srt://127.0.0.1:9 ! decodebin'.split(), timeout_s=1)"
    )
    path = os.pathsep.join([gi_folder() or "", *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done
    assert "InputError: srt has given no picture for 1 s" in done.stderr


def test_the_words_of_the_user_reach_no_shell(way, tmp_path):
    marker = tmp_path / "made"
    with pytest.raises(EdgekitError):
        GstPipeline(f"videotestsrc name=$(touch {marker}) ; touch {marker}", timeout_s=2)
    assert not marker.exists()


# --- the child --------------------------------------------------------------------------------------------


def test_a_killed_child_is_seen_as_dead_and_leaves_no_zombie(launch):
    before = held()
    source = GstPipeline(LIVE)
    pid = next(iter(children() - before[2]))
    start = time.monotonic()
    frames = iter(source)
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EdgekitError, match="SIGKILL"):
        list(frames)
    assert time.monotonic() - start < 5
    source.close()
    wait_until(lambda: held() == before)


def test_the_child_dies_with_a_parent_that_is_killed(launch):
    """No picture is on its way when the parent dies, so a broken pipe alone would not tell the child."""
    program = (
        "import time; from edgekit.camera.gstreamer import GstPipeline\n"
        f"s = GstPipeline({STILL!r})\nprint(s._pipeline._child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()

    def gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    wait_until(gone, 5.0)


def test_a_child_that_talks_without_end_does_not_stop_the_pictures(launch, monkeypatch):
    monkeypatch.setenv("GST_DEBUG", "*:6")
    with GstPipeline(LIVE, timeout_s=20) as source:
        for frame in source:
            if frame.index == 20:
                break
        assert len(source._pipeline._log) <= 200


def test_a_child_that_ignores_every_request_is_killed_in_time(launch, monkeypatch, tmp_path):
    fake_tool(tmp_path, "gst-launch-1.0", "#!/bin/sh\ntrap '' INT TERM\nwhile :; do sleep 0.1; done\n")
    fake_tool(tmp_path, "gst-inspect-1.0", "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    before = held()
    start = time.monotonic()
    with pytest.raises(InputError, match="no picture"):
        GstPipeline(LIVE, timeout_s=0.5)
    assert time.monotonic() - start < 0.5 + 2.5
    wait_until(lambda: held()[0::2] == before[0::2])


def test_other_bytes_than_pictures_are_an_error(launch, monkeypatch, tmp_path):
    script = f"""#!{sys.executable}
import os, re, struct, sys
fd = int(re.search(r"fd=(\\d+) sync", " ".join(sys.argv))[1])
os.write(fd, struct.pack(">4xHIQ44x", 2, 30, 0) + b"width=(int)64, height=(int)48 ")
os.write(fd, struct.pack(">4xHIQ44x", 1, 10, 0) + b"0123456789")
"""
    fake_tool(tmp_path, "gst-launch-1.0", script)
    fake_tool(tmp_path, "gst-inspect-1.0", "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(EdgekitError, match="10 bytes is none of 64×48"):
        GstPipeline(LIVE, timeout_s=5)


def test_without_gstreamer_the_packages_are_named(launch, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert route() == ""
    assert not has_element("videotestsrc")
    with pytest.raises(MissingError, match=r"apt install gstreamer1\.0-tools"):
        GstPipeline(LIVE)


# --- small parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rtsp://anna:secret@host/a", "rtsp://anna:***@host/a"),
        ("rtsp://anna:se/cr@et@host/a", "rtsp://anna:***@host/a"),
        ("uri=http://:x@h:8/ more", "uri=http://:***@h:8/ more"),
        ("rtsp://host:554/a", "rtsp://host:554/a"),
        ("rtsp://anna@host/a", "rtsp://anna@host/a"),
    ],
)
def test_passwords_are_masked(text, wanted):
    assert masked(text) == wanted


def test_packages_of_elements():
    assert "gstreamer1.0-libav" in package_of("avdec_h264")
    assert "gstreamer1.0-plugins-bad" in package_of("h264parse")
    assert "gstreamer1.0-plugins-good" in package_of("rtspsrc")
    assert "gstreamer1.0-plugins-base" in package_of("videoconvert")
    assert "gstreamer1.0-plugins-ugly" in package_of("x264enc")
    assert "Jetson" in package_of("nvv4l2decoder")


def test_packages_are_those_that_hold_the_elements_here():
    """dpkg itself is the reference, for each of them that is installed."""
    folder = next(Path("/usr/lib").glob("*/gstreamer-1.0"))
    listed = subprocess.run(["gst-inspect-1.0"], capture_output=True, text=True, check=True).stdout
    plugins = {e: p for p, e in re.findall(r"^(\w+):  ([\w-]+): ", listed, re.MULTILINE)}
    named = [e for names in PACKAGES.values() for e in names.split() if e in plugins]
    assert len(named) > 50
    libraries = [str(folder / f"libgst{plugins[e]}.so") for e in named]
    answer = subprocess.run(["dpkg", "-S", *libraries], capture_output=True, text=True, check=True).stdout
    owners = {
        path: package for package, path in re.findall(r"^([^:\n]+)(?::\w+)?: (.+)$", answer, re.MULTILINE)
    }
    for element, library in zip(named, libraries, strict=True):
        assert package_of(element) == f"cure: sudo apt install {owners[library]}", element


def test_an_unknown_failure_keeps_its_last_words():
    assert "all is lost" in str(told("gst: x", "something\nall is lost\n"))
    assert str(told("gst: x", "")) == "gst: x: GStreamer stopped."


def test_a_missing_decoder_is_missing():
    log = (
        "ERROR: from element /GstPipeline:pipeline0/GstDecodeBin:decodebin0: Your GStreamer installation is "
        "missing a plug-in.\nAdditional debug info:\n../gst/playback/gstdecodebin2.c(4719): x ():\n"
        "no suitable plugins found:\nMissing decoder: H.265 (video/x-h265, stream-format=(string)hvc1)\n"
    )
    error = told("gst: x", log)
    assert isinstance(error, MissingError)
    assert "decoder for H.265" in str(error)
    assert "gstreamer1.0-libav" in str(error)


def test_rows_are_cut_from_their_padding():
    data = np.arange(2 * 8, dtype=np.uint8)  # two pixels are six bytes, filled up to eight
    rows = bgr_rows("x", data, 2, 2)
    np.testing.assert_array_equal(rows[1].ravel(), np.arange(8, 14))
    with pytest.raises(EdgekitError, match="15 bytes"):
        bgr_rows("x", data[:15], 2, 2)


def test_a_senders_clock_is_followed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = SenderClock()
    assert clock.captured(None) == 100.0
    assert clock.captured(5.0) == 100.0
    now[0] = 101.5  # half a second late
    assert clock.captured(6.0) == pytest.approx(101.0, abs=0.01)
    now[0] = 101.9  # quicker than the first
    assert clock.captured(7.0) == pytest.approx(101.9)
    for _ in range(3600):  # a sender whose clock is slow by 100 ppm, for an hour
        now[0] += 1.0001
        last = clock.captured(7.0 + (now[0] - 101.9) / 1.0001)
    assert now[0] - last < 0.01
