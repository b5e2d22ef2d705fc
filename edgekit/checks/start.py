"""Self-checks of notebooks 00 to 03."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checks.verdict import Verdict, missing, right, wrong
from edgekit.doctor import Checks
from edgekit.errors import InputError
from edgekit.ops.nms import nms

# --- 00: what would stop a CSI camera ------------------------------------------------------------


def csi_stopper(report: Checks) -> tuple[str, str, tuple[str, ...]]:
    """The doctor's line that stops a CSI camera on this machine, its cure, and words a cure must have one of.

    The line is "nothing" where all is well.
    """
    line = {check.name: check for check in report}
    if report.device is None or not report.device.is_jetson:
        return "board", "run it on a Jetson: no other board has the CSI connector", ("jetson",)
    gst, cameras = line["GStreamer"], line["cameras"]
    if gst.status != "ok":
        return "GStreamer", gst.cure, tuple(re.findall(r"[a-z][\w.-]{8,}", gst.cure)) or ("install",)
    if cameras.status == "bad":
        return "cameras", cameras.cure, ("usermod", "group")
    if "(CSI)" not in cameras.value:
        cure = "power off, seat the ribbon cable, choose the camera in jetson-io, and boot again"
        return "cameras", cure, ("cable", "plug", "seat", "connect", "jetson-io")
    return "nothing", "nothing to cure", ()


def csi_camera(report: Checks, line: str | None, cure: str | None) -> Verdict:
    """Notebook 00: the line that stops a CSI camera here, and its cure in a few words."""
    if not line:
        return missing('write the first column of a line of the table, or "nothing".')
    names = [check.name for check in report]
    line = {name.lower(): name for name in names}.get(line.strip().lower(), line.strip())
    wanted, words, keys = csi_stopper(report)
    if line not in names and line.lower() != "nothing":
        return wrong(f"there is no line {line!r}; the lines are {', '.join(names)}.")
    if line == "OpenCV" and wanted != line:
        return wrong(
            "a good trap. This kit reads a CSI camera through GStreamer itself, so it does not matter how "
            "OpenCV was built."
        )
    if line.lower() != wanted.lower():
        return wrong(f"{line} would not stop it here. {_csi_hint(wanted)}")
    if wanted == "nothing":
        return right("nothing stops it: the camera is there and GStreamer can read it.")
    if not cure:
        return missing(f"{wanted} is the line. What is the cure? A few words will do.")
    if not any(key in cure.lower() for key in keys):
        return wrong(f"{wanted} is the line, but {cure!r} does not cure it. {_csi_hint(wanted)}")
    return right(f"{wanted}. Cure: {words}.")


def _csi_hint(wanted: str) -> str:
    return {
        "board": "Which machines have the connector for the ribbon cable at all? Read the first lines.",
        "GStreamer": "What carries the picture from the ribbon cable to Python? Its line has the cure.",
        "cameras": "Is the camera seen, and may you open it?",
        "nothing": "Read the lines GStreamer and cameras again: are they green?",
    }[wanted]


# --- 01: a dynamic batch -------------------------------------------------------------------------


def dynamic_batch(shapes: Mapping[str, Any] | None, message: str | None, most: int = 4) -> Verdict:
    """Notebook 01: a range of shapes for batches 1 to `most`, and the words in which one more is refused."""
    from edgekit.engine.shapes import as_range, check_within

    if not shapes:
        return missing('give my_shapes: {"images": (smallest, usual, largest)}, three shapes.')
    if list(shapes) != ["images"]:
        return wrong(f"the model's input is called 'images'; my_shapes names {', '.join(map(str, shapes))}.")
    try:
        low, opt, high = as_range("images", shapes["images"])
    except InputError as error:
        return wrong(str(error))
    for word, shape in (("smallest", low), ("usual", opt), ("largest", high)):
        if len(shape) != 4 or shape[1:] != (3, 416, 416):
            return wrong(f"the {word} shape is {shape}; it must be (batch, 3, 416, 416).")
    if low[0] != 1:
        return wrong(f"the smallest batch is {low[0]}, so a single picture is refused; it must be 1.")
    if high[0] != most:
        return wrong(f"the largest batch is {high[0]}; it must be {most}.")
    if not 1 <= opt[0] <= most:
        return wrong(f"the usual batch is {opt[0]}; it must lie from 1 to {most}.")
    if not message:
        return missing(
            f"the shapes are right. Now try a batch of {most + 1} and keep the words as my_message."
        )
    try:
        check_within("images", (most + 1, 3, 416, 416), low, high)
    except InputError as error:
        wanted = str(error).partition("takes ")[2]
    if f"[{most + 1}, 3, 416, 416]" not in message:
        return wrong(f"that is not what a batch of {most + 1} is told; the sentence names its shape.")
    if wanted not in " ".join(message.split()):
        return wrong("that is the refusal of another plan: its range is not 1 to 4. Try with my_shapes.")
    return right(f"a batch of {most + 1} is refused, and the sentence names the range and two cures.")


# --- 02: a picture that stays fresh --------------------------------------------------------------


def fresh_picture(
    policy: str | None, work_s: float, ages: Sequence[float], dropped: int, fps: float = 30.0
) -> Verdict:
    """Notebook 02: the loop is slower than the camera, and what it shows is still fresh.

    Args:
        policy: "latest" or "every".
        work_s: seconds of work on each frame.
        ages: seconds from capture to the end of the work, of each frame shown, in order.
        dropped: frames thrown away.
        fps: of the camera.
    """
    if policy is None:
        return missing("choose my_policy and my_work_s, then run the two cells again.")
    if policy not in ("latest", "every"):
        return wrong(f"there is no policy {policy!r}; there are 'latest' and 'every'.")
    step = 1 / fps
    if work_s < 2 * step:
        return wrong(
            f"{work_s * 1e3:.0f} ms of work is not slow: the camera gives a frame every {step * 1e3:.0f} ms. "
            "Take twice that or more."
        )
    if len(ages) < 5:
        return wrong(f"only {len(ages)} frames were shown; run longer or work less on each.")
    last = float(np.median(ages[-5:]))
    if last > work_s + 3 * step:
        return wrong(
            f"at the end the picture is {last:.2f} s old, and the work is {work_s:.2f} s of that: the rest "
            "was spent waiting in a queue. Which policy keeps no queue?"
        )
    if not dropped:
        return wrong("no frame was dropped, so the loop was not too slow for the camera after all.")
    return right(
        f"{dropped} frames were dropped, and what is shown is {last * 1e3:.0f} ms old: the work itself and "
        "the wait for one frame. It did not grow."
    )


# --- 03: non-maximum suppression -----------------------------------------------------------------

Nms = Callable[[NDArray[np.float32], NDArray[np.float32], float], Any]

_CASES: dict[str, tuple[list[list[float]], list[float], float]] = {
    "one box": ([[0, 0, 10, 10]], [0.9], 0.5),
    "two boxes apart": ([[0, 0, 10, 10], [20, 20, 30, 30]], [0.9, 0.8], 0.5),
    "the same box twice": ([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8], 0.5),
    "the better box given last": ([[0, 0, 10, 10], [1, 0, 11, 10]], [0.3, 0.8], 0.5),
    "two boxes that touch at a corner": ([[0, 0, 10, 10], [10, 10, 20, 20]], [0.9, 0.8], 0.01),
    "an overlap just below the limit": ([[0, 0, 10, 10], [5, 0, 15, 10]], [0.9, 0.8], 0.34),
    "an overlap just above the limit": ([[0, 0, 10, 10], [5, 0, 15, 10]], [0.9, 0.8], 0.33),
    "a chain, whose middle is dropped and so spares the last": (
        [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]],
        [0.9, 0.8, 0.7],
        0.3,
    ),
    "boxes apart in height only": ([[0, 0, 10, 10], [0, 30, 10, 40]], [0.9, 0.8], 0.1),
}


def own_nms(function: Nms) -> Verdict:
    """Notebook 03: `function(xyxy, score, iou)` gives the indices that the kit's own `nms` gives."""
    cases = {name: _arrays(*case) for name, case in _CASES.items()}
    rng = np.random.default_rng(0)
    corner, side = rng.uniform(0, 300, (200, 2)), rng.uniform(20, 120, (200, 2))
    many = np.hstack([corner, corner + side]).astype(np.float32)
    cases["200 boxes at random"] = (many, (rng.permutation(200) / 200).astype(np.float32), 0.45)
    cases["no boxes"] = _arrays([], [], 0.5)
    for name, (xyxy, score, iou) in cases.items():
        wanted = nms(xyxy, score, iou=iou)
        try:
            got = function(xyxy.copy(), score.copy(), iou)
        except Exception as error:
            return wrong(f"with {name}, my_nms stopped: {type(error).__name__}: {error}")
        if got is None:
            return missing("my_nms returns nothing; write its ten lines.")
        if np.asarray(got).dtype == bool:
            return wrong("my_nms returned a mask of true and false; a list of indices is wanted.")
        try:
            kept = np.asarray(got, np.int64).reshape(-1)
        except (TypeError, ValueError):
            return wrong(f"with {name}, my_nms returned {got!r}; a list of indices is wanted.")
        if set(kept.tolist()) != set(wanted.tolist()) or len(kept) != len(wanted):
            return wrong(f"{name}, iou={iou}: {_difference(kept, wanted)}")
        if kept.tolist() != wanted.tolist():
            return wrong(f"{name}: the right boxes, in the wrong order; the best score comes first.")
    return right(f"my_nms keeps what the kit's nms keeps, in all {len(cases)} cases.")


def _arrays(
    boxes: list[list[float]], score: list[float], iou: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(score, np.float32), iou


def _difference(kept: NDArray[np.int64], wanted: NDArray[np.int64]) -> str:
    if len(wanted) <= 5:
        return f"my_nms kept {kept.tolist()}, and {wanted.tolist()} is right."
    too_many, lost = set(kept.tolist()) - set(wanted.tolist()), set(wanted.tolist()) - set(kept.tolist())
    return f"my_nms kept {len(too_many)} boxes that must go and lost {len(lost)} that must stay."
