"""The output layouts of the YOLO family: how each is recognised, prepared for and decoded.

| head     | output                   | meaning                                                      |
|----------|--------------------------|--------------------------------------------------------------|
| yolov8   | [B, 4+nc, A] (or turned) | xywh, class scores: v8, 11 and what follows them             |
| yolov5   | [B, A, 5+nc]             | xywh, objectness, class scores                               |
| darknet  | [B, A, 5+nc]             | as yolov5: v3, v3-SPP, v4, letterboxed as Darknet's pictures |
| yolox    | [B, A, 5+nc]             | offsets and log sizes on a grid, objectness, class scores    |
| end2end  | [B, N, 6]                | xyxy, score, class, already without doubles: v10, 26         |
| grafted  | [B, k, 7]                | xyxy, score, class, anchor: any but end2end (`engine.graft`) |

B pictures, A anchors, nc classes; xywh is centre and size in pixels of the network's input.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.errors import InputError

#: Strides of the usual networks, the tiny ones, and those with a finer (P2) or coarser (P6) map.
STRIDE_SETS = ((8, 16, 32), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
END2END_MOST = 1000  # rows of an end-to-end output: 300 by default, never thousands
#: xyxy float32 [n, 4] in pixels of the network's input, score float32 [n], label int64 [n]
Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Head:
    """How pictures go in and boxes come out.

    Attributes:
        name: as in the table above.
        style: of the letterbox (`edgekit.ops.letterbox`).
        rgb, unit: channel order RGB, and bytes divided by 255.
        nms: whether doubles must still be removed.
    """

    name: str
    style: str = "ultralytics"
    rgb: bool = True
    unit: bool = True
    nms: bool = True


HEADS = {
    "yolov8": Head("yolov8"),
    "yolov5": Head("yolov5"),
    "darknet": Head("darknet", style="darknet"),
    "yolox": Head("yolox", style="yolox", rgb=False, unit=False),
    "end2end": Head("end2end", nms=False),
}


def cells(size: tuple[int, int], strides: Sequence[int] = STRIDE_SETS[0]) -> int:
    """Grid cells of an input of (height, width) over `strides`."""
    return sum((size[0] // s) * (size[1] // s) for s in strides)


def strides_of(anchors: int | None, size: tuple[int, int], per_cell: int = 1) -> tuple[int, ...] | None:
    """The strides whose grids have `anchors` boxes at `per_cell` a cell, or None if no usual set does."""
    for strides in STRIDE_SETS:
        if anchors == per_cell * cells(size, strides):
            return strides
    return None


def pick_output(outputs: Sequence[TensorSpec]) -> TensorSpec:
    """The one output with boxes: the first of three axes (some exports add raw maps of more axes)."""
    for spec in outputs:
        if len(spec.shape) == 3:
            return spec
    listed = ", ".join(map(str, outputs))
    raise InputError(f"this is no YOLO the kit knows: no output has three axes; it has {listed}.")


def recognise(
    output: TensorSpec,
    size: tuple[int, int],
    metadata: Mapping[str, str],
    wanted: str = "auto",
    classes: int = 0,
) -> Head:
    """The head of a model, from its notes and the shape of its output.

    Args:
        output: the output with boxes; a dynamic axis is None.
        size: (height, width) of the input.
        metadata: the model's notes: `recipe` names the head; `task` other than detect is refused.
        wanted: "auto" or a name of `HEADS`.
        classes: number of class names known, 0 if none.

    Raises:
        InputError: `wanted` is unknown, the model is not a detector, or the shape fits no single head.
    """
    if (task := metadata.get("task", "detect")) != "detect":
        raise InputError(f"this model is made for {task!r}; the YOLO task reads detectors only.")
    if wanted == "auto":
        wanted = metadata.get("recipe", "auto")
    if wanted in HEADS:
        return HEADS[wanted]
    if wanted != "auto":
        raise InputError(f"head {wanted!r} is unknown; choose one of auto, {', '.join(HEADS)}.")
    name = _by_shape(output.shape[1], output.shape[2], size, metadata, classes)
    if name is None:
        raise InputError(
            f"output {output} fits no single YOLO head for an input of {size[0]}×{size[1]}; "
            f"name it with head= (or --head): {', '.join(HEADS)}."
        )
    return HEADS[name]


def _by_shape(
    rows: int | None, columns: int | None, size: tuple[int, int], metadata: Mapping[str, str], classes: int
) -> str | None:
    one, three = strides_of(rows, size), strides_of(rows, size, per_cell=3)
    if rows is not None and not one and not three:  # rows are no anchors
        if columns == 6 and rows <= END2END_MOST:
            return "end2end"
        known = columns is None or strides_of(columns, size) or (rows == 4 + classes and columns > rows)
        return "yolov8" if known and rows > 4 else None
    if three:
        return "darknet" if _like_darknet(three, size, metadata) else "yolov5"
    # One box a cell: YOLOX, or a v8 turned on its side; where the anchors are open, v5 too.
    if columns == 4 + (classes or 80):
        return "yolov8"
    if columns == 5 + (classes or 80):
        return "yolox" if one else "yolov5" if "stride" in metadata else None
    return None


def _like_darknet(strides: tuple[int, ...], size: tuple[int, int], metadata: Mapping[str, str]) -> bool:
    """Three anchors a cell, no notes as v5's export writes them, and v3-SPP's size or tiny's two maps."""
    return "stride" not in metadata and (size == (608, 608) or len(strides) == 2)


