"""Made networks for the tests of grafting: what comes out is drawn at random, and moves with the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 160
CELLS = 525  # of 8, 16 and 32 pixels
CLASSES = 8
OUTPUTS = {
    "yolov8": (4 + CLASSES, CELLS),
    "turned": (CELLS, 4 + CLASSES),
    "yolov5": (3 * CELLS, 5 + CLASSES),
    "darknet": (3 * CELLS, 5 + CLASSES),
    "yolox": (CELLS, 5 + CLASSES),
    "end2end": (300, 6),
}


def drawn_rows(head: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """An output of a head, [1, …]: many equal scores, boxes all over, some broken ones."""
    rows, columns = OUTPUTS[head]
    if head in ("yolov8",):
        return np.ascontiguousarray(drawn_rows("turned", rng).transpose(0, 2, 1))
    out = np.empty((rows, columns), np.float32)
    out[:, :2] = rng.uniform(0, SIDE, (rows, 2))
    out[:, 2:4] = rng.uniform(0.01, SIDE / 2, (rows, 2))
    out[:, 4:] = rng.integers(0, 16, (rows, columns - 4)) / np.float32(16)
    if head == "yolox":
        out[:, :4] = rng.normal(0, 1, (rows, 4))
    if head == "end2end":
        out[:, 2:4] += out[:, :2]
        out[:, 5] = rng.integers(0, CLASSES, rows)
    out[rng.integers(0, rows, 5), 2] = np.inf
    out[rng.integers(0, rows, 5), 3] = -7
    return out[None]


def made_net(
    output: NDArray,
    name: str = "output0",
    batch: int | str = 1,
    sides: tuple[int, int] = (SIDE, SIDE),
    **notes: str,
) -> onnx.ModelProto:
    """images [N, 3, H, W] → `output` [1, …] plus a ten-thousandth of each picture's mean."""
    ends = [-1] + [1] * (output.ndim - 1)
    constants = {"drawn": output, "share": np.float32(1e-4), "ends": np.array(ends)}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0, name="mean"),
        helper.make_node("Mul", ["mean", "share"], ["little"], name="little"),
        helper.make_node("Reshape", ["little", "ends"], ["each"], name="each"),
        helper.make_node("Add", ["drawn", "each"], [name], name="sum"),
    ]
    return _model(nodes, [batch, 3, *sides], name, [batch, *output.shape[1:]], constants, notes)


def same_net(kind: int = TensorProto.FLOAT, batch: int | str = "batch", **notes: str) -> onnx.ModelProto:
    """images [N, 3, 33, 47] → the same."""
    node = helper.make_node("Identity", ["images"], ["same"], name="same")
    return _model([node], [batch, 3, 33, 47], "same", [batch, 3, 33, 47], {}, notes, kind)


def _model(
    nodes: list,
    entry: list,
    name: str,
    leave: list,
    constants: dict,
    notes: dict,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("images", kind, entry)],
        [helper.make_tensor_value_info(name, kind, leave)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    return model


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def run(model: onnx.ModelProto | Path, **feeds: NDArray) -> dict[str, NDArray]:
    """By ONNX Runtime's CPU, and nothing of the kit."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def fresh() -> np.random.Generator:
    """A generator of a seed that a failing test shows."""
    seed = int(np.random.default_rng().integers(2**32))
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed)


def pictures(
    rng: np.random.Generator, count: int, height: int = SIDE, width: int = SIDE
) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)
