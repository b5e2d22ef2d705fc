"""CSI cameras: the words that reach GStreamer, and a run with the camera played by a test picture.

What nvarguscamerasrc itself does has not been tried here: it needs a Jetson.
"""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from gst_here import ROUTES, fake_tool, take

from edgekit.camera import csi, open_source
from edgekit.camera.csi import CsiCamera, open_csi, pipeline
from edgekit.camera.gstreamer import has_element
from edgekit.errors import EdgekitError, InputError, MissingError

pytestmark = pytest.mark.gstreamer
#: Runs the real gst-launch-1.0 with elements of every machine in place of the Jetson's.
PLAYED = f"""#!{sys.executable}
import os, sys
words = []
for word in sys.argv[1:]:
    if word == "nvarguscamerasrc":
        words += ["videotestsrc", "is-live=true", "pattern=smpte75"]
    elif word == "nvvidconv":
        words += ["videoconvert", "!", "videoscale", "!", "videoflip"]
    elif word.startswith("flip-method="):
        words += ["video-direction=" + {{"0": "identity", "2": "180", "3": "90r"}}[word[12:]]]
    elif not word.startswith(("sensor-id=", "sensor-mode=")):
        words += [word.replace("(memory:NVMM)", "")]
if "nvarguscamerasrc" in sys.argv:
    with open({{asked!r}}, "w") as file:
        file.write("\\n".join(sys.argv[1:]))
os.execv({{real!r}}, [{{real!r}}, *words])
"""


@pytest.fixture
def jetson(monkeypatch, tmp_path):
    """A machine on which gst-inspect finds everything; gives a function that sets what gst-launch does."""
    take("gst-launch", monkeypatch)
    real, asked = shutil.which("gst-launch-1.0"), tmp_path / "asked"
    fake_tool(tmp_path, "gst-inspect-1.0", "#!/bin/sh\nexit 0\n")
    text = PLAYED.replace("{{", "{").replace("}}", "}").replace("{asked!r}", repr(str(asked)))
    fake_tool(tmp_path, "gst-launch-1.0", text.replace("{real!r}", repr(real)))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_pipeline_is_what_nvidias_manual_shows():
    assert " ".join(pipeline()) == (
        "nvarguscamerasrc sensor-id=0 ! "
        "video/x-raw(memory:NVMM),format=NV12,width=1280,height=720,framerate=30/1 ! "
        "nvvidconv flip-method=0 ! video/x-raw,format=BGRx,width=1280,height=720"
    )


