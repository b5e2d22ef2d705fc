"""Decoding and NMS of YOLO outputs on the GPU: the CUDA twin of `yolo_heads.decode` and `edgekit.ops.nms`.

Four kernels (yolo_cuda.cu), between which nothing is read back: decode and filter, rank by score, compare
boxes with each other, sweep from the best on. The answer has a fixed size, so that a whole step can be
recorded as a CUDA graph. It is the host's to the last bit, in the same order; of YOLOX's sizes, whose exp is
another, up to 4 units in the last place.

Boxes are compared in chunks of `CHUNK`, which bounds the memory: a table of 8.9 MB a picture. An output with
more candidates than that has more launches, which end at once as long as there are fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels, Room
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.nms import largest_float32, nms

SOURCE = Path(__file__).with_name("yolo_cuda.cu")
THREADS, ANCHORS, TILE = 256, 32, 64  # as in the kernels
CHUNK = 8448  # boxes compared together: the 8400 of a 640×640 input in whole tiles
MOST_BYTES = 32 << 20  # of the table of overlaps, of all pictures of a batch; smaller chunks where it is more
MOST_BLOCKS = 528  # that compare: enough to fill a GPU, few enough to come and go quickly
MOST_LABEL = 1 << 20  # classes above are of no model
#: How the kernel reads each head, and how many columns come before the classes.
KINDS = {"yolov8": (0, 4), "yolov5": (1, 5), "darknet": (1, 5), "yolox": (1, 5), "end2end": (2, 6)}
ROOMS = ("keys", "boxes", "labels", "ranked", "marks", "over", "dead", "kept", "counts")


class CudaYolo:
    """From a network's output to rows of boxes. Owner thread only; nothing waits.

    Args:
        gpu: the thread.
        head: a name of `yolo_heads.HEADS`.
        first: of yolov8: the columns come before the anchors, [4+nc, A].
        double: remove doubles (NMS); "end2end" has none.

    Raises:
        InputError: the head is unknown.
        MissingError: no nvcc.
    """

    def __init__(self, gpu: GpuThread, head: str, first: bool = True, double: bool = True) -> None:
        if head not in KINDS:
            raise InputError(f"head {head!r} is unknown; choose one of {', '.join(KINDS)}.")
        self._gpu, self._head = gpu, head
        self._turned = head != "yolov8" or not first
        self._nms = double and head != "end2end"
        self._kernels = Kernels(SOURCE)
        self._rooms = {name: Room() for name in ROOMS}
        self._wanted = Buffer(gpu)
        self._classes: tuple[int, ...] | None = None
        self._clean = 0  # pictures whose counts are known to be 0

    def anchors(self, output: DeviceArray) -> int:
        """Boxes a picture that an output has room for."""
        return output.shape[1] if self._turned else output.shape[2]

    def enqueue(
        self,
        output: DeviceArray,
        rows: DeviceArray,
        canvas: tuple[int, int],
        *,
        score: float = 0.25,
        iou: float = 0.45,
        classes: Sequence[int] | None = None,
        agnostic: bool = False,
        strides: Sequence[int] = (),
        max_candidates: int = 30_000,
    ) -> None:
        """Start decoding.

        Args:
            output: float32 or float16 [B, 4+nc, A], [B, A, 5+nc] or [B, N, 6].
            rows: float32 [B, 1 + M, 6] to be filled for each picture, M as in `max_det`: (boxes kept, boxes
                above `score`), then left, top, right, bottom, score, class, best first; the rest is left.
            canvas: (height, width) of the network's input; YOLOX's grid needs it.
            score, iou, max_candidates: as of `decode` and `nms`; `rows` says how many are kept.
            classes: keep only these numbers.
            agnostic: let NMS drop boxes across classes.
            strides: of YOLOX's grids.

        Raises:
            InputError: the output does not fit the head.
        """
        pictures, anchors = output.shape[0], self.anchors(output)
        columns = output.shape[2] if self._turned else output.shape[1]
        kind, before = KINDS[self._head]
        if output.dtype not in (np.float32, np.float16) or columns < before + (kind != 2):
            raise InputError(f"{output.dtype} {list(output.shape)} is no output of a {self._head} head.")
        most = max(min(anchors, max_candidates) if self._nms else anchors, 1)
        max_det = rows.shape[1] - 1
        chunk = chunk_of(pictures, most)
        room = self._room(pictures, anchors, most, max_det, chunk)
        self._choose(classes)
        if self._clean < pictures:
            self._start("clear_counts", -(-2 * pictures // THREADS), room["counts"], np.int32(2 * pictures))
        self._clean = 0
        self._decode(output, anchors, columns, kind, canvas, score, strides, room)
        grid = -(-anchors // ANCHORS), pictures
        ranked = room["ranked"], room["marks"]
        found = room["keys"], room["boxes"], room["labels"]
        self._start("rank_boxes", grid, room["counts"], *map(np.int32, (anchors, most)), *found, *ranked)
        how = np.int32(agnostic), np.float32(largest_float32(iou))
        for first in range(0, most, chunk):
            part = room["counts"], *map(np.int32, (most, first, chunk, max_det))
            if self._nms and first:
                grid = -(-chunk // THREADS), pictures
                self._start("drop_boxes", grid, *part, *ranked, room["kept"], *how, room["dead"])
            if self._nms:
                grid = min((chunk // TILE) ** 2, MOST_BLOCKS), pictures
                self._start("compare_boxes", grid, *part, *ranked, *how, room["over"])
            last = np.int32(first + chunk >= most)
            over = room["over"] if self._nms else 0
            dead = room["dead"] if self._nms and first else 0
            self._start("sweep_boxes", (1, pictures), *part, last, over, dead, *ranked, room["kept"], rows)
        self._clean = pictures

    def free(self) -> None:
        for room in self._rooms.values():
            room.free()
        self._wanted.free()
        self._kernels.free()
        self._clean, self._classes = 0, None

    def _decode(
        self,
        output: DeviceArray,
        anchors: int,
        columns: int,
        kind: int,
        canvas: tuple[int, int],
        score: float,
        strides: Sequence[int],
        room: dict[str, DeviceArray],
    ) -> None:
        half = output.dtype == np.float16
        # NumPy compares an array of float16 with the nearest float16; `decode` makes up for that of scores
        gate = np.float32(np.float16(score)) if half else np.float32(score)
        threshold = largest_float32(score) if half and self._head == "yolov8" else np.float32(score)
        step = (columns, 1) if self._turned else (1, anchors)
        words = 0 if self._classes is None else max(self._classes, default=0) // 32 + 1
        self._start(
            "decode_f16" if half else "decode_f32",
            (-(-anchors // ANCHORS), output.shape[0]),
            output,
            *map(np.int32, (anchors, columns, *step, kind)),
            gate,
            threshold,
            *map(np.int32, (*canvas, *strides, *[0] * (4 - len(strides)))),
            self._wanted.address,
            np.int32(words),
            *(room[name] for name in ("counts", "keys", "boxes", "labels")),
        )

    def _room(
        self, pictures: int, anchors: int, most: int, max_det: int, chunk: int
    ) -> dict[str, DeviceArray]:
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "keys": ((pictures, anchors), np.uint64),
            "boxes": ((pictures, anchors, 4), np.float32),
            "labels": ((pictures, anchors), np.int32),
            "ranked": ((pictures, most, 4), np.float32),
            "marks": ((pictures, most, 2), np.float32),
            "over": ((pictures, chunk // TILE if self._nms else 0, chunk), np.uint64),
            "dead": ((pictures, chunk if self._nms and chunk < most else 0), np.uint8),
            "kept": ((pictures, max_det), np.int32),
            "counts": ((pictures, 2), np.int32),
        }
        return {name: self._rooms[name].array(*shape) for name, shape in shapes.items()}

    def _choose(self, classes: Sequence[int] | None) -> None:
        """Upload the classes kept, one bit each, where they are others than the last time."""
        wanted = None if classes is None else tuple(sorted(c for c in set(classes) if c < MOST_LABEL))
        if wanted != self._classes and wanted is not None:
            bits: NDArray[np.uint32] = np.zeros(max(wanted, default=0) // 32 + 1, np.uint32)
            for number in wanted:
                bits[number // 32] |= np.uint32(1 << number % 32)
            self._wanted.put(bits, self._gpu.stream)
        self._classes = wanted

    def _start(self, name: str, grid: int | tuple[int, ...], *args: object) -> None:
        self._kernels(name, grid, THREADS, self._gpu.stream, *args)


def chunk_of(pictures: int, most: int) -> int:
    """Boxes of a picture that are compared together, a multiple of `TILE`."""
    chunk = min(-(-most // TILE) * TILE, CHUNK)
    while chunk > 2 * TILE and pictures * chunk * chunk // 8 > MOST_BYTES:
        chunk = -(-chunk // 2 // TILE) * TILE
    return chunk


def check_twin(gpu: GpuThread) -> str:
    """Compare the kernels with `nms` on fresh random outputs of a yolov8 head; owner thread only.

    Raises:
        AssertionError: they differ.
    """
    random = np.random.default_rng()
    kept, upload, answer = 0, Buffer(gpu), Buffer(gpu)
    twin = CudaYolo(gpu, "yolov8")
    try:
        for anchors, score in ((1, 0.0), (777, 0.5), (8400, 0.001)):
            output = random.random((1, 4 + 3, anchors), np.float32) ** 3
            output[:, :4] *= 200
            rows = answer.array((1, 301, 6), np.float32)
            twin.enqueue(upload.put(output, gpu.stream), rows, (640, 640), score=score)
            found = answer.fetch(rows.shape, rows.dtype, gpu.stream)[0]
            gpu.stream.synchronize()
            xy, half, label = output[0, :2].T, output[0, 2:4].T / 2, output[0, 4:].argmax(axis=0)
            boxes = np.column_stack([xy - half, xy + half, output[0, 4:].max(axis=0), label])
            boxes = boxes[boxes[:, 4] > score]
            wanted = boxes[nms(boxes[:, :4], boxes[:, 4], boxes[:, 5].astype(np.int64))]
            same = found[0, 0] == len(wanted) and np.array_equal(found[1 : 1 + len(wanted)], wanted)
            assert same, f"of {anchors} boxes the kernels keep {found[0, 0]:.0f}, NumPy {len(wanted)}."
            kept += len(wanted)
    finally:
        for held in (twin, upload, answer):
            held.free()
    return f"{kept} boxes of 3 outputs, equal to the last bit"
