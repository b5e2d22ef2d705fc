"""Darknet `.cfg` + `.weights` → ONNX, without PyTorch: YOLOv3, v3-tiny, v3-SPP, v4, v4-tiny.

The graph takes `images` (float32 [N, 3, H, W], RGB, 0 to 1) and gives one `output0`
(float32 [N, rows, 5 + classes]): centre x, centre y, width and height in input pixels, objectness,
then the class probabilities, all decoded in the graph as Darknet's `yolo_layer.c` does. Rows run over
the heads in cfg order, then y, x, anchor: 22,743 of them for YOLOv3-SPP at 608. The decoding is made of
Split, Exp, Sigmoid and Concat, so that no ScatterND is needed and every TensorRT parses it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.darknet_files import Section, Weights, read_cfg
from edgekit.darknet_layers import LAYERS, Graph
from edgekit.errors import InputError
from edgekit.files import atomic_write

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 9


def _build(sections: list[Section], weights: Weights, size: int | None) -> Graph:
    net = sections[0]
    file = net.where.split(",")[0]
    height, width = (size or net.number(side, 0) for side in ("height", "width"))
    channels = net.number("channels", 3)
    if channels != 3 or not (0 < height <= 8192 and 0 < width <= 8192):
        raise net.error(
            f"the input is {channels}×{height}×{width}; it must be 3 channels with sides up to 8192"
        )
    graph = Graph(channels, height, width)
    for section in sections[1:]:
        if section.kind not in LAYERS:
            raise section.error(f"this layer is not supported; known are {', '.join(sorted(LAYERS))}")
        LAYERS[section.kind](graph, section, weights)
        if min(graph.last[1]) < 1:
            raise section.error(f"nothing is left of the {height}×{width} input here; take a larger size")
    if not graph.heads:
        raise InputError(f"{file} has no [yolo] layer: only YOLO detectors can be exported.")
    if len({columns for _, _, columns in graph.heads}) > 1:
        raise InputError(f"the [yolo] layers of {file} disagree on the number of classes.")
    return graph


def _model(graph: Graph, names: Sequence[str], dynamic_batch: bool) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    heads = [name for name, _, _ in graph.heads]
    kind, attributes = ("Concat", {"axis": 1}) if len(heads) > 1 else ("Identity", {})
    graph.nodes.append(helper.make_node(kind, heads, ["output0"], name="output0", **attributes))
    batch: Any = "batch" if dynamic_batch else 1
    rows, columns = sum(rows for _, rows, _ in graph.heads), graph.heads[0][2]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "darknet",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, *graph.input])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, rows, columns])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgekit",
    )
    notes = {
        "task": "detect",
        "recipe": "darknet",
        "names": repr(dict(enumerate(names))),
        "stride": str(max(graph.strides)),
        "imgsz": repr(list(graph.input[1:])),
    }
    helper.set_model_props(model, notes)
    return model


def convert(
    cfg: Path | str,
    weights: Path | str,
    out: Path | str,
    size: int | None = None,
    dynamic_batch: bool = False,
    names: Sequence[str] | None = None,
) -> Path:
    """Write the detector of `cfg` and `weights` as one ONNX file (opset 17, IR 9, float32).

    Args:
        size: side of the square input in pixels; the cfg's own width and height when None.
        dynamic_batch: leave the batch axis open (the seed's `-1x3x608x608`).
        names: class names; COCO's when None and the cfg has 80 classes, else "class0", "class1" ….

    Raises:
        InputError: a file cannot be read, a layer is unknown, or the weights are not those of the cfg.
    """
    import onnx

    from edgekit.models.coco import COCO80

    sections, blob = read_cfg(cfg), Weights(weights)
    graph = _build(sections, blob, size)
    blob.check_size(cfg)
    classes = graph.heads[0][2] - 5
    if names is None:
        names = COCO80 if classes == len(COCO80) else [f"class{i}" for i in range(classes)]
    if len(names) != classes:
        raise InputError(f"{len(names)} class names were given, but {Path(cfg).name} has {classes} classes.")
    model = _model(graph, names, dynamic_batch)
    onnx.checker.check_model(model)
    with atomic_write(out) as scratch:
        onnx.save(model, scratch)
    return Path(out)


def add_parser(subparsers: Any) -> None:
    """Add `darknet` to the subcommands of `edgekit export`."""
    parser = subparsers.add_parser("darknet", help="Darknet .cfg + .weights to ONNX")
    parser.add_argument("cfg", metavar="CFG", help="the network, e.g. yolov3-spp.cfg")
    parser.add_argument("weights", metavar="WEIGHTS", help="its weights, e.g. yolov3-spp.weights")
    parser.add_argument("--out", required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--size", type=int, metavar="N", help="side of the square input (default: the cfg's)")
    parser.add_argument("--dynamic-batch", action="store_true", help="leave the batch size open")
    parser.add_argument("--names", metavar="FILE", help="class names, one a line (default: COCO's 80)")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """`edgekit export darknet`: returns the exit code."""
    import sys

    names = None
    if args.names:
        try:
            text = Path(args.names).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the class names {args.names}: {error}.") from error
        names = [line.strip() for line in text.splitlines() if line.strip()]
    out = convert(args.cfg, args.weights, args.out, args.size, args.dynamic_batch, names)
    sys.stdout.write(f"{out}: {out.stat().st_size / 1e6:.1f} MB\n")
    return 0
