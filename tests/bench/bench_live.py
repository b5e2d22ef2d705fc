"""Pictures a second that a browser shows, and their cost: the live view, jupyter_rfb, ipywidgets.Image.

    python tests/bench/bench_live.py [--seconds 8] [--rounds 3]

One JupyterLab page in headless Chromium shows the same 640×480 pictures three ways, one after the other, each
as fast as it can; the ways take turns. jupyter_rfb is no part of the kit: pip install jupyter_rfb simplejpeg
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import importlib.util
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))
from lab import Lab, notebook, wait_for

PREPARE = """
import json, threading, time
import cv2
import numpy as np
from edgekit import Detections, Frame, open_source
from itertools import islice
with open_source("sample") as source:
    pictures = [np.ascontiguousarray(cv2.resize(f.image, (640, 480))) for f in islice(source, 40)]

class Cost:
    "What sending costs: this thread's CPU time while encoding and sending, and the whole kernel's."
    def __init__(self):
        self.sent, self.own, self.end = 0, 0.0, time.monotonic() + SECONDS
        self.cpu, self.total = time.process_time(), None
    def going(self):
        if time.monotonic() < self.end:
            return True
        if self.total is None:
            self.total = time.process_time() - self.cpu
        return False
    def next(self):
        return pictures[self.sent % len(pictures)]
    def timed(self, send, *args):
        start = time.thread_time()
        send(*args)
        self.own += time.thread_time() - start
        self.sent += 1
    def __str__(self):
        return json.dumps({"sent": self.sent, "own": self.own, "total": self.total})
"""
OURS = """
from edgekit.live.picture import Picture, ToBrowser
picture = Picture(640, 80)
screen = ToBrowser(picture)
def work():
    frame = Frame(pictures[0])
    while cost.going():
        if screen.picture_side is None:
            time.sleep(0.001)
        else:
            cost.timed(screen.write, frame, Detections(), cost.next())
def begin():
    global cost
    cost = Cost()
    threading.Thread(target=work).start()
picture
"""
RFB = """
import jupyter_rfb
class Player(jupyter_rfb.RemoteFrameBuffer):
    def get_frame(self):
        if cost.going():
            self.request_draw()
            return cost.next()
    def _rfb_send_frame(self, array, is_lossless_redraw=False):
        if is_lossless_redraw:
            super()._rfb_send_frame(array, True)
        else:
            cost.timed(super()._rfb_send_frame, array)
player = Player(css_width="640px", css_height="480px", quality=80)
def begin():
    global cost
    cost = Cost()
    player.request_draw()
cost = Cost()
cost.end = 0
player
"""
IMAGE = """
import ipywidgets
image = ipywidgets.Image(format="jpeg", width=640, height=480)
def show(picture):
    image.value = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
def work():
    while cost.going():
        cost.timed(show, cost.next())
def begin():
    global cost
    cost = Cost()
    threading.Thread(target=work).start()
image
"""
COUNT = """() => {
  window.loads = 0;
  document.addEventListener("load", (event) => { if (event.target.tagName === "IMG") window.loads++; }, true);
}"""
WAYS = {"edgekit.live": OURS, "jupyter_rfb": RFB, "ipywidgets.Image": IMAGE}


def measure(page, way: str, seconds: float) -> dict[str, float]:
    """Show one way for `seconds`; rates are of what the browser showed in that time."""
    shown = page.shown if way == "edgekit.live" else lambda: page.page.evaluate("window.loads")
    page.run_cell(1 + 3 * list(WAYS).index(way))
    page.idle_main()
    time.sleep(2)
    before = shown()
    page.run_cell(2 + 3 * list(WAYS).index(way))  # begin()
    wait_for(lambda: shown() > before, f"{way} shows something")
    first, start = shown(), time.monotonic()
    time.sleep(seconds - 1)
    rate = (shown() - first) / (time.monotonic() - start)
    end = start + seconds  # of sending; what comes later had piled up (an overrun page answers late, too)
    time.sleep(max(0.0, end - time.monotonic()))
    count, last = shown(), time.monotonic()
    while time.monotonic() - last < 1.5:
        if (now := shown()) != count:
            count, last = now, time.monotonic()
        time.sleep(0.02)
    index = 3 + 3 * list(WAYS).index(way)
    page.run_cell(index)
    page.idle_main()
    cost = json.loads(wait_for(lambda: page.output(index).strip(), "the costs"))
    page.select(index - 2)
    page.command("notebook:clear-cell-output")
    sent = max(1, cost["sent"])
    return {
        "shown": rate,
        "sent": cost["sent"] / seconds,
        "own": cost["own"] / sent * 1e3,
        "total": cost["total"] / max(1.0, rate * seconds) * 1e3,
        "late": max(0.0, last - end),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The live view next to two other ways to show pictures.")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ways = dict(WAYS)
    if importlib.util.find_spec("jupyter_rfb") is None:
        print("jupyter_rfb is not installed, and left out; cure: pip install jupyter_rfb simplejpeg")
        ways.pop("jupyter_rfb")
    cells = [f"SECONDS = {args.seconds}\n{PREPARE}"]
    for cell in WAYS.values():
        cells += [cell, "begin()", "print(cost)"]
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab:
        notebook(lab.work / "bench.ipynb", *cells)
        with lab.open("bench.ipynb") as page:
            page.page.evaluate(COUNT)
            page.run_cell(0)
            page.idle_main()
            for _ in range(args.rounds):
                for way in ways:
                    rows[way].append(measure(page, way, args.seconds))
        browser = lab.browser_version
    names = ["jupyterlab", "ipykernel", "ipywidgets", "anywidget", "opencv-python"]
    names += ["jupyter_rfb", "simplejpeg"] * ("jupyter_rfb" in ways)
    versions = [f"{name} {metadata.version(name)}" for name in names]
    print(f"640×480, JPEG quality 80, {args.seconds:g} s, median of {args.rounds} rounds; Chromium {browser}")
    print(f"Python {platform.python_version()}, {platform.machine()}; {', '.join(versions)}")
    print(f"{'':<18}{'shown/s':>9}{'sent/s':>9}{'ms/sent':>9}{'ms/shown':>10}{'late s':>8}")
    for way, results in rows.items():
        middle = {key: statistics.median(row[key] for row in results) for key in results[0]}
        print(
            f"{way:<18}{middle['shown']:>9.1f}{middle['sent']:>9.1f}{middle['own']:>9.2f}"
            f"{middle['total']:>10.2f}{middle['late']:>8.1f}"
        )
    print("ms/sent: CPU time of encoding and sending one; ms/shown: of the whole kernel for each one shown;")
    print("late: how long pictures still came after the last was sent")


if __name__ == "__main__":
    main()
