"""Notebook 03 as a student meets it: in JupyterLab, run from top to bottom, then its buttons and sliders.

To make the README's picture anew:
EDGEKIT_SCREENSHOT=notebooks/live-view.jpg python -m pytest tests/live/test_notebook_03.py
"""

from __future__ import annotations

import io
import os
import shutil
import time
from pathlib import Path

import pytest
from lab import ROOT, Lab, wait_for
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: The sample while it is open, found by what the kernel holds.
SAMPLE = "people.mp4"
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        shutil.copy(ROOT / "notebooks" / "03_detect_yolo.ipynb", lab.work)
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
        page.command("application:toggle-left-area")
        page.page.locator(".jp-Cell", has=page.page.locator(".edgekit-live")).first.evaluate(
            "(cell) => cell.scrollIntoView({ block: 'start' })"
        )
        save(page.page.screenshot(), Path(os.environ.get("EDGEKIT_SCREENSHOT", tmp_path / "live-view.jpg")))

        page.click("Stop")
        wait_for(lambda: not sample_is_open(lab), "the clip is closed", 2.0)
        wait_for(lambda: "Stopped" in page.text(), "it says so")
