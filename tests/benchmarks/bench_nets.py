"""A YOLO of 64×64 pixels that finds nonsense quickly, and rows and samples made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.telemetry.sample import Sample


def yolo_net() -> onnx.ModelProto:
    """One convolution, and one for each of three strides; output [n, 5, 84], numbers 0 to 64 and a score."""
    rng = np.random.default_rng(0)
    stem = rng.standard_normal((8, 3, 3, 3)).astype(np.float32) / 5
    weights = [numpy_helper.from_array(stem, "stem")]
    nodes = [
        helper.make_node("Conv", ["images", "stem"], ["s"], pads=[1] * 4),
        helper.make_node("Relu", ["s"], ["features"]),
    ]
    parts = []
    for stride in (8, 16, 32):
        weight = rng.standard_normal((5, 8, stride, stride)).astype(np.float32) / stride
        weights.append(numpy_helper.from_array(weight, f"w{stride}"))
        nodes += [
            helper.make_node("Conv", ["features", f"w{stride}"], [f"c{stride}"], strides=[stride] * 2),
            helper.make_node("Reshape", [f"c{stride}", "flat"], [f"r{stride}"]),
        ]
        parts.append(f"r{stride}")
    scale = np.array([64, 64, 30, 30, 1], np.float32).reshape(1, 5, 1)
    weights += [
        numpy_helper.from_array(np.array([0, 5, -1], np.int64), "flat"),
        numpy_helper.from_array(scale, "scale"),
    ]
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=2),
        helper.make_node("Sigmoid", ["all"], ["between"]),
        helper.make_node("Mul", ["between", "scale"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "yolo",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 5, 84])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"stride": "32", "names": "{0: 'person'}"})
    return model


def row(**values: Any) -> dict[str, Any]:
    """A finished row of the engine on a CPU without power."""
    latency = values.get("latency_ms", 10.0)
    return {
        **{"key": "k", "model": "m", "part": "engine", "backend": "onnxruntime-cpu", "precision": "fp32"},
        **{"batch": 1, "sha256": "0" * 64, "date": "2026-01-01T00:00:00.000Z", "place": {"edgekit": "1"}},
        **{"latency_ms": latency, "p95_ms": latency, "throughput": 1000 / latency * values.get("batch", 1)},
        **{"util_pct": 50.0, "util_of": "CPU", "memory_mb": 100.0, "gpu_memory_mb": None},
        **{
            "watts": None,
            "joules": None,
            "j_per_frame": None,
            "fps_per_w": None,
            "power_unknown": "no meter",
        },
        **{"gpu_mhz": None, "cpu_mhz": 2500.0, "temp_start_c": None, "temp_end_c": None, "unclean": []},
        **{"throttling_unknown": "", "power": "none", "emulated": False},
        **values,
    }


def sample(t: float, **values: Any) -> Sample:
    """A reading of 5 W at time t."""
    given = {"power_total_mw": 5000.0, "power_total_name": "VDD_IN", "power_total_kind": "input", **values}
    return Sample(t, "2026-01-01T00:00:00.000Z", "made up", **given)
