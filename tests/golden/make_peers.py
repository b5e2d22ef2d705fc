"""Make peers.npz: what the peers' own code answers to the questions asked in this file.

    python tests/golden/make_peers.py tests/golden/peers.npz --yolov5 DIR --yolox DIR --alphapose DIR

Needs ultralytics (pip) and checkouts of ultralytics/yolov5, Megvii-BaseDetection/YOLOX and
MVIG-SJTU/AlphaPose. Only numbers are stored: where a letterboxed picture lies, and which boxes come out
of made-up network outputs. `versions` in the file says of what. Where no compiled torchvision is
installed, its NMS is replaced by ultralytics' own.
"""

from __future__ import annotations

import argparse
import ast
import sys
import types
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

SIZES = ((640, 640), (416, 416), (384, 640), (608, 608), (320, 512))
#: height, width: ordinary ones, odd ones, and those that leave half a pixel
SHAPES = (
    *((720, 1280), (1080, 1920), (576, 768), (480, 640), (640, 640), (375, 500), (427, 640), (333, 500)),
    *((957, 1279), (959, 1279), (961, 1281), (955, 1277), (101, 67), (67, 101), (31, 37), (2, 3), (5, 640)),
    *((640, 7), (1440, 2560), (1279, 957), (799, 1201), (611, 813), (1, 1), (417, 415), (639, 641)),
)
SIDE, CLASSES = 160, 8  # of the made-up outputs: 525 anchors


def functions_of(path: Path, *names: str) -> list[Callable]:
    """Single functions of a file, run without the imports of the rest of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name in names]
    import torch
    import torchvision

    space = {"cv2": cv2, "np": np, "torch": torch, "torchvision": torchvision}
    exec(compile(tree, str(path), "exec"), space)
    return [space[name] for name in names]


def stub_torchvision() -> str:
    """Give `torchvision.ops` where it cannot be imported; returns what is used, in words."""
    try:
        import torchvision

        return f"torchvision {torchvision.__version__}"
    except ImportError:
        import torch
        from ultralytics.utils.nms import TorchNMS

        def batched(boxes, scores, kind, iou):
            return TorchNMS.nms(boxes.double() + kind[:, None].double() * 7680, scores, iou)

        module = types.ModuleType("torchvision")
        module.ops = types.SimpleNamespace(nms=TorchNMS.nms, batched_nms=batched)
        sys.modules["torchvision"] = module
        return f"no torchvision, TorchNMS in float64 (torch {torch.__version__})"


def where(canvas: np.ndarray) -> list[int]:
    """[canvas height, width, top, left, content height, width] of a letterboxed white picture."""
    inside = canvas[..., 0] == 255
    ys, xs = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return [*canvas.shape[:2], ys[0], xs[0], len(ys), len(xs)]


def geometry(letterbox: Callable[[np.ndarray, tuple[int, int]], np.ndarray]) -> np.ndarray:
    """int16 [cases, 10]: source and size, then what `where` reads."""
    rows = []
    for size in SIZES:
        for shape in SHAPES:
            try:
                canvas = letterbox(np.full((*shape, 3), 255, np.uint8), size)
            except cv2.error:  # some peers scale a strip to no pixels at all
                continue
            rows.append([*shape, *size, *where(canvas)])
    return np.array(rows, np.int16)


def made_up(rng: np.random.Generator, objectness: bool) -> np.ndarray:
    """float32 [525, (5 or 4) + classes] in xywh: a few objects, many doubles, much noise."""
    count = sum((SIDE // s) ** 2 for s in (8, 16, 32))
    which = rng.integers(0, 14, count)
    centre, size, kind = (
        rng.uniform(10, 150, (14, 2)),
        rng.uniform(8, 90, (14, 2)),
        rng.integers(0, CLASSES, 14),
    )
    xy, wh = centre[which] + rng.normal(0, 3, (count, 2)), size[which] * rng.uniform(0.8, 1.2, (count, 2))
    scores = rng.random((count, CLASSES)) ** 6
    scores[np.arange(count), kind[which]] = rng.random(count)
    parts = [xy, wh, rng.random((count, 1)), scores] if objectness else [xy, wh, scores]
    return np.hstack(parts).astype(np.float32)


def on_a_grid(rows: np.ndarray) -> np.ndarray:
    """The same boxes as YOLOX's raw output: each anchor's offset from its cell, and log sizes."""
    raw, at = rows.astype(np.float64), 0
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                raw[at, :2] = raw[at, :2] / stride - (x, y)
                raw[at, 2:4] = np.log(raw[at, 2:4] / stride)
                at += 1
    return raw.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    for name in ("yolov5", "yolox", "alphapose"):
        parser.add_argument(f"--{name}", type=Path, required=True)
        parser.add_argument(f"--{name}-commit", required=True)
    args = parser.parse_args()
    import torch
    import ultralytics
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    used = stub_torchvision()
    (letterbox5,) = functions_of(args.yolov5 / "utils/augmentations.py", "letterbox")
    (preproc,) = functions_of(args.yolox / "yolox/data/data_augment.py", "preproc")
    (decode,) = functions_of(args.yolox / "yolox/utils/demo_utils.py", "demo_postprocess")
    (postprocess,) = functions_of(args.yolox / "yolox/utils/boxes.py", "postprocess")
    (darknet,) = functions_of(args.alphapose / "detector/yolo/preprocess.py", "letterbox_image")
    stored = {
        "geometry.ultralytics": geometry(lambda im, size: LetterBox(size)(image=im)),
        "geometry.ultralytics_auto": geometry(lambda im, size: LetterBox(size, auto=True)(image=im)),
        "geometry.ultralytics_down": geometry(lambda im, size: LetterBox(size, scaleup=False)(image=im)),
        "geometry.yolov5": geometry(lambda im, size: letterbox5(im, size, auto=False)[0]),
        "geometry.yolov5_auto": geometry(lambda im, size: letterbox5(im, size, auto=True)[0]),
        "geometry.yolox": geometry(lambda im, size: preproc(im, size)[0].transpose(1, 2, 0)),
        "geometry.darknet": geometry(lambda im, size: darknet(im, size[::-1])),
        "versions": np.array(
            f"ultralytics {ultralytics.__version__}, yolov5 {args.yolov5_commit}, YOLOX {args.yolox_commit}, "
            f"AlphaPose {args.alphapose_commit}, {used}, OpenCV {cv2.__version__}"
        ),
    }
    rng = np.random.default_rng(8)
    boxes = rng.uniform(-20, 660, (12, 4)).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    back = [scale_boxes((640, 640), torch.tensor(boxes), shape).numpy() for shape in SHAPES]
    stored |= {"scale.boxes": boxes, "scale.source": np.array(back)}

    output = made_up(rng, objectness=False)
    found = non_max_suppression(torch.tensor(output.T[None]), 0.25, 0.45)[0]
    found[:, :4] = scale_boxes((SIDE, SIDE), found[:, :4], (101, 67))
    stored |= {"v8.output": output.T, "v8.found": found.numpy()}

    raw = on_a_grid(made_up(rng, objectness=True))
    rows = postprocess(torch.tensor(decode(raw[None].copy(), (SIDE, SIDE))), CLASSES, 0.25, 0.45)[0].numpy()
    ratio = min(SIDE / 101, SIDE / 67)
    found = np.hstack([rows[:, :4] / ratio, rows[:, 4:5] * rows[:, 5:6], rows[:, 6:7]])
    stored |= {"yolox.output": raw, "yolox.found": found.astype(np.float32)}
    np.savez_compressed(args.out, **stored)


if __name__ == "__main__":
    main()
