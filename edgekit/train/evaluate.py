"""Average precision by pycocotools, the same for a checkpoint, an exported file and the teacher."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.errors import MissingError
from edgekit.tasks.yolo import Yolo
from edgekit.train.data import Picture

Found = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes [N, 4] x1 y1 x2 y2 source pixels, scores [N]
Detect = Callable[[NDArray[np.uint8]], Found]
#: Settings of a `Yolo` that is scored by COCO's rules: every box down to the least sure, 100 a picture.
SCORING: dict[str, Any] = {"score": 0.001, "iou": 0.65, "max_det": 100, "classes": ["person"]}


class TorchEngine:
    """A detector in PyTorch as an `edgekit.engine.Engine`, so that it is scored as it will be run.

    Args:
        network: module of RGB 0..1 [1, 3, S, S] → [1, 5, A], in evaluation mode, on `device`.
        size: S.
        device: as PyTorch names it.
    """

    backend, precision, why = "pytorch", "fp32", "a network in training"

    def __init__(self, network: Any, size: int, device: str = "cpu") -> None:
        self._network = network
        self.device = device
        self.metadata: dict[str, str] = {"names": "{0: 'person'}", "stride": "32"}
        self.times: dict[str, float] = {}
        self.inputs: tuple[TensorSpec, ...] = (
            TensorSpec("images", (1, 3, size, size), np.dtype(np.float32)),
        )
        anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
        self.outputs: tuple[TensorSpec, ...] = (TensorSpec("output0", (1, 5, anchors), np.dtype(np.float32)),)

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        import torch

        with torch.no_grad():
            output = self._network(torch.from_numpy(feeds["images"]).to(self.device))
        return {"output0": output.float().cpu().numpy()}

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def people(yolo: Yolo) -> Detect:
    """A `Yolo` as a function of a picture."""

    def detect(image: NDArray[np.uint8]) -> Found:
        found = yolo(image)
        return found.xyxy, found.score

    return detect


def average_precision(
    pictures: Sequence[Picture],
    shapes: Sequence[tuple[int, ...]],
    found: Sequence[Found],
) -> dict[str, float]:
    """COCO's box AP for one class: `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, `AR100` (−1: none)."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingError("pycocotools is missing: pip install 'edgekit[train]'.") from None
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for key, (picture, shape, (boxes, scores)) in enumerate(zip(pictures, shapes, found, strict=True), 1):
        height, width = shape[:2]
        images.append({"id": key, "width": width, "height": height})
        for box, crowd in zip(
            picture.boxes * [width, height, width, height], picture.ignore.tolist(), strict=True
        ):
            x1, y1, x2, y2 = (float(v) for v in box)
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": key,
                    "category_id": 1,
                    "iscrowd": int(crowd),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                }
            )
        for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True):
            results.append(
                {"image_id": key, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
            )
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
    if not results:
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports to standard output
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": images,
            "annotations": notes,
            "categories": [{"id": 1, "name": "person"}],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: float(value) for name, value in zip(names, judge.stats, strict=False)}


def evaluate(
    detect: Detect, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]], score: float = 0.25
) -> dict[str, float]:
    """AP, precision and recall at `score`, and `ms`, the median time of one whole call."""
    found, times = [], []
    for image in images:
        start = time.perf_counter()
        found.append(detect(image))
        times.append(time.perf_counter() - start)
    figures = average_precision(pictures, [i.shape for i in images], found)
    figures |= at_threshold(pictures, images, found, score)
    figures["ms"] = float(np.median(times)) * 1000
    return figures


def at_threshold(
    pictures: Sequence[Picture],
    images: Sequence[NDArray[np.uint8]],
    found: Sequence[Found],
    score: float = 0.25,
    overlap: float = 0.5,
) -> dict[str, float]:
    """Precision and recall where boxes under `score` are dropped: what a user of the default setting sees."""
    hits = wrong = people = 0
    for picture, image, (boxes, scores) in zip(pictures, images, found, strict=True):
        height, width = image.shape[:2]
        truth = picture.boxes * np.array([width, height, width, height], np.float32)
        taken = np.zeros(len(truth), bool)
        people += int((~picture.ignore).sum())
        for box in boxes[scores >= score]:
            side = np.minimum(truth[:, 2:], box[2:]) - np.maximum(truth[:, :2], box[:2])
            common = side.clip(0).prod(1)
            area = (truth[:, 2:] - truth[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
            iou = np.where(taken, 0, common / (area - common + 1e-9))
            best = int(iou.argmax()) if len(iou) else -1
            if best >= 0 and iou[best] > overlap:
                taken[best] = True
                hits += not picture.ignore[best]
            else:
                wrong += 1
    return {"precision": hits / max(1, hits + wrong), "recall": hits / max(1, people)}
