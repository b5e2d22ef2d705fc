from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from v4l2_emulation import ROOT

from edgekit import InputError, open_source
from edgekit.camera.v4l2_modes import Mode
from edgekit.sources_cli import OPENERS, options, sources, summary

LIST = """
    from dataclasses import asdict
    from edgekit.sources_cli import sources
    say(entries=[asdict(one) for one in sources(dev)])
"""


def test_cameras_are_listed_with_their_modes_and_troubles(cameras):
    cameras.plug_in(0)
    cameras.plug_in(1, "card EdgeCam HD\nbus usb-0000:00:14.0-1\ncaps metadata\n")
    cameras.plug_in(2)
    cameras.fault("denied", 2)
    cameras.plug_in(3, "card vi-output, imx219 9-0010\ndriver tegra-video\nmode RG10 3280 2464 21\n")
    (cameras.dev / "video10").mkdir()
    entries = {Path(one["spec"]).name: one for one in cameras.run(LIST)["entries"]}
    first = entries["video0"]
    assert first["usable"]
    assert first["found"] == (
        "EdgeCam HD: MJPG 160×120 (60, 30, 15), 320×240 (30, 15); YUYV 160×120 (30, 15)"
    )
    assert first["options"] == ["size", "fps", "format", "exposure"]
    assert {"format": "YUYV", "width": 160, "height": 120, "fps": 15} in first["modes"]
    assert len(first["modes"]) == 7
    assert not entries["video1"]["usable"]
    assert "metadata" in entries["video1"]["found"]
    assert not entries["video2"]["usable"]
    assert "may not be opened" in entries["video2"]["found"]
    assert "video3" not in entries
    assert "imx219" in entries["csi or csi:N"]["found"]
    assert not entries["video10"]["usable"]


def test_a_camera_in_use_is_still_described(cameras):
    cameras.plug_in()
    said = cameras.run("""
        from edgekit.sources_cli import sources
        with UsbCamera(node) as camera:
            next(iter(camera))
            found = [one.found for one in sources(dev) if one.spec == str(node)]
            say(found=found, goes_on=bool(next(iter(camera))))
    """)
    assert "MJPG 160×120" in said["found"][0]
    assert said["goes_on"]


def test_without_cameras_it_says_so(tmp_path):
    entries = {one.spec: one for one in sources(tmp_path)}
    assert not entries["0 or /dev/video0"].usable
    assert "no USB camera here" in entries["0 or /dev/video0"].found
    assert entries["sample"].usable
    assert entries["synthetic"].options == ("size", "fps", "frames", "realtime")


def test_every_option_that_is_listed_is_taken():
    """And none besides: the message of `open_source` names the same ones."""
    specs = {"synthetic": "synthetic", "file": "sample", "pictures": "sample-picture"}
    for kind, spec in specs.items():
        with pytest.raises(InputError) as caught:
            open_source(spec, nonsense=1)
        for name in options(kind):
            assert name in str(caught.value)
    assert {kind: bool(options(kind)) for kind in OPENERS} == {kind: kind != "pictures" for kind in OPENERS}


def test_sizes_are_summed_up():
    modes = (Mode("YUYV", 640, 480, 29.97), Mode("YUYV", 640, 480, 15.0), Mode("MJPG", 800, 600))
    assert summary(modes) == "YUYV 640×480 (29.97, 15); MJPG 800×600"


@pytest.mark.parametrize("route", ["", "gst-launch"])
def test_the_command_prints_the_same_as_a_table_and_as_json(route):
    env = {**os.environ, "COLUMNS": "400", "PYTHONPATH": str(ROOT), "EDGEKIT_GSTREAMER": route}

    def edgekit(*words: str) -> str:
        command = [sys.executable, "-m", "edgekit", "sources", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return done.stdout

    table, entries = edgekit(), json.loads(edgekit("--json"))
    for one in entries:
        assert one["spec"] in table
        assert one["found"] in table
    specs = [one["spec"] for one in entries]
    assert specs[:3] == ["sample", "sample-picture", "synthetic"]
    assert specs[-3:] == ["csi or csi:N", "rtsp://…, http://…", "gst: PIPELINE"]


def test_nothing_heavy_is_loaded_for_it():
    """Neither GPU, model nor notebook packages: the list is there at once."""
    script = (
        "import sys, edgekit.sources_cli as s; s.sources();"
        "heavy = ('onnxruntime', 'tensorrt', 'torch', 'IPython', 'matplotlib');"
        "print([name for name in heavy if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