def test_every_option_has_its_place():
    words = pipeline(1, (1920, 1080), 29.97, mode=2, flip=3)
    assert words[:3] == ["nvarguscamerasrc", "sensor-id=1", "sensor-mode=2"]
    assert "framerate=30000/1001" in words[4]
    assert "width=1920,height=1080" in words[4]
    assert "flip-method=3" in words
    assert words[-1].endswith("width=1080,height=1920")  # a quarter turn


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sensor": -1}, "sensor=-1"),
        ({"sensor": "a"}, "sensor='a'"),
        ({"size": (1280,)}, "size="),
        ({"size": 5}, "size=5"),
        ({"size": (1281, 720)}, "even"),
        ({"size": (0, 720)}, "size="),
        ({"fps": 0}, "fps=0"),
        ({"fps": "30"}, "fps='30'"),
        ({"mode": -1}, "mode=-1"),
        ({"flip": 8}, "6 mirrored top to bottom"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        pipeline(**options)


@pytest.mark.parametrize("way", ROUTES)
def test_on_other_machines_the_error_says_what_is_missing(way, monkeypatch):
    take(way, monkeypatch)
    if has_element("nvarguscamerasrc"):
        pytest.skip("this is a Jetson")
    with pytest.raises(MissingError, match=r"csi:0.*nvarguscamerasrc.*nvidia-l4t-gstreamer.*only a Jetson"):
        open_source("csi")
    with pytest.raises(InputError, match="flip"):  # a wrong option is told first
        open_source("csi:1", flip=9)


def test_a_camera_gives_pictures_of_the_size_that_was_asked(jetson):
    with open_source("csi:1", size=(320, 240), fps=20, mode=1) as source:
        frames = [frame for frame, _ in zip(source, range(5))]  # noqa: B905
    assert source.live
    assert source.spec == "csi:1"
    assert source.size == (320, 240)
    assert source.fps == 20
    assert frames[-1].image.shape == (240, 320, 3)
    asked = (jetson / "asked").read_text().split("\n")
    assert asked[asked.index("nvarguscamerasrc") :][:3] == [
        "nvarguscamerasrc",
        "sensor-id=1",
        "sensor-mode=1",
    ]
    assert "video/x-raw(memory:NVMM),format=NV12,width=320,height=240,framerate=20/1" in asked
    assert "leaky=downstream" in asked


@pytest.mark.parametrize(("flip", "turn"), [(2, 2), (3, -1)])
def test_a_turned_picture_is_turned(jetson, flip, turn):
    with CsiCamera(size=(320, 240)) as camera:
        plain = next(iter(camera)).image
    with CsiCamera(size=(320, 240), flip=flip) as camera:
        turned = next(iter(camera)).image
        assert camera.size == turned.shape[1::-1]
    # the lower part of the pattern holds noise; the bars above fill two thirds
    different = np.abs(np.rot90(plain, turn).astype(int) - turned).max(axis=2) > 40
    assert different.mean() < 0.2


def test_in_this_process_too(monkeypatch):
    take("PyGObject", monkeypatch)
    test = ["videotestsrc", "is-live=true", "!", "video/x-raw,format=BGRx,width=64,height=48"]
    monkeypatch.setattr(csi, "has_element", lambda *_: True)
    monkeypatch.setattr(
        csi,
        "pipeline",
        lambda *_: test,
    )
    with open_csi(0) as source:
        frame = next(iter(source))
        assert "PyGObject" in source.how
    assert frame.image.shape == (48, 64, 3)


#: What users of JetPack have posted of nvarguscamerasrc's words, shortened.
FROZEN = """Setting pipeline to PAUSED ...
Error generated. gstnvarguscamerasrc.cpp, execute:751 Failed to create CaptureSession
ERROR: from element /GstPipeline:pipeline0/GstNvArgusCameraSrc:nvarguscamerasrc0: CANCELLED
Additional debug info:
Argus Error Status
"""
ABSENT = """Error generated. gstnvarguscamerasrc.cpp, execute:645 No cameras available
Got EOS from element "pipeline0".
"""
NUMBER = """Error generated. execute:720 Invalid camera device specified 3 specified, 1 available
"""
DAEMON = """(Argus) Error FileOperationFailed: Connecting to nvargus-daemon failed: No such file or directory
(Argus) Error: openSocketConnection() failed
Got EOS from element "pipeline0".
"""
TIMEOUT = """(Argus) Error Timeout:  (propagating from src/rpc/socket/client/SocketClientDispatch.cpp)
ERROR: from element /GstPipeline:pipeline0/GstNvArgusCameraSrc:nvarguscamerasrc0: TIMEOUT
Additional debug info:
Argus Error Status
"""
BUSY = "Error generated. gstnvarguscamerasrc.cpp, (Argus) Error: the device is already in use\n"


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        (FROZEN, 1, "does not answer or still holds a camera"),
        (ABSENT, 0, "ribbon cable"),
        (NUMBER, 1, "no CSI camera of that number"),
        (DAEMON, 0, "does not answer or still holds a camera"),
        (TIMEOUT, 1, "does not answer"),
        (BUSY, 1, "another program holds the CSI camera"),
    ],
)
def test_what_the_camera_service_says_is_told_with_its_cure(jetson, log, code, words):
    script = f"#!/bin/sh\ncat >&2 <<'END'\n{log}END\nexit {code}\n"
    fake_tool(jetson, "gst-launch-1.0", script)
    with pytest.raises(MissingError, match="sudo systemctl restart nvargus-daemon") as caught:
        CsiCamera(0, timeout_s=5)
    assert words in str(caught.value)
    assert str(caught.value).count("nvargus-daemon") >= 1
    assert "\n" not in str(caught.value)


def test_a_camera_that_stays_silent_names_the_cure(jetson):
    fake_tool(jetson, "gst-launch-1.0", "#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(MissingError, match=r"no picture for 0\.5 s.*sudo systemctl restart nvargus-daemon"):
        CsiCamera(0, timeout_s=0.5)


def test_a_crash_of_the_driver_ends_the_child_only(jetson):
    fake_tool(jetson, "gst-launch-1.0", "#!/bin/sh\nkill -SEGV $$\n")
    with pytest.raises(EdgekitError, match="SIGSEGV"):
        CsiCamera(0, timeout_s=5)
