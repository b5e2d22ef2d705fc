"""Stage times of TensorRTEngine on a GPU with a CUDA kernel in the place of the plan.

    python tests/bench/gpu_engine.py

Prints one JSON line a case: medians in microseconds of a float32 1×3×640×640 tensor sent, worked on and
fetched; with and without zero copy and CUDA graph; `call` is the whole call as its caller sees it. Needs
an NVIDIA GPU, pycuda and nvcc; the kernel is one launch, so a graph can gain little here.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from kernel_double import compile_kernels, kernel_module, reference, write_plan

sys.modules["tensorrt"] = kernel_module()

from edgekit.engine.gpu_thread import acquire, load_driver  # noqa: E402
from edgekit.engine.tensorrt import TensorRTEngine  # noqa: E402

SHAPE = (1, 3, 640, 640)
CALLS = 300


def micro(seconds: list[float]) -> float:
    return round(float(np.median(seconds)) * 1e6, 1)


def main() -> None:
    gpu, driver = acquire(), load_driver()
    about = {
        "device": gpu.name,
        "capability": ".".join(map(str, gpu.capability)),
        "cuda driver": driver.get_driver_version(),
        "pycuda": ".".join(map(str, __import__("pycuda").VERSION)),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(about))
    hops = []
    for _ in range(CALLS):
        began = time.perf_counter()
        gpu.call(int)
        hops.append(time.perf_counter() - began)
    print(json.dumps({"an empty job on the owner thread, µs": micro(hops)}))
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        cubin = compile_kernels(Path(folder), gpu.capability)
        plan = write_plan(Path(folder) / "a.plan", cubin, SHAPE, nanoseconds=0)
        for zero_copy in (False, True):
            for graph in (True, False):
                with TensorRTEngine(plan, zero_copy=zero_copy, graph=graph) as engine:
                    case: dict[str, object] = {"zero_copy": zero_copy, "graph": graph}
                    print(json.dumps({**case, **measure(engine, x)}))
    gpu.release()


def measure(engine: TensorRTEngine, x: np.ndarray) -> dict[str, float]:
    times: dict[str, list[float]] = {"upload": [], "infer": [], "download": [], "call": []}
    for index in range(CALLS + 20):
        began = time.perf_counter()
        got = engine({"x": x})["y"]
        call = time.perf_counter() - began
        if index >= 20:
            for name, seconds in {**engine.times, "call": call}.items():
                times[name].append(seconds)
    np.testing.assert_array_equal(got, reference(x))
    return {name: micro(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
