"""Grafted steps where TensorRT chooses the types itself: before 10, and for a DLA core."""

from __future__ import annotations

from typing import Any

from edgekit.engine.graft_nodes import PREFIX


def hold_steps(trt: Any, network: Any, config: Any) -> None:
    """Ask for fp32 in grafted steps, in a network that is weakly typed.

    There the FP16 flag is of all layers, and fp16 has no number 2049: anchors would change their numbers,
    boxes their places.
    """
    prefer = getattr(trt.BuilderFlag, "PREFER_PRECISION_CONSTRAINTS", None)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    steps = [layer for layer in layers if layer.name.startswith(PREFIX)]
    if prefer is None or not steps:
        return
    single = trt.DataType.FLOAT
    for layer in steps:
        floats = [i for i in range(layer.num_outputs) if layer.get_output(i).dtype == single]
        if not floats:
            continue  # of indices or comparisons, which have a type of their own
        layer.precision = single
        for i in floats:
            layer.set_output_type(i, single)
    config.set_flag(prefer)
