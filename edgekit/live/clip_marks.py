"""What stands on the picture while a clip is recorded: 3-2-1, a red dot, the seconds left."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.draw import draw
from edgekit.live.clip_take import Mark
from edgekit.results import Detections, Frame

FONT = cv2.FONT_HERSHEY_DUPLEX
#: BGR.
WHITE, DARK, RED, BLUE = (255, 255, 255), (24, 24, 24), (54, 54, 230), (233, 180, 86)
SMOOTH = cv2.LINE_AA


def marked(image: NDArray[np.uint8], mark: Mark | None, side: int) -> NDArray[np.uint8]:
    """A copy of the picture, its longer side of `side` pixels at most, with the mark on it."""
    canvas = draw(Frame(image), Detections(), side)
    if mark is None:
        return canvas
    if mark.kind == "countdown":
        _count(canvas, mark)
    else:
        _tag(canvas, mark, RED if mark.kind == "recording" else BLUE)
    return canvas


def _count(canvas: NDArray[np.uint8], mark: Mark) -> None:
    """The second in the middle, in a ring that closes while the countdown runs."""
    height, width = canvas.shape[:2]
    radius = max(12, round(0.2 * min(height, width)))
    centre = width // 2, height // 2
    line = max(2, radius // 10)
    disc = canvas.copy()
    cv2.circle(disc, centre, radius + 2 * line, DARK, -1, SMOOTH)
    cv2.addWeighted(disc, 0.6, canvas, 0.4, 0, canvas)
    done = 1 - mark.left / mark.whole if mark.whole else 1.0
    cv2.ellipse(canvas, centre, (radius, radius), -90, 0, 360 * done, WHITE, line, SMOOTH)
    text = str(max(1, math.ceil(mark.left)))
    size, thick = radius / 20, max(2, radius // 12)
    (across, up), _ = cv2.getTextSize(text, FONT, size, thick)
    place = centre[0] - across // 2, centre[1] + up // 2
    cv2.putText(canvas, text, place, FONT, size, WHITE, thick, SMOOTH)


def _tag(canvas: NDArray[np.uint8], mark: Mark, colour: tuple[int, int, int]) -> None:
    """A dot (or a triangle) with the seconds left at the top, and a bar that grows at the bottom."""
    height, width = canvas.shape[:2]
    unit = max(4, round(min(height, width) / 45))
    text = f"{max(0.0, mark.left):.1f} s"
    size, thick = unit / 11, max(1, unit // 6)
    (across, up), _ = cv2.getTextSize(text, FONT, size, thick)
    box = canvas[unit : unit * 5, unit : unit * 6 + across]
    box[:] = (box * 0.35).astype(np.uint8)
    if mark.kind == "recording":
        cv2.circle(canvas, (unit * 3, unit * 3), round(unit * 1.1), colour, -1, SMOOTH)
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), colour, max(2, unit // 2))
    else:
        corners = np.array([[2.2, 2], [2.2, 4], [4, 3]]) * unit
        cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, SMOOTH)
    place = round(unit * 4.8), unit * 3 + up // 2
    cv2.putText(canvas, text, place, FONT, size, WHITE, thick, SMOOTH)
    done = 1 - mark.left / mark.whole if mark.whole else 1.0
    cv2.rectangle(canvas, (0, height - unit), (round(width * done), height), colour, -1)
