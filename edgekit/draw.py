"""Draw results on a copy of the frame's picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.results import Actions, Detections, Frame, Poses, Result

#: BGR; Okabe and Ito's palette, told apart by colour-blind readers too (jfly.uni-koeln.de/color).
PALETTE = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
)
FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Pixels from the corner beyond which no keypoint is drawn.
FARTHEST = 30_000


def draw(frame: Frame, result: Result, side: int = 0) -> NDArray[np.uint8]:
    """The frame's picture with the result on it: uint8 [H, W, 3] BGR, a copy.

    Args:
        frame: the picture.
        result: of that frame, in its pixels.
        side: shrink the picture first, so that its longer side has at most `side` pixels; 0: as it is.
    """
    scale = min(1.0, side / max(frame.width, frame.height)) if side else 1.0
    canvas = frame.image.copy() if scale == 1.0 else _shrunk(frame.image, scale)
    if isinstance(result, Detections):
        for row in range(len(result)):
            shade = result.label if result.track_id is None else result.track_id
            words = f"{result.name(row)} {result.score[row]:.2f}"
            if result.track_id is not None:
                words = f"#{result.track_id[row]} {words}"
            _box(canvas, result.xyxy[row] * scale, PALETTE[int(shade[row]) % len(PALETTE)], words)
    elif isinstance(result, Poses):
        _poses(canvas, result, scale)
    elif isinstance(result, Actions):
        whole = np.array([0, 0, frame.width - 1, frame.height - 1])
        numbers = range(len(result)) if result.track_id is None else result.track_id.tolist()
        for row, number in enumerate(numbers):
            words = ", ".join(f"{name} {score:.2f}" for name, score in result.best(row))
            if result.track_id is not None:
                words = f"#{number} {words}".rstrip()
            box = whole if result.xyxy is None else result.xyxy[row]
            _box(canvas, box * scale, PALETTE[number % len(PALETTE)], words)
    return canvas


def _shrunk(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    # Averaging over areas keeps thin lines; above half size it gains nothing over the faster way.
    shrunk: NDArray[np.uint8] = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
    )
    return shrunk


def _thickness(canvas: NDArray) -> int:
    return max(1, round(min(canvas.shape[:2]) / 300))


def _box(canvas: NDArray, xyxy: NDArray, colour: tuple[int, int, int], words: str) -> None:
    """A rectangle with its words on a filled tag above it, or inside where there is no room above."""
    line = _thickness(canvas)
    left, top, right, bottom = (round(float(v)) for v in xyxy)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, line)
    if not words:
        return
    size = 0.3 + 0.15 * line
    (width, height), below = cv2.getTextSize(words, FONT, size, 1)
    base = top - line if top - line - height - below >= 0 else top + height + below
    left = max(0, min(left, canvas.shape[1] - width))
    cv2.rectangle(canvas, (left, base - height - below), (left + width, base), colour, cv2.FILLED)
    cv2.putText(canvas, words, (left, base - below + 1), FONT, size, (0, 0, 0), 1, cv2.LINE_AA)


def _poses(canvas: NDArray, poses: Poses, scale: float) -> None:
    """Each skeleton in a colour of its own: the limbs whose two ends were found, then the points."""
    line = _thickness(canvas)
    points = poses.keypoints[..., :2] * scale
    # Far outside the picture OpenCV's whole numbers overflow; a limb that long is no limb.
    found = (poses.keypoints[..., 2] > poses.threshold) & (np.abs(points) < FARTHEST).all(axis=2)
    at = np.round(np.where(found[..., None], points, 0)).astype(int)
    for row in range(len(poses)):
        shade = row if poses.track_id is None else int(poses.track_id[row])
        colour, seen, where = PALETTE[shade % len(PALETTE)], found[row].tolist(), at[row].tolist()
        # People far away are drawn finer, or the points would cover them.
        extent = np.ptp(at[row, found[row]], axis=0).max(initial=0) if any(seen) else 0
        wide = int(max(1, min(2 * line, extent / 30)))
        for a, b in poses.skeleton:
            if seen[a] and seen[b]:
                cv2.line(canvas, where[a], where[b], colour, wide, cv2.LINE_AA)
        for point, shown in zip(where, seen, strict=True):
            if shown:
                cv2.circle(canvas, point, wide, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        if poses.track_id is not None and found[row].any():
            left, top = at[row, found[row]].min(axis=0).tolist()
            size = 0.3 + 0.15 * line
            cv2.putText(canvas, f"#{shade}", (left, top - 4 * line), FONT, size, colour, 1, cv2.LINE_AA)
