"""Video files: codecs, damage, real time, loops."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_video, moving_square

from edgekit import InputError, open_source
from edgekit.camera.synthetic import paint, read_number
from edgekit.camera.video import VideoFile

KINDS = [
    ("mpeg4", "avi", "yuv420p"),
    ("libx264", "mp4", "yuv420p"),
    ("libx264", "ts", "yuv420p"),
    ("libx265", "mkv", "yuv420p"),
    ("libvpx-vp9", "webm", "yuv420p"),
    ("mjpeg", "avi", "yuvj420p"),
    ("mjpeg", "mov", "yuvj420p"),
    ("ffv1", "mkv", "yuv420p"),
]
COUNT = 60


def encoded(path: Path, codec: str, pixels: str = "yuv420p", pts: list[int] | None = None) -> Path:
    """`COUNT` numbered pictures, 320×240, 30 a second, or at `pts` milliseconds."""
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, pixels
        base = Fraction(1, 1000 if pts else 30)
        stream.time_base = stream.codec_context.time_base = base
        for i in range(COUNT):
            picture = av.VideoFrame.from_ndarray(paint(i, (320, 240)), format="bgr24")
            picture.pts, picture.time_base = pts[i] if pts else i, base
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def numbers(path: Path) -> tuple[list[int | None], str]:
    """The numbers in the pictures, and the note at the end."""
    with open_source(path) as source:
        return [read_number(frame.image) for frame in source], source.note


@pytest.mark.parametrize(("codec", "container", "pixels"), KINDS)
def test_codecs_and_containers(tmp_path, codec, container, pixels):
    path = encoded(tmp_path / f"clip.{container}", codec, pixels)
    with open_source(path) as source:
        frames = list(source)
    assert [read_number(frame.image) for frame in frames] == list(range(COUNT))
    np.testing.assert_allclose([frame.t for frame in frames], np.arange(COUNT) / 30, atol=2e-3)
    assert (source.size, source.note, source.live) == ((320, 240), "", False)
    assert source.fps == pytest.approx(30, abs=0.1)
    name = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9"}.get(codec, codec)
    assert f", {name} in " in source.how
    assert "in software" in source.how


@pytest.mark.parametrize(("codec", "container", "pixels"), KINDS)
def test_random_bytes_in_the_middle(tmp_path, codec, container, pixels):
    """What can be read is read in the order of its times, and the damage is told."""
    path = encoded(tmp_path / f"clip.{container}", codec, pixels)
    data = bytearray(path.read_bytes())
    start, end = len(data) * 45 // 100, len(data) * 52 // 100
    data[start:end] = np.random.default_rng(1).integers(0, 255, end - start, np.uint8).tobytes()
    path.write_bytes(data)
    with open_source(path) as source:
        frames = list(source)
    assert [read_number(frame.image) for frame in frames[:5]] == [0, 1, 2, 3, 4]
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.t for frame in frames]
    assert times == sorted(times)
    # MPEG-TS states no length; older FFmpeg conceals what is broken in it, and in FFV1, without a word
    old = int(av.__version__.split(".")[0]) < 14
    if not (old and (container == "ts" or codec == "ffv1")):
        assert "damaged" in source.note or "cut short" in source.note


@pytest.mark.parametrize(
    ("codec", "container"), [("mpeg4", "avi"), ("libx265", "mkv"), ("libvpx-vp9", "webm"), ("ffv1", "mkv")]
)
def test_a_truncated_copy_says_how_much_there_was(tmp_path, codec, container):
    path = encoded(tmp_path / f"clip.{container}", codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found, note = numbers(path)
    assert found[:-1] == list(range(len(found) - 1))  # the last may be half a picture, or the one before
    assert 5 < len(found) < COUNT
    assert "cut short" in note or "damaged" in note


@pytest.mark.parametrize("container", ["mkv", "ts", "avi"])
def test_a_recording_that_was_killed_is_read_as_far_as_it_goes(tmp_path, container):
    """The writer never came to its end: no index, no duration."""
    path = tmp_path / f"clip.{container}"
    # each packet on the disk at once, as a recorder should; Matroska in clusters of 0.2 s
    settings = {"flush_packets": "1"} | ({"cluster_time_limit": "200"} if container == "mkv" else {})
    out = av.open(str(path), "w", options=settings)
    stream = out.add_stream("mpeg4", rate=30)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.codec_context.gop_size = 1  # intra only: each packet can be written when it is there
    for i in range(COUNT):
        picture = av.VideoFrame.from_ndarray(paint(i, (320, 240)), format="bgr24")
        picture.pts = i
        out.mux(stream.encode(picture))
        if i == 40:
            half = path.read_bytes()  # what is on the disk at this moment
    out.close()
    path.write_bytes(half)
    found, _ = numbers(path)
    assert len(found) > 3
    assert found == list(range(len(found)))


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    gaps = np.random.default_rng(2).integers(15, 400, COUNT - 1)
    pts = [0, *np.cumsum(gaps).tolist()]
    path = encoded(tmp_path / "clip.mkv", "libx264", pts=pts)
    with open_source(path) as source:
        frames = list(source)
    assert [read_number(frame.image) for frame in frames] == list(range(COUNT))
    np.testing.assert_allclose([frame.t for frame in frames], np.array(pts) / 1000, atol=2e-3)
    assert source.note == ""


def test_real_time_follows_the_clips_own_clock(tmp_path):
    """A clip of 1.3 s whose frames come in three bursts takes 1.3 s, and no frame is early."""
    pts = [(i // 20) * 600 + (i % 20) * 5 for i in range(COUNT)]
    path = encoded(tmp_path / "clip.mkv", "libx264", pts=pts)
    with VideoFile(path, realtime=True) as source:
        assert source.live
        assert source.how.endswith("in real time")
        frames = list(source)
    assert [read_number(frame.image) for frame in frames] == list(range(COUNT))
    wanted = np.array(pts) / 1000
    np.testing.assert_allclose([frame.t for frame in frames], wanted, atol=2e-3)
    since = np.array([frame.captured - frames[0].captured for frame in frames])
    assert (since >= wanted - 5e-3).all()
    assert since[-1] < 10


def test_in_real_time_a_slow_reader_gets_the_latest(clip):
    with open_source(clip, realtime=True) as source:  # 30 frames, 10 a second
        assert source.policy == "latest"
        seen = []
        for frame in source:
            seen.append(frame.index)
            time.sleep(0.35)
    assert seen == sorted(set(seen))
    assert len(seen) < 15
    assert len(seen) + source.dropped == 30


def test_in_real_time_every_frame_is_given_when_asked_so(clip):
    with open_source(clip, realtime=True, policy="every") as source:
        assert [frame.index for frame in source] == list(range(30))
    assert source.dropped == 0


@pytest.mark.parametrize("realtime", [False, True])
def test_a_loop_goes_on_with_index_and_time(tmp_path, realtime):
    path = make_video(tmp_path / "clip.mp4", [paint(i, (160, 120)) for i in range(12)], fps=50)
    frames = []
    with VideoFile(path, loop=True, realtime=realtime) as source:
        assert source.length is None
        for frame in source:
            frames.append(frame)
            if len(frames) == 40:
                break
    assert [frame.index for frame in frames] == list(range(40))
    assert [read_number(frame.image) for frame in frames] == [i % 12 for i in range(40)]
    np.testing.assert_allclose(np.diff([frame.t for frame in frames]), 1 / 50, atol=1e-6)
    since = frames[-1].captured - frames[0].captured
    assert since >= 0.78 - 5e-3 if realtime else since < 10


def test_a_loop_whose_file_went_away_ends_with_a_note(tmp_path, clip):
    with VideoFile(clip, loop=True) as source:
        for frame in source:
            if frame.index == 5:
                clip.unlink()
    assert frame.index == 29
    assert "after 30 frames it could not be read again" in source.note


@pytest.mark.parametrize("how", ["waiting", "decoding"])
def test_closing_from_another_thread_ends_the_frames(tmp_path, how):
    """A clip with a minute between its frames, and one that decodes without a pause."""
    pts = [i * 60_000 for i in range(COUNT)] if how == "waiting" else None
    path = encoded(tmp_path / "clip.mkv", "libx264", pts=pts)
    source = VideoFile(path, realtime=how == "waiting", loop=True)
    count, errors, started = 0, [], threading.Event()

    def read() -> None:
        nonlocal count
        try:
            for _ in source:
                count += 1
                started.set()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert started.wait(10)
    time.sleep(0.3)
    start = time.monotonic()
    source.close()
    source.close()
    thread.join(2)
    assert not thread.is_alive()
    assert time.monotonic() - start < 2
    assert errors == []
    assert count == 1 if how == "waiting" else count > COUNT


def test_a_frame_that_takes_long_does_not_hold_close_up(clip, monkeypatch):
    """The thread that decodes it then closes the file itself."""
    monkeypatch.setattr("edgekit.camera.video.PATIENCE_S", 0.1)
    source = VideoFile(clip)
    inner = source._round
    decoding, go_on = threading.Event(), threading.Event()

    def slow():
        decoding.set()
        go_on.wait(10)
        yield from inner_pictures

    inner_pictures, inner.pictures = inner.pictures, slow()
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(frame.index for frame in source))
    thread.start()
    assert decoding.wait(10)
    source.close()
    assert thread.is_alive()
    go_on.set()
    thread.join(5)
    assert not thread.is_alive()
    assert got == []
    assert source._round is None
    with pytest.raises(Exception, match=r"."):
        inner._container.seek(0)  # closed


def test_a_closed_file_gives_no_frames(clip):
    source = VideoFile(clip)
    source.close()
    assert list(source) == []


def test_video_frames_are_the_pictures_that_went_in(clip):
    with open_source(clip) as source:
        for frame, wanted in zip(source, moving_square(30), strict=True):
            assert np.abs(frame.image.astype(int) - wanted).mean() < 4


def test_odd_sizes(tmp_path):
    frames = [np.ascontiguousarray(f[:119, :159]) for f in moving_square(4)]
    path = tmp_path / "odd.mkv"
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 119, 159, "bgr0"
        for i, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="bgr0")
            picture.pts = i
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    with open_source(path) as source:
        read = list(source)
    assert source.size == (159, 119)
    np.testing.assert_array_equal(read[2].image, frames[2])  # ffv1 is lossless


def test_a_grey_sixteen_bit_video(tmp_path):
    import av

    path = tmp_path / "grey16.mkv"
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "gray16le"
        for i in range(3):
            picture = av.VideoFrame.from_ndarray(ramp, format="gray16le")
            picture.pts = i
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    with open_source(path) as source:
        image = next(iter(source)).image
    assert image.dtype == np.uint8
    assert np.abs(image[:, :, 1].astype(float) - ramp / 257).max() < 3


def test_a_cut_video_gives_what_it_holds_and_says_so(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", moving_square(60), movflags="frag_keyframe+empty_moov")
    front = make_video(tmp_path / "front.mp4", moving_square(60), movflags="faststart")
    size = front.stat().st_size
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[: size * 6 // 10])
    with open_source(cut) as source:
        count = len(list(source))
    assert 0 < count < 60
    assert "cut short" in source.note or "damaged" in source.note
    with open_source(whole) as source:
        assert len(list(source)) == 60
    assert source.note == ""


def test_a_video_whose_end_is_missing_the_index_is_refused_by_name(tmp_path, clip):
    cut = tmp_path / "noindex.mp4"
    cut.write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"noindex\.mp4"):
        open_source(cut)


def test_sound_without_pictures_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        out.mux(stream.encode(sound))
    with pytest.raises(InputError, match="no video stream"):
        open_source(path)
