"""The self-test's steps about sources: an emulated USB camera, GStreamer, the sample clip."""

from __future__ import annotations

from pathlib import Path

import pytest
from v4l2_emulation import WEBCAM, Cameras

from edgekit import selftest_cameras
from edgekit.errors import EdgekitError, MissingError
from edgekit.results import Frame
from edgekit.selftest_worker import Case

SCRIPT = """
from edgekit.selftest_cameras import usb
from edgekit.selftest_worker import Case
try:
    words, figures = usb(Case(True, Path("/"), "", dev), str(node))
    say(words=words, **figures)
except EdgekitError as error:
    say(failed=str(error), kind=type(error).__name__)
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(True, Path("/"), "", tmp_path)


def test_a_usb_camera(cameras: Cameras) -> None:
    cameras.plug_in(0, WEBCAM, serial="8F2C11")
    found = cameras.run(SCRIPT)
    assert found["words"].startswith("EdgeCam HD: 3 pictures, ")
    assert found["driver"] == "uvcvideo"
    assert found["modes"] == 7
    assert found["brightness"] > 5
    assert "8F2C11" not in str(found), "its serial number stays here"


def test_a_sensors_raw_node_is_not_here(cameras: Cameras) -> None:
    cameras.plug_in(0, WEBCAM.replace("driver uvcvideo", "driver tegra-video"))
    found = cameras.run(SCRIPT)
    assert found["kind"] == "MissingError"
    assert "gives no pictures of its own: csi" in found["failed"]


@pytest.mark.parametrize("fault", ["denied", "busy", "nospace"])
def test_a_camera_that_is_there_and_does_not_open_has_failed(cameras: Cameras, fault: str) -> None:
    cameras.plug_in(0, WEBCAM)
    cameras.fault(fault)
    found = cameras.run(SCRIPT)
    assert found["kind"] == "EdgekitError", found
    assert {"denied": "may not be opened", "busy": "is busy", "nospace": "no room"}[fault] in found["failed"]


def test_no_camera(case: Case) -> None:
    with pytest.raises(MissingError, match="no camera is plugged in"):
        selftest_cameras.usb(case, None)
    with pytest.raises(MissingError, match="only a Jetson has it"):
        selftest_cameras.csi(case)


def test_the_sample_clip(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    words, figures = selftest_cameras.pyav(case)
    assert words.startswith("3 frames, 768×576, ")
    assert figures["fps"] > 0

    def grey(source: object, most: int) -> tuple[list[Frame], float]:
        import numpy as np

        return [Frame(np.full((4, 4, 3), 128, np.uint8), n) for n in range(most)], 30.0

    monkeypatch.setattr(selftest_cameras, "_frames", grey)
    with pytest.raises(EdgekitError, match="the picture is of one colour"):
        selftest_cameras.pyav(case)


@pytest.mark.gstreamer
def test_gstreamer_and_the_jetsons_decoder(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    words, figures = selftest_cameras.gstreamer(case)
    assert words.endswith(", 3 pictures")
    assert figures["way"] in words
    with pytest.raises(MissingError, match="no nvv4l2decoder here; only a Jetson has it"):
        selftest_cameras.decoder(case)
    # the same pipeline with software in the place of the two elements that only a Jetson has
    real = selftest_cameras.open_source

    def software(spec: str, **options: object) -> object:
        spec = spec.replace("nvv4l2decoder", "avdec_h264").replace("nvvidconv", "videoconvert")
        return real(spec, **options)

    from edgekit.camera import gstreamer

    monkeypatch.setattr(gstreamer, "has_element", lambda *names: True)
    monkeypatch.setattr(selftest_cameras, "open_source", software)
    words, figures = selftest_cameras.decoder(case)
    assert words.startswith("3 frames, ")
    assert 0 <= max(figures["off"]) < selftest_cameras.DECODED
