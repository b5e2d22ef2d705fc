"""The live view where widgets share the shell of the cells: older kernels, VS Code."""

from __future__ import annotations

import time

import pytest
from fake_camera import is_free
from lab import Lab, notebook, wait_for
from test_in_jupyterlab import FREE_S, SHOW

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_long_cell_holds_the_picture_and_ends_nothing(tmp_path):
    long = "from edgekit.live import session_view as module\nmodule.SILENCE_S = 3.0\ntime.sleep(9)"
    with Lab(tmp_path, subshells=False) as lab:
        notebook(lab.work / "view.ipynb", SHOW, long)
        with lab.open("view.ipynb") as page:
            lock = lab.work / "camera.lock"
            page.run_cell(0)
            page.click("Start")
            page.shows()
            page.run_cell(1)
            page.busy_main()
            time.sleep(1)
            held = page.shown()
            time.sleep(2)
            assert page.shown() == held  # no answer comes through, so no picture goes out
            page.idle_main()
            wait_for(lambda: page.shown() > held + 20, "pictures come again")
            page.move_slider("Lowest score", "Home")
            wait_for(lambda: "10 found" in page.text(), "the slider works")
            page.click("Stop")
            wait_for(lambda: is_free(lock), "the camera is free", FREE_S)
            page.click("Start")
            wait_for(lambda: not is_free(lock), "it starts again")
            for _ in range(5):  # an interrupt that falls into a message of the browser's is lost: press again
                page.command("kernelmenu:interrupt")
                time.sleep(1)
            wait_for(lambda: is_free(lock), "the camera is free", FREE_S)
