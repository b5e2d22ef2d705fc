"""What the shelf's tests share: a manifest of their own, a small ONNX file, bytes to download."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONTENT = np.random.RandomState(3).bytes(300_000)

SHIPPED = b"the shipped model"

ENTRY = """
[{name}]
task = "detect"
source = "{source}"
file = "{name}.onnx"
licence = "Apache-2.0"
origin = "a test"
recipe = "yolov8"
size = 416
pad = 114
colour = "RGB"
names = ["person"]
"""


def entry(name, source, *lines):
    return ENTRY.format(name=name, source=source) + "\n".join(lines) + "\n"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def tiny_onnx(path, external=False, seed=0):
    """A network of one Add with random weights."""
    weights = numpy_helper.from_array(np.random.RandomState(seed).rand(4096).astype(np.float32), "w")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4096]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weights]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(network, path, save_as_external_data=external, location="weights.bin" if external else None)
    return path
