"""Notebooks as a student meets them, in JupyterLab: 03 from top to bottom, then its buttons and sliders; 08's
recorder.

To make the README's pictures anew, with -k start_watch or -k recorder:
EDGEKIT_SCREENSHOT=notebooks/live-view.jpg python -m pytest tests/live/test_notebooks_in_lab.py -k start_watch
"""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from lab import ROOT, Lab, wait_for
from PIL import Image

from edgekit.prepare.action_folders import read_actions

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: The sample while it is open, found by what the kernel holds.
SAMPLE = "people.mp4"
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        for name in ("03_detect_yolo.ipynb", "08_record_and_train_actions.ipynb"):
            shutil.copy(ROOT / "notebooks" / name, lab.work)
        yield lab


def sample_is_open(lab):
    """Some process of the server's has the sample open."""
    return any(SAMPLE in path for pid in lab.pids() for path in open_files(pid))


def open_files(pid):
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield str(link.readlink())
        except OSError:  # closed meanwhile
            continue


def found(page):
    """The count under the picture; None before there is one."""
    before, words, _ = page.text().partition(" found")
    return int(before.split()[-1]) if words else None


def save(picture: bytes, path: Path) -> None:
    """As JPEG of at most 200 kB."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for quality in range(90, 30, -5):
        image.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise AssertionError(f"{path} does not get below {MOST_BYTES} bytes")


def view_alone(page):
    """The view at the top of the window, and no list of files beside it."""
    page.command("application:toggle-left-area")
    page.page.locator(".jp-Cell", has=page.page.locator(".edgekit-live")).first.evaluate(
        "(cell) => cell.scrollIntoView({ block: 'start' })"
    )


def test_start_watch_move_the_threshold_and_stop(lab, tmp_path):
    with lab.open("03_detect_yolo.ipynb", width=860, height=1005) as page:
        page.run_all()
        page.button("Start").scroll_into_view_if_needed()
        assert not sample_is_open(lab)
        page.click("Start")
        page.shows()
        assert sample_is_open(lab)
        before, first = page.shown(), page.picture()
        wait_for(lambda: page.shown() > before + 3, "pictures come")
        assert page.picture() != first
        wait_for(lambda: float(page.text().split(" FPS")[0]) > 0, "FPS above 0")

        page.move_slider("Lowest score", "Home")
        wait_for(lambda: found(page) > 12, "no threshold: many boxes")
        page.move_slider("Lowest score", "End")
        wait_for(lambda: found(page) == 0, "the highest threshold: no box")
        page.move_slider("Lowest score", "Home")
        page.move_slider("Lowest score", "PageUp", 3)
        wait_for(lambda: 2 <= found(page) <= 12, "people again")

        time.sleep(4)  # the figures are of the last two seconds
        view_alone(page)
        save(page.page.screenshot(), Path(os.environ.get("EDGEKIT_SCREENSHOT", tmp_path / "live-view.jpg")))

        page.click("Stop")
        wait_for(lambda: not sample_is_open(lab), "the clip is closed", 2.0)
        wait_for(lambda: "Stopped" in page.text(), "it says so")


def test_a_clip_is_recorded_with_the_recorder(lab, tmp_path):
    """Chapter 08's first cells; somebody drawn stands before the camera and does what is pressed."""
    with lab.open("08_record_and_train_actions.ipynb", width=700, height=1060) as page:
        for index in (1, 3):
            page.run_cell(index)
            page.idle_main()
        view_alone(page)
        page.click("wave")
        wait_for(lambda: "wave: get ready" in page.text(), "it counts down")
        words = re.compile(r"recording, frame (\d+) of 24")  # two seconds, 12 a second
        wait_for(lambda: (at := words.search(page.text())) and int(at[1]) >= 8, "it records")
        save(page.page.screenshot(), Path(os.environ.get("EDGEKIT_SCREENSHOT", tmp_path / "recorder.jpg")))
        wait_for(lambda: "Saved wave/anna_1: 24 frames" in page.text(), "the clip is written")
        page.page.get_by_label("Clips of wave: 1").wait_for()
        clip = lab.work / "out" / "08" / "set" / "train" / "wave" / "anna_1"
        [recorded] = read_actions(clip.parents[1])
        assert (recorded.label, recorded.name, len(recorded.rgb)) == ("wave", "anna_1", 24)
        page.click("Delete last")
        page.page.get_by_label("Clips of wave: 0").wait_for()
        assert not clip.exists()
