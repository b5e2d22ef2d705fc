from __future__ import annotations

import itertools
import shutil

import cv2
import numpy as np
import pytest
from clips import make_video, moving_square

from edgekit import InputError, MissingError, open_source
from edgekit.camera.pictures import read_picture


def test_the_sample_clip_is_whole_and_its_times_are_right():
    with open_source("sample") as source:
        frames = list(source)
    assert source.size == (768, 576)
    assert len(frames) == source.length == 80
    np.testing.assert_allclose([f.t for f in frames], np.arange(80) / 10, atol=1e-3)
    assert [f.index for f in frames] == list(range(80))
    assert source.note == ""
    assert frames[0].image.std() > 20


def test_video_frames_are_the_pictures_that_went_in(clip):
    with open_source(clip) as source:
        for frame, wanted in zip(source, moving_square(30), strict=True):
            assert np.abs(frame.image.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("a.mov", "mjpeg")],
)
def test_other_containers_and_codecs(tmp_path, name, codec):
    path = tmp_path / name
    if codec == "mjpeg":
        pytest.importorskip("av")
        make_video(path, moving_square(6), codec="mpeg4")
    else:
        make_video(path, moving_square(6), codec=codec)
    with open_source(path) as source:
        assert len(list(source)) == 6


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


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"hello, I am text", bytes(range(256)) * 40])
def test_files_that_are_no_video_are_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        open_source(path)


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


@pytest.mark.parametrize("spec", ["", "nothing/here.mp4", "ftp://host/a", "/dev/null"])
def test_specs_that_name_nothing_are_refused(spec):
    with pytest.raises(InputError):
        open_source(spec)


def test_an_absent_camera_is_named_with_the_cure(tmp_path):
    from edgekit.camera.v4l2 import UsbCamera

    with pytest.raises(MissingError, match=r"video97.*found: none.*sample"):
        UsbCamera(97, dev=tmp_path)


def test_a_camera_node_without_permission_names_the_group(tmp_path, monkeypatch):
    from edgekit.camera.v4l2 import UsbCamera

    (tmp_path / "video5").touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may open everything
    with pytest.raises(MissingError, match="usermod -aG video"):
        UsbCamera(5, dev=tmp_path)


def test_a_node_that_is_no_camera_says_who_to_ask(tmp_path):
    from edgekit.camera.v4l2 import UsbCamera

    (tmp_path / "video98").touch()
    with pytest.raises(MissingError, match="fuser"):
        UsbCamera(98, dev=tmp_path)


def test_a_dead_stream_address_is_one_clear_error():
    with pytest.raises(InputError, match=r"rtsp://127\.0\.0\.1:9/x does not open"):
        open_source("rtsp://127.0.0.1:9/x")


def test_an_http_stream_is_read(clip):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(clip.parent))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with open_source(f"http://127.0.0.1:{server.server_port}/clip.mp4") as source:
                assert source.live
                frames = list(source)
        finally:
            server.shutdown()
            thread.join()
    assert len(frames) == 30
    assert all(b.t >= a.t for a, b in itertools.pairwise(frames))


PICTURE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("grey.png", PICTURE[:, :, 0]),
        ("alpha.png", np.dstack([PICTURE, np.full((48, 64), 255, np.uint8)])),
        ("deep.png", PICTURE.astype(np.uint16) * 257),
        ("deepgrey.png", PICTURE[:, :, 0].astype(np.uint16) * 257),
        ("deepalpha.png", np.dstack([PICTURE, np.full((48, 64), 255, np.uint8)]).astype(np.uint16) * 257),
        ("plain.bmp", PICTURE),
    ],
)
def test_pictures_of_every_kind_become_the_same_bgr(tmp_path, name, image):
    path = tmp_path / name
    assert cv2.imwrite(str(path), image)
    read = read_picture(path)
    wanted = PICTURE if image.ndim == 3 else np.repeat(PICTURE[:, :, :1], 3, 2)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    assert np.abs(read.astype(int) - wanted).max() <= 1


def test_what_is_transparent_is_white(tmp_path):
    path = tmp_path / "clear.png"
    cv2.imwrite(str(path), np.dstack([PICTURE, np.zeros((48, 64), np.uint8)]))
    assert (read_picture(path) == 255).all()


def test_a_float_picture_shows_its_whole_range(tmp_path):
    path = tmp_path / "float.tiff"
    cv2.imwrite(str(path), np.linspace(-5, 1000, 48 * 64).reshape(48, 64).astype(np.float32))
    read = read_picture(path)
    assert (read.min(), read.max()) == (0, 255)


def test_a_cut_picture_is_refused_by_name(tmp_path):
    whole = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))[
        1
    ].tobytes()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[:30])
    with pytest.raises(InputError, match=r"cut\.png"):
        open_source(path)


def test_a_folder_goes_in_the_order_people_count(tmp_path):
    for n in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"f{n}.png"), np.full((10, 12, 3), n, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 2, 10]
    assert frames[1].source.endswith("f2.png")
    with open_source(str(tmp_path / "f1*.png")) as source:
        assert source.length == 2


def test_a_bad_picture_among_good_ones_is_left_out_and_named(tmp_path):
    for n in (0, 2):
        cv2.imwrite(str(tmp_path / f"{n}.png"), PICTURE)
    (tmp_path / "1.png").write_bytes(b"broken")
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [f.index for f in frames] == [0, 2]
    assert "1 of 3 pictures left out" in source.note
    assert "1.png" in source.note


@pytest.mark.parametrize(
    "make", [lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / "a.jpg").write_bytes(b"x"))]
)
def test_a_folder_without_a_readable_picture_is_refused(tmp_path, make):
    make(tmp_path / "folder")
    with pytest.raises(InputError, match=r"folder"):
        open_source(tmp_path / "folder")


def test_a_file_can_be_removed_and_opened_often(tmp_path, clip):
    """Closing gives the descriptor back: 100 openings stay below a limit of 64."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64 if hard > 64 else hard, hard))
    try:
        for _ in range(100):
            with open_source(clip) as source:
                next(iter(source))
            source.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    shutil.rmtree(tmp_path)
