"""The self-checks of the course: right answers pass, wrong ones are told what is wrong, none is no error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.checks import Verdict, csi_camera, csi_stopper, dynamic_batch, fresh_picture, own_nms
from edgekit.device import describe
from edgekit.doctor import Check, Checks
from edgekit.engine.shapes import check_within
from edgekit.errors import InputError
from edgekit.ops.nms import nms

OPEN_GST = "sudo apt install nvidia-l4t-gstreamer nvidia-l4t-camera"


def report(jetson: bool, gst: str = "ok", cameras: str = "ok", seen: str = "vi-output (CSI)") -> Checks:
    device = replace(describe(), is_jetson=jetson)
    lines = [
        Check("board", "ok", "a board"),
        Check("OpenCV", "warning", "GStreamer NO", "none"),
        Check("GStreamer", gst, "as it is", "" if gst == "ok" else OPEN_GST),
        Check("cameras", cameras, seen, "" if cameras == "ok" else "sudo usermod -aG video $USER"),
    ]
    return Checks(lines, device)


LAPTOP, GOOD = report(False), report(True)
NO_GST = report(True, gst="warning")
NO_RIGHT = report(True, cameras="bad")
NO_CSI = report(True, cameras="warning", seen="none")


@pytest.mark.parametrize(
    ("machine", "line", "cure"),
    [
        (LAPTOP, "board", "take a Jetson"),
        (LAPTOP, " Board ", "a JETSON with a CSI connector"),
        (NO_GST, "gstreamer", "apt install nvidia-l4t-gstreamer"),
        (NO_RIGHT, "cameras", "sudo usermod -aG video me"),
        (NO_CSI, "cameras", "push the cable in again"),
        (GOOD, "nothing", None),
    ],
)
def test_csi_right(machine: Checks, line: str, cure: str | None) -> None:
    assert csi_camera(machine, line, cure), csi_camera(machine, line, cure)


@pytest.mark.parametrize(
    ("machine", "line", "cure", "said"),
    [
        (LAPTOP, "GPU", "", "no line 'GPU'; the lines are board, OpenCV"),
        (LAPTOP, "OpenCV", "", "trap"),
        (LAPTOP, "GStreamer", "apt", "connector for the ribbon cable"),
        (LAPTOP, "nothing", "", "nothing would not stop it here"),
        (LAPTOP, "board", "buy a bigger laptop", "does not cure it"),
        (NO_GST, "GStreamer", "reboot", "does not cure it"),
        (NO_GST, "cameras", "", "What carries the picture"),
        (GOOD, "GStreamer", "", "are they green"),
    ],
)
def test_csi_wrong(machine: Checks, line: str, cure: str, said: str) -> None:
    verdict = csi_camera(machine, line, cure)
    assert verdict.head == "Not right"
    assert said in verdict.words


@pytest.mark.parametrize(("line", "cure"), [(None, None), ("", "x"), ("board", None), ("board", "")])
def test_csi_missing(line: str | None, cure: str | None) -> None:
    assert csi_camera(LAPTOP, line, cure).head == "Not yet"


def test_the_real_doctor_has_the_lines_that_the_check_reads() -> None:
    from edgekit.doctor import checks

    found = checks()
    line, cure, keys = csi_stopper(found)
    assert line == "nothing" or line in [check.name for check in found]
    assert csi_camera(found, line, cure)
    assert all(key in cure.lower() for key in keys[:1])


def shape(batch: int) -> tuple[int, ...]:
    return (batch, 3, 416, 416)


SHAPES = {"images": (shape(1), shape(2), shape(4))}


def refusal(batch: int = 5, least: int = 1, most: int = 4) -> str:
    with pytest.raises(InputError) as caught:
        check_within("images", shape(batch), shape(least), shape(most), "the plan x.plan")
    return str(caught.value)


def test_batch_right() -> None:
    assert dynamic_batch(SHAPES, refusal())
    assert dynamic_batch({"images": [list(shape(1)), list(shape(4)), list(shape(4))]}, "Error: " + refusal())


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"image": SHAPES["images"]}, "called 'images'; my_shapes names image"),
        ({"images": (shape(1), shape(4))}, "must be one shape or (min, opt, max)"),
        ({"images": (1, 2, 4)}, "the smallest shape is (1, 2, 4)"),
        ({"images": ((1, 3, 640, 640), shape(2), shape(4))}, "must be (batch, 3, 416, 416)"),
        ({"images": (shape(2), shape(2), shape(4))}, "a single picture is refused"),
        ({"images": (shape(1), shape(2), shape(5))}, "the largest batch is 5; it must be 4"),
        ({"images": shape(4)}, "the smallest batch is 4"),
        ({"images": (shape(1), shape(8), shape(4))}, "the usual batch is 8"),
    ],
)
def test_batch_wrong_shapes(shapes: dict, said: str) -> None:
    verdict = dynamic_batch(shapes, refusal())
    assert verdict.head == "Not right"
    assert said in verdict.words


def test_batch_wrong_message() -> None:
    assert "not what a batch of 5 is told" in dynamic_batch(SHAPES, "it is refused").words
    assert "not what a batch of 5 is told" in dynamic_batch(SHAPES, refusal(6)).words
    assert "another plan" in dynamic_batch(SHAPES, refusal(5, 1, 2)).words


def test_batch_missing() -> None:
    assert dynamic_batch(None, "").head == "Not yet"
    assert dynamic_batch(SHAPES, "").head == "Not yet"
    assert "shapes are right" in dynamic_batch(SHAPES, None).words


FRESH, STALE = [0.12] * 20, [0.1 * i for i in range(20)]


def test_fresh_right() -> None:
    assert fresh_picture("latest", 0.1, FRESH, 40)


@pytest.mark.parametrize(
    ("policy", "work", "ages", "dropped", "said"),
    [
        ("newest", 0.1, FRESH, 40, "no policy 'newest'"),
        ("latest", 0.01, FRESH, 0, "10 ms of work is not slow"),
        ("latest", 0.1, FRESH[:3], 40, "only 3 frames"),
        ("every", 0.1, STALE, 0, "1.70 s old"),
        ("latest", 0.1, FRESH, 0, "no frame was dropped"),
    ],
)
def test_fresh_wrong(policy: str, work: float, ages: list[float], dropped: int, said: str) -> None:
    verdict = fresh_picture(policy, work, ages, dropped)
    assert verdict.head == "Not right"
    assert said in verdict.words


def test_fresh_missing() -> None:
    assert fresh_picture(None, 0.0, [], 0).head == "Not yet"


def plain_nms(xyxy: np.ndarray, score: np.ndarray, iou: float) -> list[int]:
    """What a student would write."""
    left, kept = list(np.argsort(-score)), []
    while left:
        best, left = left[0], left[1:]
        kept.append(int(best))
        spared = []
        for other in left:
            low = np.maximum(xyxy[best, :2], xyxy[other, :2])
            high = np.minimum(xyxy[best, 2:], xyxy[other, 2:])
            common = np.prod(np.maximum(high - low, 0))
            areas = [np.prod(xyxy[i, 2:] - xyxy[i, :2]) for i in (best, other)]
            if common / (sum(areas) - common) <= iou:
                spared.append(other)
        left = spared
    return kept


def signed_overlap(xyxy: np.ndarray, score: np.ndarray, iou: float) -> list[int]:
    """Forgets that boxes apart have no overlap: two negative sides make a positive area."""

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        common = np.prod(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))
        return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))

    left, kept = list(np.argsort(-score)), []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        left = [other for other in left if overlap(xyxy[best], xyxy[other]) <= iou]
    return kept


def test_nms_right() -> None:
    assert own_nms(plain_nms), own_nms(plain_nms)
    assert own_nms(lambda xyxy, score, iou: nms(xyxy, score, iou=iou))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda xyxy, score, iou: np.argsort(-score), "the same box twice"),
        (lambda xyxy, score, iou: [0], "two boxes apart"),
        (lambda xyxy, score, iou: plain_nms(xyxy, -score, iou), "wrong order"),
        (lambda xyxy, score, iou: plain_nms(xyxy, score, 0.5), "limit"),
        (lambda xyxy, score, iou: xyxy[99], "IndexError"),
        (lambda xyxy, score, iou: xyxy[:, 0] > 5, "a mask"),
        (lambda xyxy, score, iou: ["first"], "a list of indices"),
        (signed_overlap, "two boxes apart"),
    ],
)
def test_nms_wrong(function, said: str) -> None:
    verdict = own_nms(function)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_nms_missing() -> None:
    assert own_nms(lambda xyxy, score, iou: None).head == "Not yet"


def test_a_verdict_is_readable_everywhere() -> None:
    verdict = Verdict("Not right", "1 < 2 & so on")
    assert not verdict
    assert repr(verdict) == "Not right: 1 < 2 & so on"
    assert "1 &lt; 2 &amp; so on" in verdict._repr_html_()
