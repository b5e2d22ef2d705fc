"""People drawn as three dots, a detector that always finds them, and a network that sees the dots."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.topology import Topology

sys.path.append(str(Path(__file__).parents[1] / "tasks"))

DOTS = Topology("person", ("head", "left_hand", "right_hand"), ((0, 1), (0, 2)))
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])  # RGB
PLACES = np.array([[0.5, 0.2], [0.25, 0.6], [0.8, 0.7]])  # in shares of a person's box
SIDE = 256
BOXES = np.array([[10, 20, 70, 220], [180, 30, 246, 240]], float)  # of everybody, in every picture


def detector(path: Path, boxes: np.ndarray = BOXES, scores: tuple[float, ...] = (0.9, 0.8)) -> Path:
    """A YOLO of 64×64 pixels (v8's head) that finds these boxes of a picture of `SIDE`, whatever it shows."""
    answer = np.zeros((1, 5, 84), np.float32)
    small = boxes * 64 / SIDE
    answer[0, :2, : len(boxes)] = ((small[:, :2] + small[:, 2:]) / 2).T
    answer[0, 2:4, : len(boxes)] = (small[:, 2:] - small[:, :2]).T
    answer[0, 4, : len(boxes)] = scores
    constants = {"answer": answer, "none": np.zeros((1, 3, 64, 64), np.float32), "w": np.array([-1, 1, 1])}
    nodes = [
        helper.make_node("Conv", ["images", "none"], ["zero"]),  # so that int8 has a layer
        helper.make_node("Reshape", ["zero", "w"], ["flat"]),
        helper.make_node("Add", ["flat", "answer"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 5, 84])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"stride": "32", "names": "{0: 'person'}"})
    onnx.save(model, path)
    return path


def pose_net(path: Path) -> Path:
    from pose_nets import dots_net

    return dots_net(path, COLOURS, task="topdown", topology=DOTS.note())


def points(box: np.ndarray) -> np.ndarray:
    return np.asarray(box[:2] + PLACES * (box[2:] - box[:2]))


def drawn_people(folder: Path, count: int = 2, v: int = 2) -> Path:
    """A data set in COCO's layout: `count` pictures with two people each, at `BOXES`."""
    images, notes = [], []
    (folder / "images").mkdir(parents=True)
    for n in range(count):
        image = np.full((SIDE, SIDE, 3), 128, np.uint8)
        for box in BOXES:
            flat: list[Any] = []
            for (x, y), colour in zip(points(box), COLOURS, strict=True):
                cv2.circle(image, (round(x), round(y)), 8, colour[::-1].tolist(), -1)
                flat += [float(x), float(y), v]
            x1, y1, x2, y2 = box.tolist()
            area = 0.5 * (x2 - x1) * (y2 - y1)
            note = {"id": len(notes) + 1, "image_id": n, "category_id": 1, "iscrowd": 0, "area": area}
            notes.append({**note, "bbox": [x1, y1, x2 - x1, y2 - y1], "keypoints": flat, "num_keypoints": 3})
        cv2.imwrite(str(folder / "images" / f"{n}.png"), image)
        images.append({"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE})
    content = {"images": images, "annotations": notes, "categories": [{**DOTS.to_category(), "id": 1}]}
    (folder / "person_keypoints.json").write_text(json.dumps(content))
    return folder


def trtpose_net(path: Path, side: int = 64, **notes: str) -> Path:
    """TrtPose's contract with weights drawn at random: it finds something, wrong as it is."""
    rng = np.random.default_rng(0)
    shapes = {"s": (8, 3, 3, 3), "c": (len(DOTS), 8, 4, 4), "p": (2 * len(DOTS.skeleton), 8, 4, 4)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) / 8 for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["images", "s"], ["stem"], pads=[1] * 4),
        helper.make_node("Relu", ["stem"], ["x"]),
        helper.make_node("Conv", ["x", "c"], ["cmap"], strides=[4, 4]),
        helper.make_node("Conv", ["x", "p"], ["paf"], strides=[4, 4]),
    ]
    small = side // 4
    graph = helper.make_graph(
        nodes,
        "trtpose",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side, side])],
        [
            helper.make_tensor_value_info("cmap", TensorProto.FLOAT, ["n", shapes["c"][0], small, small]),
            helper.make_tensor_value_info("paf", TensorProto.FLOAT, ["n", shapes["p"][0], small, small]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"task": "trtpose", "topology": DOTS.note(), **notes})
    onnx.save(model, path)
    return path
