"""The output layouts of the YOLO family: how each is recognised, prepared for and decoded.

| head     | output                | meaning                                            |
|----------|-----------------------|----------------------------------------------------|
| yolov8   | [B, 4+nc, A] (or turned) | xywh, class scores; v8, 11 and what follows them |
| yolov5   | [B, A, 5+nc]          | xywh, objectness, class scores                     |
| darknet  | [B, A, 5+nc]          | as yolov5; v3, v3-SPP, v4, letterboxed as Darknet  |
| yolox    | [B, A, 5+nc]          | offsets and log sizes on a grid, objectness, class |
| end2end  | [B, N, 6]             | xyxy, score, class, already without doubles        |

B pictures, A anchors, nc classes; xywh is centre and size in pixels of the network's input.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.models.coco import COCO80

STRIDES = (8, 16, 32)
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


def cells(size: tuple[int, int]) -> int:
    """Grid cells of an input of (height, width) over the strides 8, 16 and 32."""
    return sum((size[0] // s) * (size[1] // s) for s in STRIDES)


def class_names(metadata: Mapping[str, str], classes: int) -> tuple[str, ...]:
    """Names in the file's notes (`{0: 'person', …}`), COCO's for 80 classes, or none."""
    if text := metadata.get("names"):
        try:
            names = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise InputError(f"the model's note 'names' is no Python list or dict: {text[:60]!r}.") from error
        if isinstance(names, Mapping):
            return tuple(str(names.get(i, f"class{i}")) for i in range(max(names, default=-1) + 1))
        return tuple(str(name) for name in names)
    return COCO80 if classes == 80 else ()


def pick_output(outputs: Sequence[TensorSpec]) -> TensorSpec:
    """The one output with boxes: the first of three axes (some exports add raw maps of more axes)."""
    for spec in outputs:
        if len(spec.shape) == 3:
            return spec
    listed = ", ".join(map(str, outputs))
    raise InputError(f"this is no YOLO the kit knows: no output has three axes; it has {listed}.")


def recognise(
    output: TensorSpec, size: tuple[int, int], metadata: Mapping[str, str], wanted: str = "auto"
) -> Head:
    """The head of a model, from its notes and the shape of its output.

    Raises:
        InputError: `wanted` is unknown, or the shape fits no head or more than one.
    """
    if wanted == "auto":
        wanted = metadata.get("recipe", "auto")
    if wanted in HEADS:
        return HEADS[wanted]
    if wanted != "auto":
        raise InputError(f"head {wanted!r} is unknown; choose one of auto, {', '.join(HEADS)}.")
    name = _by_shape(output.shape[1], output.shape[2], cells(size), metadata)
    if name is None:
        raise InputError(
            f"output {output} fits no single YOLO head for an input of {size[0]}×{size[1]}; "
            f"name it with head= (or --head): {', '.join(HEADS)}."
        )
    return HEADS[name]


def _by_shape(rows: int | None, columns: int | None, grid: int, metadata: Mapping[str, str]) -> str | None:
    classes = len(class_names(metadata, 0))
    if columns == 6 and rows is not None and rows <= 1000 and rows not in (grid, 3 * grid):
        return "end2end"
    if columns == grid or (columns is None and rows is not None):
        return "yolov8"
    if rows == 3 * grid:
        return "yolov5"
    if rows == grid or rows is None:  # one box a cell: YOLOX, or a v8 turned on its side
        if columns is not None and (columns == 4 + classes or (not classes and columns == 84)):
            return "yolov8"
        if (
            columns is not None
            and rows is not None
            and (columns == 5 + classes or (not classes and columns == 85))
        ):
            return "yolox"
    return None


def channels_first(output: TensorSpec, head: Head, size: tuple[int, int]) -> bool:
    """Whether a yolov8 output is [4+nc, A] (the usual way) and not turned on its side."""
    rows, columns = output.shape[1], output.shape[2]
    if rows is None or columns is None:
        return columns is None
    return rows != cells(size) if cells(size) in (rows, columns) else rows < columns


def class_count(output: TensorSpec, head: Head, first: bool) -> int | None:
    """Number of classes, or None where the output does not say (end2end)."""
    if head.name == "end2end":
        return None
    axis = output.shape[1] if head.name == "yolov8" and first else output.shape[2]
    return None if axis is None else axis - (4 if head.name == "yolov8" else 5)


def decode(
    head: Head, output: NDArray, size: tuple[int, int], threshold: float, first: bool = True
) -> Candidates:
    """Boxes of one picture whose score passes `threshold`, before NMS.

    Args:
        output: one picture's part of the network's output, [4+nc, A], [A, 5+nc] or [N, 6].
        size: (height, width) of the network's input.
        threshold: lowest score; the best class of a box counts.
        first: see `channels_first`.
    """
    if head.name == "end2end":
        keep = output[:, 4] > threshold
        rows = output[keep].astype(np.float32)
        return _finite(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
    if head.name == "yolov8":
        return _class_scores(output if first else output.T, threshold)
    return _objectness(output, threshold, _grid(size) if head.name == "yolox" else None)


def _class_scores(output: NDArray, threshold: float) -> Candidates:
    """[4+nc, A]: the best class above the threshold. Only boxes that pass are copied."""
    scores = output[4:]
    passing = np.flatnonzero(scores.max(axis=0) > threshold)
    few = scores[:, passing]
    label = few.argmax(axis=0)
    score = few[label, np.arange(len(passing))].astype(np.float32)
    return _finite(_corners(output[:4, passing].T.astype(np.float32)), score, label)


def _objectness(output: NDArray, threshold: float, grid: tuple[NDArray, NDArray] | None) -> Candidates:
    """[A, 5+nc]: objectness × best class; on a grid, centres and sizes are decoded here."""
    passing = np.flatnonzero(output[:, 4] > threshold)  # a product of probabilities cannot pass otherwise
    rows = output[passing].astype(np.float32)
    scores = rows[:, 5:] * rows[:, 4:5]
    label = scores.argmax(axis=1)
    score = scores[np.arange(len(rows)), label]
    keep = score > threshold
    rows, passing = rows[keep], passing[keep]
    xywh = rows[:, :4]
    if grid is not None:
        corner, stride = grid[0][passing], grid[1][passing, None]
        xywh = np.hstack([(xywh[:, :2] + corner) * stride, np.exp(xywh[:, 2:]) * stride])
    return _finite(_corners(xywh), score[keep], label[keep])


@lru_cache(maxsize=8)
def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell (x, y) float32 [A, 2] and stride float32 [A] of each anchor, YOLOX's order."""
    corners, strides = [], []
    for stride in STRIDES:
        ys, xs = np.mgrid[: size[0] // stride, : size[1] // stride]
        corners.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        strides.append(np.full(xs.size, stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _corners(xywh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and size → left, top, right, bottom."""
    half = xywh[:, 2:] / 2
    return np.hstack([xywh[:, :2] - half, xywh[:, :2] + half])


def _finite(xyxy: NDArray[np.float32], score: NDArray[np.float32], label: NDArray[np.int64]) -> Candidates:
    """Without boxes that an overflow made NaN, infinite or turned inside out."""
    good = np.isfinite(xyxy).all(axis=1) & np.isfinite(score) & (xyxy[:, 2:] >= xyxy[:, :2]).all(axis=1)
    if good.all():
        return xyxy, score, label
    return xyxy[good], score[good], label[good]