def channels_first(output: TensorSpec, size: tuple[int, int]) -> bool:
    """Whether a yolov8 output is [4+nc, A] (the usual way) and not turned on its side."""
    rows, columns = output.shape[1], output.shape[2]
    if rows is None or columns is None:
        return columns is None
    if strides_of(columns, size):
        return True
    return not strides_of(rows, size) and rows < columns


def class_count(output: TensorSpec, head: Head, first: bool) -> int | None:
    """Number of classes, or None where the output does not say.

    Raises:
        InputError: the output has too few columns for this head.
    """
    axis = output.shape[1] if head.name == "yolov8" and first else output.shape[2]
    if head.name == "end2end":
        if axis not in (6, None):
            raise InputError(f"output {output} is no end2end head: that has 6 columns.")
        return None
    if axis is None:
        return None
    count = axis - (4 if head.name == "yolov8" else 5)
    if count < 1:
        raise InputError(f"output {output} has no room for class scores in a {head.name} head.")
    return count


def decode(
    head: Head, output: NDArray, size: tuple[int, int], threshold: float, first: bool = True
) -> Candidates:
    """Boxes of one picture whose score passes `threshold`, before NMS; none with NaN or infinity.

    Args:
        output: one picture's part of the network's output, [4+nc, A], [A, 5+nc], [N, 6] or [k, 7].
        size: (height, width) of the network's input.
        threshold: scores must be above it; the best class of a box counts.
        first: see `channels_first`.

    Raises:
        InputError: a YOLOX output does not have the anchors of this size.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if head.name == "grafted":
            output = _in_order(output, threshold)
        if head.name in ("grafted", "end2end"):
            return _finite(*_rows(output, threshold))
        if head.name == "yolov8":
            return _finite(*_class_scores(output if first else output.T, threshold))
        grid = anchor_grid(size, len(output)) if head.name == "yolox" else None
        return _finite(*_objectness(output, threshold, grid))


def _in_order(output: NDArray, threshold: float) -> NDArray:
    """[k, 7]: those that pass, in the order of the anchors, which decides between equal scores."""
    rows = output[output[:, 4] > threshold]
    if len(rows) == len(output) and (rows[:, 6] >= len(rows)).any():  # there are more anchors than rows
        warnings.warn(
            f"all {len(rows)} rows of the grafted network pass the lowest score, so weaker boxes may be "
            "missing: raise the score, or graft it with more --rows.",
            RuntimeWarning,
            stacklevel=2,
        )
    return rows[np.argsort(rows[:, 6], kind="stable")]


def _rows(output: NDArray, threshold: float) -> Candidates:
    """[N, 6]: finished boxes."""
    rows = output[output[:, 4] > threshold].astype(np.float32)
    rows = rows[np.isfinite(rows[:, 5])]
    return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64)


def _class_scores(output: NDArray, threshold: float) -> Candidates:
    """[4+nc, A]: the best class, where above the threshold. Only boxes that pass are copied."""
    passing = np.flatnonzero(_above(output[4:], threshold))
    few = output[:, passing].astype(np.float32, copy=False)
    label = few[4:].argmax(axis=0)
    return _corners(few[:4].T), few[4:][label, np.arange(len(passing))], label


def _above(scores: NDArray, threshold: float) -> NDArray[np.bool_]:
    """bool [A]: which columns of scores [nc, A] have one above the threshold."""
    if scores.dtype != np.float16:
        return scores.max(axis=0) > threshold
    # NumPy computes in float16 very slowly. Above zero, the bits of a float16 read as int16 rise with it.
    near = np.float16(threshold)
    below = near if float(near) <= threshold else np.nextafter(near, np.float16(-1))
    return scores.view(np.int16).max(axis=0) > below.view(np.int16)


def _objectness(output: NDArray, threshold: float, grid: tuple[NDArray, NDArray] | None) -> Candidates:
    """[A, 5+nc]: objectness × best class; on a grid, centres and sizes are decoded here."""
    passing = np.flatnonzero(output[:, 4] > threshold)  # a product of probabilities cannot pass otherwise
    rows = output[passing].astype(np.float32, copy=False)
    scores = rows[:, 5:] * rows[:, 4:5]
    label = scores.argmax(axis=1)
    score = scores[np.arange(len(rows)), label]
    keep = score > threshold
    rows, passing = rows[keep], passing[keep]
    xywh = rows[:, :4]
    if grid is not None:
        corner, stride = grid[0][passing], grid[1][passing, None]
        xywh = np.hstack([(xywh[:, :2] + corner) * stride, np.exp(xywh[:, 2:]) * stride])
    return _corners(xywh), score[keep], label[keep]


@lru_cache(maxsize=8)
def anchor_grid(size: tuple[int, int], anchors: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell (x, y) float32 [A, 2] and stride float32 [A] of each anchor, YOLOX's order."""
    corners, steps = [], []
    for stride in anchor_strides(size, anchors):
        ys, xs = np.mgrid[: size[0] // stride, : size[1] // stride]
        corners.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        steps.append(np.full(xs.size, stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(steps).astype(np.float32)


def anchor_strides(size: tuple[int, int], anchors: int) -> tuple[int, ...]:
    """The strides of a YOLOX's grids.

    Raises:
        InputError: no usual ones have so many anchors.
    """
    strides = strides_of(anchors, size)
    if strides is None:
        raise InputError(
            f"a YOLOX of input {size[0]}×{size[1]} has {cells(size)} anchors; this output has {anchors}."
        )
    return strides


def _corners(xywh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and size → left, top, right, bottom."""
    half = xywh[:, 2:] / 2
    return np.hstack([xywh[:, :2] - half, xywh[:, :2] + half])


def _finite(xyxy: NDArray[np.float32], score: NDArray[np.float32], label: NDArray[np.int64]) -> Candidates:
    """Without boxes that are NaN, infinite, turned inside out, or of a class below 0."""
    good = np.isfinite(xyxy).all(axis=1) & np.isfinite(score) & (label >= 0)
    good &= (xyxy[:, 2:] >= xyxy[:, :2]).all(axis=1)
    if good.all():
        return xyxy, score, label
    return xyxy[good], score[good], label[good]
