from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"hello, I am text", bytes(range(256)) * 40])
def test_files_that_are_no_video_are_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        open_source(path)


@pytest.mark.parametrize("spec", ["", "nothing/here.mp4", "ftp://host/a", "/dev/null"])
def test_specs_that_name_nothing_are_refused(spec):
    with pytest.raises(InputError):
        open_source(spec)


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
    assert source.how == "OpenCV, 3 pictures"
    with open_source(str(tmp_path / "f1*.png")) as source:
        assert source.length == 2


def test_closing_a_folder_ends_its_frames(tmp_path):
    for n in range(3):
        cv2.imwrite(str(tmp_path / f"{n}.png"), PICTURE)
    source = open_source(tmp_path)
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


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


def test_a_name_of_udevs_is_a_usb_camera():
    with pytest.raises(MissingError, match=r"/dev/v4l/by-id/usb-nobody"):
        open_source("/dev/v4l/by-id/usb-nobody-index0")


@pytest.mark.parametrize(("orientation", "decoded"), [(None, 1), (6, 2)])
def test_a_png_is_decoded_once_unless_it_is_to_be_turned(tmp_path, monkeypatch, orientation, decoded):
    path, note = tmp_path / "picture.png", Image.Exif()
    if orientation is not None:
        note[0x0112] = orientation
    Image.fromarray(PICTURE).save(path, exif=note)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    calls, real = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *given: calls.append(given) or real(*given))
    np.testing.assert_array_equal(read_picture(path), expected)
    assert len(calls) == decoded
